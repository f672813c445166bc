#include "bench/load_reply.h"

#include <string.h>

static int digit(char c, int least, int most)
{
    return c >= '0' + least && c <= '0' + most ? c - '0' : -1;
}

/* The code of a line that ends a reply, 0 of one that others follow, -1 of what is neither. */
static int line_code(const struct reply *r)
{
    int first = digit(r->head[0], 2, 5);
    int second = digit(r->head[1], 0, 9);
    int third = digit(r->head[2], 0, 9);

    if (r->head_length < REPLY_HEAD || first < 0 || second < 0 || third < 0) {
        return -1;
    }
    if (r->head[3] == '-') {
        return 0;
    }
    return r->head[3] == ' ' || r->head[3] == '\r' || r->head[3] == '\n'
               ? 100 * first + 10 * second + third
               : -1;
}

int reply_take(struct reply *r, const char *bytes, size_t length, size_t *taken)
{
    size_t at = 0;
    int code = 0;

    while (code == 0 && at < length) {
        const char *newline = memchr(bytes + at, '\n', length - at);
        size_t line = newline ? (size_t)(newline + 1 - bytes) - at : length - at;
        size_t room = sizeof r->head - r->head_length;
        size_t kept = line < room ? line : room;

        memcpy(r->head + r->head_length, bytes + at, kept);
        r->head_length = (uint8_t)(r->head_length + kept);
        at += line;
        if (newline) {
            code = line_code(r);
            r->head_length = 0;
        }
    }
    *taken += at;
    return code;
}
