#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

#define BUF_FIRST 512

size_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}

struct span buf_span(const struct buf *b)
{
    return (struct span){b->at ? b->at + b->start : "", buf_len(b)};
}

char *buf_reserve(struct buf *b, size_t n)
{
    size_t len = buf_len(b);
    if (b->cap - b->end >= n && b->at) {
        return b->at + b->end;
    }
    if (b->at && b->cap - len >= n && b->start >= len) {
        memmove(b->at, b->at + b->start, len);
        b->start = 0;
        b->end = len;
        return b->at + b->end;
    }
    size_t cap = b->cap ? b->cap : BUF_FIRST;
    while (cap < len + n) {
        cap *= 2;
    }
    char *at = malloc(cap);
    if (!at) {
        return NULL;
    }
    if (b->at && len > 0) {
        memcpy(at, b->at + b->start, len);
    }
    free(b->at);
    *b = (struct buf){at, 0, len, cap};
    return b->at + b->end;
}

void buf_grow(struct buf *b, size_t n)
{
    b->end += n;
}

int buf_append(struct buf *b, struct span s)
{
    if (s.len == 0) {
        return 0;
    }
    char *to = buf_reserve(b, s.len);
    if (!to) {
        return -1;
    }
    memcpy(to, s.at, s.len);
    buf_grow(b, s.len);
    return 0;
}

void buf_consume(struct buf *b, size_t n)
{
    b->start += n;
    if (b->start >= b->end) {
        buf_clear(b);
    }
}

void buf_clear(struct buf *b)
{
    free(b->at);
    *b = BUF_INIT;
}
