/* Redis on the event loop: pipelined requests, answers with a deadline, and connections that come
 * back by themselves. Whether it is one server, the master that sentinels name, or a cluster, is
 * the configuration's affair. What a cluster asks of its users: a request is about the keys of one
 * slot (those of one id: core/store_keys.h), and two requests about keys of different slots may be
 * carried out in either order. */
#ifndef GATE25_SVC_REDIS_H
#define GATE25_SVC_REDIS_H

#include <event2/event.h>

#include "core/conf.h"

struct redis;
struct redis_reply; /* valid during the callback */

/* `reply` is NULL when none came: not connected, connection lost, or the deadline passed. A reply
 * that comes after its deadline is dropped. May call redis_call(), must not call redis_free(). */
typedef void (*redis_reply_cb)(void *context, uint64_t ticket, const struct redis_reply *reply);
/* A connection was made (functions are loaded, requests may go out) or lost; `up` is what
 * redis_is_up() says now. Of a cluster each of its masters is told. Must not call redis_free(). */
typedef void (*redis_state_cb)(void *context, bool up);

struct redis_options {
    const struct conf_redis *where; /* copied */
    const char *functions;          /* Lua library to load on every connect; NULL: none. Outlives */
    redis_state_cb state;
    void *context;
    bool speaks; /* logs what sentinels and clusters say: of a program's connections one does */
};

/* Starts to connect at once and never gives up (100 ms to 2 s between tries). NULL: out of memory.
 */
struct redis *redis_new(struct event_base *base, const struct redis_options *options)
    __attribute__((warn_unused_result));
void redis_free(struct redis *r); /* outstanding callbacks are called with NULL, then no more */
/* Why it is not up, in words; empty: it is. Valid until the loop's next turn. */
const char *redis_trouble(const struct redis *r);
/* True while requests may go out (of a cluster: to one of its masters at least). Once a deadline
 * has passed it is false until anything is heard from Redis again, so that only the first requests
 * wait for a Redis that hangs. */
bool redis_is_up(const struct redis *r);

/* Sends a command of `count` words, in one write with all others of this turn of the loop to the
 * same server.
 * deadline_ms 0: none (blocking commands). `reply` may be NULL. The callback is never called from
 * within this function. -1: not up, too much is waiting already, or out of memory; the callback
 * will not be called. */
int redis_call(
    struct redis *r, const struct span *words, size_t count, uint32_t deadline_ms,
    redis_reply_cb reply, void *context, uint64_t ticket);

/* A command whose answer nobody waits for, and which may wait for others: it leaves, in its place,
 * with the next redis_call() to the same server, or after REDIS_TELL_MS, which its deadline allows
 * for. Of a cluster it leaves at once. `reply`, which may be NULL, hears whether it was carried
 * out. -1: as redis_call(). */
#define REDIS_TELL_MS 20
int redis_tell(
    struct redis *r, const struct span *words, size_t count, uint32_t deadline_ms,
    redis_reply_cb reply, void *context, uint64_t ticket);
/* What waits leaves in this turn of the loop. */
void redis_send(struct redis *r);

/* Are requests about whatever keys carried out in the order in which they were made? Not by a
 * cluster. */
bool redis_keeps_order(const struct redis *r);

/* Asks each server that holds one of the keys whether one of its replicas has got all that was
 * written before; `reply` hears of each: an integer, 0 when none has within `most_ms`, or NULL. The
 * number of them; 0: this Redis is one server, whose replicas nobody would make the master. -1:
 * they cannot be asked. Other requests to these servers wait meanwhile. */
int redis_ask_replicas(
    struct redis *r, const struct span *keys, size_t count, uint32_t most_ms, redis_reply_cb reply,
    void *context);

/* Of a reply that is not there (NULL) these tell what they tell of nil. */
bool redis_reply_is_error(const struct redis_reply *r, struct span *message);
bool redis_reply_is_nil(const struct redis_reply *r);
bool redis_reply_integer(
    const struct redis_reply *r, int64_t *out); /* integers, and numbers as text */
bool redis_reply_text(const struct redis_reply *r, struct span *out); /* strings and statuses */
size_t redis_reply_count(const struct redis_reply *r);                /* of an array, else 0 */
const struct redis_reply *redis_reply_at(
    const struct redis_reply *r, size_t i); /* NULL: not there */
/* The value of field `name` in a list of names and values (a hash, a stream's entry); empty: none.
 */
struct span redis_reply_field(const struct redis_reply *fields, const char *name);

#endif
