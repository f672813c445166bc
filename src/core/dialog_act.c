/* The dialog's actions, and the replies it awaits. */
#include "dialog_internal.h"

#include <string.h>

#define SLOT_RENEW_MS (5 * 60 * 1000)

struct dialog_action *dialog_act(struct dialog_turn *t, enum dialog_action_kind kind)
{
    struct dialog_action *a = &t->out->action[t->out->count++];
    *a = (struct dialog_action){.kind = kind};
    return a;
}

void dialog_renew(struct dialog_turn *t, enum dialog_word word, struct span text)
{
    t->out->word[word].renewed = true;
    t->out->word[word].text = text;
}

static struct span *input_of(struct dialog_turn *t, enum dialog_side side)
{
    return side == SIDE_CLIENT ? &t->client : &t->server;
}

static void consume(
    struct dialog_turn *t, enum dialog_action_kind kind, enum dialog_side side, size_t count)
{
    struct span *input = input_of(t, side);
    *input = span_skip(*input, count);
    struct dialog_action *last = t->out->count ? &t->out->action[t->out->count - 1] : NULL;
    if (last && last->kind == kind && last->side == side) {
        last->count += count;
        return;
    }
    struct dialog_action *a = dialog_act(t, kind);
    a->side = side;
    a->count = count;
}

void dialog_forward(struct dialog_turn *t, enum dialog_side side, size_t count)
{
    consume(t, DIALOG_FORWARD, side, count);
}

void dialog_discard(struct dialog_turn *t, enum dialog_side side, size_t count)
{
    consume(t, DIALOG_DISCARD, side, count);
}

static struct dialog_action *replace_action(struct dialog_turn *t)
{
    struct dialog_actions *out = t->out;
    struct dialog_action *last = out->count ? &out->action[out->count - 1] : NULL;
    if (!last || last->kind != DIALOG_REPLACE) {
        last = dialog_act(t, DIALOG_REPLACE);
        last->side = SIDE_CLIENT;
        last->text.at = out->rewrite + out->rewritten;
    }
    return last;
}

void dialog_rewrite(struct dialog_turn *t, size_t size, struct span insert)
{
    struct dialog_actions *out = t->out;
    if (size > sizeof out->rewrite - out->rewritten - REWRITE_ROOM) {
        dialog_forward(t, SIDE_CLIENT, size); /* not worth a copy */
        size = 0;
    }
    struct dialog_action *a = replace_action(t);
    char *to = out->rewrite + out->rewritten;
    if (size > 0) {
        memcpy(to, t->client.at, size);
    }
    if (insert.len > 0) {
        memcpy(to + size, insert.at, insert.len);
    }
    t->client = span_skip(t->client, size);
    out->rewritten += size + insert.len;
    a->count += size;
    a->text.len += size + insert.len;
}

/* A slot lives for 15 minutes in Redis (SLOT_MS in meter_keys.lua): not every question has to
 * renew it. */
static bool is_slot_due(struct dialog *d, int64_t now_ms)
{
    if (!dialog_holds_slot(d) || now_ms < d->slot_ms) {
        return false;
    }
    d->slot_ms = now_ms + SLOT_RENEW_MS;
    return true;
}

void dialog_ask(struct dialog_turn *t, struct question question)
{
    struct dialog *d = t->d;
    question.slot = is_slot_due(d, t->event->now_ms);
    question.bytes = t->event->bytes_up - d->bytes_charged;
    d->bytes_charged = t->event->bytes_up;
    d->question = question;
    d->asking = true;
    dialog_act(t, DIALOG_ASK)->question = question;
}

void dialog_ask_spf(struct dialog_turn *t)
{
    struct dialog *d = t->d;
    d->question = (struct question){.kind = QUESTION_SPF};
    d->asking = true;
    dialog_act(t, DIALOG_ASK)->question = d->question;
}

void dialog_record_verdict(struct dialog_turn *t, const struct verdict *v)
{
    dialog_act(t, DIALOG_RECORD)->verdict = *v;
}

void dialog_say(
    struct dialog_turn *t, const struct verdict *v, enum verdict_place place, const char *detail)
{
    const struct dialog_setup *setup = t->d->setup;
    struct verdict_context context = {
        .class = setup->class,
        .subscriber = setup->subscriber,
        .help_url = setup->conf->help_url,
        .submission = &setup->conf->submission,
        .case_id = setup->case_id,
        .detail = detail,
    };
    struct text reply;
    text_init(&reply, t->out->reply, sizeof t->out->reply);
    verdict_reply(v, place, &context, &reply);
    struct dialog_action *a = dialog_act(t, DIALOG_SEND);
    a->side = SIDE_CLIENT;
    a->text = text_span(&reply);
    t->replied = true;
}

void dialog_end(struct dialog_turn *t, struct verdict v)
{
    t->d->ended = true;
    dialog_act(t, DIALOG_CLOSE)->verdict = v;
}

void dialog_end_standing(struct dialog_turn *t)
{
    dialog_end(t, (struct verdict){.action = VERDICT_DEFER, .rule = RULE_STANDING});
}

/* What the network or the hour brought about is told in the session's own line alone. */
static bool is_recorded(enum rule rule)
{
    return rule != RULE_CONNECT && rule != RULE_TIMEOUT && rule != RULE_SHUTDOWN &&
           rule != RULE_STANDING;
}

void dialog_reject(
    struct dialog_turn *t, struct verdict v, enum verdict_place place, const char *detail)
{
    if (!t->d->server_finished) { /* else the client has been told that nothing more will come */
        dialog_say(t, &v, place, detail);
    }
    if (is_recorded(v.rule)) {
        dialog_record_verdict(t, &v);
    }
    dialog_end(t, v);
}

bool dialog_reject_line(struct dialog_turn *t, enum rule rule, const char *detail)
{
    enum verdict_action action = rule == RULE_HALF_CLOSE ? VERDICT_DEFER : VERDICT_REFUSE;
    if (t->d->pending_count == 0) {
        dialog_reject(t, (struct verdict){.action = action, .rule = rule}, PLACE_SESSION, detail);
    }
    return false;
}

_Static_assert(PENDING_KINDS <= 16, "two have room in an octet");

void dialog_expect(struct dialog_turn *t, enum dialog_pending pending)
{
    struct dialog *d = t->d;
    if (d->server_finished) { /* it has said its last */
        return;
    }
    if (d->pending_count == 0) {
        dialog_progress(t);
    }
    unsigned at = (d->pending_first + d->pending_count) % DIALOG_PIPELINE;
    uint8_t *pair = &d->pending[at / 2];
    *pair = at % 2 == 0 ? (uint8_t)((*pair & 0xf0) | pending)
                        : (uint8_t)((*pair & 0x0f) | (unsigned)pending << 4);
    d->pending_count++;
}

enum dialog_pending dialog_awaited(const struct dialog *d)
{
    unsigned at = d->pending_first, pair = d->pending[at / 2];
    return (enum dialog_pending)(at % 2 == 0 ? pair & 0x0f : pair >> 4);
}

enum dialog_pending dialog_expected(struct dialog *d)
{
    enum dialog_pending oldest = dialog_awaited(d);
    d->pending_first = (uint8_t)((d->pending_first + 1) % DIALOG_PIPELINE);
    d->pending_count--;
    return oldest;
}

bool dialog_is_bridged(const struct dialog *d)
{
    return d->admitted.action == VERDICT_SUBMIT;
}

bool dialog_holds_slot(const struct dialog *d)
{
    return d->setup->class && d->setup->class->limit[LIMIT_CONCURRENT].windows > 0;
}

bool dialog_is_metered(const struct dialog *d)
{
    return d->setup->class && d->setup->class->action == ACTION_METER && !dialog_is_bridged(d);
}

void dialog_progress(struct dialog_turn *t)
{
    t->d->since_ms = t->event->now_ms;
}
