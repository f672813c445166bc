#include "dialog_internal.h"

#include <string.h>

#include "core/policy.h"

#define HALF_CLOSED_MS 60000
#define ACTIONS_A_STEP 4 /* that one advance, or the end of a turn, may need */

static uint32_t reply_timeout(const struct dialog *d, const struct conf_timeouts *timeouts)
{
    switch (dialog_awaited(d)) {
    case PENDING_GREETING:
        return timeouts->banner_ms;
    case PENDING_DATA:
        return timeouts->data_start_ms;
    case PENDING_BODY:
    case PENDING_CHUNK_LAST:
        return timeouts->data_end_ms;
    default:
        return timeouts->reply_ms;
    }
}

static uint32_t current_timeout(const struct dialog *d)
{
    const struct conf_timeouts *timeouts = &d->setup->conf->timeouts;
    if (!d->connected) {
        return dialog_is_bridged(d) ? timeouts->submission_ms : timeouts->connect_ms;
    }
    if (d->server_finished && timeouts->command_ms > HALF_CLOSED_MS) {
        return HALF_CLOSED_MS;
    }
    if (d->phase == PHASE_BODY || d->phase == PHASE_CHUNK) {
        return timeouts->data_block_ms;
    }
    return d->pending_count > 0 ? reply_timeout(d, timeouts) : timeouts->command_ms;
}

int64_t dialog_deadline(const struct dialog *d)
{
    if (d->ended) {
        return DIALOG_NO_DEADLINE;
    }
    if (d->phase == PHASE_OPAQUE) {
        return d->wake_ms;
    }
    return d->since_ms + current_timeout(d);
}

static void connect_to(struct dialog_turn *t, enum dialog_target target)
{
    t->d->connecting = true;
    dialog_progress(t);
    dialog_act(t, DIALOG_CONNECT)->target = target;
}

/* Opaque from its first byte: what the two say to each other is theirs, credentials above all. */
static void bridge(struct dialog_turn *t, const struct verdict *v)
{
    t->d->admitted = *v;
    connect_to(t, TARGET_SUBMISSION);
}

/* Nothing of a bridged session is metered, but that it is open: else one subscriber could hold all
 * the sessions that there may be. */
static void ask_bridge(struct dialog_turn *t, const struct verdict *v)
{
    if (!dialog_holds_slot(t->d)) {
        bridge(t, v);
        return;
    }
    t->d->verdict = *v;
    dialog_ask(t, (struct question){.kind = QUESTION_BRIDGE});
}

static void answer_bridge(struct dialog_turn *t, const struct verdict *v)
{
    if (v->action == VERDICT_FORWARD) {
        struct verdict wanted = t->d->verdict;
        bridge(t, &wanted);
    } else {
        dialog_reject(t, *v, PLACE_GREETING, NULL);
    }
}

static void on_start(struct dialog_turn *t)
{
    struct dialog *d = t->d;
    dialog_progress(t);
    if (t->event->refused.action != VERDICT_FORWARD) {
        dialog_reject(t, t->event->refused, PLACE_GREETING, NULL);
        return;
    }
    struct verdict v = policy_admit(d->setup->class);
    if (v.action == VERDICT_SUBMIT) {
        ask_bridge(t, &v);
        return;
    }
    if (v.action != VERDICT_FORWARD) {
        dialog_reject(t, v, PLACE_GREETING, d->setup->reason);
        return;
    }
    if (v.shadow) {
        dialog_record_verdict(t, &v);
    }
    bool asks = dialog_is_metered(d);
    if (!policy_may_bridge(d->setup->class) && !(asks && t->event->likely_over)) {
        connect_to(t, TARGET_ORIGINAL);
    }
    if (asks) {
        dialog_ask(t, (struct question){.kind = QUESTION_SESSION});
    }
}

static void on_connected(struct dialog_turn *t)
{
    t->d->connected = true;
    if (t->d->setup->class->action == ACTION_PASS || dialog_is_bridged(t->d)) {
        dialog_go_opaque(t);
        return;
    }
    dialog_expect(t, PENDING_GREETING);
}

static void reject_unconnected(struct dialog_turn *t, const char *detail)
{
    struct verdict v = {.action = VERDICT_DEFER, .rule = RULE_CONNECT};
    if (dialog_is_bridged(t->d)) {
        v = policy_unbridged(&t->d->admitted);
    }
    dialog_reject(t, v, PLACE_GREETING, detail);
}

static void on_connect_failed(struct dialog_turn *t)
{
    reject_unconnected(t, t->event->detail);
}

static void answer_session(struct dialog_turn *t, const struct verdict *v)
{
    if (v->action == VERDICT_SUBMIT) {
        ask_bridge(t, v);
    } else if (v->action != VERDICT_FORWARD) {
        dialog_reject(t, *v, PLACE_GREETING, NULL);
    } else if (!t->d->connecting) {
        connect_to(t, TARGET_ORIGINAL);
    }
}

static void answer_envelope(struct dialog_turn *t, const struct verdict *v)
{
    struct dialog *d = t->d;
    const struct answer *answer = &t->event->answer;
    uint32_t wanted = d->question.recipients;
    /* What shadow lets through has paid for nothing: a recipient to come is asked for again. */
    bool all = v->shadow ? !d->tentative : answer->state != METER_WITHIN;
    uint32_t granted = all || answer->recipients > wanted ? wanted : answer->recipients;

    if (d->question.messages > 0) {
        d->decision = v->action == VERDICT_FORWARD ? DECISION_GRANTED : DECISION_REFUSED;
    }
    if (v->action != VERDICT_FORWARD) {
        d->verdict = *v;
        /* A refused MAIL answers for its recipients, see mail_refused. */
        d->refused = d->question.messages > 0 ? 0 : wanted;
        return;
    }
    d->granted += granted;
    d->refused = 0;
    if (granted < wanted && !d->tentative) {
        d->verdict = policy_recipients(d->setup->class, answer);
        if (d->verdict.shadow) {
            dialog_record_verdict(t, &d->verdict);
            d->granted += wanted - granted;
        } else {
            d->refused = wanted - granted;
        }
    }
}

/* Whether Redis has no slot of this session now, or may have lost it. One that is over a limit gets
 * none, and goes on all the same where its class does not enforce. */
static bool lacks_slot(const struct question *q, const struct answer *a)
{
    bool unheard = a->stand_in || (a->uncharged && q->slot);
    return unheard || (q->kind == QUESTION_SESSION && a->state == METER_OVER);
}

static void on_answer(struct dialog_turn *t)
{
    static void (*const handlers[])(struct dialog_turn *, const struct verdict *) = {
        [QUESTION_SESSION] = answer_session,
        [QUESTION_ENVELOPE] = answer_envelope,
        [QUESTION_CHECKPOINT] = dialog_answer_opaque,
        [QUESTION_CONTENT] = dialog_answer_opaque,
        [QUESTION_BRIDGE] = answer_bridge,
    };
    struct dialog *d = t->d;
    if (!d->asking) {
        return;
    }
    d->asking = false;
    if (d->question.kind == QUESTION_SPF) {
        dialog_answer_spf(t);
        return;
    }
    if (t->event->answer.uncharged) {
        d->bytes_charged -= d->question.bytes;
    }
    if (lacks_slot(&d->question, &t->event->answer)) {
        d->slot_ms = 0; /* the next question brings it */
    }
    struct verdict v = policy_meter(
        d->setup->class, d->setup->conf->redis.when_down, &d->question, &t->event->answer);
    if (d->paid > 0 && d->question.messages > 0) {
        v = policy_price(
            d->setup->class, d->paid + d->question.messages, d->paid, &t->event->answer, &v);
        d->paid = 0;
    }
    if (v.shadow) {
        dialog_record_verdict(t, &v);
    }
    handlers[d->question.kind](t, &v);
}

static void on_tick(struct dialog_turn *t)
{
    struct dialog *d = t->d;
    if (d->phase == PHASE_OPAQUE) {
        dialog_tick_opaque(t);
        return;
    }
    if (t->event->now_ms < dialog_deadline(d)) {
        return;
    }
    struct verdict v = {.action = VERDICT_DEFER, .rule = RULE_TIMEOUT};
    if (d->phase == PHASE_TLS) {
        dialog_end(t, v); /* plain text has no place here any more */
    } else if (!d->connected) {
        reject_unconnected(t, "no answer to the connection attempt");
    } else {
        bool server_late =
            d->pending_count > 0 && d->phase != PHASE_BODY && d->phase != PHASE_CHUNK;
        dialog_reject(
            t, v, PLACE_SESSION,
            server_late ? "the mail server did not reply" : "nothing complete was received");
    }
}

static void on_shutdown(struct dialog_turn *t)
{
    t->d->shutdown = true;
}

/* Where nobody reads what is said there is no better moment than this one. */
static void on_standing(struct dialog_turn *t)
{
    t->d->standing_changed = true;
    if (t->d->phase == PHASE_OPAQUE) {
        dialog_end_standing(t);
    }
}

static void on_bytes(struct dialog_turn *t)
{
    (void)t;
}

/* Between transactions the client can be sent away without losing anything. */
static bool may_shut_down(const struct dialog *d)
{
    bool idle = d->phase == PHASE_GREETING ||
                (d->phase == PHASE_COMMAND && d->pending_count == 0 && !d->in_transaction);
    return (d->shutdown || d->standing_changed) && idle && !d->asking;
}

static bool has_room(const struct dialog_actions *out)
{
    return out->count + ACTIONS_A_STEP <= DIALOG_ACTIONS - ACTIONS_A_STEP &&
           out->rewritten + 2 * REWRITE_ROOM <= sizeof out->rewrite;
}

/* The server first: a reply may be what the client's next command waits for. */
static bool advance(struct dialog_turn *t)
{
    if (t->d->ended || t->d->phase == PHASE_OPAQUE) {
        return false;
    }
    if (!has_room(t->out) || t->replied) {
        t->out->more = true;
        return false;
    }
    return dialog_server_advance(t) || (!t->d->ended && dialog_client_advance(t));
}

void dialog_init(struct dialog *d, const struct dialog_setup *setup)
{
    memset(d, 0, sizeof *d);
    d->setup = setup;
    d->phase = PHASE_GREETING;
    turns_init(&d->turns);
}

void dialog_step(struct dialog *d, const struct dialog_event *event, struct dialog_actions *actions)
{
    static void (*const handlers[])(struct dialog_turn *) = {
        [DIALOG_START] = on_start,       [DIALOG_CONNECTED] = on_connected,
        [DIALOG_BYTES] = on_bytes,       [DIALOG_CONNECT_FAILED] = on_connect_failed,
        [DIALOG_ANSWER] = on_answer,     [DIALOG_TICK] = on_tick,
        [DIALOG_TURN] = dialog_on_turn,  [DIALOG_SHUTDOWN] = on_shutdown,
        [DIALOG_STANDING] = on_standing,
    };
    actions->count = 0;
    actions->more = false;
    actions->rewritten = 0;
    memset(actions->word, 0, sizeof actions->word);
    if (d->ended) {
        return;
    }
    struct dialog_turn t = {
        .d = d,
        .event = event,
        .out = actions,
        .client = event->client,
        .server = event->server,
        .explanation = event->explanation,
    };
    handlers[event->kind](&t);
    while (advance(&t)) {
    }
    if (d->ended || d->phase == PHASE_OPAQUE || actions->more) {
        return;
    }
    if (may_shut_down(d)) {
        enum rule rule = d->standing_changed ? RULE_STANDING : RULE_SHUTDOWN;
        dialog_reject(
            &t, (struct verdict){.action = VERDICT_DEFER, .rule = rule}, PLACE_SESSION, NULL);
        return;
    }
    if (!d->connected || d->asking) {
        return;
    }
    if (dialog_server_end(&t)) {
        while (advance(&t)) { /* no reply holds the client's bytes back now */
        }
    }
    if (!d->ended && d->phase != PHASE_OPAQUE && !actions->more && !d->asking) {
        dialog_client_end(&t);
    }
}
