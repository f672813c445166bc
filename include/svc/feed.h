/* A hash and the stream of its changes, as mirrors follow them: the questions, and what the answers
 * of both mirrors have in common. */
#ifndef GATE25_SVC_FEED_H
#define GATE25_SVC_FEED_H

#include "svc/redis.h"

/* An entry's id in a stream. */
#define FEED_POSITION 48
#define FEED_START    "0-0" /* before the first */

/* How to ask: the arguments of redis_call(). */
struct feed_request {
    struct redis *redis;
    uint32_t deadline_ms;
    redis_reply_cb reply;
    void *context;
    uint64_t ticket;
};

/* Each as redis_call(). */
int feed_ask_position(struct feed_request f, const char *stream); /* for feed_position() */
int feed_ask_first(struct feed_request f, const char *stream);    /* the oldest: for it, too */
int feed_ask_length(struct feed_request f, const char *stream);   /* entries kept: an integer */
int feed_ask_size(struct feed_request f, const char *hash);       /* fields: an integer */
int feed_ask_scan(struct feed_request f, const char *hash, struct span cursor);
/* Waits up to `block_ms` for entries behind `position`; nil: none came. */
int feed_ask_changes(
    struct feed_request f, const char *stream, const char *position, unsigned block_ms);

/* The id of the entry that one of the first two brought; FEED_START: there is none. False: the
 * reply is an error or makes no sense, as below. */
bool feed_position(const struct redis_reply *reply, char out[FEED_POSITION]);
bool feed_position_before(const char *a, const char *b);

/* Fields and values that HSCAN brought, one after the other; `cursor` is for the next question.
 * NULL: an error. */
const struct redis_reply *feed_pairs(const struct redis_reply *reply, struct span *cursor);
/* Entries that XREAD brought of its one stream. NULL: an error. */
const struct redis_reply *feed_entries(const struct redis_reply *reply);

#endif
