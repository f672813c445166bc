#include "svc/leases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/store_keys.h"
#include "net/clock.h"
#include "svc/lease_copy.h"
#include "svc/lease_feed.h"

#define ANSWER_MS 3000  /* for ordinary requests */
#define BLOCK_MS  10000 /* XREAD returns empty-handed after that long */
#define HUNG_MS   (BLOCK_MS + 5000)
#define RETRY_MS  1000
#define CHECK_MS  2000  /* between two looks whether Redis still is what we follow */
#define SWEEP     32768 /* slots of the map that each of them looks at for leases that have ended */

/* One synchronisation is a `round`: where the stream of changes ends, what Redis's time is, a scan
 * of all leases, then the changes since. What is read goes into the one map that lookups see: a
 * lease that Redis does not know (it has lost its data) holds until its end all the same. Replies
 * carry their round; those of an old one are dropped. */
struct leases {
    struct event_base *base;
    struct conf_redis where;
    struct redis *ask, *follow;
    struct event *retry, *check, *hung;
    struct lease_map map;    /* ends are of the monotonic clock, in seconds */
    size_t swept;            /* the slot to look at next */
    struct lease_copy *copy; /* NULL: none is kept */
    uint64_t round;
    int64_t scan_time_s;          /* Redis's, when the scan began */
    char position[FEED_POSITION]; /* of the last change read */
    bool current;
    bool waiting;    /* an XREAD is out on `follow`, of this round or an old one */
    bool reconnect;  /* before the next try */
    bool complained; /* of this outage */
    bool memory;     /* ... that a lease found no room, since the last complaint */
};

static int64_t now_s(void)
{
    return clock_monotonic_ms() / 1000;
}

static void wake_in(struct event *timer, unsigned ms)
{
    struct timeval delay = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};

    evtimer_add(timer, &delay);
}

static void stop(struct leases *l)
{
    l->round++;
    if (l->current) {
        l->current = false;
        log_warning(
            "leases: no longer following Redis; %zu hold until their end",
            lease_map_count(&l->map));
    }
    evtimer_del(l->check);
    evtimer_del(l->hung);
}

static void retry_later(struct leases *l, const char *doing, const struct redis_reply *reply)
{
    struct span why = SPAN_LITERAL("an answer that makes no sense");

    if (reply == NULL) {
        why = SPAN_LITERAL("no answer");
    } else {
        redis_reply_is_error(reply, &why);
    }
    stop(l);
    /* A connection on which nothing comes may be dead without anybody having been told. */
    l->reconnect = reply == NULL;
    if (!l->complained) {
        l->complained = true;
        log_warning("leases: %s: %.*s; trying again", doing, (int)why.len, why.at);
    }
    wake_in(l->retry, RETRY_MS);
}

static struct feed_request request(struct leases *l, redis_reply_cb reply)
{
    return (struct feed_request){l->ask, ANSWER_MS, reply, l, l->round};
}

/* --- what is read --- */

/* How long a lease has still to run is the same by every clock. */
static void take_entry(void *context, const struct lease_entry *entry, int64_t then_s)
{
    struct leases *l = context;
    int64_t left_s = entry->until_s - then_s;

    if (l->copy != NULL) {
        lease_copy_changed(l->copy);
    }
    if (entry->account[0] == '\0' || left_s <= 0) {
        lease_map_remove(&l->map, &entry->unit);
        return;
    }
    if (lease_map_put(
            &l->map, &entry->unit, span_of(entry->account), entry->began_ms, now_s() + left_s) ==
        0) {
        return;
    }
    /* What is known of the unit is of somebody else, then. */
    lease_map_remove(&l->map, &entry->unit);
    if (!l->memory) {
        l->memory = true;
        log_error("leases: out of memory, some are left out");
    }
}

/* --- changes --- */

static void start(struct leases *l);
static void follow(struct leases *l);

static void on_changes(void *context, uint64_t round, const struct redis_reply *reply)
{
    struct leases *l = context;

    l->waiting = false;
    if (round != l->round) {
        return;
    }
    evtimer_del(l->hung);
    if (reply != NULL && redis_reply_is_nil(reply)) {
        follow(l);
        return;
    }
    switch (lease_changes(reply, l->position, take_entry, l)) {
    case LEASE_NEWS_TAKEN:
        follow(l);
        break;
    case LEASE_NEWS_GAP:
        log_warning("leases: changes are missing: reading all anew");
        start(l);
        break;
    case LEASE_NEWS_BAD:
        retry_later(l, "following changes", reply);
        break;
    }
}

static void follow(struct leases *l)
{
    struct feed_request f = {l->follow, 0, on_changes, l, l->round};

    if (feed_ask_changes(f, STORE_LEASE_CHANGES, l->position, BLOCK_MS) != 0) {
        retry_later(l, "following changes", NULL);
        return;
    }
    l->waiting = true;
    wake_in(l->hung, HUNG_MS);
}

/* --- is Redis still what we follow? --- */

static void on_check_position(void *context, uint64_t round, const struct redis_reply *reply)
{
    struct leases *l = context;
    char newest[FEED_POSITION];

    if (round != l->round) {
        return;
    }
    if (!feed_position(reply, newest)) {
        retry_later(l, "comparing with Redis", reply);
        return;
    }
    if (feed_position_before(newest, l->position)) {
        log_warning("leases: Redis has lost changes that we know of: reading all anew");
        start(l);
        return;
    }
    l->memory = false;
    wake_in(l->check, CHECK_MS);
}

static void on_check(evutil_socket_t fd, short what, void *context)
{
    struct leases *l = context;

    (void)fd;
    (void)what;
    if (lease_map_sweep(&l->map, now_s(), SWEEP, &l->swept) > 0 && l->copy != NULL) {
        lease_copy_changed(l->copy);
    }
    if (feed_ask_position(request(l, on_check_position), STORE_LEASE_CHANGES) != 0) {
        retry_later(l, "comparing with Redis", NULL);
    }
}

/* --- reading all --- */

static void mirrored(struct leases *l)
{
    l->current = true;
    l->complained = false;
    log_info("leases: %zu mirrored, following changes", lease_map_count(&l->map));
    wake_in(l->check, CHECK_MS);
    follow(l);
}

static void on_scan(void *context, uint64_t round, const struct redis_reply *reply)
{
    struct leases *l = context;
    struct span cursor;

    if (round != l->round) {
        return;
    }
    if (!lease_scan(reply, l->scan_time_s, take_entry, l, &cursor)) {
        retry_later(l, "scanning", reply);
    } else if (span_equal(cursor, SPAN_LITERAL("0"))) {
        mirrored(l);
    } else if (feed_ask_scan(request(l, on_scan), STORE_LEASES, cursor) != 0) {
        retry_later(l, "scanning", NULL);
    }
}

static void on_size(void *context, uint64_t round, const struct redis_reply *reply)
{
    struct leases *l = context;
    int64_t size;

    if (round != l->round) {
        return;
    }
    if (reply == NULL || !redis_reply_integer(reply, &size)) {
        retry_later(l, "counting", reply);
        return;
    }
    lease_map_expect(&l->map, size < 0 ? 0 : (size_t)size);
    if (feed_ask_scan(request(l, on_scan), STORE_LEASES, SPAN_LITERAL("0")) != 0) {
        retry_later(l, "scanning", NULL);
    }
}

static void on_time(void *context, uint64_t round, const struct redis_reply *reply)
{
    struct leases *l = context;

    if (round != l->round) {
        return;
    }
    if (!lease_time(reply, &l->scan_time_s) ||
        feed_ask_size(request(l, on_size), STORE_LEASES) != 0) {
        retry_later(l, "asking for the time", reply);
    }
}

static void on_position(void *context, uint64_t round, const struct redis_reply *reply)
{
    struct leases *l = context;

    if (round != l->round) {
        return;
    }
    if (!feed_position(reply, l->position) || lease_ask_time(request(l, on_time)) != 0) {
        retry_later(l, "reading where changes end", reply);
    }
}

/* Begins a round when both connections stand; else their coming up does. */
static void start(struct leases *l)
{
    stop(l);
    evtimer_del(l->retry);
    if (l->ask == NULL || l->follow == NULL || !redis_is_up(l->ask) || !redis_is_up(l->follow)) {
        return;
    }
    if (l->waiting) {
        /* Its answer may be long in coming, and a connection answers in order. */
        l->reconnect = true;
        wake_in(l->retry, 0);
        return;
    }
    if (feed_ask_position(request(l, on_position), STORE_LEASE_CHANGES) != 0) {
        retry_later(l, "reading where changes end", NULL);
    }
}

/* --- connections --- */

static void on_state(void *context, bool up)
{
    (void)up;
    start(context);
}

static int connect_both(struct leases *l)
{
    const struct redis_options options = {.where = &l->where, .state = on_state, .context = l};

    l->reconnect = false;
    l->ask = redis_new(l->base, &options);
    l->follow = redis_new(l->base, &options);
    return l->ask == NULL || l->follow == NULL ? -1 : 0;
}

static void disconnect_both(struct leases *l)
{
    struct redis *ask = l->ask, *follower = l->follow;

    l->ask = NULL;
    l->follow = NULL;
    if (ask != NULL) {
        redis_free(ask);
    }
    if (follower != NULL) {
        redis_free(follower);
    }
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
    struct leases *l = context;

    (void)fd;
    (void)what;
    if (!l->reconnect) {
        start(l);
        return;
    }
    disconnect_both(l);
    if (connect_both(l) != 0) {
        log_error("leases: out of memory");
        l->reconnect = true;
        wake_in(l->retry, RETRY_MS);
    }
}

static void on_hung(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    retry_later(context, "following changes", NULL);
}

/* --- outside --- */

struct leases *leases_new(
    struct event_base *base, const struct conf_redis *where, const char *copy, bool keeper)
{
    struct leases *l = calloc(1, sizeof(*l));

    if (l == NULL) {
        return NULL;
    }
    l->base = base;
    l->where = *where;
    l->retry = evtimer_new(base, on_retry, l);
    l->check = evtimer_new(base, on_check, l);
    l->hung = evtimer_new(base, on_hung, l);
    if (copy != NULL) {
        lease_copy_read(copy, &l->map);
    }
    if (copy != NULL && keeper) {
        l->copy = lease_copy_new(base, &l->map, copy);
    }
    if ((copy != NULL && keeper && l->copy == NULL) || l->retry == NULL || l->check == NULL ||
        l->hung == NULL || connect_both(l) != 0) {
        leases_free(l);
        return NULL;
    }
    return l;
}

static void free_timer(struct event *timer)
{
    if (timer != NULL) {
        event_free(timer);
    }
}

void leases_free(struct leases *l)
{
    if (l == NULL) {
        return;
    }
    l->current = false;
    l->round++;
    disconnect_both(l);
    free_timer(l->retry);
    free_timer(l->check);
    free_timer(l->hung);
    lease_copy_free(l->copy);
    lease_map_fini(&l->map);
    explicit_bzero(&l->where, sizeof(l->where));
    free(l);
}

const char *leases_find(const struct leases *l, const struct addr *a)
{
    return lease_map_find(&l->map, a, now_s());
}

void leases_prefetch(const struct leases *l, const struct addr *a)
{
    prefix_map_prefetch(&l->map.index, a);
}

size_t leases_count(const struct leases *l)
{
    return lease_map_count(&l->map);
}

bool leases_are_current(const struct leases *l)
{
    return l->current;
}
