/* Counters that every worker writes and the master reads: one block a worker in shared memory. */
#ifndef GATE25_BASE_METRICS_H
#define GATE25_BASE_METRICS_H

#include <stdbool.h>

#include "base/histogram.h"

enum metric {
    METRIC_SESSIONS_TOTAL,
    METRIC_SESSIONS_OPEN,
    METRIC_PASSED,
    METRIC_METERED,
    METRIC_BRIDGED, /* to a submission service that took the connection */
    METRIC_DEFERRED,
    METRIC_REFUSED,
    METRIC_SHADOWED, /* would have been deferred or refused, had the class enforce = true */
    METRIC_MESSAGES,
    METRIC_RECIPIENTS,
    METRIC_BYTES_UP,
    METRIC_BYTES_DOWN,
    METRIC_CONNECT_FAILED,
    METRIC_TIMED_OUT,
    METRIC_STORE_UP, /* 1 while Redis answers this worker */
    METRIC_STORE_FAILURES,
    METRIC_STORE_MISSED, /* monotonic ms when Redis last failed to answer a question; 0: never */
    METRIC_DENIALS_REMEMBERED,
    METRIC_PAID_AHEAD,
    METRIC_STORE_OWED,
    METRIC_STANDINGS,      /* mirrored */
    METRIC_LEASES,         /* mirrored */
    METRIC_STANDINGS_KEPT, /* in force although Redis has lost them */
    METRIC_MIRROR_SEEN,    /* monotonic ms when the mirror was last in step with Redis; 0: never */
    METRIC_JOURNAL_LINES,
    METRIC_JOURNAL_DROPPED,
    METRIC_SPF_ASKED,
    METRIC_SPF_FAILED,    /* the address may not send for the sender */
    METRIC_SPF_UNKNOWN,   /* no answer in time, or no gate25-spfd */
    METRIC_BEAT,          /* monotonic ms when the worker last had a turn of its own */
    METRIC_ACCEPT_PAUSED, /* times new connections waited: descriptors, memory, max-sessions */
    METRIC_COUNT
};

/* What is timed. */
enum latency {
    LATENCY_VERDICT, /* a command that needed answers, until the last of them was there */
    LATENCY_STORE,   /* a question to the meter, until Redis (or who stands in for it) answered */
    LATENCY_SPF,     /* a question to gate25-spfd, until it answered or the deadline passed */
    LATENCY_CONNECT, /* a connection to a server, until it was taken */
    LATENCY_COUNT
};

struct metrics {
    _Atomic uint64_t value[METRIC_COUNT];
    struct histogram latency[LATENCY_COUNT];
};

/* What the workers' values make together. */
enum metric_total { METRIC_SUM, METRIC_LEAST, METRIC_MOST };

struct metric_row {
    const char *name; /* as in gate25ctl status --json; of Prometheus with "gate25_" before it */
    const char *help;
    enum metric_total total;
};

/* The row of `m`; the names are a stable interface. */
const struct metric_row *metric_row(enum metric m);
/* False: a time that means something to this gate's processes alone. */
bool metric_is_told(enum metric m);
/* Blocks for `workers` processes in memory that children share. NULL: out of memory. */
struct metrics *metrics_new(unsigned workers);
void metrics_free(struct metrics *blocks, unsigned workers);
void metrics_add(struct metrics *block, enum metric m, int64_t n);
void metrics_set(struct metrics *block, enum metric m, uint64_t value);
/* Of all workers, as the row says. */
uint64_t metrics_total(const struct metrics *blocks, unsigned workers, enum metric m);

const struct metric_row *latency_row(enum latency l); /* `total` means nothing there */
void metrics_time(struct metrics *block, enum latency l, int64_t us);
void metrics_latency(
    const struct metrics *blocks, unsigned workers, enum latency l, struct histogram_sum *out);

#endif
