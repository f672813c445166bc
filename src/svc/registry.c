#include "registry_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "core/store_keys.h"
#include "svc/conf_file.h"
#include "svc/growing_map.h"

#define ANSWER_MS 3000  /* for ordinary requests */
#define BLOCK_MS  10000 /* XREAD returns empty-handed after that long */
#define HUNG_MS   (BLOCK_MS + 5000)
#define RETRY_MS  1000
#define CHECK_MS  2000 /* between two looks whether Redis still is what we follow */

static void wake_in(struct event *timer, unsigned ms)
{
    struct timeval delay = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};

    evtimer_add(timer, &delay);
}

/* Ends the round: what is mirrored stays, and counts as not current. */
static void stop(struct registry *r)
{
    r->round++;
    if (r->current) {
        r->current = false;
        log_warning("standings: no longer following Redis, %zu kept", r->map.count);
    }
    evtimer_del(r->check);
    evtimer_del(r->hung);
    growing_map_fini(&r->fresh);
}

void registry_retry_later(struct registry *r, const char *doing, const struct redis_reply *reply)
{
    struct span why = SPAN_LITERAL("an answer that makes no sense");

    if (reply == NULL) {
        why = SPAN_LITERAL("no answer");
    } else {
        redis_reply_is_error(reply, &why);
    }
    stop(r);
    /* A connection on which nothing comes may be dead without anybody having been told. */
    r->reconnect = reply == NULL;
    if (!r->complained) {
        r->complained = true;
        log_warning("standings: %s: %.*s; trying again", doing, (int)why.len, why.at);
    }
    wake_in(r->retry, RETRY_MS);
}

struct feed_request registry_request(struct registry *r, redis_reply_cb reply)
{
    return (struct feed_request){r->ask, ANSWER_MS, reply, r, r->round};
}

/* --- changes --- */

static void follow(struct registry *r);

static void on_changes(void *context, uint64_t round, const struct redis_reply *reply)
{
    struct registry *r = context;

    r->waiting = false;
    if (round != r->round) {
        return;
    }
    evtimer_del(r->hung);
    if (reply != NULL && redis_reply_is_nil(reply)) {
        follow(r);
        return;
    }
    if (!feed_changes(reply, &r->names, &r->map, r->position)) {
        registry_retry_later(r, "following changes", reply);
        return;
    }
    if (r->copy != NULL) {
        registry_copy_changed(r->copy, false);
    }
    r->changes++;
    registry_tell(r, reply);
    follow(r);
}

static void follow(struct registry *r)
{
    struct feed_request f = {r->follow, 0, on_changes, r, r->round};

    if (feed_ask_changes(f, STORE_CHANGES, r->position, BLOCK_MS) != 0) {
        registry_retry_later(r, "following changes", NULL);
        return;
    }
    r->waiting = true;
    wake_in(r->hung, HUNG_MS);
}

/* --- is Redis still what we follow? --- */

static void start(struct registry *r);

static void on_check_position(void *context, uint64_t round, const struct redis_reply *reply)
{
    struct registry *r = context;
    char newest[FEED_POSITION];

    if (round != r->round) {
        return;
    }
    if (!feed_position(reply, newest)) {
        registry_retry_later(r, "comparing with Redis", reply);
        return;
    }
    if (feed_position_before(newest, r->position)) {
        log_warning("standings: Redis has lost changes that we know of: reading all anew");
        start(r);
    }
}

/* Changes that are still under way to us make the numbers differ for a moment, but hardly twice by
 * the same amount. */
static void on_check_size(void *context, uint64_t round, const struct redis_reply *reply)
{
    struct registry *r = context;
    int64_t size, deviation;

    if (round != r->round) {
        return;
    }
    if (reply == NULL || !redis_reply_integer(reply, &size)) {
        registry_retry_later(r, "comparing with Redis", reply);
        return;
    }
    deviation = size - (int64_t)r->map.count - r->aside;
    if (deviation != 0 && deviation == r->deviation) {
        log_warning("standings: Redis holds others than we do: reading all anew");
        start(r);
        return;
    }
    r->deviation = deviation;
    if (deviation == 0 && !r->lossy) {
        snprintf(r->anchor, FEED_POSITION, "%s", r->position);
    }
    wake_in(r->check, CHECK_MS);
}

static void on_check(evutil_socket_t fd, short what, void *context)
{
    struct registry *r = context;

    (void)fd;
    (void)what;
    if (feed_ask_position(registry_request(r, on_check_position), STORE_CHANGES) != 0 ||
        feed_ask_size(registry_request(r, on_check_size), STORE_STANDINGS) != 0) {
        registry_retry_later(r, "comparing with Redis", NULL);
    }
}

void registry_mirrored(struct registry *r)
{
    r->current = true;
    r->complained = false;
    r->deviation = 0;
    wake_in(r->check, CHECK_MS);
    r->changes++;
    registry_tell(r, NULL);
    follow(r);
}

/* --- rounds --- */

/* Begins a round when both connections stand; else their coming up does. */
static void start(struct registry *r)
{
    stop(r);
    evtimer_del(r->retry);
    if (r->ask == NULL || r->follow == NULL || !redis_is_up(r->ask) || !redis_is_up(r->follow)) {
        return;
    }
    if (r->waiting) {
        /* Its answer may be long in coming, and a connection answers in order. */
        r->reconnect = true;
        wake_in(r->retry, 0);
        return;
    }
    registry_scan(r);
}

/* --- connections --- */

static void on_state(void *context, bool up)
{
    (void)up;
    start(context);
}

static int connect_both(struct registry *r)
{
    const struct redis_options options = {
        .where = &r->conf->redis, .state = on_state, .context = r};

    r->ask = redis_new(r->base, &options);
    r->follow = redis_new(r->base, &options);
    return r->ask == NULL || r->follow == NULL ? -1 : 0;
}

static void disconnect_both(struct registry *r)
{
    struct redis *ask = r->ask, *follower = r->follow;

    r->ask = NULL;
    r->follow = NULL;
    if (ask != NULL) {
        redis_free(ask);
    }
    if (follower != NULL) {
        redis_free(follower);
    }
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
    struct registry *r = context;

    (void)fd;
    (void)what;
    if (!r->reconnect) {
        start(r);
        return;
    }
    disconnect_both(r);
    if (connect_both(r) != 0) {
        log_error("standings: out of memory");
        wake_in(r->retry, RETRY_MS);
    }
}

static void on_hung(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    registry_retry_later(context, "following changes", NULL);
}

/* --- outside --- */

/* As the configuration wants it. */
static int use_leases(struct registry *r)
{
    if (r->conf->leased.count == 0) {
        leases_free(r->leases);
        r->leases = NULL;
        return 0;
    }
    if (r->leases == NULL) {
        char *copy = NULL;

        if (r->conf->registry_copy != NULL &&
            asprintf(&copy, "%s.leases", r->conf->registry_copy) < 0) {
            return -1;
        }
        r->leases = leases_new(r->base, &r->conf->redis, copy, r->copy != NULL);
        free(copy);
    }
    return r->leases == NULL ? -1 : 0;
}

struct registry *registry_new(struct event_base *base, struct conf *conf, bool keeper)
{
    struct registry *r = calloc(1, sizeof(*r));

    if (r == NULL) {
        return NULL;
    }
    r->base = base;
    r->conf = conf_hold(conf);
    snprintf(r->anchor, FEED_POSITION, FEED_START);
    r->retry = evtimer_new(base, on_retry, r);
    r->check = evtimer_new(base, on_check, r);
    r->hung = evtimer_new(base, on_hung, r);
    if (keeper) {
        r->copy = registry_copy_new(base, &r->map, &r->names, r->anchor);
    }
    if (r->retry == NULL || r->check == NULL || r->hung == NULL || (keeper && r->copy == NULL) ||
        growing_map_expect(&r->map, 0) != 0) {
        registry_free(r);
        return NULL;
    }
    if (conf->registry_copy != NULL) {
        registry_copy_read(conf->registry_copy, &r->names, &r->map, r->anchor);
    }
    if (keeper) {
        registry_copy_set_path(r->copy, conf->registry_copy);
    }
    if (connect_both(r) != 0 || use_leases(r) != 0) {
        registry_free(r);
        return NULL;
    }
    return r;
}

static void free_timer(struct event *timer)
{
    if (timer != NULL) {
        event_free(timer);
    }
}

void registry_free(struct registry *r)
{
    if (r == NULL) {
        return;
    }
    r->current = false;
    r->round++;
    disconnect_both(r);
    leases_free(r->leases);
    registry_copy_free(r->copy);
    free_timer(r->retry);
    free_timer(r->check);
    free_timer(r->hung);
    growing_map_fini(&r->fresh);
    growing_map_fini(&r->map);
    class_names_fini(&r->names);
    conf_release(r->conf);
    free(r);
}

void registry_set_conf(struct registry *r, struct conf *conf)
{
    struct conf *old = r->conf;

    r->conf = conf_hold(conf);
    conf_release(old);
    if (r->copy != NULL) {
        registry_copy_set_path(r->copy, conf->registry_copy);
    }
    if (use_leases(r) != 0) {
        log_error("leases: out of memory: none are known");
    }
}

/* Within leases.prefixes. */
static void find_holder(
    const struct registry *r, const struct conf *conf, const struct addr *a, int64_t now_s,
    struct registry_entry *out)
{
    const struct prefix_slot *s = NULL;

    out->unit = prefix_unit(a, conf->ipv6_unit);
    out->account = r->leases == NULL ? NULL : leases_find(r->leases, a);
    if (out->account != NULL) {
        s = standing_map_account(&r->map, &r->names, conf, out->account, now_s, &out->class);
    }
    if (s != NULL) {
        out->standing = true;
        return;
    }
    s = standing_map_find(&r->map, &r->names, conf, a, (int)out->unit.len - 1, now_s, &out->class);
    out->standing = s != NULL;
    if (s != NULL && out->account != NULL) {
        out->over = prefix_map_prefix(s);
    } else if (s != NULL) {
        out->unit = prefix_map_prefix(s);
    }
}

void registry_find(
    const struct registry *r, const struct conf *conf, const struct addr *a, int64_t now_s,
    struct registry_entry *out)
{
    const struct prefix_slot *s;

    *out = (struct registry_entry){.class = &conf->classes[conf->default_class]};
    if (conf_is_leased(conf, a)) {
        find_holder(r, conf, a, now_s, out);
        return;
    }
    s = standing_map_find(&r->map, &r->names, conf, a, PREFIX_MAP_LENGTHS, now_s, &out->class);
    out->standing = s != NULL;
    out->unit = s != NULL ? prefix_map_prefix(s) : prefix_unit(a, conf->ipv6_unit);
}

void registry_prefetch(const struct registry *r, const struct conf *conf, const struct addr *a)
{
    if (r->leases != NULL && conf_is_leased(conf, a)) {
        leases_prefetch(r->leases, a);
    } else {
        prefix_map_prefetch(&r->map, a);
    }
}

bool registry_find_account(
    const struct registry *r, const struct conf *conf, const char *account, int64_t now_s,
    const struct conf_class **class)
{
    return standing_map_account(&r->map, &r->names, conf, account, now_s, class) != NULL;
}

void registry_id(const struct registry_entry *e, char out[REGISTRY_ID])
{
    if (e->account != NULL) {
        snprintf(out, REGISTRY_ID, "%s", e->account);
    } else {
        prefix_format(&e->unit, out);
    }
}

size_t registry_size(const struct registry *r)
{
    return r->map.count;
}

size_t registry_kept(const struct registry *r)
{
    return r->kept > 0 ? (size_t)r->kept : 0;
}

bool registry_is_current(const struct registry *r)
{
    return r->current && (r->leases == NULL || leases_are_current(r->leases));
}

size_t registry_leases(const struct registry *r)
{
    return r->leases == NULL ? 0 : leases_count(r->leases);
}
