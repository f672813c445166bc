/* core/turns, against sessions whose messages are known. The input is a program: its first octet
 * chooses the kind of session, the others are drawn on for what happens in it.
 *
 * Honest sessions are clients as they are: each waits for the replies that it needs, and a message
 * goes by DATA or BDAT, small or large, in one piece or cut as core/turns.h says, pipelined or not,
 * the next envelope with the content or behind it. What has been counted never exceeds the truth.
 * Hostile ones send transactions as short as they come, in records of any size, answered whenever
 * it suits, without ever waiting. The truth never exceeds the upper bound.
 * In both the records arrive cut anywhere, and a twin that gets them whole counts the same.
 * The third kind is any bytes at all. */
#include <stdlib.h>
#include <string.h>

#include "core/turns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MOST 128 /* a longer program tells nothing new */
#define RECORD     16384

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

struct play {
    const uint8_t *at, *end; /* the program */
    struct turns cut, whole;
    unsigned begun, taken; /* messages whose content was sent, that the server took */
    unsigned tag;          /* what a record is longer than its text */
};

static unsigned draw(struct play *p, unsigned below)
{
    return p->at < p->end ? *p->at++ % below : 0;
}

static unsigned draw_size(struct play *p, unsigned least, unsigned most)
{
    unsigned word = draw(p, 256) << 8;
    return least + (word | draw(p, 256)) % (most - least + 1);
}

static void feed_client(struct turns *t, struct span s)
{
    while (s.len > 0) {
        size_t n = turns_client(t, s);
        require(n <= s.len && (t->held != TURNS_FREE || n == s.len));
        turns_pass(t);
        s = span_skip(s, n);
    }
}

static void feed(struct turns *t, bool client, struct span s)
{
    if (client) {
        feed_client(t, s);
    } else {
        turns_server(t, s);
    }
}

/* The octets behind the header are never looked at. */
static const char *record(unsigned length)
{
    static char bytes[5 + RECORD + 80];
    memcpy(bytes, "\x17\x03\x03", 3);
    bytes[3] = (char)(length >> 8);
    bytes[4] = (char)length;
    return bytes;
}

static void send_record(struct play *p, bool client, unsigned text)
{
    struct span s = {record(text + p->tag), text + p->tag + 5};
    unsigned cut = draw(p, 9); /* in the header as a rule */
    feed(&p->whole, client, s);
    feed(&p->cut, client, (struct span){s.at, cut});
    feed(&p->cut, client, span_skip(s, cut));
}

static void send_text(struct play *p, bool client, unsigned octets)
{
    while (octets > 0) {
        unsigned part = octets < RECORD ? octets : RECORD;
        send_record(p, client, part);
        octets -= part;
    }
}

/* As if the session ended here: what is open is not in the bounds yet. */
static void check(const struct play *p)
{
    struct turns t = p->cut;
    turns_end(&t);
    require(t.least <= p->begun);
    require(turns_most(&t) >= p->taken);
}

static void finish(struct play *p)
{
    turns_end(&p->cut);
    turns_end(&p->whole);
    require(!p->cut.plain && p->cut.count == p->whole.count && p->cut.least == p->whole.least);
    require(turns_most(&p->cut) == turns_most(&p->whole) && p->cut.up == p->whole.up);
}

/* TLS 1.3 with its disguised handshake, or 1.2 with any of its ciphers; EHLO. */
static void begin_tls(struct play *p)
{
    bool tls13 = draw(p, 2);
    turns_init(&p->cut);
    turns_init(&p->whole);
    p->tag = tls13 ? 17 : 18 + draw(p, 63);
    if (tls13) {
        send_record(p, false, 1200);
        send_record(p, true, 36);
    }
    send_record(p, true, 20);
    send_record(p, false, 180);
}

/* --- honest ---------------------------------------------------------------------------------- */

static void exchange(struct play *p, unsigned up, unsigned down)
{
    send_text(p, true, up);
    send_text(p, false, down);
}

/* MAIL, RCPT and, with DATA, DATA; alone or together. Returns what is still to be sent. */
static unsigned envelope(struct play *p, unsigned rcpts, bool data, bool together, unsigned *down)
{
    unsigned size = 12 + draw(p, 60), replies = 8 + draw(p, 60);
    if (!together) {
        exchange(p, size, replies);
        for (unsigned i = 0; i < rcpts; i++) {
            exchange(p, 10 + draw(p, 50), 8 + draw(p, 60));
        }
        if (data) {
            exchange(p, 6, 14 + draw(p, 40));
        }
        return 0;
    }
    for (unsigned i = 0; i < rcpts; i++) {
        size += 10 + draw(p, 50);
        replies += 8 + draw(p, 60);
    }
    *down += replies + (data ? 14 + draw(p, 40) : 0);
    return size + (data ? 6 : 0);
}

/* What one content's bursts add to `up` and `down` of the open turn. */
static void content(struct play *p, unsigned *up, unsigned *down, bool bdat)
{
    unsigned kind = bdat ? draw(p, 4) : 0, size = draw_size(p, 1, 40000);
    p->begun++;
    p->taken++;
    unsigned chunk_reply = 20 + draw(p, TURNS_OPENING - 20);
    if (kind == 1) { /* Exim */
        exchange(p, *up + 300 + draw(p, 256) * 8, *down + chunk_reply);
        size += 8192;
        *up = *down = 0;
    } else if (kind == 2) {
        for (unsigned i = draw(p, 6); i > 0; i--) {
            exchange(p, *up + TURNS_CHUNK + draw(p, 256) * 64, *down + chunk_reply);
            *up = *down = 0;
        }
    } else if (kind == 3) { /* all of them small */
        for (unsigned i = draw(p, 6); i > 0; i--) {
            exchange(p, *up + (p->tag == 17 ? 901 : 1901) + draw(p, 256) * 4, *down + chunk_reply);
            *up = *down = 0;
        }
        *up += 17 + size % 2000;
        *down += chunk_reply;
        return;
    }
    *up += size;
    *down += 28 + draw(p, 250);
}

static void honest(struct play *p)
{
    bool bdat = draw(p, 2), together = draw(p, 2), chained = !bdat && together && draw(p, 2);
    unsigned up = 0, down = 0;
    begin_tls(p);
    for (unsigned i = 1 + draw(p, 12); i > 0; i--) {
        up += envelope(p, 1 + draw(p, 8), !bdat, together, &down);
        if (!bdat && up > 0) {
            exchange(p, up, down);
            up = down = 0;
        }
        content(p, &up, &down, bdat);
        if (!chained) {
            exchange(p, up, down);
            up = down = 0;
            if (draw(p, 4) == 0) {
                exchange(p, 6, 14); /* RSET */
            }
        }
        if (up == 0) {
            check(p);
        }
    }
    if (up > 0) {
        exchange(p, up, down);
    }
    exchange(p, 6, 15);
    finish(p);
    require(p->whole.least <= p->begun && turns_most(&p->whole) >= p->taken);
}

/* --- hostile --------------------------------------------------------------------------------- */

/* The shortest of all: so many octets, and what of them the server has answered by when. */
static void hostile(struct play *p)
{
    unsigned sent = 0, answered = 0; /* octets of transactions; replies */
    begin_tls(p);
    while (p->at < p->end) {
        if (draw(p, 2)) {
            unsigned octets = draw(p, 3) ? 1 + draw(p, 40) : draw_size(p, 1, 3000);
            sent += octets;
            send_text(p, true, octets);
        } else {
            unsigned whole = sent / 29, rest = sent % 29;
            unsigned due = whole * 3 + (rest >= 22 ? 2 : rest >= 12) - answered;
            unsigned replies = due > 0 ? 1 + draw_size(p, 0, due - 1) : 0;
            answered += replies;
            send_text(p, false, replies * TURNS_REPLY);
        }
        p->taken = answered / 3;
        p->begun = sent;
        check(p);
    }
    finish(p);
    require(turns_most(&p->whole) >= p->taken);
}

/* --- anything -------------------------------------------------------------------------------- */

static void check_any(const struct turns *t)
{
    require(t->least <= t->count && t->down_rest < TURNS_REPLY);
    require(t->held == TURNS_FREE);
}

static void any(struct play *p)
{
    turns_init(&p->cut);
    turns_init(&p->whole);
    while (p->at < p->end) {
        uint8_t head = *p->at++;
        size_t left = (size_t)(p->end - p->at), want = (size_t)(head >> 1);
        struct span piece = {(const char *)p->at, left < want ? left : want};
        feed(&p->whole, head & 1, piece);
        for (size_t i = 0; i < piece.len; i++) {
            feed(&p->cut, head & 1, (struct span){piece.at + i, 1});
        }
        p->at += piece.len;
        check_any(&p->whole);
        check_any(&p->cut);
    }
    turns_end(&p->cut);
    turns_end(&p->whole);
    require(p->cut.plain == p->whole.plain);
    if (!p->whole.plain) { /* else the reads themselves are counted */
        require(p->cut.count == p->whole.count && p->cut.least == p->whole.least);
        require(turns_most(&p->cut) == turns_most(&p->whole));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const kinds[])(struct play *) = {honest, hostile, any};
    if (size == 0) {
        return 0;
    }
    size = size < INPUT_MOST ? size : INPUT_MOST;
    struct play p = {.at = data + 1, .end = data + size};
    kinds[data[0] % 3](&p);
    return 0;
}
