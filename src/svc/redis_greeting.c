#include <stdio.h>

#include "base/log.h"
#include "redis_link_internal.h"

static void set_fault(struct redis_link *l, const char *what, struct span message)
{
    snprintf(l->fault, sizeof l->fault, "%s%.*s", what, (int)message.len, message.at);
}

/* --- the greeting --- */

static void on_greeting(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct redis_link *l = context;
    struct span message = {0};

    (void)ticket;
    if (!reply || l->fault[0]) {
        return;
    }
    if (redis_reply_is_error(reply, &message)) {
        set_fault(l, "cannot be used: ", message);
        return;
    }
    if (--l->greetings == 0) {
        redis_link_ready(l);
    }
}

/* ROLE: an array that begins with "master", "slave" or "sentinel". */
static void on_role(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct redis_link *l = context;
    const struct redis_reply *first = reply ? redis_reply_at(reply, 0) : NULL;
    struct span role;

    if (first && redis_reply_text(first, &role) && !span_equal(role, SPAN_LITERAL("master"))) {
        set_fault(l, "is not the master now", SPAN_LITERAL(""));
        return;
    }
    on_greeting(context, ticket, reply);
}

static int say(struct redis_link *l, const struct span *words, size_t count, redis_reply_cb reply)
{
    struct redis_request q = {.reply = reply, .context = l, .deadline_ms = REDIS_NEVER};

    l->greetings++;
    return redis_link_enqueue(l, words, count, &q);
}

static int load_functions(struct redis_link *l, redis_reply_cb reply)
{
    struct span words[] = {
        SPAN_LITERAL("FUNCTION"),
        SPAN_LITERAL("LOAD"),
        SPAN_LITERAL("REPLACE"),
        span_of(l->greeting.functions),
    };
    struct redis_request q = {.reply = reply, .context = l, .deadline_ms = REDIS_NEVER};

    return redis_link_enqueue(l, words, 4, &q);
}

static int log_in(struct redis_link *l)
{
    struct span words[3] = {SPAN_LITERAL("AUTH")};
    size_t n = 1;

    if (!l->greeting.password || !l->greeting.password[0]) {
        return 0;
    }
    if (l->greeting.user && l->greeting.user[0]) {
        words[n++] = span_of(l->greeting.user);
    }
    words[n++] = span_of(l->greeting.password);
    return say(l, words, n, on_greeting);
}

int redis_link_greet(struct redis_link *l)
{
    static const struct span role[] = {{"ROLE", 4}}, ping[] = {{"PING", 4}};
    char database[16];
    int rc;

    l->greetings = 0;
    rc = log_in(l);
    if (l->greeting.database) {
        snprintf(database, sizeof database, "%u", l->greeting.database);
        struct span words[] = {SPAN_LITERAL("SELECT"), span_of(database)};
        rc |= say(l, words, 2, on_greeting);
    }
    if (l->greeting.master) {
        rc |= say(l, role, 1, on_role);
    }
    /* A stopped Redis accepts connections all the same: only a reply proves that it lives. And
     * whoever should have logged in is told so by this one: of the functions Redis would say that
     * they are too long for a stranger. */
    rc |= say(l, ping, 1, on_greeting);
    if (l->greeting.functions) {
        l->greetings++;
        rc |= load_functions(l, on_greeting);
    }
    return rc;
}

/* --- replies --- */

static void on_reloaded(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct redis_link *l = context;
    struct span message = {0};

    (void)ticket;
    l->reloading = false;
    if (reply && redis_reply_is_error(reply, &message)) {
        set_fault(l, "cannot be used: ", message);
    }
}

/* Errors that say something about the connection, beyond the one request. */
static void heed_error(struct redis_link *l, struct span message)
{
    if (l->phase != PHASE_UP) {
        return;
    }
    if (span_starts_nocase(message, SPAN_LITERAL("READONLY"))) {
        set_fault(l, "has become a read-only replica", SPAN_LITERAL(""));
        return;
    }
    if (l->greeting.functions && !l->reloading &&
        span_starts_nocase(message, SPAN_LITERAL("ERR Function not found"))) {
        log_warning("redis: has lost the functions, loading them again");
        l->reloading = load_functions(l, on_reloaded) == 0;
    }
}

/* RESP2 tells a message of a channel from a reply by nothing but its form. */
static bool is_push(const struct redis_reply *reply)
{
    struct span kind;

    return redis_reply_count(reply) == 3 && redis_reply_text(redis_reply_at(reply, 0), &kind) &&
           span_equal(kind, SPAN_LITERAL("message"));
}

void redis_link_settle(struct redis_link *l, const struct redis_reply *reply)
{
    struct span message;

    l->silent_since_ms = 0;
    if (l->how.push && is_push(reply)) {
        l->how.push(l->how.context, reply);
        return;
    }
    if (!redis_queue_answer(&l->queue, reply)) {
        set_fault(l, "sent a reply to nothing", SPAN_LITERAL(""));
        return;
    }
    if (redis_reply_is_error(reply, &message)) {
        heed_error(l, message);
    }
}
