#include "ctl/ctl_history.h"

#include <stdio.h>

#include "core/store_keys.h"
#include "ctl/ctl_text.h"

#define PAGE      1000
#define PAGE_TEXT "1000"
#define POSITION  48

struct search {
    struct span id;
    json_t *found; /* newest first */
    char next[POSITION];
    size_t seen; /* on this page */
    bool failed;
};

/* The id of a stream's entry begins with its time in milliseconds. */
static int64_t entry_time_s(struct span position)
{
    uint64_t ms = 0;
    size_t len = 0;

    while (len < position.len && position.at[len] != '-') {
        len++;
    }
    return span_number((struct span){position.at, len}, INT64_MAX, &ms) ? (int64_t)(ms / 1000) : 0;
}

static json_t *describe(struct span position, const struct redis_reply *fields)
{
    uint64_t until = 0;

    if (!span_number(redis_reply_field(fields, "until"), INT64_MAX, &until)) {
        until = 0;
    }
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "time", ctl_time_json(entry_time_s(position)),
        "verb", ctl_text_json_or_null(redis_reply_field(fields, "verb")), "class",
        ctl_text_json_or_null(redis_reply_field(fields, "class")), "until",
        ctl_time_json((int64_t)until), "by", ctl_text_json_or_null(redis_reply_field(fields, "by")),
        "reason", ctl_text_json_or_null(redis_reply_field(fields, "reason")), "note",
        ctl_text_json_or_null(redis_reply_field(fields, "note")));
}

static void use_page(void *context, const struct redis_reply *reply)
{
    struct search *s = context;

    s->seen = redis_reply_count(reply);
    for (size_t i = 0; i < s->seen && json_array_size(s->found) < CTL_HISTORY_MOST; i++) {
        const struct redis_reply *entry = redis_reply_at(reply, i);
        struct span position = {"", 0};

        redis_reply_text(redis_reply_at(entry, 0), &position);
        snprintf(s->next, sizeof(s->next), "(%.*s", (int)position.len, position.at);
        if (!span_equal(redis_reply_field(redis_reply_at(entry, 1), "id"), s->id)) {
            continue;
        }
        if (json_array_append_new(s->found, describe(position, redis_reply_at(entry, 1))) != 0) {
            s->failed = true;
        }
    }
}

static json_t *reversed(json_t *list)
{
    json_t *out = json_array();

    for (size_t i = json_array_size(list); i > 0; i--) {
        json_array_append(out, json_array_get(list, i - 1));
    }
    json_decref(list);
    return out;
}

json_t *ctl_history_read(struct ctl *c, const char *id)
{
    struct search s = {.id = span_of(id), .found = json_array(), .next = "+"};

    do {
        const struct span words[] = {
            SPAN_LITERAL("XREVRANGE"), SPAN_LITERAL(STORE_CHANGES), span_of(s.next),
            SPAN_LITERAL("-"),         SPAN_LITERAL("COUNT"),       SPAN_LITERAL(PAGE_TEXT),
        };

        if (ctl_call(c, words, 6, CTL_ANSWER_MS, use_page, &s) != 0) {
            json_decref(s.found);
            return NULL;
        }
    } while (s.seen == PAGE && json_array_size(s.found) < CTL_HISTORY_MOST && !s.failed);
    if (s.failed) {
        json_decref(s.found);
        ctl_say("out of memory");
        return NULL;
    }
    return reversed(s.found);
}

static void add_part(struct text *t, const char *before, const json_t *entry, const char *name)
{
    const json_t *value = json_object_get(entry, name);

    if (json_is_string(value)) {
        text_add(t, span_of(before));
        ctl_text_escape((struct span){json_string_value(value), json_string_length(value)}, t);
    }
}

void ctl_history_print(const json_t *history)
{
    for (size_t i = 0; i < json_array_size(history); i++) {
        const json_t *entry = json_array_get(history, i);
        char line[8192];
        struct text t;

        text_init(&t, line, sizeof(line));
        add_part(&t, "  ", entry, "time");
        add_part(&t, "  ", entry, "verb");
        add_part(&t, ": ", entry, "class");
        add_part(&t, " until ", entry, "until");
        add_part(&t, ", by ", entry, "by");
        add_part(&t, ", reason: ", entry, "reason");
        add_part(&t, ", note: ", entry, "note");
        puts(line);
    }
}
