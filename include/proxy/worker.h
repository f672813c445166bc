/* One of the processes that carry the sessions: an event loop, its gate and its listeners. */
#ifndef GATE25_PROXY_WORKER_H
#define GATE25_PROXY_WORKER_H

#include <sys/types.h>

#include "base/metrics.h"
#include "core/conf.h"
#include "proxy/loopguard.h"
#include "proxy/verdict_counts.h"

struct worker_setup {
    struct conf *conf;
    struct conf *boot;     /* the one that the listening sockets were made by */
    const char *conf_file; /* read anew on SIGHUP */
    unsigned number;
    const int *listeners; /* the worker closes them */
    size_t listener_count;
    struct metrics *metrics;
    struct verdict_counts *verdicts;
    struct loopguard *loopguard;
    int spf;   /* the way to gate25-spfd */
    int ready; /* a pipe: the worker's number is written to it once it listens */
    pid_t master;
};

/* Runs until SIGTERM and the last session's end. Signals are blocked when it is called, and let in
 * once somebody handles them. The exit status. */
int worker_run(const struct worker_setup *setup);

#endif
