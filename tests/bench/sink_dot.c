#include "bench/sink_dot.h"

#include <string.h>

static const char last_line[] = "\r\n.\r\n";

enum { AFTER_CR = 1, AFTER_CRLF = 2, AFTER_DOT = 3, ALL = sizeof last_line - 1 };

void dot_begin(struct dot *d)
{
    d->matched = AFTER_CRLF;
}

static unsigned step(unsigned matched, char c)
{
    if (c == last_line[matched]) {
        return matched + 1;
    }
    return c == '\r' ? AFTER_CR : 0;
}

/* Goes on from where nothing has matched. Dots are rare in texts, and memchr is faster than any
 * loop. */
static size_t skip(struct dot *d, const char *bytes, size_t at, size_t length)
{
    for (;;) {
        const char *dot = memchr(bytes + at, '.', length - at);
        size_t end = dot ? (size_t)(dot - bytes) : length;
        size_t before = end - at;

        if (before >= 2 && bytes[end - 2] == '\r' && bytes[end - 1] == '\n') {
            d->matched = dot ? AFTER_DOT : AFTER_CRLF;
            return dot ? end + 1 : end;
        }
        if (!dot) {
            d->matched = before >= 1 && bytes[end - 1] == '\r' ? AFTER_CR : 0;
            return end;
        }
        at = end + 1;
    }
}

size_t dot_scan(struct dot *d, const char *bytes, size_t length, bool *ended)
{
    size_t at = 0;

    while (at < length && d->matched < ALL) {
        if (d->matched == 0) {
            at = skip(d, bytes, at, length);
        } else {
            d->matched = step(d->matched, bytes[at++]);
        }
    }
    *ended = d->matched == ALL;
    return at;
}
