/* The workers' lives: fork, end, start again. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "master_internal.h"
#include "net/clock.h"
#include "proxy/worker.h"

#define EARLY_MS         1000 /* an end so soon is a fault that may come again at once */
#define RESTART_FIRST_MS 100
#define RESTART_MOST_MS  5000

static int compare(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Closes all descriptors above stderr but `keep`, which it sorts: those of the master's clients and
 * of the other workers would outlive their owners here. */
void master_close_others(int *keep, size_t count)
{
    unsigned next = STDERR_FILENO + 1;
    qsort(keep, count, sizeof(*keep), compare);
    for (size_t i = 0; i < count; i++) {
        unsigned kept = (unsigned)keep[i];
        if (kept > next) {
            close_range(next, kept - 1, 0);
        }
        next = kept + 1;
    }
    close_range(next, ~0U, 0);
}

/* In the child: nothing of the master's loop may live on here, its epoll descriptor is shared. */
static int become_worker(struct master_worker *w)
{
    struct master *m = w->master;
    size_t count = w->listener_count;
    int *keep = calloc(count + 2, sizeof(*keep));
    if (!keep || event_reinit(m->base) < 0) {
        return EXIT_FAILURE;
    }
    event_base_free(m->base);
    m->base = NULL;
    memcpy(keep, w->listeners, count * sizeof(*keep));
    keep[count] = m->ready[1];
    keep[count + 1] = master_spf_socket(m, w->number);
    master_close_others(keep, count + 2);
    free(keep);
    struct worker_setup setup = {
        .conf = m->conf,
        .boot = m->boot,
        .conf_file = m->conf_file,
        .number = w->number,
        .listeners = w->listeners,
        .listener_count = count,
        .metrics = &m->metrics[w->number],
        .verdicts = verdict_counts_of(m->verdicts, w->number),
        .loopguard = m->loopguard,
        .spf = master_spf_socket(m, w->number),
        .ready = m->ready[1],
        .master = getppid(),
    };
    return worker_run(&setup);
}

static void restart_later(struct master_worker *w)
{
    int64_t ms = RESTART_FIRST_MS;
    for (unsigned i = 1; i < w->early_ends && ms < RESTART_MOST_MS; i++) {
        ms *= 2;
    }
    if (ms > RESTART_MOST_MS) {
        ms = RESTART_MOST_MS;
    }
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    if (event_add(&w->restart, &wait) < 0) {
        log_error("cannot start worker %u again: out of memory", w->number);
    }
}

void master_start_worker(struct master_worker *w)
{
    sigset_t all, before;
    sigfillset(&all);
    /* Until the child has handlers of its own a signal would run the master's, on its behalf. */
    sigprocmask(SIG_BLOCK, &all, &before);
    w->started_ms = clock_monotonic_ms();
    pid_t pid = fork();
    if (pid == 0) {
        exit(become_worker(w));
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        log_error("cannot fork worker %u: %m", w->number);
        w->early_ends++;
        restart_later(w);
        return;
    }
    w->pid = pid;
}

void master_signal_workers(struct master *m, int signal)
{
    for (unsigned i = 0; i < m->worker_count; i++) {
        if (m->workers[i].pid > 0) {
            kill(m->workers[i].pid, signal);
        }
    }
}

unsigned master_running_workers(const struct master *m)
{
    unsigned running = 0;
    for (unsigned i = 0; i < m->worker_count; i++) {
        running += m->workers[i].pid > 0;
    }
    return running;
}

bool master_has_workers(const struct master *m)
{
    return master_running_workers(m) > 0;
}

/* What the dead one said of the present is no longer true. */
static void forget_present(struct master_worker *w)
{
    static const enum metric present[] = {METRIC_SESSIONS_OPEN, METRIC_STORE_UP,
                                          METRIC_STORE_OWED,    METRIC_STANDINGS,
                                          METRIC_LEASES,        METRIC_STANDINGS_KEPT};
    struct master *m = w->master;
    for (size_t i = 0; i < sizeof(present) / sizeof(present[0]); i++) {
        metrics_set(&m->metrics[w->number], present[i], 0);
    }
    loopguard_forget(m->loopguard, w->number);
}

static void log_end(const struct master_worker *w, pid_t pid, int status)
{
    if (WIFSIGNALED(status)) {
        log_error(
            "worker %u (pid %ld) was killed by signal %d (%s)", w->number, (long)pid,
            WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else {
        log_error(
            "worker %u (pid %ld) ended with status %d", w->number, (long)pid, WEXITSTATUS(status));
    }
}

static void on_end(struct master_worker *w, int status)
{
    struct master *m = w->master;
    pid_t pid = w->pid;
    w->pid = 0;
    w->silent = 0;
    forget_present(w);
    if (m->stops > 0 || m->retired) {
        return;
    }
    log_end(w, pid, status);
    m->deaths++;
    if (!w->ready) { /* it never came up: trying again would not mend it */
        m->status = EXIT_FAILURE;
        master_stop(m);
        return;
    }
    if (clock_monotonic_ms() - w->started_ms >= EARLY_MS) {
        w->early_ends = 0;
        master_start_worker(w);
        return;
    }
    w->early_ends++;
    restart_later(w);
}

static struct master_worker *worker_with(struct master *m, pid_t pid)
{
    for (unsigned i = 0; i < m->worker_count; i++) {
        if (m->workers[i].pid == pid) {
            return &m->workers[i];
        }
    }
    return NULL;
}

void master_reap(struct master *m)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct master_worker *w = worker_with(m, pid);
        if (w) {
            on_end(w, status);
        } else if (!master_upgrade_reap(m, pid, status)) {
            master_spf_reap(m, pid, status);
        }
    }
    if ((m->stops > 0 || m->retired) && !master_has_workers(m)) {
        event_base_loopbreak(m->base);
    }
}
