/* An SMTP server for the bench: accepts all mail, keeps none, and counts. See sink_options.c for
 * its use. */
#include <errno.h>
#include <jansson.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/machine.h"
#include "bench/sink_options.h"
#include "bench/sink_session.h"
#include "bench/words.h"

#define EVENTS_AT_ONCE  256
#define ACCEPTS_AT_ONCE 64
#define FILES_WANTED    65536
#define BACKLOG         16384 /* the kernel takes net.core.somaxconn where that is less */

struct listener {
    struct watched watched;
    int fd;
};

static int listen_on(const union address *where)
{
    static const int yes = 1;
    char text[ADDRESS_TEXT_SIZE];
    int fd = socket(where->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        words_failed("cannot make a socket");
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (where->any.sa_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
    }
    /* Inherited by what is accepted, which saves each connection the call. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (bind(fd, &where->any, address_length(where)) < 0 || listen(fd, BACKLOG) < 0) {
        words_failed("cannot listen on %s", address_text(where, text));
    }
    return fd;
}

static void accept_all(struct sink *sink, struct watched *w, uint32_t events, int64_t now_ns)
{
    (void)events, (void)now_ns;
    const struct listener *listener = (struct listener *)w; /* its first member */

    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            sink_session_begin(sink, fd);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno == EMFILE || errno == ENFILE) {
            words_failed("cannot take more connections");
        }
    }
}

static void report(const struct sink *sink)
{
    json_t *counts = json_pack(
        "{sI sI sI sI sf}", "sessions", (json_int_t)sink->counts.sessions, "messages",
        (json_int_t)sink->counts.messages, "recipients", (json_int_t)sink->counts.recipients,
        "bytes", (json_int_t)sink->counts.bytes, "cpu_s", machine_cpu_s());

    (void)json_dumpf(counts, stdout, JSON_REAL_PRECISION(9));
    (void)putchar('\n');
    json_decref(counts);
}

static void finish(struct sink *sink, struct watched *w, uint32_t events, int64_t now_ns)
{
    (void)w, (void)events, (void)now_ns;
    report(sink);
    exit(0);
}

static void watch(struct sink *sink, struct watched *w, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = w};

    if (fd < 0 || epoll_ctl(sink->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        words_failed("cannot start");
    }
}

/* The descriptor that tells of SIGTERM. */
static int watch_for_end(void)
{
    sigset_t set;

    (void)signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void serve(struct sink *sink)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int patience_ms = -1;

    for (;;) {
        int count = epoll_wait(sink->epoll, events, EVENTS_AT_ONCE, patience_ms);
        int64_t now_ns = machine_now_ns();
        for (int i = 0; i < count; i++) {
            struct watched *w = events[i].data.ptr;
            w->serve(sink, w, events[i].events, now_ns);
        }
        patience_ms = sink_close_left(sink, now_ns);
    }
}

int main(int argc, char **argv)
{
    struct sink_options options;
    struct listener listeners[SINK_LISTENERS_MOST];
    struct watched end = {finish};
    struct sink sink;
    SSL_CTX *tls = NULL;

    sink_options_read(argc, argv, &options);
    if (options.certificate && !(tls = channel_server_tls(options.certificate, options.key))) {
        words_wrong(
            "--certificate %s, --key %s: they are no PEM files of a pair", options.certificate,
            options.key);
    }
    (void)machine_raise_files(FILES_WANTED);
    sink_init(&sink, tls);
    watch(&sink, &end, watch_for_end());
    for (unsigned i = 0; i < options.listeners; i++) {
        listeners[i] = (struct listener){{accept_all}, listen_on(&options.listen[i])};
        watch(&sink, &listeners[i].watched, listeners[i].fd);
    }
    puts("ready");
    (void)fflush(stdout);
    serve(&sink);
}
