/* Reads and writes standings in Redis, for gate25ctl and the site. */
#ifndef GATE25_SVC_STANDINGS_H
#define GATE25_SVC_STANDINGS_H

#include "svc/redis.h"

/* A standing as it is written; empty spans are left out. */
struct standing {
    struct span id;
    struct span class;
    int64_t since_s, until_s; /* Unix seconds; until 0: no end */
    struct span by, reason, note;
    struct span verb; /* for the trail of changes: "quarantine"; empty: "set" or "remove" */
};

/* Called once. ok false: `error` says what Redis said, or that it did not answer. */
typedef void (*standings_done_cb)(void *context, bool ok, struct span error);

/* Sets the standing and appends the change to STORE_CHANGES (which every mirror follows). */
void standings_set(
    struct redis *r, const struct standing *s, uint32_t deadline_ms, standings_done_cb done,
    void *context);
/* Removes the standing of s->id; `by`, `reason` and `note` go into the change. */
void standings_remove(
    struct redis *r, const struct standing *s, uint32_t deadline_ms, standings_done_cb done,
    void *context);

/* Asks for the reason that was given with the standing of `id`: a text, or nil. -1: as redis_call.
 */
int standings_ask_reason(
    struct redis *r, struct span id, uint32_t deadline_ms, redis_reply_cb reply, void *context,
    uint64_t ticket);

/* "CLASS UNTIL", the value in STORE_STANDINGS. False: not of that form. */
bool standing_parse(struct span value, struct span *class, int64_t *until_s);

#endif
