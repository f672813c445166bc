/* The dialog behind STARTTLS, and on a bridge: bytes and messages are still metered. */
#include "core/policy.h"
#include "dialog_internal.h"

#define CHECKPOINT_MS          (5 * 60 * 1000) /* keeps a long session's slot in `concurrent` alive */
#define PAUSE_LEAST_MS         100
#define PAUSE_MOST_MS          30000
#define CHECKPOINT_BYTES       (256 * 1024)
#define CHECKPOINT_BYTES_LEAST (8 * 1024)
#define CHECKPOINT_BYTES_NEVER (SIZE_MAX / 2)
#define CHECKPOINTS_A_BUCKET   8 /* so that a small bucket is not overrun by much */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static size_t checkpoint_bytes(const struct conf_class *class)
{
    const struct limit *limit = &class->limit[LIMIT_BYTES];
    uint64_t bytes = CHECKPOINT_BYTES;
    for (unsigned i = 0; i < limit->windows; i++) {
        uint64_t part = limit->window[i].count / CHECKPOINTS_A_BUCKET;
        bytes = part < bytes ? part : bytes;
    }
    return bytes < CHECKPOINT_BYTES_LEAST ? CHECKPOINT_BYTES_LEAST : (size_t)bytes;
}

void dialog_go_opaque(struct dialog_turn *t)
{
    t->d->phase = PHASE_OPAQUE;
    t->d->record.opaque = true;
    dialog_act(t, DIALOG_OPAQUE)->count =
        dialog_is_bridged(t->d) ? CHECKPOINT_BYTES_NEVER : checkpoint_bytes(t->d->setup->class);
    t->d->wake_ms =
        t->event->now_ms + earlier(CHECKPOINT_MS, t->d->setup->conf->timeouts.opaque_ms);
    if (t->d->standing_changed) { /* while STARTTLS was awaited */
        dialog_end_standing(t);
    }
}

/* How long the bucket that refuses takes to fill by what was sent since the last checkpoint. */
static int64_t pause_ms(const struct dialog *d, const struct answer *answer)
{
    const struct limit *limit = &d->setup->class->limit[LIMIT_BYTES];
    if (answer->state == METER_OVER || answer->window >= limit->windows) { /* over: of messages */
        return PAUSE_LEAST_MS;
    }
    const struct rate *rate = &limit->window[answer->window];
    double ms = (double)d->question.bytes * (double)rate->period_us / (double)rate->count / 1e3;
    if (ms >= PAUSE_MOST_MS) {
        return PAUSE_MOST_MS;
    }
    return ms < PAUSE_LEAST_MS ? PAUSE_LEAST_MS : (int64_t)ms;
}

/* Bytes over the limit slow an opaque session down to the rate at which its bucket fills; it never
 * falls silent for longer than a server waits. Messages over the limit end it. */
void dialog_answer_opaque(struct dialog_turn *t, const struct verdict *v)
{
    struct dialog *d = t->d;
    if (d->question.kind == QUESTION_CONTENT) {
        d->weighed = true;
        d->messages_charged++; /* or forgiven, where there was no answer or nothing is enforced */
    }
    if (d->question.messages > 0) {
        d->leaving = v->action != VERDICT_FORWARD;
        d->verdict = *v;
    }
    const struct answer *answer = &t->event->answer;
    if (answer->state == METER_UNKNOWN || !answer->bytes_over || !d->setup->class->enforce) {
        return;
    }
    d->paused = true;
    dialog_act(t, DIALOG_PAUSE);
    d->wake_ms = t->event->now_ms + pause_ms(d, answer);
}

/* What flows in during the shortest pause: to look earlier would pause longer than is owed, and
 * slow a session whose bytes come in small reads down to far less than its rate. */
static size_t bytes_until_look(const struct conf_class *class)
{
    const struct limit *limit = &class->limit[LIMIT_BYTES];
    double bytes = (double)checkpoint_bytes(class);
    for (unsigned i = 0; i < limit->windows; i++) {
        const struct rate *rate = &limit->window[i];
        double part = (double)rate->count * PAUSE_LEAST_MS * 1e3 / (double)rate->period_us;
        bytes = part < bytes ? part : bytes;
    }
    return bytes < 1 ? 1 : (size_t)bytes;
}

static void resume(struct dialog_turn *t)
{
    t->d->paused = false;
    t->d->wake_ms = t->event->now_ms + t->d->setup->conf->timeouts.opaque_ms;
    dialog_act(t, DIALOG_RESUME)->count = bytes_until_look(t->d->setup->class);
}

void dialog_tick_opaque(struct dialog_turn *t)
{
    struct dialog *d = t->d;
    const struct dialog_event *e = t->event;
    if (d->paused) {
        if (e->now_ms >= d->wake_ms) {
            resume(t);
        }
        return;
    }
    int64_t idle_ms = e->active_ms + d->setup->conf->timeouts.opaque_ms;
    if (e->now_ms >= idle_ms && e->now_ms >= d->wake_ms) {
        dialog_end(t, (struct verdict){.action = VERDICT_DEFER, .rule = RULE_TIMEOUT});
        return;
    }
    d->wake_ms = earlier(idle_ms > e->now_ms ? idle_ms : d->wake_ms, e->now_ms + CHECKPOINT_MS);
    bool keeps_slot = dialog_is_bridged(d) && dialog_holds_slot(d);
    if ((dialog_is_metered(d) || keeps_slot) && !d->asking) {
        dialog_ask(t, (struct question){.kind = QUESTION_CHECKPOINT});
    }
}

static bool counts_messages(const struct dialog *d)
{
    const struct conf_class *class = d->setup->class;
    return dialog_is_metered(d) && class->opaque_messages == OPAQUE_TURNS &&
           class->limit[LIMIT_MESSAGES].windows > 0;
}

uint32_t dialog_messages_due(const struct dialog *d)
{
    uint32_t least = d->turns.least, charged = d->messages_charged;
    return counts_messages(d) && least > charged ? least - charged : 0;
}

/* What may be the content of a new message needs a token first. One that was taken for what proved
 * to be commands serves the next message. */
static bool needs_token(const struct dialog *d)
{
    return d->turns.held == TURNS_CONTENT && !d->weighed && counts_messages(d) &&
           d->messages_charged == d->turns.least;
}

/* The client is held at the start of a turn, or of what may be content. A message that could not be
 * told to be one before it had gone by is paid for now. Over the limit the session ends here:
 * before anything of the content has gone on, or right behind the burst that was over. */
void dialog_on_turn(struct dialog_turn *t)
{
    struct dialog *d = t->d;
    uint32_t due = dialog_messages_due(d);
    if (d->asking) {
        return;
    }
    if (due > 0) {
        d->messages_charged += due;
        dialog_ask(t, (struct question){.kind = QUESTION_CHECKPOINT, .messages = due});
    } else if (d->leaving) {
        dialog_record_verdict(t, &d->verdict);
        dialog_end(t, d->verdict);
    } else if (needs_token(d)) {
        dialog_ask(t, (struct question){.kind = QUESTION_CONTENT, .messages = 1});
    } else {
        d->weighed = false;
        turns_pass(&d->turns);
    }
}
