/* Who did what: changes of standings and the desk's own trail, as one list; and their export. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "csv.h"
#include "desk_subscriber.h"

#define SHOWN        100
#define ASKED        "200" /* of each stream: one filter's worth and more */
#define FAILED_SHOWN "30"
#define EXPORTED     "20000"
#define POSITION     48

struct trail {
    json_t *changes, *rest; /* newest first */
    struct span by;         /* wanted; empty: anybody */
    bool full;              /* one of the streams has more */
};

static struct trail *trail_of(struct visit *v)
{
    return desk_view(v)->more;
}

/* The id of a stream's entry begins with its time. */
static int64_t time_ms(struct span position)
{
    uint64_t ms = 0;
    size_t len = 0;

    while (len < position.len && position.at[len] != '-') {
        len++;
    }
    return span_number((struct span){position.at, len}, INT64_MAX, &ms) ? (int64_t)ms : 0;
}

/* What was done, in the language's words; what has none there as it stands. */
static json_t *word_of(const struct visit *v, struct span what)
{
    char key[64];
    const char *word;

    snprintf(key, sizeof(key), "what-%.*s", (int)what.len, what.len > 0 ? what.at : "");
    word = visit_word(v, key);
    return word == key ? visit_text(what) : json_string(word);
}

json_t *desk_change(struct visit *v, struct span position, const struct redis_reply *fields)
{
    static const char *const names[] = {"id",   "class", "by",    "reason",
                                        "note", "from",  "about", "detail"};
    struct span what = redis_reply_field(fields, "what");
    struct span verb = redis_reply_field(fields, "verb");
    int64_t ms = time_ms(position);
    uint64_t until_s = 0;
    json_t *out = json_pack(
        "{s:I, s:o, s:o}", "ms", (json_int_t)ms, "time", visit_time(ms), "what",
        visit_text(what.len > 0 ? what : verb));

    json_object_set_new(out, "done", word_of(v, what.len > 0 ? what : verb));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        json_object_set_new(out, names[i], visit_text(redis_reply_field(fields, names[i])));
    }
    if (span_number(redis_reply_field(fields, "until"), INT64_MAX / 1000, &until_s)) {
        json_object_set_new(out, "until", visit_time((int64_t)until_s * 1000));
    }
    return out;
}

static void take_into(struct visit *v, const struct redis_reply *reply, json_t *list)
{
    struct trail *t = trail_of(v);
    size_t count = redis_reply_count(reply);

    t->full = t->full || count >= 2 * SHOWN;
    for (size_t i = 0; i < count; i++) {
        const struct redis_reply *entry = redis_reply_at(reply, i);
        const struct redis_reply *fields = redis_reply_at(entry, 1);
        struct span position = {"", 0};

        redis_reply_text(redis_reply_at(entry, 0), &position);
        if (t->by.len == 0 || span_equal(redis_reply_field(fields, "by"), t->by)) {
            json_array_append_new(list, desk_change(v, position, fields));
        }
    }
}

static void take_changes(struct visit *v, const struct redis_reply *reply)
{
    take_into(v, reply, trail_of(v)->changes);
}

static void take_rest(struct visit *v, const struct redis_reply *reply)
{
    take_into(v, reply, trail_of(v)->rest);
}

static json_int_t ms_of(const json_t *list, size_t i)
{
    return i < json_array_size(list)
               ? json_integer_value(json_object_get(json_array_get(list, i), "ms"))
               : -1;
}

/* Both lists as one, at most `most` entries; but never a part of what happened in one millisecond,
 * since the next page begins behind it. *last_ms: of the last one; -1: there is no more. */
static json_t *merge(const struct trail *t, size_t most, json_int_t *last_ms)
{
    json_t *list = json_array();
    size_t i = 0, j = 0;

    *last_ms = -1;
    for (;;) {
        json_int_t a = ms_of(t->changes, i), b = ms_of(t->rest, j), next = a > b ? a : b;

        if (next < 0) {
            return list;
        }
        if (json_array_size(list) >= most && next != *last_ms) {
            return list;
        }
        json_array_append(
            list, a >= b ? json_array_get(t->changes, i++) : json_array_get(t->rest, j++));
        *last_ms = next;
    }
}

static void ask_stream(
    struct visit *v, const char *key, const char *from, const char *count, visit_take_cb take)
{
    const struct span words[] = {SPAN_LITERAL("XREVRANGE"), span_of(key),          span_of(from),
                                 SPAN_LITERAL("-"),         SPAN_LITERAL("COUNT"), span_of(count)};

    visit_ask(v, words, 6, take);
}

static struct trail *trail_new(struct visit *v)
{
    struct trail *t = visit_alloc(v, sizeof(*t));

    desk_view(v)->more = t;
    t->changes = json_array();
    t->rest = json_array();
    visit_own(v, t->changes);
    visit_own(v, t->rest);
    t->by = form_value(&v->query, "by");
    return t;
}

static void take_failed(struct visit *v, const struct redis_reply *reply)
{
    json_t *list = json_array();

    for (size_t i = 0; i < redis_reply_count(reply); i++) {
        const struct redis_reply *entry = redis_reply_at(reply, i);
        struct span position = {"", 0};

        redis_reply_text(redis_reply_at(entry, 0), &position);
        json_array_append_new(list, desk_change(v, position, redis_reply_at(entry, 1)));
    }
    desk_put(v, "failed", list);
}

static void show(struct visit *v)
{
    const struct trail *t = trail_of(v);
    json_int_t last_ms;
    json_t *entries = merge(t, SHOWN, &last_ms);
    size_t all = json_array_size(t->changes) + json_array_size(t->rest);

    if (last_ms > 0 && (t->full || json_array_size(entries) < all)) {
        desk_put(v, "next", json_integer(last_ms - 1));
    }
    desk_put(v, "entries", entries);
    desk_put(v, "by", visit_text(t->by));
    desk_show(v, 200, "desk_audit");
}

void desk_audit(struct visit *v)
{
    struct span before = form_value(&v->query, "before");
    char from[POSITION] = "+";
    uint64_t ms;

    trail_new(v);
    if (span_number(before, INT64_MAX, &ms)) {
        snprintf(from, sizeof(from), "%" PRIu64, ms);
        desk_put(v, "later", json_true());
    }
    ask_stream(v, STORE_CHANGES, from, ASKED, take_changes);
    ask_stream(v, STORE_TRAIL, from, ASKED, take_rest);
    ask_stream(v, STORE_FAILED, "+", FAILED_SHOWN, take_failed);
    visit_then(v, show);
}

static void send_all(struct visit *v)
{
    static const char *const columns[] = {"time",  "what",   "by",   "from",  "id",     "class",
                                          "until", "reason", "note", "about", "detail", NULL};
    json_int_t last_ms;

    desk_export(v, merge(trail_of(v), SIZE_MAX, &last_ms), columns, "audit");
}

void desk_audit_export(struct visit *v)
{
    if (!desk_export_may_begin(v)) {
        return;
    }
    trail_new(v);
    ask_stream(v, STORE_CHANGES, "+", EXPORTED, take_changes);
    ask_stream(v, STORE_TRAIL, "+", EXPORTED, take_rest);
    desk_trail(v, "export", SPAN_LITERAL("audit"), form_value(&v->query, "format"));
    visit_then(v, send_all);
}
