/* Figures as Prometheus reads them (text format 0.0.4). All names begin with "gate25_", which is
 * added here. */
#ifndef GATE25_BASE_METRICS_TEXT_H
#define GATE25_BASE_METRICS_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct metrics_text {
    struct buf *out;
    bool failed; /* out of memory: what is in `out` is not whole */
};

/* A line, or several, as they are. */
void __attribute__((format(printf, 2, 3)))
metrics_text_add(struct metrics_text *t, const char *format, ...);
/* What a figure is; `type` is "counter", "gauge" or "histogram". */
void metrics_text_head(
    struct metrics_text *t, const char *name, const char *help, const char *type);
/* A figure without labels; it is a counter if its name ends in "_total", else a gauge. */
void metrics_text_value(struct metrics_text *t, const char *name, const char *help, uint64_t value);

#endif
