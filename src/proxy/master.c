#include "master_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"
#include "net/clock.h"
#include "net/intercept.h"
#include "proxy/privileges.h"
#include "svc/conf_file.h"
#include "svc/conf_warnings.h"

#define KILL_GRACE_MS 5000 /* behind drain_ms, which is the workers' own business */
#define KILL_SOON_MS  1000 /* asked a second time */
#define WORKERS_MOST  256

static void arm_kill(struct master *m, int64_t ms)
{
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    event_add(&m->kill_timer, &wait);
}

/* systemd hears of the gate that has taken over. */
static void notify(const struct master *m, const char *state)
{
    if (!m->retired) {
        sd_notify(0, state);
    }
}

void master_stop(struct master *m)
{
    m->stops++;
    if (m->stops == 1) {
        log_info("stopping");
        notify(m, "STOPPING=1");
        master_close_listeners(m);
        arm_kill(m, m->conf->timeouts.drain_ms + KILL_GRACE_MS);
    } else {
        arm_kill(m, KILL_SOON_MS);
    }
    for (unsigned i = 0; i < m->worker_count; i++) {
        event_del(&m->workers[i].restart);
    }
    master_signal_workers(m, SIGTERM);
    if (!master_has_workers(m)) {
        event_base_loopbreak(m->base);
    }
}

static void on_stop(evutil_socket_t signal, short what, void *context)
{
    (void)signal, (void)what;
    master_stop(context);
}

static void on_kill_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct master *m = context;
    log_warning("workers that did not end in time are killed");
    master_signal_workers(m, SIGKILL);
}

static void on_child(evutil_socket_t signal, short what, void *context)
{
    (void)signal, (void)what;
    master_reap(context);
}

static void log_a_warning(void *context, const char *words)
{
    (void)context;
    log_warning("configuration: %s", words);
}

/* False: the old configuration stays and `error` says why. */
static bool reload(struct master *m, struct text *error, struct text *restart)
{
    char begun[64];
    (void)snprintf(
        begun, sizeof(begun), "RELOADING=1\nMONOTONIC_USEC=%lld",
        (long long)clock_monotonic_ms() * 1000);
    notify(m, begun);
    struct conf *conf = conf_file_read(m->conf_file, error);
    m->reload_failed = !conf;
    if (conf) {
        conf_needs_restart(m->boot, conf, restart);
        conf_release(m->conf);
        m->conf = conf;
        conf_warnings(conf, log_a_warning, NULL);
        master_spf_apply(m);
    }
    master_signal_workers(m, SIGHUP); /* a bad file too: the journal is to be opened anew */
    master_older_reload(m);
    if (!conf) {
        log_error("the old configuration stays: %s", error->at);
    } else if (restart->len > 0) {
        log_warning("configuration read anew, but takes a restart: %s", restart->at);
    } else {
        log_info("configuration read anew");
    }
    notify(m, "READY=1");
    return conf != NULL;
}

void master_reload(struct master *m)
{
    char error_array[MASTER_ERROR], restart_array[MASTER_ERROR];
    struct text error, restart;
    text_init(&error, error_array, sizeof(error_array));
    text_init(&restart, restart_array, sizeof(restart_array));
    (void)reload(m, &error, &restart);
}

static void on_reload(evutil_socket_t signal, short what, void *context)
{
    (void)signal, (void)what;
    master_reload(context);
}

char *master_reload_json(void *master)
{
    char error_array[MASTER_ERROR], restart_array[MASTER_ERROR];
    struct text error, restart;
    text_init(&error, error_array, sizeof(error_array));
    text_init(&restart, restart_array, sizeof(restart_array));
    bool ok = reload(master, &error, &restart);
    json_t *said = ok ? json_pack("{s:b, s:s}", "ok", 1, "restart", restart_array)
                      : json_pack("{s:b, s:s}", "ok", 0, "error", error_array);
    char *line = said ? json_dumps(said, JSON_COMPACT) : NULL;
    json_decref(said);
    return line;
}

void master_say_ready(const struct master *m)
{
    sd_notifyf(0, "READY=1\nMAINPID=%ld", (long)getpid());
    log_info("ready: %u workers", m->worker_count);
}

static void become_ready(struct master *m)
{
    if (master_takes_over(m)) {
        master_tell_elder(m);
    } else {
        master_say_ready(m);
    }
}

static void on_ready(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct master *m = context;
    unsigned number;
    while (read(fd, &number, sizeof(number)) == sizeof(number)) {
        if (number >= m->worker_count || m->workers[number].ready) {
            continue;
        }
        m->workers[number].ready = true;
        m->ready_count++;
        if (m->ready_count == m->worker_count) {
            become_ready(m);
        }
    }
}

static void on_restart(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    master_start_worker(context);
}

static int open_workers(struct master *m, struct text *error)
{
    m->workers = calloc(m->worker_count, sizeof(*m->workers));
    for (unsigned i = 0; m->workers && i < m->worker_count; i++) {
        struct master_worker *w = &m->workers[i];
        w->master = m;
        w->number = i;
        if (evtimer_assign(&w->restart, m->base, on_restart, w) < 0) {
            text_addf(error, "out of memory");
            return -1;
        }
    }
    return m->workers ? 0 : -1;
}

static int open_events(struct master *m)
{
    static const struct {
        int signal;
        event_callback_fn call;
    } handled[] = {{SIGTERM, on_stop}, {SIGINT, on_stop}, {SIGHUP, on_reload}, {SIGCHLD, on_child}};
    if (pipe2(m->ready, O_CLOEXEC | O_NONBLOCK) < 0 ||
        event_assign(&m->ready_event, m->base, m->ready[0], EV_READ | EV_PERSIST, on_ready, m) <
            0 ||
        event_add(&m->ready_event, NULL) < 0 ||
        evtimer_assign(&m->kill_timer, m->base, on_kill_timer, m) < 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++) {
        struct event *e = &m->signals[i];
        if (evsignal_assign(e, m->base, handled[i].signal, handled[i].call, m) < 0 ||
            event_add(e, NULL) < 0) {
            return -1;
        }
    }
    (void)signal(SIGPIPE, SIG_IGN);
    return 0;
}

static unsigned count_workers(const struct conf *conf)
{
    long wanted = conf->workers ? (long)conf->workers : sysconf(_SC_NPROCESSORS_ONLN);
    return wanted < 1 ? 1 : wanted > WORKERS_MOST ? WORKERS_MOST : (unsigned)wanted;
}

static int open_all(struct master *m, struct text *error)
{
    m->base = event_base_new();
    m->metrics = metrics_new(m->worker_count);
    m->verdicts = verdict_counts_new(m->worker_count);
    m->loopguard = loopguard_new(m->worker_count, m->conf->max_sessions, LOOPGUARD_WAIT_MS);
    if (!m->base || !m->metrics || !m->verdicts || !m->loopguard || open_events(m) < 0 ||
        master_spf_open(m) < 0 || inherited_read(&m->inherited, m->conf, error) < 0 ||
        master_upgrade_open(m) < 0 || master_watch_open(m) < 0) {
        if (error->len == 0) {
            text_addf(error, "cannot start: %s", strerror(errno));
        }
        return -1;
    }
    return open_workers(m, error) < 0 || master_open_listeners(m, error) < 0 ? -1 : 0;
}

struct master *master_new(
    struct conf *conf, const char *conf_file, const struct master_doors *doors, struct text *error)
{
    struct master *m = calloc(1, sizeof(*m));
    if (!m) {
        text_addf(error, "out of memory");
        return NULL;
    }
    m->conf = conf_hold(conf);
    m->boot = conf_hold(conf);
    m->conf_file = conf_file;
    m->worker_count = count_workers(conf);
    m->started_ms = clock_monotonic_ms();
    m->ready[0] = m->ready[1] = -1;
    m->inherited.elder = -1;
    m->doors = *doors;
    privileges_raise_descriptors();
    if (open_all(m, error) < 0) {
        master_tell_elder_why(m, error);
        master_free(m);
        return NULL;
    }
    return m;
}

void master_free(struct master *m)
{
    master_close_listeners(m);
    free(m->workers);
    if (m->ready[0] >= 0) {
        close(m->ready[0]);
        close(m->ready[1]);
    }
    master_http_close(m);
    master_spf_close(m);
    master_older_close(m);
    inherited_fini(&m->inherited);
    if (m->base) {
        event_base_free(m->base);
    }
    loopguard_free(m->loopguard);
    metrics_free(m->metrics, m->worker_count);
    verdict_counts_free(m->verdicts, m->worker_count);
    conf_release(m->conf);
    conf_release(m->boot);
    free(m);
}

struct event_base *master_base(struct master *m)
{
    return m->base;
}

static int give_up(const struct master *m, const struct text *error)
{
    log_error("%s", error->at);
    master_tell_elder_why(m, error);
    return EXIT_FAILURE;
}

int master_run(struct master *m)
{
    char array[MASTER_ERROR];
    struct text error;
    text_init(&error, array, sizeof(array));
    if (master_open_doors(m, &error) < 0) {
        return give_up(m, &error);
    }
    if (privileges_drop(
            m->boot->mode == INTERCEPT_TPROXY ? PRIVILEGE_NET_RAW : PRIVILEGE_NONE,
            "mode = \"tproxy\"", &error) < 0) {
        return give_up(m, &error);
    }
    if (!master_takes_over(m)) {
        master_begin_doors(m);
    }
    for (unsigned i = 0; i < m->worker_count; i++) {
        master_start_worker(&m->workers[i]);
    }
    master_spf_apply(m);
    if (event_base_dispatch(m->base) < 0) {
        log_error("the event loop failed");
        return EXIT_FAILURE;
    }
    return m->status;
}
