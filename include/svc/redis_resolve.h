/* Finds a host's addresses without holding up the loop: getaddrinfo(3) (so that hosts files and all
 * else that the system is told to ask count) in a thread of its own, which shares nothing with us
 * but a socket pair. */
#ifndef GATE25_SVC_REDIS_RESOLVE_H
#define GATE25_SVC_REDIS_RESOLVE_H

#include <sys/socket.h>

#include "core/conf.h"

#define REDIS_ADDRESSES 8

struct redis_addresses {
    int error; /* of getaddrinfo(); then there are none */
    unsigned count;
    struct sockaddr_storage at[REDIS_ADDRESSES];
    socklen_t len[REDIS_ADDRESSES];
};

/* An address needs no lookup: true, and `out` holds it. */
bool redis_resolve_literal(const struct conf_redis_place *place, struct redis_addresses *out);
/* A descriptor that becomes readable with the answer; closing it is allowed at any time. -1: no
 * memory, no thread. */
int redis_resolve_start(const struct conf_redis_place *place) __attribute__((warn_unused_result));
/* Takes the answer and closes the descriptor. False: it is not there yet, nothing was done. */
bool redis_resolve_take(int fd, struct redis_addresses *out);

#endif
