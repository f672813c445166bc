/* What the mirror asks Redis, and what the answers say, read into a map. */
#ifndef GATE25_SVC_REGISTRY_FEED_H
#define GATE25_SVC_REGISTRY_FEED_H

#include "svc/redis.h"
#include "svc/standing_map.h"

/* An entry's id in the stream of changes. */
#define FEED_POSITION 48
#define FEED_START    "0-0" /* before the first */

/* How to ask: the arguments of redis_call(). */
struct feed_request {
    struct redis *redis;
    uint32_t deadline_ms;
    redis_reply_cb reply;
    void *context;
    uint64_t ticket;
};

/* Each as redis_call(). */
int feed_ask_position(struct feed_request f); /* for feed_position() */
int feed_ask_first(struct feed_request f);    /* the oldest: for feed_position() too */
int feed_ask_length(struct feed_request f);   /* how many changes are kept: an integer */
int feed_ask_size(struct feed_request f);     /* how many standings: an integer */
int feed_ask_scan(struct feed_request f, struct span cursor);
/* Waits up to `block_ms` for changes behind `position`; nil: none came. */
int feed_ask_changes(struct feed_request f, const char *position, unsigned block_ms);

/* The id of the entry that one of the two brought; FEED_START: there is none. False: the
 * reply is an error or makes no sense, as below. */
bool feed_position(const struct redis_reply *reply, char out[FEED_POSITION]);
bool feed_position_before(const char *a, const char *b);

/* Puts what one HSCAN brought into the map; ids that are no prefixes and no accounts are
 * left aside. */
bool feed_scan(
    const struct redis_reply *reply, struct class_names *names, struct prefix_map *map,
    struct span *cursor);
/* Applies what XREAD brought and moves the position on. */
bool feed_changes(
    const struct redis_reply *reply, struct class_names *names, struct prefix_map *map,
    char position[FEED_POSITION]);

#endif
