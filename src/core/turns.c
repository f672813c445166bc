#include "core/turns.h"

#include <string.h>

#define HEADER           5
#define RECORD_MOST      18432 /* RFC 5246 6.2.3: 2^14 and 2048 */
#define CHANGE_CIPHER    20
#define APPLICATION_DATA 23

/* Octets of a record that are no text: the tag of any AEAD suite; behind a TLS 1.3 record's text,
 * its true type too; vector, padding and MAC of CBC with SHA-384. */
#define OVERHEAD_LEAST 16
#define OVERHEAD_TLS13 17
#define OVERHEAD_MOST  80
/* "MAIL FROM:a" "RCPT TO:a" "DATA" "." with their line's end. */
#define MESSAGE_OCTETS  29
#define MESSAGE_REPLIES 3
#define MAIL_OCTETS     12
#define ENVELOPE_OCTETS 22
/* A large row's answers: TURNS_CHUNK / ROW_OCTETS = 46 octets a chunk. */
#define ROW_OCTETS 88

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Replies of messages that so many octets can have asked for. */
static uint64_t affordable(uint64_t octets)
{
    uint64_t rest = octets % MESSAGE_OCTETS;
    uint64_t begun = rest >= ENVELOPE_OCTETS ? 2 : rest >= MAIL_OCTETS;
    return octets / MESSAGE_OCTETS * MESSAGE_REPLIES + begun;
}

static void pay(struct turns *t)
{
    uint64_t octets = t->down_rest + t->down;
    t->up += t->up_most;
    t->used = smaller(t->used + octets / TURNS_REPLY, affordable(t->up));
    t->down_rest = (uint8_t)(octets % TURNS_REPLY);
}

/* In the first turn a client's certificate is disguised as text; in clear text there is a handshake
 * that failed. */
static bool may_hold_content(const struct turns *t)
{
    return t->count > 0 || (!t->tls13 && !t->plain);
}

static bool explained(uint64_t octets, uint64_t replies)
{
    return octets <= TURNS_COMMAND + TURNS_FURTHER * (replies - 1);
}

static void start_message(struct turns *t, bool small)
{
    t->least++;
    t->row = small ? TURNS_SMALL : TURNS_LARGE;
    t->row_up = t->up_most;
    t->row_down = 0; /* its answer may be one to the envelope too */
}

static void continue_message(struct turns *t, bool small)
{
    if (t->row == TURNS_SMALL) {
        t->row = small ? TURNS_SMALL : TURNS_LARGE;
        t->row_up = t->up_most;
        return;
    }
    t->row_up += t->up_most;
    t->row_down += t->down_least > TURNS_ONE ? t->down_least : 0;
    if (small || t->row_down > TURNS_ONE + t->row_up / ROW_OCTETS) {
        t->row = TURNS_DONE;
    }
}

static void count_content(struct turns *t, uint64_t replies)
{
    bool small = t->up_most < TURNS_CHUNK;
    if (t->row == TURNS_NONE) {
        t->doubt_up = t->doubt_replies = 0;
        t->doubt_least = t->least;
    }
    t->doubt_up += small ? UINT32_MAX : t->up_least; /* small ones are answered as a whole */
    t->doubt_replies += replies;
    bool next = t->row == TURNS_SMALL && small && t->down_least >= TURNS_OPENING;
    if (next || t->row == TURNS_NONE || t->row == TURNS_DONE) {
        start_message(t, small);
    } else {
        continue_message(t, small);
    }
}

static void count_commands(struct turns *t, uint64_t replies)
{
    bool late =
        t->row != TURNS_NONE && explained(t->doubt_up + t->up_most, t->doubt_replies + replies);
    if (late) {
        t->least = t->doubt_least;
    }
    t->row = TURNS_NONE;
}

static void close_turn(struct turns *t)
{
    uint64_t replies = t->down / TURNS_REPLY > 0 ? t->down / TURNS_REPLY : 1;
    if (may_hold_content(t) && !explained(t->up_least, replies)) {
        count_content(t, replies);
    } else {
        count_commands(t, replies);
    }
    t->count++;
    pay(t);
    t->up_least = t->up_most = t->down_least = t->down = 0;
    t->spoke = t->replied = t->weighed = false;
}

/* True: the client is about to begin a turn, and is held. */
static bool begins_turn(struct turns *t)
{
    if (t->replied) {
        close_turn(t);
        t->held = TURNS_START;
    }
    return t->held != TURNS_FREE;
}

static void add_client(struct turns *t, uint64_t least, uint64_t most)
{
    t->spoke = true;
    t->up_least += least;
    t->up_most += most;
}

/* True: with so much more the burst may be a new message, and is held. */
static bool begins_content(struct turns *t, uint64_t least)
{
    bool new = t->row == TURNS_NONE || t->row == TURNS_DONE;
    if (new && !t->weighed && may_hold_content(t) && t->up_least + least > TURNS_COMMAND) {
        t->held = TURNS_CONTENT;
    }
    return t->held != TURNS_FREE;
}

static void add_server(struct turns *t, uint64_t least, uint64_t most)
{
    t->replied = t->spoke;
    t->down_least += least;
    t->down += most;
}

static uint64_t text_of(uint64_t record, uint64_t overhead)
{
    return record > overhead ? record - overhead : 0;
}

static uint64_t least_text(const struct turns *t, uint16_t size)
{
    return text_of(size, t->tls13 ? OVERHEAD_TLS13 : OVERHEAD_MOST);
}

static void on_client_record(struct turns *t, uint16_t size)
{
    bool finished = t->tls13 && !t->began;
    t->began = true;
    if (finished) {
        return;
    }
    if (begins_content(t, least_text(t, size))) {
        t->offered = size;
    } else {
        add_client(t, least_text(t, size), text_of(size, OVERHEAD_LEAST));
    }
}

static void on_server_record(struct turns *t, uint16_t size)
{
    if (t->began) {
        add_server(t, least_text(t, size), text_of(size, OVERHEAD_LEAST));
    } else {
        t->tls13 = true;
    }
}

static bool is_record(const struct turns_flow *f)
{
    return f->type >= CHANGE_CIPHER && f->type <= APPLICATION_DATA && f->left <= RECORD_MOST;
}

/* One octet of a header. True: it is whole. */
static bool take_header(struct turns *t, struct turns_flow *f, uint8_t octet)
{
    if (f->have == 0) {
        f->type = octet;
        f->left = 0;
    } else if (f->have == 1) {
        t->plain = t->plain || octet != 3; /* the major version, ever since SSL 3 */
    } else if (f->have > 2) {
        f->left = (uint16_t)(f->left << 8 | octet);
    }
    f->have++;
    t->plain = t->plain || !is_record(f);
    return f->have == HEADER;
}

/* Takes what is there of one record. Returns the size of a record of application data whose header
 * has become whole, else 0. */
static uint16_t walk(struct turns *t, struct turns_flow *f, struct span *in)
{
    while (in->len > 0 && f->have < HEADER && !t->plain) {
        bool done = take_header(t, f, (uint8_t)in->at[0]);
        *in = span_skip(*in, 1);
        if (done && !t->plain) {
            uint16_t size = f->type == APPLICATION_DATA ? f->left : 0;
            f->have = f->left > 0 ? HEADER : 0;
            return size;
        }
    }
    size_t rest = smaller(f->left, in->len);
    if (f->have == HEADER) {
        *in = span_skip(*in, rest);
        f->left = (uint16_t)(f->left - rest);
        f->have = f->left > 0 ? HEADER : 0;
    }
    return 0;
}

void turns_init(struct turns *t)
{
    memset(t, 0, sizeof *t);
}

static bool stands_at_record(const struct turns *t, struct span rest)
{
    return t->plain || (t->client.have == 0 && (uint8_t)rest.at[0] == APPLICATION_DATA);
}

size_t turns_client(struct turns *t, struct span bytes)
{
    struct span rest = bytes;
    while (rest.len > 0 && t->held == TURNS_FREE) {
        if (stands_at_record(t, rest) && begins_turn(t)) {
            break;
        }
        if (t->plain) {
            t->began = true;
            if (!begins_content(t, rest.len)) {
                add_client(t, rest.len, rest.len);
                rest.len = 0;
            }
            continue;
        }
        uint16_t size = walk(t, &t->client, &rest);
        if (size > 0) {
            on_client_record(t, size);
        }
    }
    return bytes.len - rest.len;
}

void turns_pass(struct turns *t)
{
    if (t->held == TURNS_CONTENT) {
        t->weighed = true;
        if (t->offered > 0) {
            add_client(t, least_text(t, t->offered), text_of(t->offered, OVERHEAD_LEAST));
        }
        t->offered = 0;
    }
    t->held = TURNS_FREE;
}

void turns_server(struct turns *t, struct span bytes)
{
    while (bytes.len > 0 && !t->plain) {
        uint16_t size = walk(t, &t->server, &bytes);
        if (size > 0) {
            on_server_record(t, size);
        }
    }
    if (bytes.len > 0) {
        add_server(t, bytes.len, bytes.len);
    }
}

void turns_end(struct turns *t)
{
    if (t->replied) {
        close_turn(t);
    } else {
        t->down = t->up_most * MESSAGE_REPLIES; /* nobody knows: as many replies as it can have */
        pay(t);
    }
}

uint32_t turns_most(const struct turns *t)
{
    uint64_t most = t->used / MESSAGE_REPLIES;
    return most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
}
