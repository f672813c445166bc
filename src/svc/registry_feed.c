#include "svc/registry_feed.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "core/store_keys.h"
#include "svc/standings.h"

static int ask(const struct feed_request *f, const struct span *words, size_t count)
{
    return redis_call(f->redis, words, count, f->deadline_ms, f->reply, f->context, f->ticket);
}

int feed_ask_position(struct feed_request f)
{
    const struct span words[] = {
        SPAN_LITERAL("XREVRANGE"), SPAN_LITERAL(STORE_CHANGES), SPAN_LITERAL("+"),
        SPAN_LITERAL("-"),         SPAN_LITERAL("COUNT"),       SPAN_LITERAL("1"),
    };

    return ask(&f, words, 6);
}

int feed_ask_first(struct feed_request f)
{
    const struct span words[] = {
        SPAN_LITERAL("XRANGE"), SPAN_LITERAL(STORE_CHANGES), SPAN_LITERAL("-"),
        SPAN_LITERAL("+"),      SPAN_LITERAL("COUNT"),       SPAN_LITERAL("1"),
    };

    return ask(&f, words, 6);
}

int feed_ask_length(struct feed_request f)
{
    const struct span words[] = {SPAN_LITERAL("XLEN"), SPAN_LITERAL(STORE_CHANGES)};

    return ask(&f, words, 2);
}

int feed_ask_size(struct feed_request f)
{
    const struct span words[] = {SPAN_LITERAL("HLEN"), SPAN_LITERAL(STORE_STANDINGS)};

    return ask(&f, words, 2);
}

int feed_ask_scan(struct feed_request f, struct span cursor)
{
    const struct span words[] = {
        SPAN_LITERAL("HSCAN"), SPAN_LITERAL(STORE_STANDINGS), cursor,
        SPAN_LITERAL("COUNT"), SPAN_LITERAL("1000"),
    };

    return ask(&f, words, 5);
}

int feed_ask_changes(struct feed_request f, const char *position, unsigned block_ms)
{
    char block[16];
    struct span words[] = {
        SPAN_LITERAL("XREAD"),
        SPAN_LITERAL("COUNT"),
        SPAN_LITERAL("10000"),
        SPAN_LITERAL("BLOCK"),
        {block, 0},
        SPAN_LITERAL("STREAMS"),
        SPAN_LITERAL(STORE_CHANGES),
        span_of(position),
    };

    words[4].len = (size_t)snprintf(block, sizeof(block), "%u", block_ms);
    return ask(&f, words, 8);
}

static bool is_error(const struct redis_reply *reply)
{
    struct span message;

    return reply == NULL || redis_reply_is_error(reply, &message);
}

bool feed_position(const struct redis_reply *reply, char out[FEED_POSITION])
{
    struct span id = SPAN_LITERAL(FEED_START);

    if (is_error(reply)) {
        return false;
    }
    if (redis_reply_count(reply) > 0 &&
        !redis_reply_text(redis_reply_at(redis_reply_at(reply, 0), 0), &id)) {
        return false;
    }
    snprintf(out, FEED_POSITION, "%.*s", (int)id.len, id.at);
    return true;
}

/* "MILLISECONDS-NUMBER". */
static void split(const char *position, uint64_t *ms, uint64_t *number)
{
    char *end;

    *ms = strtoull(position, &end, 10);
    *number = *end == '-' ? strtoull(end + 1, NULL, 10) : 0;
}

bool feed_position_before(const char *a, const char *b)
{
    uint64_t a_ms, a_number, b_ms, b_number;

    split(a, &a_ms, &a_number);
    split(b, &b_ms, &b_number);
    return a_ms < b_ms || (a_ms == b_ms && a_number < b_number);
}

static void remove_entry(struct prefix_map *map, struct span id)
{
    struct prefix p;

    if (standing_key(id, &p)) {
        prefix_map_remove(map, &p);
    }
}

static void put_entry(
    struct class_names *names, struct prefix_map *map, struct span id, struct span class,
    int64_t until_s)
{
    struct prefix p;
    int64_t number;

    if (!standing_key(id, &p)) {
        log_debug("standings: %.*s is no prefix and no account, left aside", (int)id.len, id.at);
        return;
    }
    number = class_names_intern(names, class);
    if (number < 0) {
        log_warning(
            "standings: %.*s: no class can be called \"%.*s\", left out", (int)id.len, id.at,
            (int)class.len, class.at);
        prefix_map_remove(map, &p);
        return;
    }
    if (standing_map_put(map, &p, (uint32_t)number, until_s) != 0) {
        log_error("standings: out of memory, %.*s left out", (int)id.len, id.at);
    }
}

bool feed_scan(
    const struct redis_reply *reply, struct class_names *names, struct prefix_map *map,
    struct span *cursor)
{
    const struct redis_reply *pairs;
    size_t count;

    if (is_error(reply) || !redis_reply_text(redis_reply_at(reply, 0), cursor)) {
        return false;
    }
    pairs = redis_reply_at(reply, 1);
    count = redis_reply_count(pairs);
    for (size_t i = 0; i + 1 < count; i += 2) {
        struct span id, value, class;
        int64_t until_s;

        if (!redis_reply_text(redis_reply_at(pairs, i), &id) ||
            !redis_reply_text(redis_reply_at(pairs, i + 1), &value)) {
            return false;
        }
        if (standing_parse(value, &class, &until_s)) {
            put_entry(names, map, id, class, until_s);
        } else {
            log_warning("standings: what Redis says of %.*s is unreadable", (int)id.len, id.at);
        }
    }
    return true;
}

/* A change without a class is a removal. */
static void apply_change(
    const struct redis_reply *fields, struct class_names *names, struct prefix_map *map)
{
    struct span id = redis_reply_field(fields, "id"), class = redis_reply_field(fields, "class");
    struct span until_text = redis_reply_field(fields, "until");
    uint64_t until = 0;

    if (class.len == 0) {
        remove_entry(map, id);
        return;
    }
    if (until_text.len > 0 && !span_number(until_text, INT64_MAX, &until)) {
        log_warning("standings: a change of %.*s has no readable end", (int)id.len, id.at);
        return;
    }
    put_entry(names, map, id, class, (int64_t)until);
}

bool feed_changes(
    const struct redis_reply *reply, struct class_names *names, struct prefix_map *map,
    char position[FEED_POSITION])
{
    const struct redis_reply *entries;
    size_t count;

    if (is_error(reply)) {
        return false;
    }
    entries = redis_reply_at(redis_reply_at(reply, 0), 1);
    count = redis_reply_count(entries);
    for (size_t i = 0; i < count; i++) {
        const struct redis_reply *entry = redis_reply_at(entries, i);
        struct span id;

        if (!redis_reply_text(redis_reply_at(entry, 0), &id) || id.len >= FEED_POSITION) {
            return false;
        }
        apply_change(redis_reply_at(entry, 1), names, map);
        snprintf(position, FEED_POSITION, "%.*s", (int)id.len, id.at);
    }
    return count > 0;
}
