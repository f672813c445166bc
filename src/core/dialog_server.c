/* The server's side of the dialogue: replies go out unchanged, and say what the gate may expect. */
#include "core/smtp_reply.h"
#include "dialog_internal.h"

#define REPLY_LINE 8192 /* RFC 5321 asks for 512; some servers are wordier */

/* RFC 5321 4.2.2: with a 221 a server takes its leave, whatever it was asked. */
#define CODE_LEAVE 221

/* Has it done what it was asked? */
static bool is_positive(unsigned code)
{
    return code >= 200 && code <= 299 && code != CODE_LEAVE;
}

/* No line of a reply: sendmail's VERB has 0xx lines in front of replies, which are for the reader
 * alone. */
static bool is_note(unsigned code)
{
    return code < 100;
}

/* RFC 5321 4.2.1: unlike in FTP, no command may have such a reply. Who gets one waits for another,
 * or does not. */
static bool is_preliminary(unsigned code)
{
    return code >= 100 && code <= 199;
}

static void on_greeting(struct dialog_turn *t, unsigned code)
{
    (void)code; /* what a greeting of 554 means is between the two */
    t->d->phase = PHASE_COMMAND;
}

/* RFC 1869: "250-CHUNKING". The first line is the server's greeting, in which some repeat what the
 * client said: no keyword stands there. */
static void note_keyword(struct dialog *d, struct span line)
{
    if (!d->greeted) {
        d->greeted = true;
        return;
    }
    static const struct span chunking = SPAN_LITERAL("CHUNKING");
    struct span keyword = span_trim(span_skip(line, 4));
    d->chunking = d->chunking || (span_starts_nocase(keyword, chunking) &&
                                  (keyword.len == chunking.len || keyword.at[chunking.len] == ' '));
}

static void on_nothing(struct dialog_turn *t, unsigned code)
{
    (void)t;
    (void)code;
}

/* A MAIL within a transaction is refused, and the transaction goes on. */
static void on_mail_taken(struct dialog_turn *t, unsigned code, bool prdr)
{
    struct dialog *d = t->d;
    if (is_positive(code)) {
        d->in_transaction = true;
        d->taken = 0;
        d->prdr = prdr;
    }
}

static void on_mail(struct dialog_turn *t, unsigned code)
{
    on_mail_taken(t, code, false);
}

static void on_mail_prdr(struct dialog_turn *t, unsigned code)
{
    on_mail_taken(t, code, true);
}

static void on_reset(struct dialog_turn *t, unsigned code)
{
    (void)code; /* where the server has refused it, nothing can be known of the transaction */
    t->d->taken = 0;
}

static void on_rcpt(struct dialog_turn *t, unsigned code)
{
    if (is_positive(code)) {
        t->d->record.recipients++;
        t->d->taken++;
    }
}

static void on_data(struct dialog_turn *t, unsigned code)
{
    if (code == 354) {
        dialog_open_body(t);
    }
}

static void on_message(struct dialog_turn *t, unsigned code)
{
    t->d->in_transaction = false;
    t->d->taken = 0;
    t->d->prdr_begun = false;
    dialog_renew(t, WORD_TO, SPAN_LITERAL(""));
    if (is_positive(code)) {
        t->d->record.messages++;
    }
}

/* Of a message that is refused in part the other chunks are worth nothing (RFC 3030 section 2). */
static void on_chunk(struct dialog_turn *t, unsigned code)
{
    if (!is_positive(code)) {
        t->d->chunks_open = false;
        t->d->taken = 0;
    }
}

static void on_starttls(struct dialog_turn *t, unsigned code)
{
    if (code == 220) {
        t->d->record.tls = true;
        t->d->phase = PHASE_TLS;
    }
}

static void on_unknown(struct dialog_turn *t, unsigned code)
{
    if (code == 354) {
        dialog_open_body(t);
    } else if (code == 334) {
        t->d->phase = PHASE_LINE;
    }
}

static void on_xexch50(struct dialog_turn *t, unsigned code)
{
    if (code != 354) {
        return;
    }
    t->d->swallow = false;
    t->d->blob = t->d->chunk_left > 0;
    dialog_open_chunk(t, t->d->chunk_left);
    if (!t->d->blob) {
        dialog_expect(t, PENDING_KNOWN);
    }
}

static void (*const effects[])(struct dialog_turn *, unsigned code) = {
    [PENDING_GREETING] = on_greeting, [PENDING_EHLO] = on_reset,
    [PENDING_RESET] = on_reset,       [PENDING_MAIL_PRDR] = on_mail_prdr,
    [PENDING_MAIL] = on_mail,         [PENDING_RCPT] = on_rcpt,
    [PENDING_DATA] = on_data,         [PENDING_BODY] = on_message,
    [PENDING_CHUNK] = on_chunk,       [PENDING_CHUNK_LAST] = on_message,
    [PENDING_STARTTLS] = on_starttls, [PENDING_KNOWN] = on_nothing,
    [PENDING_UNKNOWN] = on_unknown,   [PENDING_XEXCH50] = on_xexch50,
};

/* Anything in plain text around the switch to TLS would be taken by one side for what the other
 * side said under its protection (CVE-2011-0411, NO STARTTLS). */
static bool is_injection(const struct dialog_turn *t, struct smtp_reply reply, size_t line)
{
    const struct dialog *d = t->d;
    return reply.code == 220 && reply.last && d->pending_count == 1 &&
           dialog_awaited(d) == PENDING_STARTTLS && (t->client.len > 0 || t->server.len > line);
}

static void end_injection(struct dialog_turn *t)
{
    dialog_reject(
        t, (struct verdict){.action = VERDICT_REFUSE, .rule = RULE_STARTTLS}, PLACE_SESSION, NULL);
}

static void end_unreadable(struct dialog_turn *t, const char *why)
{
    dialog_reject(
        t, (struct verdict){.action = VERDICT_DEFER, .rule = RULE_REPLY}, PLACE_SESSION, why);
}

/* draft-hall-prdr: where the MAIL asked for it, the content is answered with 353, with a reply for
 * each recipient that was taken, and with the message's own. */
static bool begins_prdr(const struct dialog *d, unsigned code)
{
    enum dialog_pending pending = dialog_awaited(d);
    return code == 353 && d->prdr && !d->prdr_begun &&
           (pending == PENDING_BODY || pending == PENDING_CHUNK_LAST);
}

/* Nobody asked for it, or it asks for what its command has not: from here on the client, the server
 * and the gate would each join replies and commands differently. A server may take its leave at any
 * time (RFC 5321 3.8), with a 4xx or 5xx. */
static bool is_out_of_turn(const struct dialog *d, unsigned code)
{
    if (d->pending_count == 0) {
        return code < 400;
    }
    enum dialog_pending pending = dialog_awaited(d);
    bool asks = code >= 300 && code <= 399 && pending != PENDING_DATA &&
                pending != PENDING_UNKNOWN && pending != PENDING_XEXCH50;
    return is_preliminary(code) || (asks && !begins_prdr(d, code));
}

/* RFC 5321 3.8: 421 announces that the server closes the connection; so does what others say. */
static bool is_leave(const struct dialog *d, struct smtp_reply reply)
{
    return d->pending_count == 0 && reply.code != 0 && reply.code != 421 && reply.last;
}

static void apply(struct dialog_turn *t, unsigned code)
{
    struct dialog *d = t->d;
    if (begins_prdr(d, code)) {
        d->prdr_begun = true;
        d->prdr_left = d->taken;
    } else if (d->prdr_left > 0 && code != CODE_LEAVE) {
        d->prdr_left--;
    } else {
        d->prdr_left = 0;
        effects[dialog_expected(d)](t, code);
    }
    if (code == CODE_LEAVE && dialog_is_metered(d)) {
        d->phase = PHASE_LEFT; /* who is not metered is not read either: all of it goes on */
    }
    d->barrier = d->barrier && d->pending_count > 0;
    dialog_progress(t);
}

static bool is_held(const struct dialog *d)
{
    return d->phase == PHASE_GREETING && (d->asking || !d->connected);
}

bool dialog_server_advance(struct dialog_turn *t)
{
    struct dialog *d = t->d;
    struct smtp_line line;
    if (is_held(d) || t->server.len == 0 || t->event->client_full) {
        return false;
    }
    if (d->phase == PHASE_TLS) {
        dialog_end(t, (struct verdict){.action = VERDICT_REFUSE, .rule = RULE_STARTTLS});
        return false;
    }
    switch (smtp_scan_line(t->server, &d->server_seen, REPLY_LINE, &line)) {
    case SMTP_SCAN_MORE:
        if (t->event->server_eof) {
            d->server_seen = 0;
            dialog_forward(t, SIDE_SERVER, t->server.len);
        }
        return false;
    case SMTP_SCAN_BAD:
        end_unreadable(t, "a line of its reply does not end");
        return false;
    case SMTP_SCAN_DONE:
    case SMTP_SCAN_INSERT: /* bodies alone */
        break;
    }
    struct smtp_reply reply = smtp_reply_parse(line.text);
    if (is_injection(t, reply, line.size)) {
        end_injection(t);
        return false;
    }
    if (reply.code != 0 && is_out_of_turn(d, reply.code)) {
        end_unreadable(t, "a reply came out of turn");
        return false;
    }
    dialog_forward(t, SIDE_SERVER, line.size);
    if (is_leave(d, reply)) {
        dialog_end(t, (struct verdict){.action = VERDICT_DEFER, .rule = RULE_REPLY});
        return false;
    }
    if (reply.code == 250 && d->pending_count > 0 && dialog_awaited(d) == PENDING_EHLO) {
        note_keyword(d, line.text);
    }
    if (reply.last && d->pending_count > 0 && !is_note(reply.code)) {
        apply(t, reply.code);
    }
    return true;
}
