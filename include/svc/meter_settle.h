/* Charges to Redis, once it is back, what went through while it was away: a subscriber's before his
 * next question, everybody else's a few at a time, so that nobody waits for it. */
#ifndef GATE25_SVC_METER_SETTLE_H
#define GATE25_SVC_METER_SETTLE_H

#include "svc/meter_owed.h"

struct meter_settle;

/* `redis` outlives it; at most `most` subscribers are remembered. NULL: out of memory. */
struct meter_settle *meter_settle_new(struct event_base *base, struct redis *redis, size_t most)
    __attribute__((warn_unused_result));
void meter_settle_free(struct meter_settle *s); /* NULL is fine; not from a callback of Redis */

/* This went through, and Redis does not know. */
void meter_settle_owe(
    struct meter_settle *s, const char *id, const struct meter_passed *passed,
    const struct meter_windows *windows);
/* Redis is about to be asked about `id`: what is owed goes ahead of it. */
void meter_settle_before(struct meter_settle *s, const char *id);
/* The process ends soon: all that Redis can be told. */
void meter_settle_now(struct meter_settle *s);
/* Of how many subscribers Redis does not yet know all. */
size_t meter_settle_count(const struct meter_settle *s);

#endif
