/* Asks the fleet's shared buckets in Redis, one round trip a question, and none where the answer is
 * known to be a refusal (core/denial.h) or tokens are in hand (core/purse.h); or, with Redis away
 * and when-down = "local", buckets of this process alone. What goes through while it is away is
 * charged to it when it is back. Decides nothing: see core/policy.h. */
#ifndef GATE25_SVC_METER_H
#define GATE25_SVC_METER_H

#include "core/facts.h"
#include "svc/redis.h"

struct meter;

/* The answer to a question of the session with this id (which may be gone by now). */
typedef void (*meter_answer_cb)(void *context, uint64_t session, const struct answer *answer);

/* Who asks. Copied where needed; valid during the call. */
struct meter_subject {
    uint64_t session; /* comes back with the answer */
    const char *id;   /* the subscriber's */
    const char *slot; /* names the session in `concurrent`: unique in the fleet. Told to Redis
                       * where `concurrent` is touched: see struct question */
    const struct addr *destination;
    const struct conf_class *class;
};

/* The library of Redis Functions that redis_options.functions wants. */
extern const char meter_functions[];

/* `redis` outlives the meter. NULL: out of memory. */
struct meter *meter_new(
    struct event_base *base, struct redis *redis, meter_answer_cb answer, void *context)
    __attribute__((warn_unused_result));
void meter_free(struct meter *m); /* answers still due are not delivered; not from an answer */

/* The answer is delivered from the loop, never from within this call, exactly once, and no later
 * than `how->deadline_ms` (plus the loop's own delay). Tokens that Redis takes after that are gone
 * all the same. `how` (when_down, deadline_ms, tokens_ahead) is not kept. -1: out of memory, no
 * answer will come. */
int meter_ask(
    struct meter *m, const struct meter_subject *subject, const struct question *question,
    const struct conf_redis *how);
/* A session of his would be refused now, as far as is known here: what meter_ask() would say. */
bool meter_is_denied(struct meter *m, const struct meter_subject *subject);
/* Forgets what is known of Redis's buckets: Redis, or the configuration, is another one. */
void meter_forget(struct meter *m);
/* Of how many subscribers Redis does not yet know all that went through while it was away. */
size_t meter_owed(const struct meter *m);
/* The process ends soon: tells Redis all of it, if it is there. */
void meter_last_words(struct meter *m);
/* The session has ended: gives its slot back and charges the bytes and messages of `last`. No
 * answer comes. */
void meter_leave(struct meter *m, const struct meter_subject *subject, const struct question *last);

#endif
