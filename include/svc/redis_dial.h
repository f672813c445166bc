/* The way to Redis: resolves the configured place and opens non-blocking connections to it. */
#ifndef GATE25_SVC_REDIS_DIAL_H
#define GATE25_SVC_REDIS_DIAL_H

#include <sys/socket.h>

#include "core/conf.h"

#define REDIS_DIAL_ADDRESSES 8

struct redis_dial {
    unsigned count; /* 0: not resolved */
    unsigned next;  /* whose turn it is */
    struct sockaddr_storage at[REDIS_DIAL_ADDRESSES];
    socklen_t len[REDIS_DIAL_ADDRESSES];
};

/* Finds the addresses of `where`; blocks for a host name. -1: `error` says why. */
int redis_dial_resolve(struct redis_dial *d, const struct conf_redis *where, struct text *error)
    __attribute__((warn_unused_result));
/* Begins a connection to the next address (resolving first where that has not worked yet): a
 * descriptor that becomes writable when connected. -1: `error` says why. */
int redis_dial_open(struct redis_dial *d, const struct conf_redis *where, struct text *error)
    __attribute__((warn_unused_result));
/* As an operator would name it: "/run/redis.sock", "redis.example:6379". */
void redis_dial_name(const struct conf_redis *where, struct text *out);

#endif
