#include "svc/standings.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/store_keys.h"

#define KEPT_CHANGES "100000" /* about so many in the stream */
#define MAX_WORDS    24
#define NUMBER       24
#define ERROR_TEXT   200

/* One standing on its way: several requests, pipelined, and one report when all are answered. */
struct write {
    struct redis *redis;
    uint32_t deadline_ms;
    standings_done_cb done;
    void *context;
    unsigned waiting;
    bool failed;
    char error[ERROR_TEXT];
};

struct command {
    struct span words[MAX_WORDS];
    size_t count;
};

static void add(struct command *c, struct span word)
{
    c->words[c->count++] = word;
}

static void add_field(struct command *c, const char *name, struct span value)
{
    if (value.len > 0) {
        add(c, span_of(name));
        add(c, value);
    }
}

static void fail(struct write *w, struct span why)
{
    struct text t;

    if (!w->failed) {
        w->failed = true;
        text_init(&t, w->error, sizeof(w->error));
        text_add(&t, why);
    }
}

static void finish(struct write *w)
{
    if (w->waiting > 0) {
        return;
    }
    w->done(w->context, !w->failed, span_of(w->error));
    free(w);
}

static void on_reply(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct write *w = context;
    struct span message;

    (void)ticket;
    w->waiting--;
    if (reply == NULL) {
        fail(w, SPAN_LITERAL("Redis did not answer"));
    } else if (redis_reply_is_error(reply, &message)) {
        fail(w, message);
    }
    finish(w);
}

static void request(struct write *w, const struct command *c)
{
    if (w->failed) {
        return;
    }
    if (redis_call(w->redis, c->words, c->count, w->deadline_ms, on_reply, w, 0) != 0) {
        fail(w, SPAN_LITERAL("not connected to Redis"));
        return;
    }
    w->waiting++;
}

static struct span number(int64_t value, char out[NUMBER])
{
    snprintf(out, NUMBER, "%" PRId64, value);
    return span_of(out);
}

static struct write *write_new(
    struct redis *r, uint32_t deadline_ms, standings_done_cb done, void *context)
{
    struct write *w = calloc(1, sizeof(*w));

    if (w == NULL) {
        done(context, false, SPAN_LITERAL("out of memory"));
        return NULL;
    }
    *w = (struct write){.redis = r, .deadline_ms = deadline_ms, .done = done, .context = context};
    return w;
}

static void send_hash(struct write *w, const struct standing *s, struct span until)
{
    char key[STORE_KEY], since[NUMBER];
    struct command c = {.count = 0};

    add(&c, SPAN_LITERAL("HSET"));
    add(&c, store_key(STORE_KEY_STANDING, s->id, key));
    add(&c, SPAN_LITERAL("class"));
    add(&c, s->class);
    add(&c, SPAN_LITERAL("since"));
    add(&c, number(s->since_s, since));
    add_field(&c, "until", s->until_s == 0 ? (struct span){0} : until);
    add_field(&c, "by", s->by);
    add_field(&c, "reason", s->reason);
    add_field(&c, "note", s->note);
    request(w, &c);
}

static void send_delete(struct write *w, const struct standing *s)
{
    char key[STORE_KEY];
    struct command c = {.count = 0};

    add(&c, SPAN_LITERAL("DEL"));
    add(&c, store_key(STORE_KEY_STANDING, s->id, key));
    request(w, &c);
}

/* An empty class says that the standing is removed. */
static void send_change(struct write *w, const struct standing *s, struct span class)
{
    char since[NUMBER], until[NUMBER];
    struct command c = {.count = 0};
    struct span verb = s->verb;

    if (verb.len == 0) {
        verb = class.len == 0 ? SPAN_LITERAL("remove") : SPAN_LITERAL("set");
    }
    add(&c, SPAN_LITERAL("XADD"));
    add(&c, SPAN_LITERAL(STORE_CHANGES));
    add(&c, SPAN_LITERAL("MAXLEN"));
    add(&c, SPAN_LITERAL("~"));
    add(&c, SPAN_LITERAL(KEPT_CHANGES));
    add(&c, SPAN_LITERAL("*"));
    add(&c, SPAN_LITERAL("id"));
    add(&c, s->id);
    add(&c, SPAN_LITERAL("class"));
    add(&c, class);
    add(&c, SPAN_LITERAL("since"));
    add(&c, number(s->since_s, since));
    add(&c, SPAN_LITERAL("until"));
    add(&c, number(s->until_s, until));
    add(&c, SPAN_LITERAL("verb"));
    add(&c, verb);
    add_field(&c, "by", s->by);
    add_field(&c, "reason", s->reason);
    add_field(&c, "note", s->note);
    request(w, &c);
}

static void send_index(struct write *w, const struct standing *s, struct span until)
{
    char value[STORE_KEY];
    struct command c = {.count = 0};
    struct text t;

    text_init(&t, value, sizeof(value));
    text_addf(&t, "%.*s %.*s", (int)s->class.len, s->class.at, (int)until.len, until.at);
    add(&c, SPAN_LITERAL("HSET"));
    add(&c, SPAN_LITERAL(STORE_STANDINGS));
    add(&c, s->id);
    add(&c, text_span(&t));
    request(w, &c);
}

void standings_set(
    struct redis *r, const struct standing *s, uint32_t deadline_ms, standings_done_cb done,
    void *context)
{
    struct write *w = write_new(r, deadline_ms, done, context);
    char until_text[NUMBER];
    struct span until = number(s->until_s, until_text);

    if (w == NULL) {
        return;
    }
    /* The change comes last: whoever hears of it finds the rest in place. */
    send_delete(w, s);
    send_hash(w, s, until);
    send_index(w, s, until);
    send_change(w, s, s->class);
    finish(w);
}

void standings_remove(
    struct redis *r, const struct standing *s, uint32_t deadline_ms, standings_done_cb done,
    void *context)
{
    struct write *w = write_new(r, deadline_ms, done, context);
    struct command c = {.count = 0};

    if (w == NULL) {
        return;
    }
    add(&c, SPAN_LITERAL("HDEL"));
    add(&c, SPAN_LITERAL(STORE_STANDINGS));
    add(&c, s->id);
    request(w, &c);
    send_delete(w, s);
    send_change(w, s, (struct span){"", 0});
    finish(w);
}

int standings_ask_reason(
    struct redis *r, struct span id, uint32_t deadline_ms, redis_reply_cb reply, void *context,
    uint64_t ticket)
{
    char key[STORE_KEY];
    struct span words[] = {
        SPAN_LITERAL("HGET"), store_key(STORE_KEY_STANDING, id, key), SPAN_LITERAL("reason")};

    return redis_call(
        r, words, sizeof(words) / sizeof(*words), deadline_ms, reply, context, ticket);
}

bool standing_parse(struct span value, struct span *class, int64_t *until_s)
{
    const char *blank = value.len == 0 ? NULL : memchr(value.at, ' ', value.len);
    uint64_t until;
    size_t len;

    if (blank == NULL || blank == value.at) {
        return false;
    }
    len = (size_t)(blank - value.at);
    if (!span_number(span_skip(value, len + 1), INT64_MAX, &until)) {
        return false;
    }
    *class = (struct span){value.at, len};
    *until_s = (int64_t)until;
    return true;
}
