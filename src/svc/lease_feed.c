#include "svc/lease_feed.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "core/store_keys.h"

int lease_ask_time(struct feed_request f)
{
    const struct span words[] = {SPAN_LITERAL("TIME")};

    return redis_call(f.redis, words, 1, f.deadline_ms, f.reply, f.context, f.ticket);
}

/* Whoever writes there, by the functions or past them: what is no unit and no account is none. */
static bool fill(
    struct span unit, struct span account, struct span until, struct span began,
    struct lease_entry *out)
{
    uint64_t until_s, began_ms;

    *out = (struct lease_entry){0};
    if (prefix_parse(unit, &out->unit) != PREFIX_OK || !span_number(until, INT64_MAX, &until_s) ||
        !span_number(began, INT64_MAX, &began_ms)) {
        return false;
    }
    out->until_s = (int64_t)until_s;
    out->began_ms = (int64_t)began_ms;
    return account.len == 0 || account_parse(account, out->account);
}

bool lease_entry_parse(struct span unit, struct span value, struct lease_entry *out)
{
    struct span until = span_word(&value), began = span_word(&value), session = span_word(&value);

    (void)session;
    return fill(unit, value, until, began, out);
}

static void begin_question(struct lease_question *q)
{
    q->words[0] = SPAN_LITERAL("HMGET");
    q->words[1] = SPAN_LITERAL(STORE_LEASES);
    q->count = 2;
}

void lease_question_over(struct lease_question *q, const struct prefix *p)
{
    begin_question(q);
    for (unsigned i = 0; i <= p->len; i++) {
        struct prefix shorter = prefix_of(&p->addr, p->len - i);

        prefix_format(&shorter, q->ids[i]);
        q->words[q->count++] = span_of(q->ids[i]);
    }
}

void lease_question_of(struct lease_question *q, struct span units)
{
    begin_question(q);
    for (size_t i = 0; units.len > 0 && i < sizeof(q->ids) / sizeof(q->ids[0]); i++) {
        struct span unit = span_word(&units);

        snprintf(q->ids[i], PREFIX_TEXT, "%.*s", (int)unit.len, unit.at);
        q->words[q->count++] = span_of(q->ids[i]);
    }
}

static void leave_aside(struct span unit)
{
    log_debug("leases: what Redis says of %.*s is unreadable", (int)unit.len, unit.at);
}

bool lease_time(const struct redis_reply *reply, int64_t *unix_s)
{
    return reply != NULL && redis_reply_integer(redis_reply_at(reply, 0), unix_s);
}

bool lease_scan(
    const struct redis_reply *reply, int64_t now_s, lease_entry_cb take, void *context,
    struct span *cursor)
{
    const struct redis_reply *pairs = feed_pairs(reply, cursor);
    size_t count = redis_reply_count(pairs);

    if (pairs == NULL) {
        return false;
    }
    for (size_t i = 0; i + 1 < count; i += 2) {
        struct span unit = {"", 0}, value = {"", 0};
        struct lease_entry entry;

        if (redis_reply_text(redis_reply_at(pairs, i), &unit) &&
            redis_reply_text(redis_reply_at(pairs, i + 1), &value) &&
            lease_entry_parse(unit, value, &entry)) {
            take(context, &entry, now_s);
        } else {
            leave_aside(unit);
        }
    }
    return true;
}

/* The id of an entry begins with Redis's time in milliseconds. */
static int64_t time_of(struct span id)
{
    uint64_t ms = 0;
    size_t len = 0;

    while (len < id.len && id.at[len] != '-') {
        len++;
    }
    return span_number((struct span){id.at, len}, INT64_MAX, &ms) ? (int64_t)(ms / 1000) : 0;
}

enum lease_news lease_changes(
    const struct redis_reply *reply, char position[FEED_POSITION], lease_entry_cb take,
    void *context)
{
    const struct redis_reply *entries = feed_entries(reply);
    size_t count = redis_reply_count(entries);

    for (size_t i = 0; i < count; i++) {
        const struct redis_reply *fields = redis_reply_at(redis_reply_at(entries, i), 1);
        struct span id, unit = redis_reply_field(fields, "unit");
        struct lease_entry entry;

        if (!redis_reply_text(redis_reply_at(redis_reply_at(entries, i), 0), &id) ||
            id.len >= FEED_POSITION) {
            return LEASE_NEWS_BAD;
        }
        if (!span_equal(redis_reply_field(fields, "after"), span_of(position))) {
            return LEASE_NEWS_GAP;
        }
        if (fill(
                unit, redis_reply_field(fields, "account"), redis_reply_field(fields, "until"),
                redis_reply_field(fields, "began"), &entry)) {
            take(context, &entry, time_of(id));
        } else {
            leave_aside(unit);
        }
        snprintf(position, FEED_POSITION, "%.*s", (int)id.len, id.at);
    }
    return count > 0 ? LEASE_NEWS_TAKEN : LEASE_NEWS_BAD;
}
