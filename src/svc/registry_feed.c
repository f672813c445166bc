#include "svc/registry_feed.h"

#include <stdio.h>

#include "base/log.h"
#include "svc/growing_map.h"
#include "svc/standings.h"

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
    if (growing_map_put(map, &p, (uint32_t)number, until_s) != 0) {
        log_error("standings: out of memory, %.*s left out", (int)id.len, id.at);
    }
}

bool feed_scan(
    const struct redis_reply *reply, struct class_names *names, struct prefix_map *map,
    struct span *cursor)
{
    const struct redis_reply *pairs = feed_pairs(reply, cursor);
    size_t count = redis_reply_count(pairs);

    if (pairs == NULL) {
        return false;
    }
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
    const struct redis_reply *entries = feed_entries(reply);
    size_t count = redis_reply_count(entries);

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
