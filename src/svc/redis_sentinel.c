#include "svc/redis_sentinel.h"

#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/clock.h"
#include "svc/redis_answers.h"
#include "svc/redis_link.h"
#include "svc/redis_url.h"

#define ASK_EVERY_MS  1000
#define ANSWER_MS     1000
#define FRESH_MS      5000 /* an older word of a sentinel that is away is forgotten */
#define SWITCH_MASTER "+switch-master"

/* One sentinel, and what it said last. */
struct watch {
    struct redis_sentinel *all;
    struct redis_link *link;
    uint64_t epoch_read; /* of the answer that is being read */
    uint64_t epoch;
    struct conf_redis_place master;
    int64_t said_ms; /* 0: nothing yet */
    bool ignorant;   /* it watches no such master */
};

struct redis_sentinel {
    const struct conf_redis *where;
    redis_sentinel_cb found;
    void *context;
    struct event timer;
    struct watch watch[CONF_REDIS_PLACES];
    unsigned count;
    bool known;
    struct conf_redis_place master;
    bool speaks, complained;
};

static bool same_place(const struct conf_redis_place *a, const struct conf_redis_place *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* --- whom to believe --- */

static bool is_fresh(const struct watch *w, int64_t now)
{
    return w->said_ms != 0 && now - w->said_ms <= FRESH_MS;
}

static unsigned voices_for(const struct redis_sentinel *s, const struct watch *said, int64_t now)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->count; i++) {
        const struct watch *w = &s->watch[i];
        n += is_fresh(w, now) && w->epoch == said->epoch && same_place(&w->master, &said->master);
    }
    return n;
}

/* The latest failover counts, whoever tells of it: a sentinel that is cut off knows older things.
 * Among equals most voices. */
static const struct watch *best(const struct redis_sentinel *s)
{
    int64_t now = clock_monotonic_ms();
    const struct watch *best = NULL;

    for (unsigned i = 0; i < s->count; i++) {
        const struct watch *w = &s->watch[i];
        if (!is_fresh(w, now)) {
            continue;
        }
        if (!best || w->epoch > best->epoch ||
            (w->epoch == best->epoch && voices_for(s, w, now) > voices_for(s, best, now))) {
            best = w;
        }
    }
    return best;
}

static void decide(struct redis_sentinel *s)
{
    const struct watch *w = best(s);
    char name[300];
    struct text place;

    if (!w || (s->known && same_place(&w->master, &s->master))) {
        return;
    }
    text_init(&place, name, sizeof name);
    redis_place_name(&w->master, &place);
    if (s->speaks && s->known) {
        log_warning("redis: the sentinels have made %s the master", name);
    } else if (s->complained) {
        log_info("redis: the sentinels name %s the master", name);
    }
    s->known = true;
    s->master = w->master;
    s->found(s->context, &s->master);
}

/* --- asking --- */

static void on_epoch(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct watch *w = context;

    (void)ticket;
    if (!reply || !redis_answer_epoch(reply, &w->epoch_read)) {
        w->epoch_read = 0;
    }
}

static void on_master(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct watch *w = context;

    (void)ticket;
    if (!reply) {
        return;
    }
    w->ignorant = !redis_answer_master(reply, &w->master);
    w->said_ms = w->ignorant ? 0 : clock_monotonic_ms();
    w->epoch = w->epoch_read;
    decide(w->all);
}

/* A connection that listens may not ask: it stops listening for as long. Both go out in one write,
 * and what happens in between the answer tells. */
static void ask(struct watch *w)
{
    const struct span name = span_of(w->all->where->master);
    const struct {
        struct span words[3];
        size_t count;
        redis_reply_cb reply;
    } commands[] = {
        {{SPAN_LITERAL("UNSUBSCRIBE"), SPAN_LITERAL(SWITCH_MASTER)}, 2, NULL},
        {{SPAN_LITERAL("SENTINEL"), SPAN_LITERAL("MASTER"), name}, 3, on_epoch},
        {{SPAN_LITERAL("SENTINEL"), SPAN_LITERAL("GET-MASTER-ADDR-BY-NAME"), name}, 3, on_master},
        {{SPAN_LITERAL("SUBSCRIBE"), SPAN_LITERAL(SWITCH_MASTER)}, 2, NULL},
    };

    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (redis_link_call(
                w->link, commands[i].words, commands[i].count, ANSWER_MS, commands[i].reply, w,
                0) != 0) {
            return;
        }
    }
}

static void on_state(void *context, struct redis_link *link, bool up)
{
    (void)link;
    if (up) {
        ask(context);
    }
}

static void on_switch(void *context, const struct redis_reply *message)
{
    (void)message; /* of whichever master: the answer tells, and from which failover it is */
    ask(context);
}

void redis_sentinel_ask(struct redis_sentinel *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        ask(&s->watch[i]);
    }
}

static bool is_unknown(const struct redis_sentinel *s)
{
    bool ignorant = false;

    for (unsigned i = 0; i < s->count; i++) {
        ignorant = ignorant || s->watch[i].ignorant;
    }
    return ignorant && !s->known;
}

/* By then each has had the time to answer. */
static void complain(struct redis_sentinel *s)
{
    if (s->speaks && !s->complained && is_unknown(s)) {
        log_error("redis: the sentinels watch no master of the name %s", s->where->master);
        s->complained = true;
    }
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    const struct timeval next = {ASK_EVERY_MS / 1000, ASK_EVERY_MS % 1000 * 1000};
    struct redis_sentinel *s = context;

    (void)fd;
    (void)what;
    complain(s);
    redis_sentinel_ask(s);
    /* What the ones said that are away now may have grown old. */
    decide(s);
    event_add(&s->timer, &next);
}

/* --- outside --- */

const char *redis_sentinel_trouble(const struct redis_sentinel *s)
{
    if (s->known) {
        return "";
    }
    if (is_unknown(s)) {
        return "the sentinels watch no master of that name";
    }
    return redis_link_trouble(s->watch[0].link);
}

static int open_watch(
    struct redis_sentinel *s, struct event_base *base, unsigned i, struct tls_client_context *tls)
{
    struct watch *w = &s->watch[i];
    const struct redis_greeting greeting = {
        .user = s->where->sentinel_user, .password = s->where->sentinel_password};
    const struct redis_link_options options = {
        .place = s->where->place[i],
        .tls = tls,
        .tls_name = s->where->tls_name,
        .greeting = &greeting,
        .state = on_state,
        .push = on_switch,
        .context = w,
    };

    w->all = s;
    w->link = redis_link_new(base, &options);
    return w->link ? 0 : -1;
}

struct redis_sentinel *redis_sentinel_new(
    struct event_base *base, const struct conf_redis *where, struct tls_client_context *tls,
    bool speaks, redis_sentinel_cb found, void *context)
{
    struct redis_sentinel *s = calloc(1, sizeof *s);

    if (!s) {
        return NULL;
    }
    s->where = where;
    s->speaks = speaks;
    s->found = found;
    s->context = context;
    event_assign(&s->timer, base, -1, 0, on_timer, s);
    for (; s->count < where->places; s->count++) {
        if (open_watch(s, base, s->count, tls) != 0) {
            redis_sentinel_free(s);
            return NULL;
        }
    }
    on_timer(-1, 0, s);
    return s;
}

void redis_sentinel_free(struct redis_sentinel *s)
{
    if (!s) {
        return;
    }
    event_del(&s->timer);
    for (unsigned i = 0; i < s->count; i++) {
        redis_link_free(s->watch[i].link);
    }
    free(s);
}
