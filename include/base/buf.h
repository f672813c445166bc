/* A byte queue on the heap that gives its memory back whenever it is empty. */
#ifndef GATE25_BASE_BUF_H
#define GATE25_BASE_BUF_H

#include "base/str.h"

struct buf {
    char *at;       /* NULL while nothing is held */
    uint32_t start; /* first byte not yet consumed */
    uint32_t end;   /* behind the last byte */
    uint32_t cap;
};

#define BUF_MOST (1u << 30)
#define BUF_INIT ((struct buf){0})

static inline size_t buf_len(const struct buf *b)
{
    return b->at ? b->end - b->start : 0;
}

static inline struct span buf_span(const struct buf *b)
{
    return (struct span){b->at ? b->at + b->start : "", buf_len(b)};
}

/* Copies `s` behind what is there. -1: out of memory, nothing changed. */
int buf_append(struct buf *b, struct span s) __attribute__((warn_unused_result));
/* Room for at least `n` bytes behind the last; the caller fills it and says so with buf_grow. NULL:
 * out of memory, or there would be more than BUF_MOST. */
char *buf_reserve(struct buf *b, size_t n) __attribute__((warn_unused_result));
void buf_grow(struct buf *b, size_t n);
void buf_consume(struct buf *b, size_t n); /* frees the memory with the last byte */
void buf_clear(struct buf *b);

#endif
