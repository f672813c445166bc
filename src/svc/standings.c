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
#define REPLICAS_MS  500 /* for a replica to confirm */
#define UNCONFIRMED                                                                                \
    "written, but no replica has confirmed it: if its server fails now, it may be lost"

struct command {
    struct span words[MAX_WORDS];
    size_t count;
};

/* What is done one after the other; the requests of a step go out together. */
enum step { STEP_PLACE, STEP_CHANGE, STEP_REPLICAS, STEP_DONE };

/* One standing on its way. */
struct write {
    struct redis *redis;
    uint32_t deadline_ms;
    standings_done_cb done;
    void *context;
    enum step step;
    unsigned waiting; /* for answers of this step */
    bool failed;
    char error[ERROR_TEXT]; /* or warning */
    char key[STORE_KEY];    /* of the standing */
    struct command change;  /* its words are behind this structure */
    char text[];
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

static void advance(struct write *w);

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
    advance(w);
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

static void on_replicas(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct write *w = context;
    int64_t replicas;

    (void)ticket;
    w->waiting--;
    if (reply == NULL || !redis_reply_integer(reply, &replicas) || replicas == 0) {
        snprintf(w->error, sizeof(w->error), UNCONFIRMED);
    }
    advance(w);
}

static void ask_replicas(struct write *w)
{
    const struct span keys[] = {
        span_of(w->key), SPAN_LITERAL(STORE_STANDINGS), SPAN_LITERAL(STORE_CHANGES)};
    int asked = redis_ask_replicas(w->redis, keys, 3, REPLICAS_MS, on_replicas, w);

    if (asked < 0) {
        snprintf(w->error, sizeof(w->error), UNCONFIRMED);
    } else {
        w->waiting += (unsigned)asked;
    }
}

static void send_change(struct write *w)
{
    w->step = STEP_CHANGE;
    request(w, &w->change);
}

/* Begins the next step once all of this one is answered. */
static void advance(struct write *w)
{
    while (w->waiting == 0 && w->step != STEP_DONE) {
        if (w->failed || w->step == STEP_REPLICAS) {
            w->step = STEP_DONE;
        } else if (w->step == STEP_PLACE) {
            send_change(w);
        } else {
            w->step = STEP_REPLICAS;
            ask_replicas(w);
        }
    }
    if (w->waiting == 0) {
        w->done(w->context, !w->failed, span_of(w->error));
        free(w);
    }
}

static struct span number(int64_t value, char out[NUMBER])
{
    snprintf(out, NUMBER, "%" PRId64, value);
    return span_of(out);
}

/* Keeps a copy of the words for later. NULL: out of memory, and said so. */
static struct write *write_new(
    struct redis *r, const struct standing *s, const struct command *change, uint32_t deadline_ms,
    standings_done_cb done, void *context)
{
    size_t len = 0, used = 0;

    for (size_t i = 0; i < change->count; i++) {
        len += change->words[i].len;
    }
    struct write *w = calloc(1, sizeof(*w) + len);
    if (w == NULL) {
        done(context, false, SPAN_LITERAL("out of memory"));
        return NULL;
    }
    w->redis = r;
    w->deadline_ms = deadline_ms;
    w->done = done;
    w->context = context;
    store_key(STORE_KEY_STANDING, s->id, w->key);
    for (size_t i = 0; i < change->count; i++) {
        struct span word = change->words[i];
        memcpy(w->text + used, word.at, word.len);
        add(&w->change, (struct span){w->text + used, word.len});
        used += word.len;
    }
    return w;
}

size_t standing_fields(
    const struct standing *s, char room[STANDING_ROOM], struct span out[STANDING_WORDS])
{
    struct command c = {.count = 0};

    add(&c, SPAN_LITERAL("class"));
    add(&c, s->class);
    add(&c, SPAN_LITERAL("since"));
    add(&c, number(s->since_s, room));
    if (s->until_s != 0) {
        add_field(&c, "until", number(s->until_s, room + NUMBER));
    }
    add_field(&c, "by", s->by);
    add_field(&c, "reason", s->reason);
    add_field(&c, "note", s->note);
    memcpy(out, c.words, c.count * sizeof(*out));
    return c.count;
}

static void send_hash(struct write *w, const struct standing *s)
{
    char room[STANDING_ROOM];
    struct command c = {.count = 0};

    add(&c, SPAN_LITERAL("HSET"));
    add(&c, span_of(w->key));
    c.count += standing_fields(s, room, c.words + c.count);
    request(w, &c);
}

static void send_delete(struct write *w)
{
    struct command c = {.count = 0};

    add(&c, SPAN_LITERAL("DEL"));
    add(&c, span_of(w->key));
    request(w, &c);
}

/* What make_change() writes numbers into; its command points there. */
struct change_numbers {
    char since[NUMBER], until[NUMBER];
};

/* An empty class says that the standing is removed. */
static void make_change(
    struct command *c, const struct standing *s, struct span class, struct change_numbers *n)
{
    struct span verb = s->verb;

    if (verb.len == 0) {
        verb = class.len == 0 ? SPAN_LITERAL("remove") : SPAN_LITERAL("set");
    }
    *c = (struct command){.count = 0};
    add(c, SPAN_LITERAL("XADD"));
    add(c, SPAN_LITERAL(STORE_CHANGES));
    add(c, SPAN_LITERAL("MAXLEN"));
    add(c, SPAN_LITERAL("~"));
    add(c, SPAN_LITERAL(KEPT_CHANGES));
    add(c, SPAN_LITERAL("*"));
    add(c, SPAN_LITERAL("id"));
    add(c, s->id);
    add(c, SPAN_LITERAL("class"));
    add(c, class);
    add(c, SPAN_LITERAL("since"));
    add(c, number(s->since_s, n->since));
    add(c, SPAN_LITERAL("until"));
    add(c, number(s->until_s, n->until));
    add(c, SPAN_LITERAL("verb"));
    add(c, verb);
    add_field(c, "by", s->by);
    add_field(c, "reason", s->reason);
    add_field(c, "note", s->note);
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

/* Behind the parts that come first. */
static void begin(struct write *w)
{
    if (redis_keeps_order(w->redis)) {
        send_change(w);
    }
    advance(w);
}

void standings_set(
    struct redis *r, const struct standing *s, uint32_t deadline_ms, standings_done_cb done,
    void *context)
{
    struct change_numbers numbers;
    struct command change;
    struct write *w;
    char until_text[NUMBER];
    struct span until = number(s->until_s, until_text);

    make_change(&change, s, s->class, &numbers);
    w = write_new(r, s, &change, deadline_ms, done, context);
    if (w == NULL) {
        return;
    }
    send_delete(w);
    send_hash(w, s);
    send_index(w, s, until);
    begin(w);
}

static void send_unindex(struct write *w, const struct standing *s)
{
    struct command c = {.count = 0};

    add(&c, SPAN_LITERAL("HDEL"));
    add(&c, SPAN_LITERAL(STORE_STANDINGS));
    add(&c, s->id);
    request(w, &c);
}

void standings_publish(
    struct redis *r, const struct standing *s, uint32_t deadline_ms, standings_done_cb done,
    void *context)
{
    struct change_numbers numbers;
    struct command change;
    struct write *w;
    char until[NUMBER];

    make_change(&change, s, s->class, &numbers);
    w = write_new(r, s, &change, deadline_ms, done, context);
    if (w == NULL) {
        return;
    }
    if (s->class.len > 0) {
        send_index(w, s, number(s->until_s, until));
    } else {
        send_unindex(w, s);
    }
    begin(w);
}

void standings_remove(
    struct redis *r, const struct standing *s, uint32_t deadline_ms, standings_done_cb done,
    void *context)
{
    struct change_numbers numbers;
    struct command change;
    struct write *w;

    make_change(&change, s, (struct span){"", 0}, &numbers);
    w = write_new(r, s, &change, deadline_ms, done, context);
    if (w == NULL) {
        return;
    }
    send_unindex(w, s);
    send_delete(w);
    begin(w);
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
