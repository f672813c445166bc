#include "ctl/ctl_reach.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "svc/redis.h"
#include "svc/redis_dial.h"
#include "svc/redis_wire.h"

#define READ_SIZE 4096

struct probe {
    int fd;
    int64_t until_ms;
    struct redis_wire wire;
    struct buf out;
    size_t due; /* replies */
    struct text *why;
};

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool fail(struct probe *p, const char *why)
{
    text_addf(p->why, "%s", why);
    return false;
}

static bool wait_for(struct probe *p, short events)
{
    struct pollfd ready = {.fd = p->fd, .events = events};

    for (;;) {
        int64_t left = p->until_ms - now_ms();
        int n = poll(&ready, 1, left > 0 ? (int)left : 0);

        if (n > 0) {
            return true;
        }
        if (n == 0 || errno != EINTR) {
            return fail(p, "does not answer");
        }
    }
}

static bool connected(struct probe *p)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (!wait_for(p, POLLOUT)) {
        return false;
    }
    if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        return fail(p, strerror(error != 0 ? error : errno));
    }
    return true;
}

static bool add(struct probe *p, const struct span *words, size_t count)
{
    p->due++;
    return redis_wire_command(&p->wire, &p->out, words, count) == 0 || fail(p, "out of memory");
}

/* As svc/redis.c greets; a few hundred bytes, which a fresh socket takes at once. */
static bool greet(struct probe *p, const struct conf_redis *where)
{
    const struct span user[] = {
        SPAN_LITERAL("AUTH"), span_of(where->user), span_of(where->password)};
    const struct span nobody[] = {SPAN_LITERAL("AUTH"), span_of(where->password)};
    const struct span ping[] = {SPAN_LITERAL("PING")};
    char database[16];
    struct span select[] = {SPAN_LITERAL("SELECT"), {database, 0}};
    struct span all;

    select[1].len = (size_t)snprintf(database, sizeof(database), "%u", where->database);
    if (where->password[0] != '\0' &&
        !(where->user[0] != '\0' ? add(p, user, 3) : add(p, nobody, 2))) {
        return false;
    }
    if ((where->database != 0 && !add(p, select, 2)) || !add(p, ping, 1)) {
        return false;
    }
    all = buf_span(&p->out);
    if (send(p->fd, all.at, all.len, MSG_NOSIGNAL) != (ssize_t)all.len) {
        return fail(p, "closed the connection");
    }
    return true;
}

/* Takes the replies that are complete. */
static bool take_replies(struct probe *p)
{
    struct redis_reply *reply = NULL;
    struct span message;

    while (p->due > 0) {
        if (redis_wire_next(&p->wire, &reply) != 0) {
            return fail(p, "does not speak the Redis protocol");
        }
        if (reply == NULL) {
            return true;
        }
        p->due--;
        if (redis_reply_is_error(reply, &message)) {
            text_add(p->why, message);
            redis_wire_release(reply);
            return false;
        }
        redis_wire_release(reply);
    }
    return true;
}

static bool hear(struct probe *p)
{
    char bytes[READ_SIZE];

    while (p->due > 0) {
        ssize_t n;

        if (!wait_for(p, POLLIN)) {
            return false;
        }
        n = recv(p->fd, bytes, sizeof(bytes), 0);
        if (n <= 0) {
            return fail(p, n == 0 ? "closed the connection" : strerror(errno));
        }
        if (redis_wire_feed(&p->wire, (struct span){bytes, (size_t)n}) != 0) {
            return fail(p, "out of memory");
        }
        if (!take_replies(p)) {
            return false;
        }
    }
    return true;
}

bool ctl_reach(const struct conf_redis *where, struct text *why)
{
    struct redis_dial dial = {0};
    struct probe p = {.wire = REDIS_WIRE_INIT, .out = BUF_INIT, .why = why};
    bool ok;

    p.fd = redis_dial_open(&dial, where, why);
    if (p.fd < 0) {
        return false;
    }
    p.until_ms = now_ms() + CTL_REACH_MS;
    if (redis_wire_open(&p.wire) != 0) {
        ok = fail(&p, "out of memory");
    } else {
        ok = connected(&p) && greet(&p, where) && hear(&p);
    }
    close(p.fd);
    redis_wire_fini(&p.wire);
    buf_clear(&p.out);
    return ok;
}
