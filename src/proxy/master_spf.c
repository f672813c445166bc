/* The life of gate25-spfd. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "master_internal.h"
#include "net/clock.h"

#define PROGRAM          "gate25-spfd"
#define EARLY_MS         1000
#define RESTART_FIRST_MS 100
#define RESTART_MOST_MS  30000
/* One that a signal has ended ran: what it was asked to look at may be the reason, and whoever asks
 * for that must not get rid of SPF by it. It is replaced at once, a number of times in a row, and
 * then so often at least. */
#define REPLACE_AT_ONCE  20
#define REPLACE_EVERY_MS 200
#define CANNOT_RUN       127 /* its status when it could not even be executed */
#define ARGUMENTS        (4 + 2 * CONF_RESOLVERS)

static void start(struct master *m);

/* It lies beside the program that runs here. */
static void find_program(char out[PATH_MAX])
{
    ssize_t len = readlink("/proc/self/exe", out, PATH_MAX - sizeof(PROGRAM));
    out[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(out, '/');
    memcpy(slash ? slash + 1 : out, PROGRAM, sizeof(PROGRAM));
}

static void on_restart(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct master *m = context;
    if (m->spf.pid == 0 && m->conf->spf.use != SPF_USE_OFF) {
        start(m);
    }
}

int master_spf_open(struct master *m)
{
    struct master_spf *s = &m->spf;
    size_t count = m->worker_count + 1;
    find_program(s->program);
    s->pair = calloc(count, sizeof(*s->pair));
    if (!s->pair || evtimer_assign(&s->restart, m->base, on_restart, m) < 0) {
        return -1;
    }
    for (; s->pairs < count; s->pairs++) {
        if (socketpair(
                AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, s->pair[s->pairs]) < 0) {
            return -1;
        }
    }
    return master_spf_open_ask(m, s->pair[m->worker_count][0]);
}

void master_spf_close(struct master *m)
{
    struct master_spf *s = &m->spf;
    if (s->pid > 0) {
        kill(s->pid, SIGKILL);
        (void)waitpid(s->pid, NULL, 0);
    }
    master_spf_close_ask(m);
    for (size_t i = 0; i < s->pairs; i++) {
        close(s->pair[i][0]);
        close(s->pair[i][1]);
    }
    free(s->pair);
}

int master_spf_socket(const struct master *m, unsigned worker)
{
    return m->spf.pair[worker][0];
}

/* In the child: the helper's ends become descriptors 3 and up. They may stand in each other's way,
 * so they step aside first. */
static int take_sockets(const struct master_spf *s)
{
    int first = STDERR_FILENO + 1, aside = first + (int)s->pairs;
    for (size_t i = 0; i < s->pairs; i++) {
        s->pair[i][1] = fcntl(s->pair[i][1], F_DUPFD, aside);
        if (s->pair[i][1] < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < s->pairs; i++) {
        if (dup2(s->pair[i][1], first + (int)i) < 0) {
            return -1;
        }
    }
    return close_range((unsigned)aside, ~0U, 0);
}

/* In the child. The environment may hold secrets of the configuration: it gets none of it. */
static void become_helper(const struct master *m)
{
    const struct conf_spf *conf = &m->conf->spf;
    char count[16], resolvers[CONF_RESOLVERS][ENDPOINT_TEXT], stream[64];
    const char *journal = getenv("JOURNAL_STREAM"); /* its log's form */
    char program[] = PROGRAM, sockets[] = "--sockets", resolver[] = "--resolver";
    char *arguments[ARGUMENTS] = {program, sockets, count}, *environment[2] = {NULL, NULL};
    size_t n = 3;
    (void)snprintf(count, sizeof(count), "%zu", m->spf.pairs);
    for (size_t i = 0; i < conf->resolver_count; i++) {
        endpoint_format(&conf->resolvers[i], resolvers[i]);
        arguments[n++] = resolver;
        arguments[n++] = resolvers[i];
    }
    if (journal) {
        (void)snprintf(stream, sizeof(stream), "JOURNAL_STREAM=%s", journal);
        environment[0] = stream;
    }
    sigset_t none;
    sigemptyset(&none);
    if (take_sockets(&m->spf) == 0) {
        (void)signal(SIGPIPE, SIG_DFL);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execve(m->spf.program, arguments, environment);
    }
    log_error("cannot run %s: %m", m->spf.program);
    _exit(CANNOT_RUN);
}

static void restart_in(struct master *m, int64_t ms)
{
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    if (event_add(&m->spf.restart, &wait) < 0) {
        log_error("cannot start " PROGRAM " again: out of memory");
    }
}

/* What cannot run is tried less and less often. */
static void restart_later(struct master *m)
{
    int64_t ms = RESTART_FIRST_MS;
    for (unsigned i = 1; i < m->spf.early_ends && ms < RESTART_MOST_MS; i++) {
        ms *= 2;
    }
    restart_in(m, ms < RESTART_MOST_MS ? ms : RESTART_MOST_MS);
}

static void replace(struct master *m)
{
    struct master_spf *s = &m->spf;
    int64_t now_ms = clock_monotonic_ms();
    int64_t early_ms = s->replaced_ms - now_ms - (REPLACE_AT_ONCE - 1) * REPLACE_EVERY_MS;
    s->early_ends = 0;
    s->replaced_ms = (s->replaced_ms > now_ms ? s->replaced_ms : now_ms) + REPLACE_EVERY_MS;
    if (early_ms > 0) {
        restart_in(m, early_ms);
    } else {
        master_spf_apply(m);
    }
}

static void start(struct master *m)
{
    struct master_spf *s = &m->spf;
    sigset_t all, before;
    event_del(&s->restart);
    s->settings = m->conf->spf;
    s->started_ms = clock_monotonic_ms();
    s->told_to_end = false;
    sigfillset(&all);
    /* Until the child runs its own program a signal would run the master's handlers. */
    sigprocmask(SIG_BLOCK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) {
        become_helper(m);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        log_error("cannot fork " PROGRAM ": %m");
        s->early_ends++;
        restart_later(m);
        return;
    }
    s->pid = pid;
    master_spf_watch(m);
}

static bool same_resolvers(const struct conf_spf *a, const struct conf_spf *b)
{
    if (a->resolver_count != b->resolver_count) {
        return false;
    }
    for (size_t i = 0; i < a->resolver_count; i++) {
        if (!endpoint_equal(&a->resolvers[i], &b->resolvers[i])) {
            return false;
        }
    }
    return true;
}

void master_spf_apply(struct master *m)
{
    struct master_spf *s = &m->spf;
    bool wanted = m->conf->spf.use != SPF_USE_OFF;
    if (wanted && s->pid == 0) {
        start(m);
    } else if (s->pid > 0 && (!wanted || !same_resolvers(&s->settings, &m->conf->spf))) {
        s->told_to_end = true;
        kill(s->pid, SIGKILL); /* it has nothing to tidy up */
    }
}

static void log_end(pid_t pid, int status)
{
    if (WIFSIGNALED(status)) {
        log_error(
            PROGRAM " (pid %ld) was killed by signal %d (%s): SPF waits for the next one",
            (long)pid, WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else {
        log_error(
            PROGRAM " (pid %ld) ended with status %d: SPF waits for the next one", (long)pid,
            WEXITSTATUS(status));
    }
}

void master_spf_reap(struct master *m, pid_t pid, int status)
{
    struct master_spf *s = &m->spf;
    if (pid != s->pid) {
        return;
    }
    s->pid = 0;
    if (m->stops > 0) {
        return;
    }
    if (s->told_to_end) {
        s->early_ends = 0;
        master_spf_apply(m);
        return;
    }
    log_end(pid, status);
    if (WIFSIGNALED(status)) {
        replace(m);
        return;
    }
    if (clock_monotonic_ms() - s->started_ms >= EARLY_MS) {
        s->early_ends = 0;
        master_spf_apply(m);
        return;
    }
    s->early_ends++;
    restart_later(m);
}
