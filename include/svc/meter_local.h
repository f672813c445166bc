/* The meter of this process alone, for while Redis is away: what meter.lua does, in memory
 * that is bounded. Time is an argument. */
#ifndef GATE25_SVC_METER_LOCAL_H
#define GATE25_SVC_METER_LOCAL_H

#include "svc/meter_codec.h"

/* Beyond so many destinations, or open sessions, of one subscriber the oldest are forgotten: a
 * larger limit of `spread` or `concurrent` refuses nothing here. */
#define METER_LOCAL_SEEN 256

struct meter_local;

/* Remembers `most` subscribers, those heard of last. NULL: out of memory. */
struct meter_local *meter_local_new(size_t most) __attribute__((warn_unused_result));
void meter_local_free(struct meter_local *l);
size_t meter_local_count(const struct meter_local *l);

/* Answers as gate25_take does. Out of memory: METER_UNKNOWN. */
void meter_local_ask(
    struct meter_local *l, const char *id, const char *slot, const struct addr *destination,
    const struct question *question, const struct meter_windows *windows, double now_us,
    struct answer *out);
/* Gives the slot back and charges bytes and messages of `last`, for a subscriber that was heard of
 * here. */
void meter_local_leave(
    struct meter_local *l, const char *id, const char *slot, const struct question *last,
    const struct meter_windows *windows, double now_us);

#endif
