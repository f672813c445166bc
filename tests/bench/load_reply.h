/* A client's view of replies (RFC 5321, section 4.2), wherever reads have cut them. */
#ifndef GATE25_BENCH_LOAD_REPLY_H
#define GATE25_BENCH_LOAD_REPLY_H

#include <stddef.h>
#include <stdint.h>

/* As much of a line as tells its code, and whether another follows. */
#define REPLY_HEAD 4

struct reply {
    uint8_t head_length;
    char head[REPLY_HEAD];
};

/* Takes bytes up to the end of a reply, or all of them, and adds to `taken`. The reply's code, 0 if
 * more bytes are needed, or -1 if what has come is no reply. */
int reply_take(struct reply *r, const char *bytes, size_t length, size_t *taken);

#endif
