/* Accepts connections from a listening socket, a bounded number a turn, and rests instead of
 * spinning when descriptors or memory are short. */
#ifndef GATE25_NET_LISTENER_H
#define GATE25_NET_LISTENER_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "core/prefix.h"

#define LISTENER_BATCH   64  /* connections a turn of the loop */
#define LISTENER_REST_MS 100 /* when the kernel has no descriptor or memory for us */

/* A new connection; `fd` is non-blocking, close-on-exec and the callee's. */
typedef void (*listener_accept_cb)(void *context, int fd, const struct endpoint *peer);
/* accept4 failed for want of descriptors or memory: the listener rests. */
typedef void (*listener_rest_cb)(void *context, int error);

struct listener_options {
    listener_accept_cb accepted;
    listener_rest_cb rested;
    void *context;
};

struct listener {
    const struct listener_options *options; /* outlives the listener */
    struct event event, timer;
    int fd;
    unsigned batch; /* connections to ask for at once, at most */
    bool held;      /* listener_hold() */
};

/* `fd` listens and is non-blocking; the listener closes it. -1: out of memory. */
int listener_init(
    struct listener *l, struct event_base *base, int fd, const struct listener_options *options)
    __attribute__((warn_unused_result));
void listener_fini(struct listener *l);
/* While held, new connections wait in the kernel's queue. */
void listener_hold(struct listener *l, bool hold);

#endif
