/* What master.c, master_workers.c and master_report.c share. */
#ifndef GATE25_PROXY_MASTER_INTERNAL_H
#define GATE25_PROXY_MASTER_INTERNAL_H

#include <event2/event_struct.h>
#include <limits.h>
#include <sys/types.h>

#include "base/metrics.h"
#include "proxy/loopguard.h"
#include "proxy/master.h"
#include "svc/spf.h"

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

/* gate25-spfd, and the ways to it: pairs of sockets that outlive whoever is at their ends. */
struct master_spf {
    char program[PATH_MAX];
    pid_t pid;                /* 0: not running */
    int (*pair)[2];           /* the gate's end and the helper's: one a worker, then our own */
    size_t pairs;             /* that are open */
    struct conf_spf settings; /* that it was started with */
    int64_t started_ms;
    unsigned early_ends; /* in a row: it died within its first second */
    bool told_to_end;
    struct event restart;
    struct spf *ask; /* our own questions: gate25ctl's */
    master_answer_cb answer;
    void *answer_context;
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
    struct master_spf spf;
    int64_t started_ms;
    unsigned stops; /* times it was asked to stop */
    int status;
};

/* In the child: closes all descriptors above stderr but `keep`, which it sorts. */
void master_close_others(int *keep, size_t count);

/* Opens the ways to gate25-spfd. -1: errno. */
int master_spf_open(struct master *m) __attribute__((warn_unused_result));
void master_spf_close(struct master *m); /* ends it too */
int master_spf_socket(const struct master *m, unsigned worker);
/* Has it run, run anew or not run, as the configuration wants it now. */
void master_spf_apply(struct master *m);
/* If `pid` is its, it has ended, and is started again where it is wanted. */
void master_spf_reap(struct master *m, pid_t pid, int status);

/* Forks the worker. What cannot be forked is tried again. */
void master_start_worker(struct master_worker *w);
void master_signal_workers(struct master *m, int signal);
bool master_has_workers(const struct master *m);
/* Looks for workers that have ended, and starts them again unless the master is stopping. */
void master_reap(struct master *m);
void master_stop(struct master *m);

#endif
