#include "svc/meter_settle.h"

#include <event2/event_struct.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "net/clock.h"

#define AT_ONCE   64   /* charges under way: a millisecond of Redis's time, not more */
#define NEXT_MS   10   /* between two batches */
#define ANSWER_MS 1000 /* for one that nobody waits for */
#define AGAIN_MS  1000 /* after a failure, and between looks whether Redis is back */

/* A charge that Redis has not confirmed. */
struct charge {
    LIST_ENTRY(charge) next;
    struct meter_settle *settle; /* NULL: freed since */
    struct meter_debt *debt;
};

struct meter_settle {
    struct redis *redis;
    struct meter_owed *owed;
    struct event timer;
    LIST_HEAD(charges, charge) under_way;
    size_t count;        /* of them */
    int64_t rest_end_ms; /* a charge has failed: none before */
};

static void wake_in(struct meter_settle *s, unsigned ms)
{
    struct timeval delay = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};

    if (!evtimer_pending(&s->timer, NULL)) {
        evtimer_add(&s->timer, &delay);
    }
}

static void forget(struct charge *c)
{
    LIST_REMOVE(c, next);
    c->settle->count--;
    meter_debt_free(c->debt);
    free(c);
}

static void put_back(struct charge *c)
{
    struct meter_settle *s = c->settle;

    meter_owed_put_back(s->owed, c->debt, (double)clock_monotonic_us());
    LIST_REMOVE(c, next);
    s->count--;
    free(c);
    wake_in(s, AGAIN_MS);
}

/* A charge whose answer is lost may have been made: then it is made twice. It never takes more than
 * a bucket holds, so that is the milder mistake than none. */
static void fail(struct charge *c)
{
    c->settle->rest_end_ms = clock_monotonic_ms() + AGAIN_MS;
    put_back(c);
}

static void on_reply(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct charge *c = context;
    struct span message;

    (void)ticket;
    if (!c->settle) {
        meter_debt_free(c->debt);
        free(c);
    } else if (!reply || redis_reply_is_error(reply, &message)) {
        fail(c);
    } else {
        forget(c);
    }
}

/* False: Redis could not be told (of a cluster: this one's master is away). */
static bool charge(struct meter_settle *s, struct meter_debt *debt)
{
    struct charge *c = malloc(sizeof *c);
    struct meter_owed_words words;

    if (!c) {
        meter_owed_put_back(s->owed, debt, (double)clock_monotonic_us());
        return false;
    }
    *c = (struct charge){.settle = s, .debt = debt};
    LIST_INSERT_HEAD(&s->under_way, c, next);
    s->count++;
    if (!meter_debt_words(debt, (double)clock_monotonic_us(), &words)) {
        forget(c);
    } else if (redis_call(s->redis, words.at, words.count, ANSWER_MS, on_reply, c, 0) != 0) {
        put_back(c);
        return false;
    }
    return true;
}

static bool may_charge(const struct meter_settle *s)
{
    return redis_is_up(s->redis) && clock_monotonic_ms() >= s->rest_end_ms;
}

/* Tells of `most` subscribers; of how many Redis could be told. */
static size_t charge_some(struct meter_settle *s, size_t most)
{
    struct meter_debt *debt;
    size_t told = 0;

    for (; most > 0 && may_charge(s) && (debt = meter_owed_take_oldest(s->owed)); most--) {
        told += charge(s, debt);
    }
    return told;
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct meter_settle *s = context;

    (void)fd;
    (void)what;
    bool waits = s->count > 0;
    bool told = s->count < AT_ONCE && charge_some(s, AT_ONCE - s->count) > 0;
    if (meter_owed_count(s->owed) > 0) {
        evtimer_del(&s->timer);
        wake_in(s, told || waits ? NEXT_MS : AGAIN_MS);
    }
}

void meter_settle_now(struct meter_settle *s)
{
    (void)charge_some(s, meter_owed_count(s->owed));
}

void meter_settle_owe(
    struct meter_settle *s, const char *id, const struct meter_passed *passed,
    const struct meter_windows *windows)
{
    meter_owed_add(s->owed, id, passed, windows, (double)clock_monotonic_us());
    if (meter_owed_count(s->owed) > 0) {
        wake_in(s, AGAIN_MS);
    }
}

void meter_settle_before(struct meter_settle *s, const char *id)
{
    struct meter_debt *debt = may_charge(s) ? meter_owed_take(s->owed, id) : NULL;

    if (debt) {
        (void)charge(s, debt);
    }
}

size_t meter_settle_count(const struct meter_settle *s)
{
    return meter_owed_count(s->owed) + s->count;
}

struct meter_settle *meter_settle_new(struct event_base *base, struct redis *redis, size_t most)
{
    struct meter_settle *s = calloc(1, sizeof *s);

    if (!s) {
        return NULL;
    }
    s->owed = meter_owed_new(most);
    if (!s->owed) {
        free(s);
        return NULL;
    }
    s->redis = redis;
    LIST_INIT(&s->under_way);
    evtimer_assign(&s->timer, base, on_timer, s);
    return s;
}

void meter_settle_free(struct meter_settle *s)
{
    struct charge *c;

    if (!s) {
        return;
    }
    evtimer_del(&s->timer);
    /* Redis still holds these, and will give them back. */
    LIST_FOREACH(c, &s->under_way, next)
    {
        c->settle = NULL;
    }
    meter_owed_free(s->owed);
    free(s);
}
