/* Finds the end of a message's text, the line with a dot alone, wherever reads have cut it. */
#ifndef GATE25_BENCH_SINK_DOT_H
#define GATE25_BENCH_SINK_DOT_H

#include <stdbool.h>
#include <stddef.h>

struct dot {
    unsigned matched; /* how much of CRLF . CRLF the last bytes were */
};

/* How long the last line is, which is no part of the message. */
#define DOT_LENGTH 3

/* To be called before a message's first byte: the line before it, DATA's, has ended. */
void dot_begin(struct dot *d);

/* How many of the bytes belong to the message, its last line included; `ended` says that they hold
 * that. */
size_t dot_scan(struct dot *d, const char *bytes, size_t length, bool *ended);

#endif
