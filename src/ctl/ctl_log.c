#include <stdio.h>
#include <string.h>

#include "core/store_keys.h"
#include "ctl/ctl_lease.h"
#include "ctl/ctl_log_line.h"
#include "ctl/ctl_subject.h"
#include "ctl/ctl_text.h"
#include "ctl/ctl_verbs.h"

#define POSITION      48
#define BLOCK_MS      5000 /* so that a Redis which vanished without a word is missed */
#define BLOCK_MS_TEXT "5000"

struct reader {
    bool json;
    size_t entries;
    char position[POSITION]; /* of the last entry that was printed */
};

static void print_line(const struct reader *r, struct span line)
{
    char readable[8192];
    struct text t;

    while (line.len > 0 && line.at[line.len - 1] == '\n') {
        line.len--;
    }
    if (r->json) {
        printf("%.*s\n", (int)line.len, line.at);
        return;
    }
    text_init(&t, readable, sizeof(readable));
    ctl_log_line(line, &t);
    puts(readable);
}

static void print_entry(struct reader *r, const struct redis_reply *entry)
{
    const struct redis_reply *fields = redis_reply_at(entry, 1);
    struct span position, name, line;

    if (redis_reply_text(redis_reply_at(entry, 0), &position)) {
        snprintf(r->position, sizeof(r->position), "%.*s", (int)position.len, position.at);
    }
    for (size_t i = 0; i + 1 < redis_reply_count(fields); i += 2) {
        if (redis_reply_text(redis_reply_at(fields, i), &name) &&
            span_equal(name, SPAN_LITERAL("line")) &&
            redis_reply_text(redis_reply_at(fields, i + 1), &line)) {
            print_line(r, line);
        }
    }
}

/* XREVRANGE: the newest comes first. */
static void use_last(void *context, const struct redis_reply *reply)
{
    struct reader *r = context;

    r->entries = redis_reply_count(reply);
    for (size_t i = r->entries; i > 0; i--) {
        print_entry(r, redis_reply_at(reply, i - 1));
    }
}

static void use_new(void *context, const struct redis_reply *reply)
{
    struct reader *r = context;
    const struct redis_reply *entries = redis_reply_at(redis_reply_at(reply, 0), 1);

    for (size_t i = 0; i < redis_reply_count(entries); i++) {
        print_entry(r, redis_reply_at(entries, i));
    }
}

static int print_last(struct ctl *c, struct reader *r, struct span key)
{
    char count[16];
    struct span words[] = {
        SPAN_LITERAL("XREVRANGE"), key,        SPAN_LITERAL("+"), SPAN_LITERAL("-"),
        SPAN_LITERAL("COUNT"),     {count, 0},
    };

    words[5].len = (size_t)snprintf(count, sizeof(count), "%u", c->options->count);
    return ctl_call(c, words, 6, CTL_ANSWER_MS, use_last, r);
}

/* After a question that failed. An error that Redis told is told as it is. */
static void say_waiting(const struct ctl *c)
{
    const char *why = redis_trouble(c->redis);

    ctl_say("waiting for Redis: %s", why[0] ? why : c->trouble);
}

/* The connection comes back by itself (svc/redis.h), and ends the rest when it does. */
static void rest(struct ctl *c)
{
    const struct timeval second = {1, 0};

    event_base_loopexit(c->base, &second);
    event_base_dispatch(c->base);
}

/* Goes on until nobody reads any more: whoever follows a log wants to see what comes after a
 * restart of Redis. What is read next is behind the last entry that was printed. */
static enum ctl_exit follow(struct ctl *c, struct reader *r, struct span key)
{
    bool waiting = false;

    while (fflush(stdout) == 0) {
        const struct span words[] = {
            SPAN_LITERAL("XREAD"),
            SPAN_LITERAL("BLOCK"),
            SPAN_LITERAL(BLOCK_MS_TEXT),
            SPAN_LITERAL("STREAMS"),
            key,
            span_of(r->position),
        };

        if (ctl_ask(c, words, 6, BLOCK_MS + CTL_ANSWER_MS, use_new, r) == 0) {
            waiting = false;
            continue;
        }
        if (!waiting) {
            say_waiting(c);
            waiting = true;
        }
        rest(c);
    }
    return CTL_REFUSED;
}

/* The log hangs on the id that the gate counts by: the standing's that is in force, which may be
 * narrower than the unit, else the unit's own (svc/registry.h). Older entries may be under the
 * unit's id all the same. */
static int print_from_either(
    struct ctl *c, struct reader *r, struct span *key, const struct ctl_subject *who,
    char array[STORE_KEY])
{
    struct ctl_subject over = *who;
    struct ctl_standing holds;

    over.prefix = who->named;
    *key = store_key(STORE_KEY_LOG, span_of(who->id), array);
    if (print_last(c, r, *key) != 0) {
        return -1;
    }
    if (r->entries > 0) {
        return 0;
    }
    if (ctl_standing_over(c, &over, &holds, NULL) != 0) {
        return -1;
    }
    if (!holds.found || strcmp(holds.id, who->id) == 0) {
        return 0;
    }
    *key = store_key(STORE_KEY_LOG, span_of(holds.id), array);
    return print_last(c, r, *key);
}

enum ctl_exit ctl_log(struct ctl *c)
{
    struct reader r = {.json = c->options->json, .position = "0-0"};
    struct ctl_subject who;
    char why[1024], array[STORE_KEY], name[CTL_ID];
    struct text error;
    struct span key;

    text_init(&error, why, sizeof(why));
    if (!ctl_subject_parse(c->conf, span_of(c->options->argument), &who, &error)) {
        ctl_say("%s", why);
        return CTL_REFUSED;
    }
    if (ctl_connect(c, NULL) != 0 || ctl_lease_resolve(c, &who) != 0 ||
        print_from_either(c, &r, &key, &who, array) != 0) {
        return CTL_REFUSED;
    }
    if (c->options->follow) {
        return follow(c, &r, key);
    }
    if (r.entries == 0) {
        ctl_say("%s: no entry is kept", ctl_name(who.id, name));
        return CTL_REFUSED;
    }
    return CTL_DONE;
}
