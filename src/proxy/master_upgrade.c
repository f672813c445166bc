/* One gate takes over from another: the older forks the program anew and hands it the listening
 * sockets; once the younger serves them, the older closes its doors and stays until its sessions
 * have ended. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"
#include "master_internal.h"
#include "proxy/privileges.h"

#define UPGRADE_SECONDS                                                                            \
    60 /* for the younger one to listen: it may have a million standings to read */
#define SOCKETS_MOST 1024

/* What they say to one another. */
static const char serving = 'S'; /* the younger: it accepts connections */
static const char closed = 'C';  /* the older: control socket and pages are free */

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

static void retire(struct master *m)
{
    uint32_t ms = m->conf->timeouts.retire_ms;
    struct timeval limit = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    log_info("pid %ld has taken over; this gate ends with its sessions", (long)m->upgrade.pid);
    m->retired = true;
    master_close_doors(m);
    tell_asker(m, json_pack("{s:b, s:i}", "ok", 1, "pid", (int)m->upgrade.pid));
    (void)!write(m->upgrade.younger, &closed, sizeof(closed));
    let_go(&m->upgrade);
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

static void on_younger(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct master *m = context;
    char word = 0;
    ssize_t got = read(fd, &word, sizeof(word));
    if (got == sizeof(word) && word == serving) {
        retire(m);
    } else if (got >= 0 || (errno != EAGAIN && errno != EINTR)) {
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

static void become_younger(const struct master *m, int elder)
{
    int sockets[SOCKETS_MOST];
    size_t count = master_listeners(m, sockets, SOCKETS_MOST);
    sigset_t none;
    if (count <= SOCKETS_MOST && inherited_hand_on(sockets, count, elder) == 0 &&
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
            u->younger >= 0 ? "{\"error\": \"an upgrade is under way\"}"
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
    return m->doors.open(m->doors.context, error) < 0 || master_http_open(m, error) < 0 ? -1 : 0;
}

void master_close_doors(struct master *m)
{
    master_http_close(m);
    m->doors.close(m->doors.context);
}

static void open_doors(struct master *m)
{
    char array[MASTER_ERROR];
    struct text error;
    text_init(&error, array, sizeof(array));
    if (master_open_doors(m, &error) < 0) {
        log_error("%s: this gate serves without", array);
    }
}

static void on_elder(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct master *m = context;
    char word;
    ssize_t got = read(fd, &word, sizeof(word));
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    /* Its word that its doors are closed; or its end, which has closed them. */
    event_del(&m->upgrade.heard);
    close(fd);
    m->inherited.elder = -1;
    open_doors(m);
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
        evtimer_assign(&u->limit, m->base, on_limit, m) < 0) {
        return -1;
    }
    if (!master_takes_over(m)) {
        return 0;
    }
    return event_assign(&u->heard, m->base, m->inherited.elder, EV_READ | EV_PERSIST, on_elder, m) <
                       0 ||
                   event_add(&u->heard, NULL) < 0
               ? -1
               : 0;
}

void master_tell_elder(struct master *m)
{
    if (write(m->inherited.elder, &serving, sizeof(serving)) != sizeof(serving)) {
        log_warning("the older gate does not listen: %m");
    }
}

bool master_upgrade_reap(struct master *m, pid_t pid, int status)
{
    if (pid != m->upgrade.pid) {
        return false;
    }
    if (m->retired) {
        log_error("the gate that took over has ended (status %d)", status);
    }
    m->upgrade.pid = 0;
    return true;
}
