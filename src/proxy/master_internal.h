/* What master.c, master_workers.c and master_report.c share. */
#ifndef GATE25_PROXY_MASTER_INTERNAL_H
#define GATE25_PROXY_MASTER_INTERNAL_H

#include <event2/event_struct.h>
#include <limits.h>
#include <sys/types.h>

#include "base/metrics.h"
#include "proxy/health.h"
#include "proxy/inherited.h"
#include "proxy/loopguard.h"
#include "proxy/master.h"
#include "proxy/metrics_page.h"
#include "svc/spf.h"

#define MASTER_ERROR 512

struct master_worker {
    struct master *master;
    unsigned number;
    pid_t pid; /* 0: not running */
    int *listeners;
    size_t listener_count;
    int64_t started_ms;
    unsigned early_ends; /* in a row: it died within its first second */
    bool ready;
    struct event restart;
    /* master_watch.c: */
    uint64_t beat;         /* METRIC_BEAT at the last tick */
    unsigned silent;       /* ticks in a row without another beat */
    int64_t silent_cpu_ms; /* that it had used when they began */
};

/* gate25-spfd, and the ways to it: pairs of sockets that outlive whoever is at their ends. */
struct master_spf {
    char program[PATH_MAX];
    pid_t pid;                /* 0: not running */
    int (*pair)[2];           /* the gate's end and the helper's: one a worker, then our own */
    size_t pairs;             /* that are open */
    struct conf_spf settings; /* that it was started with */
    int64_t started_ms;
    unsigned early_ends; /* in a row: it gave up within its first second */
    int64_t replaced_ms; /* when its replacements so far would be due, had they come evenly */
    bool told_to_end;
    struct event restart, watch;
    struct spf *ask; /* our own questions: gate25ctl's, and the watch's */
    uint64_t heard;  /* spf_heard() at the watch's last tick */
    unsigned silent; /* ticks in a row without an answer */
    bool answers;    /* it has answered since it was started */
    master_answer_cb answer;
    void *answer_context;
};

/* A gate that was taken over from and still has sessions, and the way to it. The last one is the
 * elder until it has closed its doors. */
struct master_older {
    struct master *master;
    struct master_older *next;
    int fd;
    pid_t pid; /* 0: it has not said yet */
    uint64_t sessions;
    struct event heard;
};

/* The handing over to a younger gate, and from an older one. */
struct master_upgrade {
    char program[PATH_MAX]; /* where this one was started from: a newer one may lie there now */
    pid_t pid;              /* the younger; 0: there is none */
    int younger;            /* the way to it, which has not taken over yet unless `retired`; -1 */
    struct event heard, deadline, limit, report;
    master_answer_cb answer; /* who asked for it */
    void *answer_context;
    uint64_t ticket;
};

struct master {
    struct event_base *base;
    struct conf *conf, *boot;
    const char *conf_file;
    struct metrics *metrics;
    struct verdict_counts *verdicts;
    struct loopguard *loopguard;
    struct master_worker *workers;
    unsigned worker_count;
    unsigned ready_count;
    int ready[2]; /* the workers' way to say that they listen */
    struct event signals[4], ready_event, kill_timer, watch;
    struct master_spf spf;
    struct inherited inherited;
    struct master_upgrade upgrade;
    struct master_older *older;
    struct master_doors doors;
    struct http_server *http; /* NULL: the configuration names no place */
    int64_t started_ms;
    unsigned stops;     /* times it was asked to stop */
    uint64_t deaths;    /* of workers, that nobody had asked for */
    bool retired;       /* a younger gate has taken over; the workers end with their sessions */
    bool drained;       /* the operator wants no more traffic sent here */
    bool reload_failed; /* the last one; an older configuration is in use */
    int status;
};

/* In the child: closes all descriptors above stderr but `keep`, which it sorts. */
void master_close_others(int *keep, size_t count);

/* Opens the ways to gate25-spfd. -1: errno. */
int master_spf_open(struct master *m) __attribute__((warn_unused_result));
void master_spf_close(struct master *m); /* ends it too */
int master_spf_socket(const struct master *m, unsigned worker);
/* master_spf_ask.c: our own end of the ways. -1: errno. */
int master_spf_open_ask(struct master *m, int socket) __attribute__((warn_unused_result));
void master_spf_close_ask(struct master *m);
/* It has just been started: watch it, and kill it once it hangs. */
void master_spf_watch(struct master *m);
/* Has it run, run anew or not run, as the configuration wants it now. */
void master_spf_apply(struct master *m);
/* If `pid` is its, it has ended, and is started again where it is wanted. */
void master_spf_reap(struct master *m, pid_t pid, int status);

/* Forks the worker. What cannot be forked is tried again. */
void master_start_worker(struct master_worker *w);
unsigned master_running_workers(const struct master *m);
void master_signal_workers(struct master *m, int signal);
bool master_has_workers(const struct master *m);
/* Looks for workers that have ended, and starts them again unless the master is stopping. */
void master_reap(struct master *m);
void master_stop(struct master *m);
/* Reads the configuration anew, has the workers do so, and the older gates. */
void master_reload(struct master *m);
/* Every worker listens, and the doors are open: says so to whoever waits for it. */
void master_say_ready(const struct master *m);

/* Looks at every worker's beat from now on, and kills those that hang. -1: out of memory. */
int master_watch_open(struct master *m) __attribute__((warn_unused_result));
/* Workers that have not answered for WORKER_SILENT_S; appends their numbers. */
unsigned master_silent_workers(const struct master *m, struct text *numbers);

/* Takes the inherited listening sockets, opens what is missing. -1: `error` says why. */
int master_open_listeners(struct master *m, struct text *error) __attribute__((warn_unused_result));
void master_close_listeners(struct master *m);
/* All of them into `out`, as many as there is room for; their number. */
size_t master_listeners(const struct master *m, int *out, size_t room);

/* -1: out of memory. */
int master_upgrade_open(struct master *m) __attribute__((warn_unused_result));
bool master_takes_over(const struct master *m); /* and the older gate still has its doors open */
void master_tell_elder(struct master *m);       /* that every worker listens */
/* The older gate serves no more, or is gone: this one is the one. */
void master_took_over(struct master *m, bool drained);
/* That this gate cannot take over; nothing where there is no older one. */
void master_tell_elder_why(const struct master *m, const struct text *error);
bool master_upgrade_reap(struct master *m, pid_t pid, int status); /* false: not the younger gate */

/* Serves what metrics.listen asks for. -1: `error` says why. */
int master_http_open(struct master *m, struct text *error) __attribute__((warn_unused_result));
void master_http_close(struct master *m);
/* The listening sockets into `out`, as many as there is room for; their number. */
size_t master_http_sockets(const struct master *m, int *out, size_t room);
/* These pages, and what else there is one place for, of which nobody is served before they begin.
 * -1: `error` says why. */
int master_open_doors(struct master *m, struct text *error) __attribute__((warn_unused_result));
void master_begin_doors(struct master *m);
void master_leave_doors(struct master *m);

/* What gates of one chain of upgrades say to one another, a message each. */
#define MASTER_SERVING 'S' /* the younger: it accepts connections */
#define MASTER_REFUSES 'R' /* the younger: it cannot; the reason follows */
#define MASTER_RELOAD  'L' /* the younger: the configuration is to be read anew */
#define MASTER_CLOSED  'C' /* the older: the doors are the younger's; MASTER_DRAINED may follow */
#define MASTER_DRAINED 'D'
#define MASTER_REPORT  'N' /* the older: its pid and sessions follow */
#define MASTER_WORDS   512 /* bytes of the longest, with a NUL */

/* Takes in the ways to the older gates that this one was started with. -1: out of memory. */
int master_older_open(struct master *m) __attribute__((warn_unused_result));
/* They speak to this gate from now on. */
void master_older_listen(struct master *m);
void master_older_close(struct master *m);
/* They write to the journal's file too. */
void master_older_reload(struct master *m);
unsigned master_older_count(const struct master *m);
uint64_t master_older_sessions(const struct master *m);

/* Adds why, "; " between. */
enum health master_health(const struct master *m, struct text *reasons);
/* Appends the page that Prometheus reads. -1: out of memory. */
int master_metrics(const struct master *m, struct buf *out) __attribute__((warn_unused_result));

#endif
