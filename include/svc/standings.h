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

/* Called once. ok false: `error` says what Redis said, or that it did not answer; the change may be
 * written in part, and doing it again mends that. ok true: every gate will hear of it; an `error`
 * that is not empty says that no replica has it yet, so that the failure of a server now would undo
 * it. */
typedef void (*standings_done_cb)(void *context, bool ok, struct span error);

/* A change has three parts: the standing, its line in STORE_STANDINGS, and the change in
 * STORE_CHANGES, from which the mirrors hear of it; whoever hears of it must find the rest in
 * place. One server is sent all of it at once, in this order. In a cluster they lie in three slots,
 * which no transaction can hold together: there the third goes out when the first two are known to
 * be written. Who ends in between has changed what mirrors read at their next start, and what
 * nobody was told was done. Last, the replicas are asked (redis_ask_replicas()). */

/* Sets the standing and appends the change to STORE_CHANGES (which every mirror follows). */
void standings_set(
    struct redis *r, const struct standing *s, uint32_t deadline_ms, standings_done_cb done,
    void *context);
/* The words behind "HSET KEY" that write the standing's hash, and their number; `room` is for those
 * that are written here. */
#define STANDING_WORDS 12
#define STANDING_ROOM  48
size_t standing_fields(
    const struct standing *s, char room[STANDING_ROOM], struct span out[STANDING_WORDS]);
/* For who has written (or, with an empty class, removed) the standing itself: tells it to the
 * gates, by STORE_STANDINGS and STORE_CHANGES. */
void standings_publish(
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
