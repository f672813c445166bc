/* The client's side of the dialogue: commands are counted and forwarded, or answered. */
#include <string.h>

#include "core/policy.h"
#include "dialog_internal.h"

#define TLS_HANDSHAKE 0x16 /* RFC 8446 5.1: how a ClientHello begins */

#define TEXT_OF(number)   #number
#define NUMBER_OF(number) TEXT_OF(number)
#define LINE_MOST         "at most " NUMBER_OF(DIALOG_LINE) " octets are allowed"

static void renew_helo(struct dialog_turn *t, struct span name)
{
    size_t len = name.len < DIALOG_HELO ? name.len : DIALOG_HELO;
    dialog_renew(t, WORD_HELO, (struct span){name.at, len});
}

/* Of a path that is too long the end is told: there stands the domain. */
static void renew_path(struct dialog_turn *t, enum dialog_word word, struct span path)
{
    size_t skipped = path.len > DIALOG_PATH ? path.len - DIALOG_PATH : 0;
    dialog_renew(t, word, span_skip(path, skipped));
}

static void forward_line(struct dialog_turn *t, const struct smtp_line *line)
{
    if (line->bare_lf) {
        dialog_rewrite(t, line->size - 1, SPAN_LITERAL("\r"));
        dialog_rewrite(t, 1, SPAN_LITERAL(""));
    } else {
        dialog_forward(t, SIDE_CLIENT, line->size);
    }
}

void dialog_forward_command(
    struct dialog_turn *t, const struct dialog_command *c, enum dialog_pending pending,
    bool barrier)
{
    forward_line(t, &c->line);
    dialog_expect(t, pending);
    t->d->barrier = t->d->barrier || barrier;
}

bool dialog_answer_command(
    struct dialog_turn *t, const struct dialog_command *c, const struct verdict *v,
    enum verdict_place place, const char *detail)
{
    if (t->d->pending_count > 0) {
        return false;
    }
    if (t->d->server_finished) { /* so has what is said to the client: nothing can be told him */
        dialog_record_verdict(t, v);
        dialog_end(t, *v);
        return false;
    }
    dialog_say(t, v, place, detail);
    dialog_discard(t, SIDE_CLIENT, c->line.size);
    dialog_progress(t);
    return true;
}

bool dialog_answer_verdict(
    struct dialog_turn *t, const struct dialog_command *c, const struct verdict *v,
    enum verdict_place place)
{
    bool by_spf = v->rule == RULE_SPF || v->rule == RULE_SPF_HELO;
    bool explained = by_spf && t->explanation && t->explanation[0];
    return dialog_answer_command(t, c, v, place, explained ? t->explanation : NULL);
}

/* As dialog_answer_verdict, with a journal line: for a decision of its own, not for what follows
 * from it.
 */
static bool refuse_command(
    struct dialog_turn *t, const struct dialog_command *c, const struct verdict *v,
    enum verdict_place place)
{
    if (!dialog_answer_verdict(t, c, v, place)) {
        return false;
    }
    dialog_record_verdict(t, v);
    return true;
}

static void forget_transaction(struct dialog_turn *t)
{
    struct dialog *d = t->d;
    d->chunks_open = false;
    d->in_transaction = false;
    d->mail_refused = false;
    d->refused = 0;
    d->decision = DECISION_NONE;
    dialog_renew(t, WORD_TO, SPAN_LITERAL(""));
}

/* How many RCPT commands follow at the front of `in`: they are asked for in one question. */
static uint32_t count_recipients(struct span in)
{
    struct smtp_line line;
    struct smtp_cmd cmd;
    uint32_t count = 0;
    size_t seen = 0;
    while (count < DIALOG_PIPELINE &&
           smtp_scan_line(in, &seen, DIALOG_LINE, &line) == SMTP_SCAN_DONE) {
        smtp_cmd_parse(line.text, &cmd);
        if (cmd.verb != VERB_RCPT) {
            break;
        }
        count++;
        in = span_skip(in, line.size);
    }
    return count;
}

static bool ask_envelope(struct dialog_turn *t, uint32_t messages, uint32_t recipients)
{
    t->d->tentative = false;
    dialog_ask(
        t, (struct question){
               .kind = QUESTION_ENVELOPE, .messages = messages, .recipients = recipients});
    return false;
}

bool dialog_on_unknown(struct dialog_turn *t, const struct dialog_command *c)
{
    dialog_forward_command(t, c, PENDING_UNKNOWN, true);
    return true;
}

static bool on_hello(struct dialog_turn *t, const struct dialog_command *c)
{
    forget_transaction(t);
    t->d->chunking = t->d->greeted = false;
    renew_helo(t, c->cmd.argument);
    if (c->cmd.verb == VERB_EHLO) { /* what BDAT is depends on the reply */
        dialog_forward_command(t, c, PENDING_EHLO, true);
    } else {
        dialog_forward_command(t, c, PENDING_RESET, false);
    }
    return true;
}

/* With the next mail its recipients are others: a refusal must not name the last one's. */
static void renew_sender(struct dialog_turn *t, const struct dialog_command *c)
{
    renew_path(t, WORD_FROM, c->cmd.path);
    dialog_renew(t, WORD_TO, SPAN_LITERAL(""));
}

static bool on_mail(struct dialog_turn *t, const struct dialog_command *c)
{
    struct dialog *d = t->d;
    if (d->decision == DECISION_NONE) {
        renew_sender(t, c);
    }
    if (dialog_is_metered(d) &&
        !dialog_decide_mail(t, c->cmd.argument, count_recipients(c->after))) {
        return false;
    }
    if (d->decision == DECISION_REFUSED) {
        if (!refuse_command(t, c, &d->verdict, PLACE_MAIL)) {
            return false;
        }
        d->decision = DECISION_NONE;
        d->mail_refused = true;
        return true;
    }
    d->decision = DECISION_NONE;
    d->mail_refused = false;
    d->in_transaction = true;
    dialog_forward_command(t, c, c->cmd.prdr ? PENDING_MAIL_PRDR : PENDING_MAIL, false);
    return true;
}

static bool on_rcpt(struct dialog_turn *t, const struct dialog_command *c)
{
    struct dialog *d = t->d;
    renew_path(t, WORD_TO, c->cmd.path);
    if (d->mail_refused) {
        return dialog_answer_verdict(t, c, &d->verdict, PLACE_DATA);
    }
    if (dialog_is_metered(d)) {
        if (d->granted > 0) {
            d->granted--;
        } else if (d->refused > 0) {
            if (!refuse_command(t, c, &d->verdict, PLACE_RCPT)) {
                return false;
            }
            d->refused--;
            return true;
        } else {
            return ask_envelope(t, 0, 1 + count_recipients(c->after));
        }
    }
    dialog_forward_command(t, c, PENDING_RCPT, false);
    return true;
}

static bool on_data(struct dialog_turn *t, const struct dialog_command *c)
{
    if (t->d->mail_refused) {
        return dialog_answer_verdict(t, c, &t->d->verdict, PLACE_DATA);
    }
    dialog_forward_command(t, c, PENDING_DATA, true);
    return true;
}

static bool on_rset(struct dialog_turn *t, const struct dialog_command *c)
{
    forget_transaction(t);
    dialog_forward_command(t, c, PENDING_RESET, false);
    return true;
}

/* Never an answer to STARTTLS alone: the client would take it for leave to go on in clear text. */
static bool end_at_starttls(struct dialog_turn *t, const struct verdict *v)
{
    if (t->d->pending_count == 0) {
        dialog_reject(t, *v, PLACE_SESSION, NULL);
    }
    return false;
}

static bool on_starttls(struct dialog_turn *t, const struct dialog_command *c)
{
    struct dialog *d = t->d;
    const struct conf_class *class = d->setup->class;
    struct verdict v = policy_starttls(class);
    if (v.action != VERDICT_FORWARD) {
        return end_at_starttls(t, &v);
    }
    if (dialog_is_metered(d) && class->opaque_messages == OPAQUE_SESSION) {
        if (d->decision == DECISION_NONE) {
            return ask_envelope(t, 1, 0);
        }
        if (d->decision == DECISION_REFUSED) {
            return end_at_starttls(t, &d->verdict);
        }
        d->decision = DECISION_NONE;
    }
    if (v.shadow) {
        dialog_record_verdict(t, &v);
    }
    dialog_forward_command(t, c, PENDING_STARTTLS, true);
    return true;
}

static bool on_known(struct dialog_turn *t, const struct dialog_command *c)
{
    dialog_forward_command(t, c, PENDING_KNOWN, false);
    return true;
}

/* Some servers (aiosmtpd) still execute what came with QUIT, and answer none of it. */
static bool on_quit(struct dialog_turn *t, const struct dialog_command *c)
{
    dialog_forward_command(t, c, PENDING_KNOWN, true);
    return true;
}

static bool (*const handlers[VERB_COUNT])(struct dialog_turn *, const struct dialog_command *) = {
    [VERB_UNKNOWN] = dialog_on_unknown,
    [VERB_HELO] = on_hello,
    [VERB_EHLO] = on_hello,
    [VERB_MAIL] = on_mail,
    [VERB_RCPT] = on_rcpt,
    [VERB_DATA] = on_data,
    [VERB_BDAT] = dialog_on_bdat,
    [VERB_RSET] = on_rset,
    [VERB_NOOP] = on_known,
    [VERB_VRFY] = on_known,
    [VERB_EXPN] = on_known,
    [VERB_HELP] = on_known,
    [VERB_AUTH] = dialog_on_unknown,
    [VERB_STARTTLS] = on_starttls,
    [VERB_QUIT] = on_quit,
    [VERB_BURL] = dialog_on_burl,
    [VERB_XEXCH50] = dialog_on_xexch50,
};

/* A whole line at the front, or false; then nothing more can be done now. */
static bool next_line(struct dialog_turn *t, struct smtp_line *line)
{
    struct dialog *d = t->d;
    switch (smtp_scan_line(t->client, &d->client_seen, DIALOG_LINE, line)) {
    case SMTP_SCAN_MORE:
        /* No command: nobody will ever end this line, and no server may guess its end. */
        return t->event->client_eof ? dialog_reject_line(t, RULE_HALF_CLOSE, NULL) : false;
    case SMTP_SCAN_BAD:
        return dialog_reject_line(t, RULE_LINE, LINE_MOST);
    case SMTP_SCAN_DONE:
    case SMTP_SCAN_INSERT: /* bodies alone */
        break;
    }
    bool bad = line->bare_cr || (line->bare_lf && d->setup->conf->bare_lf == BARE_LF_REFUSE);
    return bad ? dialog_reject_line(t, RULE_NEWLINE, DIALOG_CR_LF) : true;
}

static bool advance_command(struct dialog_turn *t)
{
    struct dialog *d = t->d;
    struct smtp_line line;
    if (d->asking || d->barrier || d->pending_count == DIALOG_PIPELINE) {
        return false;
    }
    if (t->client.at[0] == TLS_HANDSHAKE) { /* nothing there would ever end a line */
        return dialog_reject_line(t, RULE_TLS, NULL);
    }
    if (!next_line(t, &line)) {
        return false;
    }
    struct dialog_command c = {.line = line, .after = span_skip(t->client, line.size)};
    smtp_cmd_parse(line.text, &c.cmd);
    if (!dialog_is_allowed(d, &c)) {
        return dialog_answer_sequence(
            t, &c, "between the chunks of a message allowed are BDAT, NOOP, RSET and QUIT");
    }
    return handlers[c.cmd.verb](t, &c);
}

static bool advance_line(struct dialog_turn *t)
{
    struct smtp_line line;
    if (!next_line(t, &line)) {
        return false;
    }
    forward_line(t, &line);
    dialog_expect(t, PENDING_UNKNOWN);
    t->d->barrier = true;
    t->d->phase = PHASE_COMMAND;
    return true;
}

static bool advance_tls(struct dialog_turn *t)
{
    dialog_go_opaque(t);
    return false;
}

static bool advance_left(struct dialog_turn *t)
{
    dialog_discard(t, SIDE_CLIENT, t->client.len);
    return true;
}

bool dialog_client_advance(struct dialog_turn *t)
{
    static bool (*const advances[])(struct dialog_turn *) = {
        [PHASE_GREETING] = NULL,
        [PHASE_COMMAND] = advance_command,
        [PHASE_LINE] = advance_line,
        [PHASE_BODY] = dialog_body_advance,
        [PHASE_CHUNK] = dialog_chunk_advance,
        [PHASE_TLS] = advance_tls,
        [PHASE_LEFT] = advance_left,
        [PHASE_OPAQUE] = NULL,
    };
    bool rests = t->event->client_full || t->event->server_full;
    if (t->client.len == 0 || rests || !advances[t->d->phase]) {
        return false;
    }
    return advances[t->d->phase](t);
}
