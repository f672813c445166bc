#include "core/denial.h"

#include <string.h>

#include "core/rate.h"

/* Redis's clock may run ahead of ours by a thousandth (NTP slews by half of that). */
#define CLOCK_DRIFT 1e-3
/* The answer's time is rounded up to a microsecond; what Redis knows in milliseconds, to one. */
#define ROUNDING_US    1
#define ROUNDING_MS_US 1000

/* Whole microseconds, downwards: with parts of them a double's sums are not exact, see rate.h. */
static double whole(double us)
{
    return (double)(int64_t)us;
}

/* The cost at which a window refuses `question`: of 0, when it is in debt. False: it does not ask
 * this window, or is granted in part. */
static bool cost_of(const struct denial_entry *e, const struct question *q, uint64_t *cost)
{
    bool session = q->kind == QUESTION_SESSION;

    switch (e->kind) {
    case LIMIT_SESSIONS:
        *cost = 1;
        return session;
    case LIMIT_MESSAGES:
        *cost = session ? e->awaited : q->messages;
        return session || q->messages > 0;
    case LIMIT_RECIPIENTS:
        *cost = 1;
        return !session && q->messages == 0 && q->recipients > 0;
    case LIMIT_BYTES:
        *cost = 0;
        return true;
    default:
        return false;
    }
}

/* The tokens whose arrival the answer's time is about; rather too many than too few, since more
 * make the arrival time that follows from it earlier. */
static uint64_t waited_for(const struct question *q, const struct answer *a)
{
    switch (a->limit) {
    case LIMIT_SESSIONS:
        return 1;
    case LIMIT_MESSAGES:
        return q->kind == QUESTION_SESSION ? 1
                                           : q->messages; /* for debt, or for one that was held */
    case LIMIT_RECIPIENTS:
        return q->recipients - a->recipients;
    default:
        return 0;
    }
}

static struct denial_entry *place_for(struct denial *d, const struct denial_entry *e)
{
    for (unsigned i = 0; i < d->count; i++) {
        struct denial_entry *known = &d->entry[i];
        if (known->kind == e->kind && known->rate.count == e->rate.count &&
            known->rate.period_us == e->rate.period_us && known->awaited == e->awaited &&
            (e->kind != LIMIT_SPREAD || addr_equal(&known->destination, &e->destination))) {
            return known;
        }
    }
    if (d->count == DENIAL_ENTRIES) {
        memmove(d->entry, d->entry + 1, (DENIAL_ENTRIES - 1) * sizeof *d->entry);
        d->count--;
    }
    return &d->entry[d->count++];
}

static bool is_lasting(const struct question *q, const struct answer *a)
{
    bool asks = q->kind == QUESTION_SESSION || q->kind == QUESTION_ENVELOPE ||
                (q->kind == QUESTION_CONTENT && a->limit == LIMIT_MESSAGES);
    bool refused =
        a->state == METER_OVER ||
        (a->state == METER_WITHIN && a->recipients < q->recipients && a->limit == LIMIT_RECIPIENTS);

    return asks && refused && !a->stand_in && a->retry_us > 0 && a->limit != LIMIT_CONCURRENT;
}

void denial_learn(
    struct denial *d, const struct rate *rate, const struct question *question,
    const struct addr *destination, double asked_us, const struct answer *answer)
{
    if (!rate || !is_lasting(question, answer)) {
        return;
    }
    struct denial_entry e = {
        .kind = answer->limit,
        .rate = *rate,
        .awaited = question->kind == QUESTION_CONTENT,
        .since_us = asked_us,
    };
    if (e.kind == LIMIT_SPREAD) {
        e.destination = *destination;
        e.tat_us = asked_us + answer->retry_us - ROUNDING_MS_US;
    } else {
        /* rate_wait_us() of an empty history is what so many tokens need beyond the period. */
        uint64_t n = waited_for(question, answer);
        double need = rate_take(&e.rate, 0, 0, n < e.rate.count ? n : e.rate.count);
        double wait = whole(answer->retry_us) - ROUNDING_US;
        e.tat_us = asked_us + wait + (double)e.rate.period_us - need;
    }
    *place_for(d, &e) = e;
}

static bool has_window(
    const struct conf_class *class, const struct denial_entry *e, unsigned *window)
{
    const struct limit *limit = &class->limit[e->kind];

    for (unsigned i = 0; i < limit->windows; i++) {
        if (limit->window[i].count == e->rate.count &&
            limit->window[i].period_us == e->rate.period_us) {
            *window = i;
            return true;
        }
    }
    return false;
}

/* Microseconds until the entry lets the question pass; 0: it does not refuse it. */
static double refusal_us(
    const struct denial_entry *e, const struct question *q, const struct addr *destination,
    double now_us)
{
    uint64_t cost;
    double late_us = whole(now_us + (now_us - e->since_us) * CLOCK_DRIFT + 1);

    if (now_us > e->since_us + DENIAL_MOST_US) {
        return 0;
    }
    if (e->kind == LIMIT_SPREAD) {
        bool same = q->kind == QUESTION_SESSION && addr_equal(&e->destination, destination);
        return same && e->tat_us > late_us ? e->tat_us - late_us : 0;
    }
    if (!cost_of(e, q, &cost)) {
        return 0;
    }
    if (rate_available(&e->rate, e->tat_us, late_us, cost) == cost &&
        rate_wait_us(&e->rate, e->tat_us, late_us, 0) <= 0) {
        return 0;
    }
    /* What is told is what all of it has to wait for. */
    uint64_t all = e->kind == LIMIT_RECIPIENTS ? q->recipients : cost;
    return rate_wait_us(&e->rate, e->tat_us, late_us, all);
}

bool denial_holds(
    const struct denial *d, const struct conf_class *class, const struct question *question,
    const struct addr *destination, double now_us, struct answer *out)
{
    struct answer a = {.state = METER_OVER, .uncharged = true};

    if (question->kind != QUESTION_SESSION && question->kind != QUESTION_ENVELOPE) {
        return false;
    }
    for (unsigned i = 0; i < d->count; i++) {
        const struct denial_entry *e = &d->entry[i];
        unsigned window;
        double us = refusal_us(e, question, destination, now_us);

        if (us > a.retry_us && has_window(class, e, &window)) {
            a.limit = e->kind;
            a.window = window;
            a.retry_us = us;
        }
    }
    if (a.retry_us > 0) {
        *out = a;
    }
    return a.retry_us > 0;
}
