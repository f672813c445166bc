#include "svc/redis_queue.h"

#include <stdlib.h>

void redis_queue_init(struct redis_queue *q)
{
    TAILQ_INIT(&q->requests);
    q->count = 0;
}

int redis_queue_push(struct redis_queue *q, const struct redis_request *request)
{
    struct redis_request *copy = malloc(sizeof *copy);

    if (!copy) {
        return -1;
    }
    *copy = *request;
    TAILQ_INSERT_TAIL(&q->requests, copy, next);
    q->count++;
    return 0;
}

void redis_queue_drop_last(struct redis_queue *q)
{
    struct redis_request *last = TAILQ_LAST(&q->requests, redis_requests);

    TAILQ_REMOVE(&q->requests, last, next);
    q->count--;
    free(last);
}

bool redis_queue_answer(struct redis_queue *q, const struct redis_reply *reply)
{
    struct redis_request *first = TAILQ_FIRST(&q->requests);

    if (!first) {
        return false;
    }
    TAILQ_REMOVE(&q->requests, first, next);
    q->count--;
    if (first->reply) {
        first->reply(first->context, first->ticket, reply);
    }
    free(first);
    return true;
}

size_t redis_queue_expire(struct redis_queue *q, int64_t now_ms, int64_t *next_ms)
{
    struct redis_request *request;
    size_t passed = 0;

    *next_ms = REDIS_NEVER;
    TAILQ_FOREACH(request, &q->requests, next)
    {
        if (request->deadline_ms > now_ms) {
            *next_ms = request->deadline_ms < *next_ms ? request->deadline_ms : *next_ms;
            continue;
        }
        redis_reply_cb reply = request->reply;
        request->reply = NULL;
        request->deadline_ms = REDIS_NEVER;
        passed++;
        if (reply) {
            reply(request->context, request->ticket, NULL);
        }
    }
    return passed;
}

void redis_queue_fail(struct redis_queue *q)
{
    struct redis_requests lost = TAILQ_HEAD_INITIALIZER(lost);

    /* Off the queue first: a callback may find it, empty and in order. */
    TAILQ_CONCAT(&lost, &q->requests, next);
    q->count = 0;
    while (!TAILQ_EMPTY(&lost)) {
        struct redis_request *request = TAILQ_FIRST(&lost);
        TAILQ_REMOVE(&lost, request, next);
        if (request->reply) {
            request->reply(request->context, request->ticket, NULL);
        }
        free(request);
    }
}
