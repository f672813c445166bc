/* A real redis-server of a test's own, on a unix socket in a folder that goes with it. */
#ifndef GATE25_TESTS_REAL_REDIS_H
#define GATE25_TESTS_REAL_REDIS_H

#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "svc/redis.h"

#define REAL_REDIS_PATIENCE_MS 60000 /* for a machine that is busy; nothing waits so long */

struct real_redis {
    pid_t pid; /* 0: not running */
    char folder[64];
    struct conf_redis where;
    unsigned cluster_port; /* 0: no node of a cluster */
};

/* Ends the test: without Redis there is nothing to test. */
static inline void real_redis_die(const char *why)
{
    fprintf(stderr, "real_redis: %s\n", why);
    exit(1);
}

static inline void real_redis_exec(const struct real_redis *r)
{
    static const char parts[] = ".parts/root/usr/bin/redis-server";
    const char *binary = getenv("GATE25_REDIS_SERVER");

    /* Not even a crash of the test leaves it behind. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!binary) {
        binary = access(parts, X_OK) == 0 ? parts : "redis-server";
    }
    char port[16];
    snprintf(port, sizeof port, "%u", r->cluster_port);
    execlp(
        binary, "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--unixsocket",
        r->where.path, "--dir", r->folder, "--logfile", "log", "--cluster-enabled",
        r->cluster_port ? "yes" : "no", (char *)NULL);
    fprintf(stderr, "real_redis: %s: not found (make deps, or GATE25_REDIS_SERVER)\n", binary);
    _exit(127);
}

static inline bool real_redis_listens(const struct real_redis *r)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(un.sun_path, r->where.path, sizeof un.sun_path);
    bool yes = fd >= 0 && connect(fd, (const struct sockaddr *)&un, sizeof un) == 0;
    close(fd);
    return yes;
}

/* Starts the server, empty, where it was before. */
static inline void real_redis_run(struct real_redis *r)
{
    r->pid = fork();
    if (r->pid == 0) {
        real_redis_exec(r);
    }
    for (int waited = 0; !real_redis_listens(r); waited += 10) {
        if (waitpid(r->pid, NULL, WNOHANG) != 0 || waited > REAL_REDIS_PATIENCE_MS) {
            real_redis_die("the server does not run");
        }
        usleep(10000);
    }
}

static inline void real_redis_kill(struct real_redis *r)
{
    if (r->pid > 0) {
        kill(r->pid, SIGKILL);
        waitpid(r->pid, NULL, 0);
        r->pid = 0;
    }
}

/* A port of loopback that is free, with the one of a cluster's bus 10000 above. */
static inline unsigned real_redis_port(void)
{
    for (;;) {
        int first = socket(AF_INET, SOCK_STREAM, 0), second = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof in;
        bool good = bind(first, (struct sockaddr *)&in, sizeof in) == 0 &&
                    getsockname(first, (struct sockaddr *)&in, &len) == 0;
        unsigned port = ntohs(in.sin_port);

        in.sin_port = htons((uint16_t)(port + 10000));
        good = good && port < 55000 && bind(second, (struct sockaddr *)&in, sizeof in) == 0;
        close(first);
        close(second);
        if (good) {
            return port;
        }
    }
}

static inline void real_redis_start_at(struct real_redis *r, unsigned cluster_port)
{
    *r = (struct real_redis){.folder = "/tmp/gate25-unit-XXXXXX", .cluster_port = cluster_port};
    if (!mkdtemp(r->folder)) {
        real_redis_die("no folder");
    }
    snprintf(r->where.path, sizeof r->where.path, "%s/redis.sock", r->folder);
    real_redis_run(r);
}

static inline void real_redis_start(struct real_redis *r)
{
    real_redis_start_at(r, 0);
}

static inline void real_redis_end(struct real_redis *r)
{
    static const char *const files[] = {"redis.sock", "log", "dump.rdb", "nodes.conf"};
    char path[128];

    real_redis_kill(r);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", r->folder, files[i]);
        unlink(path);
    }
    rmdir(r->folder);
}

static inline void real_redis_tired(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    *(bool *)context = true;
}

/* Runs the loop until `done(context)`. False: that did not come about. */
static inline bool real_redis_until(
    struct event_base *base, bool (*done)(const void *), const void *context)
{
    struct timeval patience = {REAL_REDIS_PATIENCE_MS / 1000, 0};
    bool tired = false;
    struct event *timer = event_new(base, -1, 0, real_redis_tired, &tired);

    event_add(timer, &patience);
    while (!done(context) && !tired) {
        event_base_loop(base, EVLOOP_ONCE);
    }
    event_free(timer);
    return done(context);
}

static inline bool real_redis_is_up(const void *redis)
{
    return redis_is_up(redis);
}

static inline bool real_redis_is_down(const void *redis)
{
    return !redis_is_up(redis);
}

/* A server, a loop and a connection that is up, with these functions in the server. False: it did
 * not come up. */
static inline bool real_redis_open(
    struct real_redis *server, struct event_base **base, struct redis **redis,
    const char *functions)
{
    struct redis_options options = {.where = &server->where, .functions = functions};

    real_redis_start(server);
    *base = event_base_new();
    *redis = redis_new(*base, &options);
    return real_redis_until(*base, real_redis_is_up, *redis);
}

static inline void real_redis_close(
    struct real_redis *server, struct event_base *base, struct redis *redis)
{
    redis_free(redis);
    event_base_free(base);
    real_redis_end(server);
}

/* What one command said, flattened: "OK", "3", "-ERR ...", "nil", "[a b [c]]", "" for none. */
struct real_answer {
    bool came;
    char text[4096];
};

static inline void real_answer_add(struct text *t, const struct redis_reply *reply)
{
    struct span s;
    int64_t n;

    if (redis_reply_is_error(reply, &s)) {
        text_addf(t, "-%.*s", (int)s.len, s.at);
    } else if (redis_reply_is_nil(reply)) {
        text_addf(t, "nil");
    } else if (redis_reply_text(reply, &s)) {
        text_add(t, s);
    } else if (redis_reply_integer(reply, &n)) {
        text_addf(t, "%lld", (long long)n);
    } else {
        text_addf(t, "[");
        for (size_t i = 0; i < redis_reply_count(reply); i++) {
            text_addf(t, i ? " " : "");
            real_answer_add(t, redis_reply_at(reply, i));
        }
        text_addf(t, "]");
    }
}

static inline void real_answer_take(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct real_answer *a = context;
    struct text t;

    (void)ticket;
    text_init(&t, a->text, sizeof a->text);
    if (reply) {
        real_answer_add(&t, reply);
    }
    a->came = true;
}

static inline bool real_answer_came(const void *answer)
{
    return ((const struct real_answer *)answer)->came;
}

/* Sends a command and waits for its answer. */
static inline const char *real_redis_ask_words(
    struct event_base *base, struct redis *redis, struct real_answer *a, const struct span *words,
    size_t count)
{
    *a = (struct real_answer){0};
    if (redis_call(redis, words, count, REAL_REDIS_PATIENCE_MS, real_answer_take, a, 0) != 0 ||
        !real_redis_until(base, real_answer_came, a)) {
        real_redis_die("no answer");
    }
    return a->text;
}

/* Sends a command, its words parted by spaces ("''" an empty one), and waits for its answer. */
__attribute__((format(printf, 4, 5))) static inline const char *real_redis_ask(
    struct event_base *base, struct redis *redis, struct real_answer *a, const char *format, ...)
{
    char line[2048];
    struct span words[64];
    size_t count = 0;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    for (char *save, *word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        words[count++] = strcmp(word, "''") == 0 ? SPAN_LITERAL("") : span_of(word);
    }
    return real_redis_ask_words(base, redis, a, words, count);
}

#endif
