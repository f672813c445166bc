/* Requests in the order in which Redis will answer them, with their deadlines. */
#ifndef GATE25_SVC_REDIS_QUEUE_H
#define GATE25_SVC_REDIS_QUEUE_H

#include <sys/queue.h>

#include "svc/redis.h"

#define REDIS_NEVER INT64_MAX

struct redis_request {
    TAILQ_ENTRY(redis_request) next;
    redis_reply_cb reply; /* NULL: nobody waits (any more) */
    void *context;
    uint64_t ticket;
    int64_t deadline_ms; /* REDIS_NEVER: none, or passed */
};

struct redis_queue {
    TAILQ_HEAD(redis_requests, redis_request) requests;
    size_t count;
};

void redis_queue_init(struct redis_queue *q);
/* Copies `request` behind the others. -1: out of memory. */
int redis_queue_push(struct redis_queue *q, const struct redis_request *request)
    __attribute__((warn_unused_result));
/* Takes the last one back, uncalled. */
void redis_queue_drop_last(struct redis_queue *q);
/* Gives `reply` to the first and removes it. False: there is none. */
bool redis_queue_answer(struct redis_queue *q, const struct redis_reply *reply);
/* Calls those whose deadline has passed at `now_ms` with NULL; they stay in their places, so that
 * late replies find them. Sets *next_ms to the next deadline. The number of those that passed. */
size_t redis_queue_expire(struct redis_queue *q, int64_t now_ms, int64_t *next_ms);
/* Removes all; those that still wait are called with NULL. */
void redis_queue_fail(struct redis_queue *q);

#endif
