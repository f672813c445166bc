/* One connection to one server: pipelined requests, answers with a deadline, a greeting that makes
 * the server fit for use, and a connection that comes back by itself. All transports use it. */
#ifndef GATE25_SVC_REDIS_LINK_H
#define GATE25_SVC_REDIS_LINK_H

#include "svc/redis.h"

struct tls_client_context;
struct redis_link;

/* What to say and to expect at the beginning. All texts outlive the link; empty or NULL: none. */
struct redis_greeting {
    const char *user, *password;
    unsigned database;
    const char *functions; /* Lua library to load */
    bool master;           /* a server that says to be a replica is hung up on */
};

/* The link has come up or was lost. Must not free this link. */
typedef void (*redis_link_state_cb)(void *context, struct redis_link *link, bool up);
/* A message of a channel that was subscribed to: its kind, channel and text. */
typedef void (*redis_link_push_cb)(void *context, const struct redis_reply *message);

struct redis_link_options {
    const char *path;                      /* of a unix socket; NULL or empty: the place */
    struct conf_redis_place place;         /* no host: rests until it is moved */
    struct tls_client_context *tls;        /* NULL: plain; outlives the link */
    const char *tls_name;                  /* empty: the place's host; outlives the link */
    const struct redis_greeting *greeting; /* copied */
    redis_link_state_cb state;
    redis_link_push_cb push; /* NULL: no message is expected */
    void *context;
};

/* Starts to connect at once and never gives up (100 ms to 2 s between tries). NULL: no memory. */
struct redis_link *redis_link_new(struct event_base *base, const struct redis_link_options *options)
    __attribute__((warn_unused_result));
/* Outstanding callbacks are called with NULL, then no more. Not from within this link's callbacks.
 */
void redis_link_free(struct redis_link *l); /* NULL is fine */
/* To another server, or to the same at once; takes effect in the loop's next turn. */
void redis_link_move(struct redis_link *l, const struct conf_redis_place *place);

/* As redis_is_up(). */
bool redis_link_is_up(const struct redis_link *l);
/* It has been up, or a first try has failed: no more news will come from waiting. */
bool redis_link_settled(const struct redis_link *l);
const struct conf_redis_place *redis_link_place(const struct redis_link *l);
/* Why it is not up; empty: it is. Valid until the loop's next turn. */
const char *redis_link_trouble(const struct redis_link *l);

/* As redis_call(). */
int redis_link_call(
    struct redis_link *l, const struct span *words, size_t count, uint32_t deadline_ms,
    redis_reply_cb reply, void *context, uint64_t ticket);
/* As redis_tell() and redis_send(). */
int redis_link_tell(
    struct redis_link *l, const struct span *words, size_t count, uint32_t deadline_ms,
    redis_reply_cb reply, void *context, uint64_t ticket);
void redis_link_send(struct redis_link *l);
/* As redis_call() while the connection is being made, too: then it goes out behind the greeting. */
int redis_link_call_early(
    struct redis_link *l, const struct span *words, size_t count, uint32_t deadline_ms,
    redis_reply_cb reply, void *context, uint64_t ticket);

#endif
