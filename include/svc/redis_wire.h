/* The Redis protocol: commands to bytes, bytes to replies. This module alone knows hiredis,
 * which reads the replies. */
#ifndef GATE25_SVC_REDIS_WIRE_H
#define GATE25_SVC_REDIS_WIRE_H

#include "base/buf.h"

struct redis_reply;
struct redisReader;

struct redis_wire {
    struct redisReader *reader; /* NULL: closed */
};

#define REDIS_WIRE_INIT ((struct redis_wire){0})

/* Appends the command of `count` words to `out`. -1: out of memory, or no words. */
int redis_wire_command(struct buf *out, const struct span *words, size_t count)
    __attribute__((warn_unused_result));

void redis_wire_fini(struct redis_wire *w);

int redis_wire_open(struct redis_wire *w) __attribute__((warn_unused_result)); /* -1: no memory */
void redis_wire_close(struct redis_wire *w); /* forgets what was fed */
int redis_wire_feed(struct redis_wire *w, struct span bytes)
    __attribute__((warn_unused_result)); /* -1: no memory */
/* The next complete reply, or NULL: none yet. -1: this is not the Redis protocol. */
int redis_wire_next(struct redis_wire *w, struct redis_reply **out)
    __attribute__((warn_unused_result));
void redis_wire_release(struct redis_reply *reply);

#endif
