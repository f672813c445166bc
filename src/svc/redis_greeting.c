#include <stdio.h>
#include <string.h>

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

/* --- the functions --- */

#define LIBRARY_HEAD    "#!lua name="
#define LIBRARY_VERSION "\nlocal LIBRARY_VERSION = "
#define LIBRARY_NAME    32

/* A library has a function NAME_version that tells its version. 0: it has none. */
static uint64_t own_version(const char *functions, char name[LIBRARY_NAME])
{
    const char *version = strstr(functions, LIBRARY_VERSION);
    size_t head = strlen(LIBRARY_HEAD), len = strcspn(functions, "\n");
    uint64_t number;

    if (!version || strncmp(functions, LIBRARY_HEAD, head) != 0 || len - head >= LIBRARY_NAME) {
        return 0;
    }
    snprintf(name, LIBRARY_NAME, "%.*s", (int)(len - head), functions + head);
    version += strlen(LIBRARY_VERSION);
    struct span digits = {version, strspn(version, "0123456789")};
    return span_number(digits, UINT32_MAX, &number) ? number : 0;
}

enum library_age { LIBRARY_OLDER, LIBRARY_OWN, LIBRARY_NEWER };

/* Of the functions that Redis has, which has answered `reply`; what tells no version is older.
 * Every program of the fleet goes on with the newest: were they replaced, the newer programs would
 * miss what only they have. */
static enum library_age age_of(const struct redis_link *l, const struct redis_reply *reply)
{
    char name[LIBRARY_NAME];
    int64_t own = (int64_t)own_version(l->greeting.functions, name), version;

    if (!redis_reply_integer(reply, &version) || version < own) {
        return LIBRARY_OLDER;
    }
    return version == own ? LIBRARY_OWN : LIBRARY_NEWER;
}

static bool exists_already(const struct redis_reply *reply)
{
    struct span message;

    return reply && redis_reply_is_error(reply, &message) &&
           span_starts_nocase(message, SPAN_LITERAL("ERR Library '"));
}

/* Without `replace` Redis refuses where there is a library of that name. */
static int load_functions(struct redis_link *l, bool replace, redis_reply_cb reply)
{
    struct span words[4] = {SPAN_LITERAL("FUNCTION"), SPAN_LITERAL("LOAD")};
    struct redis_request q = {.reply = reply, .context = l, .deadline_ms = REDIS_NEVER};
    size_t count = 2;

    if (replace) {
        words[count++] = SPAN_LITERAL("REPLACE");
    }
    words[count++] = span_of(l->greeting.functions);
    return redis_link_enqueue(l, words, count, &q);
}

/* As the greeting, or because a call has found them missing: the functions are there. */
static void on_functions(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct redis_link *l = context;
    struct span message = {0};

    if (!l->reloading) {
        on_greeting(context, ticket, reply);
        return;
    }
    l->reloading = false;
    if (reply && redis_reply_is_error(reply, &message)) {
        set_fault(l, "cannot be used: ", message);
    }
}

/* `reply` decides by age_of() whether to load. A library of ours without a version is loaded. */
static int ask_version(struct redis_link *l, redis_reply_cb reply)
{
    char name[LIBRARY_NAME], function[LIBRARY_NAME + 16];
    struct redis_request q = {.reply = reply, .context = l, .deadline_ms = REDIS_NEVER};

    if (own_version(l->greeting.functions, name) == 0) {
        return load_functions(l, true, on_functions);
    }
    snprintf(function, sizeof(function), "%s_version", name);
    const struct span words[] = {SPAN_LITERAL("FCALL_RO"), span_of(function), SPAN_LITERAL("0")};
    return redis_link_enqueue(l, words, 3, &q);
}

/* The next step towards them was `rc` = -1: it could not be asked for. */
static void go_on(struct redis_link *l, int rc)
{
    if (rc != 0 && !l->reloading) {
        set_fault(l, "out of memory", SPAN_LITERAL(""));
    }
    l->reloading = l->reloading && rc == 0;
}

static void complain_of_newer(struct redis_link *l)
{
    if (l->reloading && !l->outdated) {
        l->outdated = true;
        log_error("redis: the functions of a newer gate25 lack one that this program asks for");
    }
}

/* There are some. */
static void on_version(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct redis_link *l = context;
    enum library_age age = reply ? age_of(l, reply) : LIBRARY_OWN;

    if (l->fault[0]) {
        return;
    }
    if (age == LIBRARY_OLDER) {
        go_on(l, load_functions(l, true, on_functions));
        return;
    }
    if (age == LIBRARY_NEWER) {
        complain_of_newer(l);
    }
    on_functions(context, ticket, reply);
}

static void on_loaded(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct redis_link *l = context;

    if (exists_already(reply) && !l->fault[0]) {
        go_on(l, ask_version(l, on_version));
    } else {
        on_functions(context, ticket, reply);
    }
}

/* Where Redis has lost the functions all programs load them at once, older and newer ones, and each
 * has heard by then that there are none: so the first one's stay for a moment, and are looked at
 * again. */
static void on_first_version(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct redis_link *l = context;
    struct span message;

    if (reply && redis_reply_is_error(reply, &message) && !l->fault[0]) {
        go_on(l, load_functions(l, false, on_loaded));
    } else {
        on_version(context, ticket, reply);
    }
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
        rc |= ask_version(l, on_first_version);
    }
    return rc;
}

/* --- replies --- */

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
        if (!l->outdated) {
            log_warning("redis: has lost the functions, loading them again");
        }
        l->reloading = true;
        go_on(l, load_functions(l, false, on_loaded));
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
