/* One gate takes over from another: the older forks the program anew and hands it the listening
 * sockets; once the younger serves them, the older closes its doors and stays until its sessions
 * have ended. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"
#include "master_internal.h"
#include "net/http_server.h"
#include "proxy/privileges.h"

#define UPGRADE_SECONDS                                                                            \
    60 /* for the younger one to listen: it may have a million standings to read */
#define GIFTS_MOST     1100 /* of them listening sockets: */
#define SOCKETS_MOST   1024
#define REPORT_SECONDS 1

/* --- the older ---------------------------------------------------------------------------------
 */

static void tell_asker(struct master *m, json_t *said)
{
    struct master_upgrade *u = &m->upgrade;
    char *line = said ? json_dumps(said, JSON_COMPACT) : NULL;
    json_decref(said);
    if (u->answer) {
        u->answer(u->answer_context, u->ticket, line ? line : "{\"error\": \"out of memory\"}");
        u->answer = NULL;
    }
    free(line);
}

static void let_go(struct master_upgrade *u)
{
    if (u->younger >= 0) {
        event_del(&u->heard);
        event_del(&u->deadline);
        event_del(&u->report);
        close(u->younger);
        u->younger = -1;
    }
}

static void fail(struct master *m, const char *why)
{
    log_error("upgrade: %s; this gate goes on", why);
    tell_asker(m, json_pack("{s:s}", "error", why));
    let_go(&m->upgrade);
}

/* Once nobody hears it, nobody needs it. */
static void report(struct master *m)
{
    char words[MASTER_WORDS];
    int len = snprintf(
        words, sizeof(words), "%c%ld %llu", MASTER_REPORT, (long)getpid(),
        (unsigned long long)metrics_total(m->metrics, m->worker_count, METRIC_SESSIONS_OPEN));
    (void)!write(m->upgrade.younger, words, (size_t)len);
}

static void on_report(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    report(context);
}

static void hand_over(struct master *m)
{
    static const struct timeval second = {.tv_sec = REPORT_SECONDS};
    const char closed[] = {MASTER_CLOSED, MASTER_DRAINED};
    master_leave_doors(m);
    report(m);
    (void)!write(m->upgrade.younger, closed, m->drained ? 2 : 1);
    (void)event_add(&m->upgrade.report, &second);
    event_del(&m->upgrade.deadline);
    master_older_close(m); /* the younger has ways of its own to them */
}

static void retire(struct master *m)
{
    uint32_t ms = m->conf->timeouts.retire_ms;
    struct timeval limit = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    log_info("pid %ld has taken over; this gate ends with its sessions", (long)m->upgrade.pid);
    m->retired = true;
    tell_asker(m, json_pack("{s:b, s:i}", "ok", 1, "pid", (int)m->upgrade.pid));
    hand_over(m);
    master_close_listeners(m);
    for (unsigned i = 0; i < m->worker_count; i++) {
        event_del(&m->workers[i].restart);
    }
    master_signal_workers(m, SIGUSR1);
    event_add(&m->upgrade.limit, &limit);
    if (!master_has_workers(m)) {
        event_base_loopbreak(m->base);
    }
}

/* False: it makes no sense. */
static bool hear(struct master *m, const char *words)
{
    if (words[0] == MASTER_SERVING && !m->retired) {
        retire(m);
    } else if (words[0] == MASTER_RELOAD && m->retired) {
        master_reload(m);
    } else if (words[0] == MASTER_REFUSES && !m->retired) {
        fail(m, words + 1);
    } else {
        return false;
    }
    return true;
}

static void on_younger(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct master *m = context;
    char words[MASTER_WORDS];
    ssize_t got = read(fd, words, sizeof(words) - 1);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    words[got > 0 ? got : 0] = '\0';
    if (got > 0 && hear(m, words)) {
        return;
    }
    if (m->retired) {
        let_go(&m->upgrade); /* it has ended, or another one has taken over from it */
    } else {
        fail(m, "the new gate ended before it served; its log says why");
    }
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct master *m = context;
    kill(m->upgrade.pid, SIGKILL);
    fail(m, "the new gate did not serve in time and was killed");
}

static void on_limit(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    log_info("the sessions that are left are asked to end");
    master_stop(context);
}

static size_t add_gifts(
    struct inherited_gift *out, size_t count, enum inherited_kind kind, const int *fds, size_t more)
{
    for (size_t i = 0; i < more && count < GIFTS_MOST; i++) {
        out[count++] = (struct inherited_gift){kind, fds[i]};
    }
    return count;
}

/* Everything that the younger one goes on with; 0: it is more than there is room for. */
static size_t gather(const struct master *m, int elder, struct inherited_gift *out)
{
    int fds[SOCKETS_MOST];
    size_t found = master_listeners(m, fds, SOCKETS_MOST);
    if (found > SOCKETS_MOST) {
        return 0;
    }
    size_t count = add_gifts(out, 0, INHERITED_LISTEN, fds, found);
    found = master_http_sockets(m, fds, SOCKETS_MOST);
    count = add_gifts(out, count, INHERITED_PAGES, fds, found);
    fds[0] = m->doors.socket(m->doors.context);
    count = add_gifts(out, count, INHERITED_CONTROL, fds, fds[0] >= 0);
    count = add_gifts(out, count, INHERITED_ELDER, &elder, 1);
    for (const struct master_older *o = m->older; o; o = o->next) {
        count = add_gifts(out, count, INHERITED_OLDER, &o->fd, 1);
    }
    return count;
}

static void become_younger(const struct master *m, int elder)
{
    struct inherited_gift gifts[GIFTS_MOST];
    size_t count = gather(m, elder, gifts);
    sigset_t none;
    if (count > 0 && inherited_hand_on(m->boot->mode, gifts, count) == 0 &&
        privileges_pass_on() == 0) {
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execl(m->upgrade.program, m->upgrade.program, "--config", m->conf_file, (char *)NULL);
    }
    log_error("upgrade: cannot run %s: %m", m->upgrade.program);
    _exit(EXIT_FAILURE);
}

static int fork_younger(struct master *m)
{
    static const struct timeval limit = {.tv_sec = UPGRADE_SECONDS};
    struct master_upgrade *u = &m->upgrade;
    int pair[2];
    sigset_t all, before;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
        return -1;
    }
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) {
        become_younger(m, pair[1]);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(pair[1]);
    if (pid < 0 ||
        event_assign(&u->heard, m->base, pair[0], EV_READ | EV_PERSIST, on_younger, m) < 0 ||
        event_add(&u->heard, NULL) < 0 || event_add(&u->deadline, &limit) < 0) {
        close(pair[0]); /* which tells a child that is there to end */
        return -1;
    }
    u->younger = pair[0];
    u->pid = pid;
    return 0;
}

void master_upgrade_json(
    void *master, const char *arguments, master_answer_cb answer, void *context, uint64_t ticket)
{
    (void)arguments;
    struct master *m = master;
    struct master_upgrade *u = &m->upgrade;
    if (u->younger >= 0 || m->retired || m->stops > 0) {
        answer(
            context, ticket,
            u->younger >= 0 && !m->retired ? "{\"error\": \"an upgrade is under way\"}"
                                           : "{\"error\": \"this gate is being stopped\"}");
        return;
    }
    u->answer = answer;
    u->answer_context = context;
    u->ticket = ticket;
    log_info("upgrade: starting %s", u->program);
    if (fork_younger(m) < 0) {
        fail(m, strerror(errno));
    }
}

/* --- the younger -------------------------------------------------------------------------------
 */

int master_open_doors(struct master *m, struct text *error)
{
    int control = inherited_take(&m->inherited, INHERITED_CONTROL, NULL);
    int result =
        m->doors.open(m->doors.context, control, error) < 0 || master_http_open(m, error) < 0 ? -1
                                                                                              : 0;
    inherited_fini(&m->inherited);
    return result;
}

void master_begin_doors(struct master *m)
{
    if (m->http) {
        http_server_hold(m->http, false);
    }
    m->doors.begin(m->doors.context);
}

void master_leave_doors(struct master *m)
{
    if (m->http) {
        http_server_leave(m->http);
    }
    m->doors.leave(m->doors.context);
}

void master_took_over(struct master *m, bool drained)
{
    m->inherited.elder = -1;
    m->drained = m->drained || drained;
    master_older_listen(m);
    master_begin_doors(m);
    master_say_ready(m);
}

bool master_takes_over(const struct master *m)
{
    return m->inherited.elder >= 0;
}

int master_upgrade_open(struct master *m)
{
    struct master_upgrade *u = &m->upgrade;
    u->younger = -1;
    ssize_t len = readlink("/proc/self/exe", u->program, sizeof(u->program) - 1);
    u->program[len > 0 ? len : 0] = '\0';
    if (evtimer_assign(&u->deadline, m->base, on_deadline, m) < 0 ||
        evtimer_assign(&u->limit, m->base, on_limit, m) < 0 ||
        event_assign(&u->report, m->base, -1, EV_PERSIST, on_report, m) < 0) {
        return -1;
    }
    return master_older_open(m);
}

void master_tell_elder(struct master *m)
{
    static const char serving = MASTER_SERVING;
    if (write(m->inherited.elder, &serving, sizeof(serving)) != sizeof(serving)) {
        log_warning("the older gate does not listen: %m");
    }
}

void master_tell_elder_why(const struct master *m, const struct text *error)
{
    char array[MASTER_ERROR];
    struct text words;
    if (!master_takes_over(m)) {
        return;
    }
    text_init(&words, array, sizeof(array));
    text_addf(&words, "%c%s", MASTER_REFUSES, error->at);
    (void)!write(m->inherited.elder, words.at, words.len);
}

bool master_upgrade_reap(struct master *m, pid_t pid, int status)
{
    if (pid != m->upgrade.pid) {
        return false;
    }
    if (m->retired && status != 0) { /* an ordinary end is that of one that was taken over from */
        log_error("the gate that took over has ended (status %d)", status);
    }
    m->upgrade.pid = 0;
    return true;
}
