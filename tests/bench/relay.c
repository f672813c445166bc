/* The least that relays, as a yardstick: what any proxy in user space takes that leaves the packets
 * to the kernel. Use: relay PORT PROCESSES
 *
 * It takes what TPROXY hands to PORT of loopback, connects to where the client wanted to go, from
 * the client's own address, and passes on what comes. Nothing else: no deadline, no log, no buffer;
 * a session whose other end cannot take at once what there is for it ends. Each process has
 * listening sockets of its own, as gate25d's workers have. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/address.h"
#include "bench/machine.h"
#include "bench/words.h"

#define BACKLOG        4096
#define EVENTS_AT_ONCE 256
#define FILES_WANTED   65536
#define FAMILIES       2
#define PROCESSES_MOST 64
#define READ_AT_ONCE   65536

struct session;

struct end {
    struct session *session; /* NULL: a listening socket */
    struct end *other;
    int fd;
    bool said_all;
};

struct session {
    struct end client, server;
    SLIST_ENTRY(session) next; /* of those that are over: events of this turn may still name them */
    bool over;
};

SLIST_HEAD(sessions, session);

struct relay {
    int poll;
    struct sessions over;
    char bytes[READ_AT_ONCE];
};

static void set(int fd, int level, int option, int value)
{
    if (setsockopt(fd, level, option, &value, sizeof value) < 0) {
        words_failed("cannot set an option of a socket");
    }
}

static int new_socket(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        words_failed("cannot make a socket");
    }
    set(fd, family == AF_INET6 ? SOL_IPV6 : SOL_IP,
        family == AF_INET6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, 1);
    set(fd, SOL_TCP, TCP_NODELAY, 1);
    return fd;
}

/* As gate25d has it. Of a socket that still connects it would hold the handshake up: in the lab the
 * server has answered by the time that connect() returns. */
static void answer_acknowledges(int fd)
{
    set(fd, SOL_TCP, TCP_QUICKACK, 0);
}

static int listen_on(const char *host, uint16_t port)
{
    union address here;
    char text[ADDRESS_TEXT_SIZE];

    if (!address_read(host, port, &here)) {
        words_failed("cannot read an address");
    }
    int fd = new_socket(here.any.sa_family);
    set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (bind(fd, &here.any, address_length(&here)) < 0 || listen(fd, BACKLOG) < 0) {
        words_failed("cannot listen on %s", address_text(&here, text));
    }
    answer_acknowledges(fd); /* inherited */
    return fd;
}

static void watch(const struct relay *r, uint32_t events, struct end *e)
{
    struct epoll_event event = {.events = events, .data.ptr = e};

    if (epoll_ctl(r->poll, EPOLL_CTL_ADD, e->fd, &event) < 0) {
        words_failed("cannot watch a socket");
    }
}

static void set_port(union address *a, in_port_t port)
{
    if (a->any.sa_family == AF_INET6) {
        a->six.sin6_port = port;
    } else {
        a->four.sin_port = port;
    }
}

/* To where the client of `accepted` wanted to go, from his own address. */
static int connect_as(int accepted, union address client)
{
    union address wanted;
    socklen_t len = sizeof wanted;
    int fd = new_socket(client.any.sa_family);

    set_port(&client, 0);
    set(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    if (getsockname(accepted, &wanted.any, &len) < 0 || bind(fd, &client.any, len) < 0 ||
        (connect(fd, &wanted.any, len) < 0 && errno != EINPROGRESS)) {
        words_failed("cannot connect");
    }
    answer_acknowledges(fd);
    return fd;
}

static void begin_session(const struct relay *r, int listener)
{
    union address client;
    socklen_t len = sizeof client;
    int fd = accept4(listener, &client.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        return;
    }
    struct session *s = calloc(1, sizeof *s);
    if (!s) {
        words_failed("cannot keep a session");
    }
    s->client = (struct end){.session = s, .other = &s->server, .fd = fd};
    s->server = (struct end){.session = s, .other = &s->client, .fd = connect_as(fd, client)};
    watch(r, EPOLLIN | EPOLLRDHUP | EPOLLET, &s->client);
    watch(r, EPOLLIN | EPOLLRDHUP | EPOLLET, &s->server);
}

/* False: the session is over. */
static bool pass_on(struct relay *r, struct end *e)
{
    ssize_t got;

    do {
        got = recv(e->fd, r->bytes, sizeof r->bytes, 0);
        if (got > 0 && send(e->other->fd, r->bytes, (size_t)got, MSG_NOSIGNAL) != got) {
            return false;
        }
    } while (got == (ssize_t)sizeof r->bytes);
    if (got == 0) {
        e->said_all = true;
        return !e->other->said_all && shutdown(e->other->fd, SHUT_WR) == 0;
    }
    return got > 0 || errno == EAGAIN;
}

static void end_session(struct relay *r, struct session *s)
{
    close(s->client.fd);
    close(s->server.fd);
    s->over = true;
    SLIST_INSERT_HEAD(&r->over, s, next);
}

static void turn(struct relay *r)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int count = epoll_wait(r->poll, events, EVENTS_AT_ONCE, -1);

    for (int i = 0; i < count; i++) {
        struct end *e = events[i].data.ptr;
        if (!e->session) {
            begin_session(r, e->fd);
        } else if (!e->session->over && !pass_on(r, e)) {
            end_session(r, e->session);
        }
    }
    while (!SLIST_EMPTY(&r->over)) {
        struct session *s = SLIST_FIRST(&r->over);
        SLIST_REMOVE_HEAD(&r->over, next);
        free(s);
    }
}

/* `listener`: of both families. */
static _Noreturn void serve(const int listener[FAMILIES])
{
    static struct relay r;
    struct end door[FAMILIES] = {{.fd = listener[0]}, {.fd = listener[1]}};

    r.poll = epoll_create1(EPOLL_CLOEXEC);
    if (r.poll < 0) {
        words_failed("cannot poll");
    }
    for (size_t i = 0; i < FAMILIES; i++) {
        watch(&r, EPOLLIN, &door[i]);
    }
    for (;;) {
        turn(&r);
    }
}

int main(int argc, char **argv)
{
    int listener[PROCESSES_MOST][FAMILIES];

    if (argc != 3) {
        words_wrong("use: relay PORT PROCESSES");
    }
    uint16_t port = (uint16_t)words_argument("PORT", argv[1], 1, UINT16_MAX);
    size_t processes = words_argument("PROCESSES", argv[2], 1, PROCESSES_MOST);
    (void)machine_raise_files(FILES_WANTED);
    for (size_t i = 0; i < processes; i++) {
        listener[i][0] = listen_on("127.0.0.1", port);
        listener[i][1] = listen_on("::1", port);
    }
    /* A connection is for the socket that it came to: none may be left without somebody. */
    for (size_t i = 0; i < processes; i++) {
        pid_t child = fork();
        if (child < 0) {
            words_failed("cannot fork");
        }
        if (child == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            serve(listener[i]);
        }
    }
    puts("ready");
    (void)fflush(stdout);
    (void)wait(NULL); /* with one that ends all end: their parent does */
    return 1;
}
