/* Opens non-blocking sockets to a Redis. */
#ifndef GATE25_SVC_REDIS_DIAL_H
#define GATE25_SVC_REDIS_DIAL_H

#include "svc/redis_resolve.h"

/* -1: `error` says why. */
int redis_dial_path(const char *path, struct text *error) __attribute__((warn_unused_result));
/* Begins a connection to one of the addresses, another with each number of `try`. */
int redis_dial_tcp(const struct redis_addresses *to, unsigned try, struct text *error)
    __attribute__((warn_unused_result));

#endif
