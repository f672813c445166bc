#include "proxy/worker.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "net/clock.h"
#include "net/listener.h"
#include "proxy/gate.h"
#include "proxy/session.h"

#define SPARE_DESCRIPTORS 64 /* for everything that is not a session */
#define LAST_WORDS_MS     20 /* for what the last sessions wrote to Redis to leave */
#define LOG_PAUSE_MS      1000
/* How long connections are left in the queue for Redis to say who is registered: a registered
 * server must not be metered because the gate has just been started. */
#define INFORM_EVERY_MS 5
#define INFORM_MOST_MS  1000
#define INFORM_COPY_MS  25 /* when the copy on disk has said it */
#define ERROR_TEXT      512

struct worker {
    const struct worker_setup *setup;
    struct gate gate;
    struct listener_options listening;
    struct listener *listeners;
    size_t listener_count; /* that are open */
    struct event terminate, retire, reload, second, drain, inform;
    int64_t started_ms;
    size_t most_sessions;
    int64_t logged_ms;
    uint64_t standings_seen; /* registry_changes() when the sessions were last looked at */
    bool held, draining, failed;
    bool retired; /* ends with its last session */
};

/* Each session needs two descriptors; an accept that cannot be carried out helps nobody. */
static size_t most_sessions(const struct conf *conf)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY) {
        return conf->max_sessions;
    }
    size_t room = limit.rlim_cur > SPARE_DESCRIPTORS + 2
                      ? (size_t)(limit.rlim_cur - SPARE_DESCRIPTORS) / 2
                      : 1;
    return room < conf->max_sessions ? room : conf->max_sessions;
}

static bool may_log(struct worker *w)
{
    int64_t now_ms = clock_monotonic_ms();
    if (w->logged_ms != 0 && now_ms - w->logged_ms < LOG_PAUSE_MS) {
        return false;
    }
    w->logged_ms = now_ms;
    return true;
}

static void on_accepted(void *context, int fd, const struct endpoint *peer)
{
    struct worker *w = context;
    if (session_start(&w->gate, fd, peer) < 0 && may_log(w)) {
        log_error("cannot begin a session: %m");
    }
}

static void on_rested(void *context, int error)
{
    struct worker *w = context;
    metrics_add(w->setup->metrics, METRIC_ACCEPT_PAUSED, 1);
    if (may_log(w)) {
        log_warning("new connections wait: %s", strerrordesc_np(error));
    }
}

static void hold_listeners(struct worker *w, bool hold)
{
    if (w->held == hold) {
        return;
    }
    w->held = hold;
    for (size_t i = 0; i < w->listener_count; i++) {
        listener_hold(&w->listeners[i], hold);
    }
    if (hold) {
        metrics_add(w->setup->metrics, METRIC_ACCEPT_PAUSED, 1);
    }
    if (hold && may_log(w)) {
        log_warning("new connections wait: %zu sessions are open", w->most_sessions);
    }
}

static void stop_soon(struct worker *w)
{
    static const struct timeval last_words = {.tv_usec = LAST_WORDS_MS * 1000};
    gate_last_words(&w->gate);
    event_base_loopexit(w->gate.base, &last_words);
}

static void on_count(void *context, size_t count)
{
    struct worker *w = context;
    hold_listeners(w, count >= w->most_sessions);
    if ((w->draining || w->retired) && count == 0) {
        stop_soon(w);
    }
}

static void close_listeners(struct worker *w)
{
    for (size_t i = 0; i < w->listener_count; i++) {
        listener_fini(&w->listeners[i]);
    }
    w->listener_count = 0;
}

static void on_terminate(evutil_socket_t signal, short what, void *context)
{
    (void)signal, (void)what;
    struct worker *w = context;
    if (w->draining) {
        sessions_abort(&w->gate.sessions);
        return;
    }
    uint32_t ms = w->gate.conf->timeouts.drain_ms;
    struct timeval limit = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    w->draining = true;
    close_listeners(w);
    sessions_shut_down(&w->gate.sessions);
    if (sessions_count(&w->gate.sessions) == 0 || event_add(&w->drain, &limit) < 0) {
        stop_soon(w);
    }
}

/* Another gate serves the listening sockets from now on. */
static void on_retire(evutil_socket_t signal, short what, void *context)
{
    (void)signal, (void)what;
    struct worker *w = context;
    w->retired = true;
    event_del(&w->inform);
    close_listeners(w);
    if (sessions_count(&w->gate.sessions) == 0) {
        stop_soon(w);
    }
}

static void on_drained(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct worker *w = context;
    sessions_abort(&w->gate.sessions);
}

/* The master has read the file too and has said what is wrong with it. */
static void on_reload(evutil_socket_t signal, short what, void *context)
{
    (void)signal, (void)what;
    struct worker *w = context;
    char array[ERROR_TEXT];
    struct text error;
    text_init(&error, array, sizeof(array));
    struct conf *conf = conf_file_read(w->setup->conf_file, &error);
    gate_reload(&w->gate, conf);
    conf_release(conf);
    w->most_sessions = most_sessions(w->gate.conf);
    hold_listeners(w, sessions_count(&w->gate.sessions) >= w->most_sessions);
}

static void look_at_standings(struct worker *w)
{
    uint64_t changes = registry_changes(w->gate.registry);
    if (changes != w->standings_seen) {
        w->standings_seen = changes;
        sessions_look_again(&w->gate.sessions);
    }
}

static void on_second(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct worker *w = context;
    metrics_set(w->setup->metrics, METRIC_BEAT, (uint64_t)clock_monotonic_ms());
    gate_tell_store(&w->gate);
    look_at_standings(w);
    metrics_set(w->setup->metrics, METRIC_STANDINGS, registry_size(w->gate.registry));
    metrics_set(w->setup->metrics, METRIC_LEASES, registry_leases(w->gate.registry));
    metrics_set(w->setup->metrics, METRIC_STANDINGS_KEPT, registry_kept(w->gate.registry));
    if (registry_is_current(w->gate.registry)) {
        metrics_set(w->setup->metrics, METRIC_MIRROR_SEEN, (uint64_t)clock_monotonic_ms());
    }
}

static int open_listeners(struct worker *w)
{
    w->listening = (struct listener_options){on_accepted, on_rested, w};
    w->listeners = calloc(w->setup->listener_count, sizeof(*w->listeners));
    for (size_t i = 0; w->listeners && i < w->setup->listener_count; i++) {
        struct listener *l = &w->listeners[i];
        if (listener_init(l, w->gate.base, w->setup->listeners[i], &w->listening) < 0) {
            return -1;
        }
        w->listener_count++;
    }
    return w->listeners ? 0 : -1;
}

static int listen_and_tell(struct worker *w)
{
    unsigned number = w->setup->number;
    if (open_listeners(w) < 0) {
        return -1;
    }
    bool told = write(w->setup->ready, &number, sizeof(number)) == sizeof(number);
    close(w->setup->ready);
    return told ? 0 : -1;
}

static void on_inform(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct worker *w = context;
    int64_t most_ms = gate_has_standings(&w->gate) ? INFORM_COPY_MS : INFORM_MOST_MS;
    if (!gate_is_informed(&w->gate) && clock_monotonic_ms() - w->started_ms < most_ms) {
        return;
    }
    event_del(&w->inform);
    if (!w->draining && listen_and_tell(w) < 0) {
        log_error("worker %u: cannot begin to listen: %m", w->setup->number);
        w->failed = true;
        event_base_loopbreak(w->gate.base);
    }
}

static int open_events(struct worker *w)
{
    static const struct timeval second = {.tv_sec = 1};
    static const struct timeval soon = {.tv_usec = INFORM_EVERY_MS * 1000};
    struct event_base *base = w->gate.base;
    if (evsignal_assign(&w->terminate, base, SIGTERM, on_terminate, w) < 0 ||
        evsignal_assign(&w->retire, base, SIGUSR1, on_retire, w) < 0 ||
        evsignal_assign(&w->reload, base, SIGHUP, on_reload, w) < 0 ||
        evtimer_assign(&w->drain, base, on_drained, w) < 0 ||
        event_assign(&w->second, base, -1, EV_PERSIST, on_second, w) < 0 ||
        event_assign(&w->inform, base, -1, EV_PERSIST, on_inform, w) < 0) {
        return -1;
    }
    return event_add(&w->terminate, NULL) < 0 || event_add(&w->retire, NULL) < 0 ||
                   event_add(&w->reload, NULL) < 0 || event_add(&w->second, &second) < 0 ||
                   event_add(&w->inform, &soon) < 0
               ? -1
               : 0;
}

static int open_all(struct worker *w)
{
    const struct worker_setup *setup = w->setup;
    struct gate_setup gate = {
        .base = w->gate.base,
        .conf = setup->conf,
        .boot = setup->boot,
        .worker = setup->number,
        .metrics = setup->metrics,
        .verdicts = setup->verdicts,
        .loopguard = setup->loopguard,
        .spf = setup->spf,
        .counted = on_count,
        .context = w,
    };
    if (gate_init(&w->gate, &gate) < 0 || open_events(w) < 0) {
        log_error("worker %u: out of memory", setup->number);
        return -1;
    }
    return 0;
}

static void close_all(struct worker *w)
{
    close_listeners(w);
    free(w->listeners);
    gate_fini(&w->gate);
    event_del(&w->terminate);
    event_del(&w->retire);
    event_del(&w->reload);
    event_del(&w->second);
    event_del(&w->drain);
    event_del(&w->inform);
}

static void let_signals_in(void)
{
    sigset_t none;
    sigemptyset(&none);
    (void)signal(SIGINT, SIG_IGN); /* a terminal sends it to all; the master's word counts */
    (void)signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int serve(struct worker *w)
{
    if (open_all(w) < 0) {
        return EXIT_FAILURE;
    }
    let_signals_in();
    if (event_base_dispatch(w->gate.base) < 0) {
        log_error("worker %u: the event loop failed", w->setup->number);
        return EXIT_FAILURE;
    }
    return w->failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Changes of one turn of the loop are told to the kernel together: two of one connection in one
 * call. No descriptor is watched under two numbers, which this would not stand. */
static struct event_base *new_base(void)
{
    struct event_base *base = NULL;
    struct event_config *how = event_config_new();
    if (how && event_config_set_flag(how, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) == 0) {
        base = event_base_new_with_config(how);
    }
    if (how) {
        event_config_free(how);
    }
    return base;
}

int worker_run(const struct worker_setup *setup)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != setup->master) {
        return EXIT_FAILURE; /* it died before we could ask to be told */
    }
    struct worker w = {
        .setup = setup,
        .most_sessions = most_sessions(setup->conf),
        .started_ms = clock_monotonic_ms(),
    };
    struct event_base *base = new_base();
    if (!base) {
        log_error("worker %u: out of memory", setup->number);
        return EXIT_FAILURE;
    }
    w.gate.base = base;
    int status = serve(&w);
    close_all(&w);
    event_base_free(base);
    return status;
}
