/* The mirror's inside, shared by registry.c (connections, changes, checks) and registry_scan.c. */
#ifndef GATE25_SVC_REGISTRY_INTERNAL_H
#define GATE25_SVC_REGISTRY_INTERNAL_H

#include "svc/leases.h"
#include "svc/registry.h"
#include "svc/registry_copy.h"
#include "svc/registry_feed.h"

/* One synchronisation is a `round`: where the stream of changes ends, then a scan of all standings
 * into `fresh`, then the changes since. Replies carry their round; those of an old one are dropped.
 */
struct registry {
    struct event_base *base;
    struct conf *conf;
    struct redis *ask, *follow;
    struct event *retry, *check, *hung;
    struct class_names names;
    struct prefix_map map;      /* what lookups see */
    struct prefix_map fresh;    /* being scanned */
    struct registry_copy *copy; /* NULL: not the keeper */
    struct leases *leases;      /* NULL: the configuration wants none */
    uint64_t round;
    bool current;
    bool waiting;                 /* an XREAD is out on `follow`, of this round or an old one */
    bool reconnect;               /* before the next try */
    bool complained;              /* of this outage */
    bool lossy;                   /* this Redis has lost what it knew: see registry_scan.c */
    char position[FEED_POSITION]; /* of the last change read */
    char anchor[FEED_POSITION];   /* of the last change that all of `map` goes back to */
    int64_t aside;                /* entries in Redis that the map does not hold: no ids */
    int64_t kept;                 /* in force although Redis has lost them */
    int64_t deviation;            /* in the number of entries, at the last check */
    uint64_t changes;             /* of `map`, so far */
    registry_changed_cb changed;  /* NULL: nobody wants to know */
    void *changed_context;
};

/* Ends the round and begins another after a while. `reply`: what was wrong with it, NULL: none. */
void registry_retry_later(struct registry *r, const char *doing, const struct redis_reply *reply);
/* For a request of this round. */
struct feed_request registry_request(struct registry *r, redis_reply_cb reply);

/* Tells who watches: `reply` brought changes; NULL: `map` is another one. */
void registry_tell(const struct registry *r, const struct redis_reply *reply);

/* Reads all standings anew; ends in registry_mirrored() or registry_retry_later(). */
void registry_scan(struct registry *r);
/* `map` is what Redis holds at `position`: from here on changes are followed. */
void registry_mirrored(struct registry *r);

#endif
