/* What master.c, master_workers.c and master_report.c share. */
#ifndef GATE25_PROXY_MASTER_INTERNAL_H
#define GATE25_PROXY_MASTER_INTERNAL_H

#include <event2/event_struct.h>
#include <sys/types.h>

#include "base/metrics.h"
#include "proxy/loopguard.h"
#include "proxy/master.h"

#define MASTER_ERROR 512

struct master_worker {
    struct master *master;
    unsigned number;
    pid_t pid; /* 0: not running */
    int *listeners;
    int64_t started_ms;
    unsigned early_ends; /* in a row: it died within its first second */
    bool ready;
    struct event restart;
};

struct master {
    struct event_base *base;
    struct conf *conf, *boot;
    const char *conf_file;
    struct metrics *metrics;
    struct loopguard *loopguard;
    struct master_worker *workers;
    unsigned worker_count;
    unsigned ready_count;
    int ready[2]; /* the workers' way to say that they listen */
    struct event signals[4], ready_event, kill_timer;
    int64_t started_ms;
    unsigned stops; /* times it was asked to stop */
    int status;
};

/* Forks the worker. What cannot be forked is tried again. */
void master_start_worker(struct master_worker *w);
void master_signal_workers(struct master *m, int signal);
bool master_has_workers(const struct master *m);
/* Looks for workers that have ended, and starts them again unless the master is stopping. */
void master_reap(struct master *m);
void master_stop(struct master *m);

#endif
