#include "core/purse.h"

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t most_of(const struct purse_tokens *t)
{
    uint32_t more = t->messages > t->recipients ? t->messages : t->recipients;

    return t->sessions > more ? t->sessions : more;
}

static bool limits(const struct conf_class *class, enum limit_kind kind)
{
    return class->limit[kind].windows > 0;
}

/* What the question takes from each kind that the class limits. False: it cannot be paid ahead. */
static bool cost_of(
    const struct conf_class *class, const struct question *q, struct purse_tokens *cost)
{
    *cost = (struct purse_tokens){0};
    if (q->kind == QUESTION_SESSION) {
        cost->sessions = 1;
        return limits(class, LIMIT_SESSIONS) && !limits(class, LIMIT_SPREAD) &&
               !limits(class, LIMIT_CONCURRENT);
    }
    if (q->kind != QUESTION_ENVELOPE) {
        return false;
    }
    cost->messages = limits(class, LIMIT_MESSAGES) ? q->messages : 0;
    cost->recipients = limits(class, LIMIT_RECIPIENTS) ? q->recipients : 0;
    return cost->messages > 0 || cost->recipients > 0;
}

static void expire(struct purse *p, double now_us)
{
    if (now_us >= p->until_us) {
        p->held = (struct purse_tokens){0};
    }
}

uint32_t purse_wants(
    struct purse *p, const struct conf_class *class, const struct question *question, uint32_t most,
    double now_us)
{
    struct purse_tokens cost;

    if (most <= 1 || !cost_of(class, question, &cost)) {
        return 0;
    }
    expire(p, now_us);
    bool burst = p->burst_us > 0 && now_us - p->burst_us < PURSE_LIFE_US;
    p->step = burst ? least(2 * p->step + 1, most - 1) : 0;
    p->burst_us = now_us;
    uint32_t taken = most_of(&p->held) + p->due;
    uint32_t wanted = taken < most - 1 ? least(p->step, most - 1 - taken) : 0;
    p->due += wanted;
    return wanted;
}

static void add(uint32_t *held, uint32_t come, uint32_t room)
{
    *held = *held + come < room ? *held + come : room;
}

void purse_fill(
    struct purse *p, uint32_t wanted, const struct purse_tokens *come, uint32_t most,
    double asked_us, double now_us)
{
    p->due -= least(p->due, wanted);
    expire(p, now_us);
    if (most_of(come) == 0 || most <= 1 || now_us >= asked_us + PURSE_LIFE_US) {
        return;
    }
    add(&p->held.sessions, come->sessions, most - 1);
    add(&p->held.messages, come->messages, most - 1);
    add(&p->held.recipients, come->recipients, most - 1);
    p->until_us = asked_us + PURSE_LIFE_US;
}

bool purse_pays(
    struct purse *p, const struct conf_class *class, const struct question *question, double now_us,
    struct answer *out)
{
    struct purse_tokens cost;

    expire(p, now_us);
    if (!cost_of(class, question, &cost) || cost.sessions > p->held.sessions ||
        cost.messages > p->held.messages || cost.recipients > p->held.recipients ||
        (limits(class, LIMIT_BYTES) && question->bytes > PURSE_BYTES_MOST)) {
        return false;
    }
    p->held.sessions -= cost.sessions;
    p->held.messages -= cost.messages;
    p->held.recipients -= cost.recipients;
    p->burst_us = now_us;
    *out = (struct answer){
        .state = METER_WITHIN, .recipients = question->recipients, .uncharged = true};
    return true;
}
