/* Redis Cluster: the key's slot picks the node; redirections are followed, and the map of slots is
 * read anew whenever something tells that it is old. */
#ifndef GATE25_SVC_REDIS_CLUSTER_H
#define GATE25_SVC_REDIS_CLUSTER_H

#include "svc/redis.h"

struct redis_cluster;
struct tls_client_context;

struct redis_cluster_options {
    const struct conf_redis *where; /* REDIS_CLUSTER; outlives */
    struct tls_client_context *tls; /* NULL: plain; outlives */
    const char *functions;          /* loaded on every master; NULL: none; outlives */
    redis_state_cb state;           /* one of the masters was connected or lost */
    void *context;
    bool speaks; /* as in redis_options */
};

/* NULL: out of memory. */
struct redis_cluster *redis_cluster_new(
    struct event_base *base, const struct redis_cluster_options *options)
    __attribute__((warn_unused_result));
void redis_cluster_free(struct redis_cluster *c); /* NULL is fine; as redis_free() */

/* The slots are known, each master has been tried, and one at least is up. */
bool redis_cluster_is_up(const struct redis_cluster *c);
const char *redis_cluster_trouble(const struct redis_cluster *c);
/* As redis_call(). */
int redis_cluster_call(
    struct redis_cluster *c, const struct span *words, size_t count, uint32_t deadline_ms,
    redis_reply_cb reply, void *context, uint64_t ticket);
/* As redis_ask_replicas(); `words` is the question, WAIT. */
int redis_cluster_ask_masters(
    struct redis_cluster *c, const struct span *keys, size_t key_count, const struct span *words,
    size_t count, uint32_t deadline_ms, redis_reply_cb reply, void *context);

#endif
