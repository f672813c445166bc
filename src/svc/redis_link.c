#include "svc/redis_link.h"

#include <event2/event_struct.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "net/clock.h"
#include "redis_link_internal.h"
#include "svc/redis_dial.h"
#include "svc/redis_url.h"

#define REDIS_OUT_MOST    (16u << 20) /* bytes not yet sent */
#define REDIS_REQUESTS    200000u     /* requests not yet answered */
#define REDIS_REST_FIRST  100         /* ms before the first try to connect again */
#define REDIS_REST_MOST   2000
#define REDIS_GREETING_MS 2000 /* the host's name, connecting, and the replies to the greeting */
#define REDIS_SILENCE_MS  1000 /* after a missed deadline: then the connection is given up */

static void arm(struct redis_link *l, int64_t at_ms)
{
    if (at_ms == REDIS_NEVER || l->timer_at_ms <= at_ms) {
        return;
    }
    int64_t wait = at_ms - clock_monotonic_ms();
    wait = wait > 0 ? wait : 0;
    struct timeval tv = {.tv_sec = wait / 1000, .tv_usec = wait % 1000 * 1000};
    l->timer_at_ms = at_ms;
    event_add(&l->timer, &tv);
}

/* --- losing a connection --- */

static void tell(struct redis_link *l, const char *why)
{
    char name[300];
    struct text place;

    if (strcmp(l->told, why) == 0) {
        return;
    }
    snprintf(l->told, sizeof l->told, "%s", why);
    text_init(&place, name, sizeof name);
    if (l->how.path && l->how.path[0]) {
        text_addf(&place, "%s", l->how.path);
    } else {
        redis_place_name(&l->how.place, &place);
    }
    log_warning("redis %s: %s", name, why);
}

static void hang_up(struct redis_link *l)
{
    redis_carrier_close(&l->carrier);
    redis_wire_close(&l->wire);
    l->phase = PHASE_RESTING;
    l->silent_since_ms = 0;
    l->reloading = false;
    l->fault[0] = '\0';
    redis_queue_fail(&l->queue);
}

/* Of a name's addresses the last one that was reached has the most to tell. */
static void note_reason(struct redis_link *l, const char *why)
{
    bool reached = l->carrier.connected;

    if (reached || !l->reached) {
        snprintf(l->reason, sizeof l->reason, "%s", why);
        l->reached = reached;
    }
}

static void end_round(struct redis_link *l)
{
    l->untried = 0;
    l->reason[0] = '\0';
    l->reached = false;
}

void redis_link_lose(struct redis_link *l, const char *why)
{
    bool goes_on = l->untried > 0;

    note_reason(l, why); /* it may be in what is cleared now */
    if (!goes_on) {
        l->settled = true;
        tell(l, l->reason);
    }
    hang_up(l);
    if (goes_on) {
        l->due_ms = clock_monotonic_ms();
        arm(l, l->due_ms);
        return;
    }
    end_round(l);
    l->due_ms = clock_monotonic_ms() + l->rest_ms;
    l->rest_ms = l->rest_ms * 2 < REDIS_REST_MOST ? l->rest_ms * 2 : REDIS_REST_MOST;
    arm(l, l->due_ms);
    if (l->how.state) {
        l->how.state(l->how.context, l, false);
    }
}

void redis_link_ready(struct redis_link *l)
{
    l->phase = PHASE_UP;
    l->settled = true;
    end_round(l);
    l->rest_ms = REDIS_REST_FIRST;
    if (l->told[0]) {
        log_info("redis: connected again");
        l->told[0] = '\0';
    }
    if (l->how.state) {
        l->how.state(l->how.context, l, true);
    }
}

/* --- requests --- */

/* It does not leave by itself. */
static int put(
    struct redis_link *l, const struct span *words, size_t count,
    const struct redis_request *request)
{
    if (redis_queue_push(&l->queue, request) != 0) {
        return -1;
    }
    if (redis_wire_command(redis_carrier_out(&l->carrier), words, count) != 0) {
        redis_queue_drop_last(&l->queue);
        return -1;
    }
    return 0;
}

int redis_link_enqueue(
    struct redis_link *l, const struct span *words, size_t count,
    const struct redis_request *request)
{
    if (put(l, words, count, request) != 0) {
        return -1;
    }
    redis_carrier_send(&l->carrier);
    return 0;
}

bool redis_link_is_up(const struct redis_link *l)
{
    return l->phase == PHASE_UP && l->silent_since_ms == 0 && !l->moving;
}

bool redis_link_settled(const struct redis_link *l)
{
    return l->settled;
}

const struct conf_redis_place *redis_link_place(const struct redis_link *l)
{
    return &l->how.place;
}

const char *redis_link_trouble(const struct redis_link *l)
{
    if (redis_link_is_up(l)) {
        return "";
    }
    return l->told[0] ? l->told : "does not answer";
}

static bool has_room(const struct redis_link *l)
{
    return redis_carrier_waiting(&l->carrier) <= REDIS_OUT_MOST && l->queue.count < REDIS_REQUESTS;
}

/* Whose deadline, if there is one, is so long from now and `more_ms`. */
static struct redis_request request_of(
    redis_reply_cb reply, void *context, uint64_t ticket, uint32_t deadline_ms, uint32_t more_ms)
{
    return (struct redis_request){
        .reply = reply,
        .context = context,
        .ticket = ticket,
        .deadline_ms = deadline_ms ? clock_monotonic_ms() + deadline_ms + more_ms : REDIS_NEVER,
    };
}

int redis_link_call_early(
    struct redis_link *l, const struct span *words, size_t count, uint32_t deadline_ms,
    redis_reply_cb reply, void *context, uint64_t ticket)
{
    struct redis_request q = request_of(reply, context, ticket, deadline_ms, 0);

    if (l->phase < PHASE_GREETING || l->silent_since_ms || l->moving || !has_room(l) ||
        redis_link_enqueue(l, words, count, &q) != 0) {
        return -1;
    }
    arm(l, q.deadline_ms);
    return 0;
}

int redis_link_call(
    struct redis_link *l, const struct span *words, size_t count, uint32_t deadline_ms,
    redis_reply_cb reply, void *context, uint64_t ticket)
{
    return redis_link_is_up(l)
               ? redis_link_call_early(l, words, count, deadline_ms, reply, context, ticket)
               : -1;
}

int redis_link_tell(
    struct redis_link *l, const struct span *words, size_t count, uint32_t deadline_ms,
    redis_reply_cb reply, void *context, uint64_t ticket)
{
    struct redis_request q = request_of(reply, context, ticket, deadline_ms, REDIS_TELL_MS);

    if (!redis_link_is_up(l) || !has_room(l) || put(l, words, count, &q) != 0) {
        return -1;
    }
    redis_carrier_send_later(&l->carrier);
    arm(l, q.deadline_ms);
    return 0;
}

void redis_link_send(struct redis_link *l)
{
    if (redis_carrier_waiting(&l->carrier) > 0) {
        redis_carrier_send(&l->carrier);
    }
}

/* --- connecting --- */

/* The greeting is written at once; it leaves when the connection stands. */
static void begin(struct redis_link *l, int fd, const char *why)
{
    const char *name = l->how.tls_name && l->how.tls_name[0] ? l->how.tls_name : l->how.place.host;

    if (fd < 0) {
        redis_link_lose(l, why);
        return;
    }
    l->phase = PHASE_GREETING;
    if (redis_carrier_open(&l->carrier, fd, l->how.tls, name) != 0 ||
        redis_wire_open(&l->wire) != 0 || redis_link_greet(l) != 0) {
        redis_link_lose(l, "out of memory");
    }
}

static void dial_address(struct redis_link *l)
{
    char why[REDIS_REASON];
    struct text error;

    l->untried = (l->untried > 0 ? l->untried : l->addresses.count) - 1;
    text_init(&error, why, sizeof why);
    begin(l, redis_dial_tcp(&l->addresses, l->tries++, &error), why);
}

static void on_resolved(evutil_socket_t fd, short what, void *context)
{
    struct redis_link *l = context;
    struct redis_addresses found;
    char why[REDIS_REASON];

    (void)what;
    if (!redis_resolve_take(fd, &found)) {
        return;
    }
    event_del(&l->resolved);
    l->lookup = -1;
    if (found.error == 0) {
        l->addresses = found;
    }
    if (l->phase != PHASE_RESOLVING) {
        return;
    }
    /* A name server that is away is no reason to leave a Redis that is not. */
    if (l->addresses.count == 0) {
        snprintf(
            why, sizeof why, "cannot resolve the name: %s",
            found.error == EAI_SYSTEM ? "no answer" : gai_strerror(found.error));
        redis_link_lose(l, why);
        return;
    }
    dial_address(l);
}

static void stop_resolving(struct redis_link *l)
{
    if (l->lookup >= 0) {
        event_del(&l->resolved);
        close(l->lookup);
        l->lookup = -1;
    }
}

static void resolve(struct redis_link *l)
{
    l->phase = PHASE_RESOLVING;
    if (l->lookup >= 0) {
        return; /* still under way since the last try: one thread is enough */
    }
    l->lookup = redis_resolve_start(&l->how.place);
    if (l->lookup < 0) {
        redis_link_lose(l, "cannot resolve the name: out of memory");
        return;
    }
    event_assign(
        &l->resolved, event_get_base(&l->timer), l->lookup, EV_READ | EV_PERSIST, on_resolved, l);
    event_add(&l->resolved, NULL);
}

static void dial(struct redis_link *l)
{
    char why[REDIS_REASON];
    struct text error;
    struct redis_addresses literal;

    l->due_ms = clock_monotonic_ms() + REDIS_GREETING_MS;
    text_init(&error, why, sizeof why);
    if (l->how.path && l->how.path[0]) {
        begin(l, redis_dial_path(l->how.path, &error), why);
    } else if (!l->how.place.host[0]) {
        l->due_ms = REDIS_NEVER;
    } else if (l->untried > 0) {
        dial_address(l);
    } else if (redis_resolve_literal(&l->how.place, &literal)) {
        l->addresses = literal;
        dial_address(l);
    } else {
        resolve(l);
    }
}

/* --- receiving --- */

/* Hands out the complete replies. False: the connection was given up. */
static bool on_bytes(void *context, struct span bytes)
{
    struct redis_link *l = context;
    struct redis_reply *reply = NULL;

    if (redis_wire_feed(&l->wire, bytes) != 0) {
        redis_link_lose(l, "out of memory");
        return false;
    }
    while (redis_wire_next(&l->wire, &reply) == 0) {
        if (!reply) {
            return true;
        }
        redis_link_settle(l, reply);
        redis_wire_release(reply);
        if (l->fault[0]) {
            redis_link_lose(l, l->fault);
            return false;
        }
    }
    redis_link_lose(l, "does not speak the Redis protocol");
    return false;
}

static void on_lost(void *context, const char *why)
{
    redis_link_lose(context, why);
}

/* --- time --- */

/* Opens the breaker before anybody hears of it: their new requests would only wait too. */
static void expire(struct redis_link *l, int64_t now)
{
    int64_t next;
    int64_t silent = l->silent_since_ms;
    bool up = l->phase == PHASE_UP;

    l->silent_since_ms = !up || silent ? silent : now;
    if (redis_queue_expire(&l->queue, now, &next) == 0) {
        l->silent_since_ms = silent;
    }
    arm(l, next);
}

static void on_move(struct redis_link *l)
{
    bool was_up = l->phase == PHASE_UP;

    l->moving = false;
    stop_resolving(l);
    l->how.place = l->move_to;
    l->addresses.count = 0;
    hang_up(l);
    end_round(l);
    l->rest_ms = REDIS_REST_FIRST;
    l->due_ms = 0;
    if (was_up && l->how.state) {
        l->how.state(l->how.context, l, false);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct redis_link *l = context;
    int64_t now = clock_monotonic_ms();

    (void)fd;
    (void)what;
    l->timer_at_ms = REDIS_NEVER;
    if (l->moving) {
        on_move(l);
    }
    if (l->phase == PHASE_RESTING && now >= l->due_ms) {
        dial(l);
    }
    expire(l, now);
    if (l->phase != PHASE_UP) {
        if (l->phase != PHASE_RESTING && now >= l->due_ms) {
            redis_link_lose(l, "does not answer");
        }
        arm(l, l->due_ms);
        return;
    }
    if (l->silent_since_ms && now >= l->silent_since_ms + REDIS_SILENCE_MS) {
        redis_link_lose(l, "does not answer");
        return;
    }
    if (l->silent_since_ms) {
        arm(l, l->silent_since_ms + REDIS_SILENCE_MS);
    }
}

/* --- outside --- */

void redis_link_move(struct redis_link *l, const struct conf_redis_place *place)
{
    l->moving = true;
    l->move_to = *place;
    arm(l, clock_monotonic_ms());
}

struct redis_link *redis_link_new(struct event_base *base, const struct redis_link_options *options)
{
    static const struct redis_carrier_events events = {on_bytes, on_lost};
    struct redis_link *l = calloc(1, sizeof *l);

    if (!l) {
        return NULL;
    }
    l->how = *options;
    l->greeting = *options->greeting;
    l->lookup = -1;
    l->rest_ms = REDIS_REST_FIRST;
    l->timer_at_ms = REDIS_NEVER;
    redis_queue_init(&l->queue);
    redis_carrier_init(&l->carrier, base, &events, l);
    event_assign(&l->timer, base, -1, 0, on_timer, l);
    arm(l, clock_monotonic_ms());
    return l;
}

void redis_link_free(struct redis_link *l)
{
    if (!l) {
        return;
    }
    l->how.state = NULL;
    stop_resolving(l);
    hang_up(l);
    event_del(&l->timer);
    redis_wire_fini(&l->wire);
    free(l);
}
