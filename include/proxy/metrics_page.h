/* What the gate counts, as Prometheus reads it (text format 0.0.4). */
#ifndef GATE25_PROXY_METRICS_PAGE_H
#define GATE25_PROXY_METRICS_PAGE_H

#include "base/buf.h"
#include "base/metrics.h"
#include "proxy/verdict_counts.h"

#define METRICS_PAGE_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics_page {
    const struct metrics *metrics; /* a block for each of `workers` */
    const struct verdict_counts *verdicts;
    unsigned workers, running;  /* that there should be, and that there are */
    unsigned silent;            /* of these, that do not answer */
    uint64_t deaths;            /* of workers, that nobody had asked for */
    int64_t now_ms, started_ms; /* monotonic */
    bool reload_failed;         /* the configuration in use is not what the file says */
    bool stopping;
    bool drained; /* gate25ctl drain */
    bool spf_wanted, spf_running;
    unsigned older_gates; /* that were taken over from and still have sessions: */
    uint64_t older_sessions;
};

/* Appends the page. -1: out of memory. */
int metrics_page_write(const struct metrics_page *p, struct buf *out)
    __attribute__((warn_unused_result));

#endif
