#include "web/standing_change.h"

#include <stdlib.h>
#include <string.h>

#include "core/store_keys.h"

/* A change on its way; the strings of the standing are copied behind it. */
struct pending {
    struct redis *redis;
    uint32_t deadline_ms;
    standing_change_cb done;
    void *context;
    struct standing standing;
    char strings[];
};

int standing_look(
    struct redis *r, struct span id, uint32_t deadline_ms, redis_reply_cb reply, void *context,
    uint64_t ticket)
{
    char key[STORE_KEY];
    const struct span words[] = {
        SPAN_LITERAL("FCALL_RO"), SPAN_LITERAL("gate25_site_look"), SPAN_LITERAL("1"),
        store_key(STORE_KEY_STANDING, id, key)};

    return redis_call(r, words, 4, deadline_ms, reply, context, ticket);
}

static int64_t number_in(struct span value)
{
    uint64_t n = 0;

    return span_number(value, INT64_MAX, &n) ? (int64_t)n : 0;
}

static void set_field(struct standing *s, struct span name, struct span value)
{
    const struct {
        const char *name;
        struct span *text;
        int64_t *number;
    } fields[] = {
        {"class", &s->class, NULL}, {"by", &s->by, NULL},         {"reason", &s->reason, NULL},
        {"note", &s->note, NULL},   {"since", NULL, &s->since_s}, {"until", NULL, &s->until_s},
    };

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (!span_equal(name, span_of(fields[i].name))) {
            continue;
        }
        if (fields[i].text != NULL) {
            *fields[i].text = value;
        } else {
            *fields[i].number = number_in(value);
        }
    }
}

bool standing_seen(
    const struct redis_reply *reply, struct standing *out, char digest[STANDING_DIGEST])
{
    const struct redis_reply *first = redis_reply_at(reply, 0);
    struct span name, value;

    *out = (struct standing){0};
    if (first == NULL || !redis_reply_text(first, &value) || value.len != STANDING_DIGEST - 1) {
        return false;
    }
    memcpy(digest, value.at, value.len);
    digest[value.len] = '\0';
    for (size_t i = 1; i + 1 < redis_reply_count(reply); i += 2) {
        if (redis_reply_text(redis_reply_at(reply, i), &name) &&
            redis_reply_text(redis_reply_at(reply, i + 1), &value)) {
            set_field(out, name, value);
        }
    }
    return true;
}

static void end(struct pending *p, enum standing_outcome outcome, struct span error)
{
    p->done(p->context, outcome, error);
    free(p);
}

static void on_written(void *context, bool ok, struct span error)
{
    end(context, ok ? STANDING_DONE : STANDING_FAILED, error);
}

static void on_changed(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct pending *p = context;
    struct span message;
    int64_t changed = 0;

    (void)ticket;
    if (reply == NULL) {
        end(p, STANDING_FAILED, SPAN_LITERAL("Redis did not answer"));
    } else if (redis_reply_is_error(reply, &message)) {
        end(p, STANDING_FAILED, message);
    } else if (!redis_reply_integer(reply, &changed) || changed != 1) {
        end(p, STANDING_MEANWHILE, (struct span){"", 0});
    } else {
        standings_publish(p->redis, &p->standing, p->deadline_ms, on_written, p);
    }
}

static struct pending *pending_new(const struct standing *s)
{
    const struct span all[] = {s->id, s->class, s->by, s->reason, s->note, s->verb};
    size_t len = 0;
    struct pending *p;

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        len += all[i].len;
    }
    p = calloc(1, sizeof(*p) + len);
    if (p == NULL) {
        return NULL;
    }
    p->standing = *s;
    struct span *kept[] = {&p->standing.id,     &p->standing.class, &p->standing.by,
                           &p->standing.reason, &p->standing.note,  &p->standing.verb};
    char *at = p->strings;

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i].len > 0) {
            memcpy(at, all[i].at, all[i].len);
        }
        kept[i]->at = at;
        at += all[i].len;
    }
    return p;
}

void standing_change(
    struct redis *r, const struct standing *s, struct span digest, uint32_t deadline_ms,
    standing_change_cb done, void *context)
{
    char key[STORE_KEY], room[STANDING_ROOM];
    struct span words[5 + STANDING_WORDS];
    size_t count = 5;
    struct pending *p = pending_new(s);

    if (p == NULL) {
        done(context, STANDING_FAILED, SPAN_LITERAL("out of memory"));
        return;
    }
    p->redis = r;
    p->deadline_ms = deadline_ms;
    p->done = done;
    p->context = context;
    words[0] = SPAN_LITERAL("FCALL");
    words[1] = SPAN_LITERAL("gate25_site_change");
    words[2] = SPAN_LITERAL("1");
    words[3] = store_key(STORE_KEY_STANDING, s->id, key);
    words[4] = digest;
    if (s->class.len > 0) {
        count += standing_fields(s, room, words + count);
    }
    if (redis_call(r, words, count, deadline_ms, on_changed, p, 0) != 0) {
        end(p, STANDING_FAILED, SPAN_LITERAL("not connected to Redis"));
    }
}
