#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

#define BUF_FIRST 512

char *buf_reserve(struct buf *b, size_t n)
{
    size_t len = buf_len(b);
    if (b->cap - b->end >= n && b->at) {
        return b->at + b->end;
    }
    if (b->at && b->cap - len >= n && b->start >= len) {
        memmove(b->at, b->at + b->start, len);
        b->start = 0;
        b->end = (uint32_t)len;
        return b->at + b->end;
    }
    if (n > BUF_MOST - len) {
        return NULL;
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
    *b = (struct buf){at, 0, (uint32_t)len, (uint32_t)cap};
    return b->at + b->end;
}

void buf_grow(struct buf *b, size_t n)
{
    b->end += (uint32_t)n;
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
    if (n >= buf_len(b)) {
        buf_clear(b);
    } else {
        b->start += (uint32_t)n;
    }
}

void buf_clear(struct buf *b)
{
    free(b->at);
    *b = BUF_INIT;
}
