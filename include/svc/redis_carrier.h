/* The way of bytes to one Redis and back, the same for unix sockets, TCP and TLS. */
#ifndef GATE25_SVC_REDIS_CARRIER_H
#define GATE25_SVC_REDIS_CARRIER_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "net/tls_client.h"
#include "svc/redis.h"

struct redis_carrier_events {
    /* Bytes from Redis. False: the carrier was closed meanwhile. */
    bool (*bytes)(void *context, struct span bytes);
    /* It is of no use any more; the receiver closes it. */
    void (*lost)(void *context, const char *why);
};

struct redis_carrier {
    const struct redis_carrier_events *events;
    void *context;
    int fd; /* -1: closed */
    bool connected;
    bool leaving; /* at the end of this turn of the loop */
    struct event readable, writable, flush;
    struct buf out;         /* commands, as Redis will read them */
    struct buf sealed;      /* the same behind TLS */
    struct tls_client *tls; /* NULL: plain */
};

void redis_carrier_init(
    struct redis_carrier *c, struct event_base *base, const struct redis_carrier_events *events,
    void *context);
/* Takes over a socket that is being connected. `tls` NULL: plain; `name` must stand in the
 * certificate. -1: out of memory, the socket is closed. */
int redis_carrier_open(
    struct redis_carrier *c, int fd, struct tls_client_context *tls, const char *name)
    __attribute__((warn_unused_result));
void redis_carrier_close(struct redis_carrier *c); /* what was not sent is forgotten */

/* Where commands are appended; redis_carrier_send() sends all of this turn of the loop at once,
 * and what had waited; redis_carrier_send_later() when that is called next, or after
 * REDIS_TELL_MS. */
struct buf *redis_carrier_out(struct redis_carrier *c);
void redis_carrier_send(struct redis_carrier *c);
void redis_carrier_send_later(struct redis_carrier *c);
size_t redis_carrier_waiting(const struct redis_carrier *c); /* bytes not yet sent */

#endif
