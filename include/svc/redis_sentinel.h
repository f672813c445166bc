/* Follows the master that sentinels name: listens for its switch at each of them, and asks them all
 * every second, for a sentinel may have slept. */
#ifndef GATE25_SVC_REDIS_SENTINEL_H
#define GATE25_SVC_REDIS_SENTINEL_H

#include <event2/event.h>

#include "core/conf.h"

struct redis_sentinel;
struct tls_client_context;

/* The master is another one than was told last. Must not call redis_sentinel_free(). */
typedef void (*redis_sentinel_cb)(void *context, const struct conf_redis_place *master);

/* `where` (REDIS_SENTINEL) and `tls` outlive it; `speaks` as in redis_options. NULL: out of memory.
 */
struct redis_sentinel *redis_sentinel_new(
    struct event_base *base, const struct conf_redis *where, struct tls_client_context *tls,
    bool speaks, redis_sentinel_cb found, void *context) __attribute__((warn_unused_result));
void redis_sentinel_free(struct redis_sentinel *s); /* NULL is fine */
/* Asks now: what was the master does not answer. */
void redis_sentinel_ask(struct redis_sentinel *s);
/* Why no master is known, in words; empty: one is. */
const char *redis_sentinel_trouble(const struct redis_sentinel *s);

#endif
