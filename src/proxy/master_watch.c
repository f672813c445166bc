/* Workers that hang: each beats once a second, in the memory that it shares with the master. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "master_internal.h"

#define STAT_TEXT    1024
#define TIME_MOST    (UINT64_C(1) << 40)
#define BEFORE_TIMES 10 /* words between the state and the time used, proc_pid_stat(5) */

/* What the kernel says of the process. False: nothing. */
static bool look(pid_t pid, struct worker_facts *out)
{
    char path[64], text[STAT_TEXT];
    uint64_t user, kernel;
    long ticks = sysconf(_SC_CLK_TCK);
    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
    if (file) {
        fclose(file);
    }
    text[len] = '\0';
    /* The name in parentheses may hold any. */
    const char *behind = strrchr(text, ')');
    if (!behind || behind[1] != ' ' || ticks <= 0) {
        return false;
    }
    struct span words = span_of(behind + 2), state = span_word(&words);
    for (unsigned i = 0; i < BEFORE_TIMES; i++) {
        (void)span_word(&words);
    }
    if (state.len != 1 || !span_number(span_word(&words), TIME_MOST, &user) ||
        !span_number(span_word(&words), TIME_MOST, &kernel)) {
        return false;
    }
    out->state = state.at[0];
    out->cpu_ms = (int64_t)(user + kernel) * 1000 / ticks;
    return true;
}

static void end_hanging(struct master_worker *w)
{
    struct worker_facts now = {.silent_s = w->silent};
    if (look(w->pid, &now)) {
        now.cpu_ms -= w->silent_cpu_ms;
    }
    if (worker_is_to_end(&now)) {
        log_error(
            "worker %u (pid %ld) hangs: it has not answered for %u seconds, and is killed",
            w->number, (long)w->pid, w->silent);
        kill(w->pid, SIGKILL);
    }
}

static void watch(struct master_worker *w)
{
    const struct metrics *block = &w->master->metrics[w->number];
    uint64_t beat = metrics_total(block, 1, METRIC_BEAT);
    if (w->pid == 0 || !w->ready || beat != w->beat) {
        if (w->silent >= WORKER_SILENT_S && w->pid != 0) {
            log_info("worker %u (pid %ld) answers again", w->number, (long)w->pid);
        }
        w->beat = beat;
        w->silent = 0;
        return;
    }
    w->silent++;
    if (w->silent == 1) {
        struct worker_facts now = {0};
        w->silent_cpu_ms = look(w->pid, &now) ? now.cpu_ms : 0;
    }
    if (w->silent == WORKER_SILENT_S) {
        log_warning(
            "worker %u (pid %ld) has not answered for %u seconds", w->number, (long)w->pid,
            w->silent);
    }
    end_hanging(w);
}

/* Our own ticks are counted, not time: where the machine has no time for us, it has none for the
 * workers. */
static void on_watch(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct master *m = context;
    for (unsigned i = 0; i < m->worker_count; i++) {
        watch(&m->workers[i]);
    }
}

int master_watch_open(struct master *m)
{
    static const struct timeval second = {.tv_sec = 1};
    return event_assign(&m->watch, m->base, -1, EV_PERSIST, on_watch, m) < 0 ||
                   event_add(&m->watch, &second) < 0
               ? -1
               : 0;
}

unsigned master_silent_workers(const struct master *m, struct text *numbers)
{
    unsigned count = 0;
    for (unsigned i = 0; i < m->worker_count; i++) {
        if (m->workers[i].silent >= WORKER_SILENT_S) {
            text_addf(numbers, "%s%u", count > 0 ? ", " : "", i);
            count++;
        }
    }
    return count;
}
