#include "registry_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "core/store_keys.h"
#include "svc/growing_map.h"

#define MOST_ROOM (1U << 24)
/* A stream of changes that is shorter was never trimmed (svc/standings.h keeps twice as many). */
#define TRIMMED 50000

/* A Redis may come back empty, and begin anew with what is registered from then on. That must not
 * turn all other registered servers into ordinary subscribers: what was mirrored before stays in
 * force beside it, for as long as the stream of changes does not reach back to `anchor`. A Redis
 * that was put back to an older state (its stream ends before `anchor`) is taken as it is. */

/* How many of the old ones Redis does not hold; they are put beside the new ones. -1: no memory. */
static int64_t keep_old(struct registry *r)
{
    int64_t kept = 0;

    for (size_t i = 0; i < r->map.capacity; i++) {
        const struct prefix_slot *s = &r->map.slots[i];
        struct prefix p = prefix_map_prefix(s);

        if (s->family == ADDR_NONE || prefix_map_get(&r->fresh, &p) != NULL) {
            continue;
        }
        if (growing_map_put(&r->fresh, &p, s->value, s->until_s) != 0) {
            return -1;
        }
        kept++;
    }
    return kept;
}

/* False: out of memory. */
static bool bridge_loss(struct registry *r, int64_t size)
{
    r->kept = keep_old(r);
    if (r->kept > 0) {
        log_error(
            "standings: Redis has lost its data: %lld that it does not hold stay in force beside "
            "its %lld. Restore its append-only file, or stop the gates and delete their copies on "
            "disk",
            (long long)r->kept, (long long)size);
    }
    r->lossy = r->kept > 0;
    return r->kept >= 0;
}

static void adopt(struct registry *r, int64_t size)
{
    bool empty = size == 0 && strcmp(r->position, FEED_START) == 0;

    r->kept = 0;
    if ((r->lossy || (empty && r->map.count > 0)) && !bridge_loss(r, size)) {
        registry_retry_later(r, "scanning: out of memory", NULL);
        return;
    }
    if (!r->lossy) {
        snprintf(r->anchor, FEED_POSITION, "%s", r->position);
    }
    growing_map_fini(&r->map);
    r->map = r->fresh;
    r->fresh = (struct prefix_map){0};
    r->aside = size - (int64_t)r->map.count;
    if (r->copy != NULL) {
        registry_copy_changed(r->copy, true);
    }
    log_info("standings: %zu mirrored, following changes", r->map.count);
    registry_mirrored(r);
}

static void on_scanned_size(void *context, uint64_t round, const struct redis_reply *reply)
{
    struct registry *r = context;
    int64_t size;

    if (round != r->round) {
        return;
    }
    if (reply == NULL || !redis_reply_integer(reply, &size)) {
        registry_retry_later(r, "counting", reply);
        return;
    }
    adopt(r, size);
}

static void on_scan(void *context, uint64_t round, const struct redis_reply *reply);

static void scan(struct registry *r, struct span cursor)
{
    if (feed_ask_scan(registry_request(r, on_scan), STORE_STANDINGS, cursor) != 0) {
        registry_retry_later(r, "scanning", NULL);
    }
}

static void on_scan(void *context, uint64_t round, const struct redis_reply *reply)
{
    struct registry *r = context;
    struct span cursor;

    if (round != r->round) {
        return;
    }
    if (!feed_scan(reply, &r->names, &r->fresh, &cursor)) {
        registry_retry_later(r, "scanning", reply);
        return;
    }
    if (!span_equal(cursor, SPAN_LITERAL("0"))) {
        scan(r, cursor);
    } else if (feed_ask_size(registry_request(r, on_scanned_size), STORE_STANDINGS) != 0) {
        registry_retry_later(r, "counting", NULL);
    }
}

static void on_size(void *context, uint64_t round, const struct redis_reply *reply)
{
    struct registry *r = context;
    int64_t size;

    if (round != r->round) {
        return;
    }
    if (reply == NULL || !redis_reply_integer(reply, &size)) {
        registry_retry_later(r, "counting", reply);
        return;
    }
    if (growing_map_expect(&r->fresh, size < MOST_ROOM ? (size_t)size : MOST_ROOM) != 0) {
        registry_retry_later(r, "scanning: out of memory", NULL);
        return;
    }
    scan(r, SPAN_LITERAL("0"));
}

static void on_length(void *context, uint64_t round, const struct redis_reply *reply)
{
    struct registry *r = context;
    int64_t length;

    if (round != r->round) {
        return;
    }
    if (reply == NULL || !redis_reply_integer(reply, &length) ||
        feed_ask_size(registry_request(r, on_size), STORE_STANDINGS) != 0) {
        registry_retry_later(r, "reading where changes begin", reply);
        return;
    }
    r->lossy = r->lossy && length < TRIMMED;
}

static void on_first(void *context, uint64_t round, const struct redis_reply *reply)
{
    struct registry *r = context;
    char first[FEED_POSITION];

    if (round != r->round) {
        return;
    }
    if (!feed_position(reply, first) ||
        feed_ask_length(registry_request(r, on_length), STORE_CHANGES) != 0) {
        registry_retry_later(r, "reading where changes begin", reply);
        return;
    }
    r->lossy = r->map.count > 0 && strcmp(r->anchor, FEED_START) != 0 &&
               feed_position_before(r->anchor, first);
}

static void on_position(void *context, uint64_t round, const struct redis_reply *reply)
{
    struct registry *r = context;

    if (round != r->round) {
        return;
    }
    if (!feed_position(reply, r->position) ||
        feed_ask_first(registry_request(r, on_first), STORE_CHANGES) != 0) {
        registry_retry_later(r, "reading where changes end", reply);
    }
}

void registry_scan(struct registry *r)
{
    if (feed_ask_position(registry_request(r, on_position), STORE_CHANGES) != 0) {
        registry_retry_later(r, "reading where changes end", NULL);
    }
}
