#include "svc/redis.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "svc/redis_dial.h"
#include "svc/redis_queue.h"
#include "svc/redis_wire.h"

#define REDIS_OUT_MOST    (16u << 20) /* bytes not yet sent */
#define REDIS_REQUESTS    200000u     /* requests not yet answered */
#define REDIS_REST_FIRST  100         /* ms before the first try to connect again */
#define REDIS_REST_MOST   2000
#define REDIS_GREETING_MS 2000 /* connecting, and the replies to the greeting */
#define REDIS_SILENCE_MS  1000 /* after a missed deadline: then the connection is given up */
#define REDIS_READ        16384
#define REDIS_READ_ROUNDS 16 /* others on the loop want their turn too */
#define REDIS_REASON      200

enum redis_phase { PHASE_RESTING, PHASE_CONNECTING, PHASE_GREETING, PHASE_UP };

struct redis {
    struct conf_redis where;
    const char *functions;
    redis_state_cb state;
    void *context;
    struct redis_dial dial;
    enum redis_phase phase;
    int fd;
    struct event readable, writable, flush, timer;
    int64_t timer_at_ms;
    int64_t due_ms; /* resting: try again; connecting, greeting: give up */
    int64_t rest_ms;
    struct buf out;
    struct redis_wire wire;
    struct redis_queue queue;
    unsigned greetings;       /* replies to the greeting that are still due */
    int64_t silent_since_ms;  /* a deadline passed then, and nothing was heard since; 0: none */
    bool reloading;           /* the functions, which Redis has lost */
    char fault[REDIS_REASON]; /* found while replies were handled: give the connection up */
    char told[REDIS_REASON];  /* the last reason logged; each is said once */
};

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void arm(struct redis *r, int64_t at_ms)
{
    if (at_ms == REDIS_NEVER || r->timer_at_ms <= at_ms) {
        return;
    }
    int64_t wait = at_ms - now_ms();
    wait = wait > 0 ? wait : 0;
    struct timeval tv = {.tv_sec = wait / 1000, .tv_usec = wait % 1000 * 1000};
    r->timer_at_ms = at_ms;
    event_add(&r->timer, &tv);
}

/* Losing a connection. */

static void tell(struct redis *r, const char *why)
{
    char place[300];
    struct text name;

    if (strcmp(r->told, why) == 0) {
        return;
    }
    snprintf(r->told, sizeof r->told, "%s", why);
    text_init(&name, place, sizeof place);
    redis_dial_name(&r->where, &name);
    log_warning("redis %s: %s", place, why);
}

static void hang_up(struct redis *r)
{
    if (r->fd >= 0) {
        event_del(&r->readable);
        event_del(&r->writable);
        close(r->fd);
        r->fd = -1;
    }
    event_del(&r->flush);
    redis_wire_close(&r->wire);
    buf_clear(&r->out);
    r->phase = PHASE_RESTING;
    r->silent_since_ms = 0;
    r->reloading = false;
    r->fault[0] = '\0';
    redis_queue_fail(&r->queue);
}

static void lose(struct redis *r, const char *why)
{
    bool was_up = r->phase == PHASE_UP;

    tell(r, why);
    hang_up(r);
    r->due_ms = now_ms() + r->rest_ms;
    r->rest_ms = r->rest_ms * 2 < REDIS_REST_MOST ? r->rest_ms * 2 : REDIS_REST_MOST;
    arm(r, r->due_ms);
    if (was_up && r->state) {
        r->state(r->context, false);
    }
}

/* Sending. */

static void send_out(struct redis *r)
{
    while (buf_len(&r->out) > 0) {
        struct span s = buf_span(&r->out);
        ssize_t n = send(r->fd, s.at, s.len, MSG_NOSIGNAL);
        if (n > 0) {
            buf_consume(&r->out, (size_t)n);
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            event_add(&r->writable, NULL);
            return;
        } else if (n == 0 || errno != EINTR) {
            lose(r, strerror(errno));
            return;
        }
    }
}

static void on_flush(evutil_socket_t fd, short what, void *context)
{
    struct redis *r = context;

    (void)fd;
    (void)what;
    if (r->phase >= PHASE_GREETING && !event_pending(&r->writable, EV_WRITE, NULL)) {
        send_out(r);
    }
}

static int enqueue(
    struct redis *r, const struct span *words, size_t count, const struct redis_request *request)
{
    size_t before = buf_len(&r->out);

    if (redis_queue_push(&r->queue, request) != 0) {
        return -1;
    }
    if (redis_wire_command(&r->wire, &r->out, words, count) != 0) {
        redis_queue_drop_last(&r->queue);
        return -1;
    }
    if (before == 0) {
        /* Runs behind the events of this turn of the loop, whose commands then leave together. */
        event_active(&r->flush, EV_TIMEOUT, 1);
    }
    return 0;
}

bool redis_is_up(const struct redis *r)
{
    return r->phase == PHASE_UP && r->silent_since_ms == 0;
}

int redis_call(
    struct redis *r, const struct span *words, size_t count, uint32_t deadline_ms,
    redis_reply_cb reply, void *context, uint64_t ticket)
{
    struct redis_request q = {
        .reply = reply,
        .context = context,
        .ticket = ticket,
        .deadline_ms = deadline_ms ? now_ms() + deadline_ms : REDIS_NEVER,
    };

    if (!redis_is_up(r) || buf_len(&r->out) > REDIS_OUT_MOST || r->queue.count >= REDIS_REQUESTS) {
        return -1;
    }
    if (enqueue(r, words, count, &q) != 0) {
        return -1;
    }
    arm(r, q.deadline_ms);
    return 0;
}

/* The greeting. */

static void on_greeting(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct redis *r = context;
    struct span message = {0};

    (void)ticket;
    if (!reply || r->fault[0]) {
        return;
    }
    if (redis_reply_is_error(reply, &message)) {
        snprintf(r->fault, sizeof r->fault, "cannot be used: %.*s", (int)message.len, message.at);
        return;
    }
    if (--r->greetings > 0) {
        return;
    }
    r->phase = PHASE_UP;
    r->rest_ms = REDIS_REST_FIRST;
    if (r->told[0]) {
        log_info("redis: connected again");
        r->told[0] = '\0';
    }
    if (r->state) {
        r->state(r->context, true);
    }
}

static int greet_with(struct redis *r, const struct span *words, size_t count)
{
    struct redis_request q = {.reply = on_greeting, .context = r, .deadline_ms = REDIS_NEVER};

    r->greetings++;
    return enqueue(r, words, count, &q);
}

static int load_functions(struct redis *r, const struct redis_request *like)
{
    struct span words[] = {
        SPAN_LITERAL("FUNCTION"),
        SPAN_LITERAL("LOAD"),
        SPAN_LITERAL("REPLACE"),
        span_of(r->functions),
    };
    return enqueue(r, words, 4, like);
}

static int greet(struct redis *r)
{
    char database[16];
    int rc = 0;

    r->phase = PHASE_GREETING;
    r->greetings = 0;
    if (r->where.password[0]) {
        struct span words[3] = {SPAN_LITERAL("AUTH")};
        size_t n = 1;
        if (r->where.user[0]) {
            words[n++] = span_of(r->where.user);
        }
        words[n++] = span_of(r->where.password);
        rc |= greet_with(r, words, n);
    }
    if (r->where.database) {
        snprintf(database, sizeof database, "%u", r->where.database);
        struct span words[] = {SPAN_LITERAL("SELECT"), span_of(database)};
        rc |= greet_with(r, words, 2);
    }
    if (r->functions) {
        struct redis_request q = {.reply = on_greeting, .context = r, .deadline_ms = REDIS_NEVER};
        r->greetings++;
        rc |= load_functions(r, &q);
    } else {
        /* A stopped Redis accepts connections all the same: only a reply proves that it lives. */
        struct span words[] = {SPAN_LITERAL("PING")};
        rc |= greet_with(r, words, 1);
    }
    return rc;
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
    struct redis *r = context;
    int error = 0;
    socklen_t len = sizeof error;

    (void)what;
    if (r->phase == PHASE_CONNECTING) {
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
            lose(r, strerror(error ? error : errno));
            return;
        }
        if (event_add(&r->readable, NULL) != 0 || greet(r) != 0) {
            lose(r, "out of memory");
            return;
        }
    }
    send_out(r);
}

/* Receiving. */

static void on_reloaded(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct redis *r = context;
    struct span message = {0};

    (void)ticket;
    r->reloading = false;
    if (reply && redis_reply_is_error(reply, &message)) {
        snprintf(r->fault, sizeof r->fault, "cannot be used: %.*s", (int)message.len, message.at);
    }
}

/* Errors that say something about the connection, beyond the one request. */
static void heed_error(struct redis *r, struct span message)
{
    if (r->phase != PHASE_UP) {
        return;
    }
    if (span_starts_nocase(message, SPAN_LITERAL("READONLY"))) {
        snprintf(r->fault, sizeof r->fault, "has become a read-only replica");
        return;
    }
    if (r->functions && !r->reloading &&
        span_starts_nocase(message, SPAN_LITERAL("ERR Function not found"))) {
        struct redis_request q = {.reply = on_reloaded, .context = r, .deadline_ms = REDIS_NEVER};
        log_warning("redis: has lost the functions, loading them again");
        r->reloading = load_functions(r, &q) == 0;
    }
}

static void settle(struct redis *r, const struct redis_reply *reply)
{
    struct span message;

    r->silent_since_ms = 0;
    if (!redis_queue_answer(&r->queue, reply)) {
        snprintf(r->fault, sizeof r->fault, "sent a reply to nothing");
        return;
    }
    if (redis_reply_is_error(reply, &message)) {
        heed_error(r, message);
    }
}

/* Hands out the complete replies. -1: the connection was given up. */
static int deliver(struct redis *r)
{
    struct redis_reply *reply = NULL;

    while (redis_wire_next(&r->wire, &reply) == 0) {
        if (!reply) {
            return 0;
        }
        settle(r, reply);
        redis_wire_release(reply);
        if (r->fault[0]) {
            char why[REDIS_REASON];
            memcpy(why, r->fault, sizeof why);
            lose(r, why);
            return -1;
        }
    }
    lose(r, "does not speak the Redis protocol");
    return -1;
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
    struct redis *r = context;
    char bytes[REDIS_READ];

    (void)what;
    for (int i = 0; i < REDIS_READ_ROUNDS; i++) {
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            lose(r, n == 0 ? "closed the connection" : strerror(errno));
            return;
        }
        if (redis_wire_feed(&r->wire, (struct span){bytes, (size_t)n}) != 0) {
            lose(r, "out of memory");
            return;
        }
        if (deliver(r) != 0 || (size_t)n < sizeof bytes) {
            return;
        }
    }
}

/* Time. */

static void dial(struct redis *r)
{
    char why[REDIS_REASON];
    struct text error;

    text_init(&error, why, sizeof why);
    r->fd = redis_dial_open(&r->dial, &r->where, &error);
    if (r->fd < 0) {
        lose(r, why);
        return;
    }
    struct event_base *base = event_get_base(&r->timer);
    event_assign(&r->readable, base, r->fd, EV_READ | EV_PERSIST, on_readable, r);
    event_assign(&r->writable, base, r->fd, EV_WRITE, on_writable, r);
    r->phase = PHASE_CONNECTING;
    r->due_ms = now_ms() + REDIS_GREETING_MS;
    if (redis_wire_open(&r->wire) != 0 || event_add(&r->writable, NULL) != 0) {
        lose(r, "out of memory");
    }
}

/* Opens the breaker before anybody hears of it: their new requests would only wait too. */
static void expire(struct redis *r, int64_t now)
{
    int64_t next;
    int64_t silent = r->silent_since_ms;

    r->silent_since_ms = silent ? silent : now;
    if (redis_queue_expire(&r->queue, now, &next) == 0) {
        r->silent_since_ms = silent;
    }
    arm(r, next);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct redis *r = context;
    int64_t now = now_ms();

    (void)fd;
    (void)what;
    r->timer_at_ms = REDIS_NEVER;
    if (r->phase == PHASE_RESTING && now >= r->due_ms) {
        dial(r);
    }
    if (r->phase != PHASE_UP) {
        if (r->phase != PHASE_RESTING && now >= r->due_ms) {
            lose(r, "does not answer");
        }
        arm(r, r->due_ms);
        return;
    }
    if (r->silent_since_ms && now >= r->silent_since_ms + REDIS_SILENCE_MS) {
        lose(r, "does not answer");
        return;
    }
    expire(r, now);
    if (r->silent_since_ms) {
        arm(r, r->silent_since_ms + REDIS_SILENCE_MS);
    }
}

struct redis *redis_new(struct event_base *base, const struct redis_options *options)
{
    struct redis *r = calloc(1, sizeof *r);
    char why[REDIS_REASON];
    struct text error;

    if (!r) {
        return NULL;
    }
    r->where = *options->where;
    r->functions = options->functions;
    r->state = options->state;
    r->context = options->context;
    r->fd = -1;
    r->rest_ms = REDIS_REST_FIRST;
    r->timer_at_ms = REDIS_NEVER;
    redis_queue_init(&r->queue);
    event_assign(&r->timer, base, -1, 0, on_timer, r);
    event_assign(&r->flush, base, -1, 0, on_flush, r);
    text_init(&error, why, sizeof why);
    if (redis_dial_resolve(&r->dial, &r->where, &error) != 0) {
        tell(r, why);
    }
    arm(r, now_ms());
    return r;
}

void redis_free(struct redis *r)
{
    if (!r) {
        return;
    }
    hang_up(r);
    event_del(&r->timer);
    redis_wire_fini(&r->wire);
    free(r);
}
