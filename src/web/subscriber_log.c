/* The throttling log, and the page Activity. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "subscriber_internal.h"

#define PAGE_ENTRIES 50
#define LOOKED_AT    1000 /* entries at a time, when only some are wanted */
#define JSON_ENTRIES 5000
#define POSITION     48

void subscriber_ask_log(struct visit *v, unsigned count, const char *from, visit_take_cb take)
{
    char key[STORE_KEY], number[16];

    snprintf(number, sizeof(number), "%u", count);
    const struct span words[] = {
        SPAN_LITERAL("XREVRANGE"),  store_key(STORE_KEY_LOG, span_of(v->id), key),
        span_of(from ? from : "+"), SPAN_LITERAL("-"),
        SPAN_LITERAL("COUNT"),      span_of(number),
    };
    visit_ask(v, words, sizeof(words) / sizeof(words[0]), take);
}

/* Below a standing over a wider prefix a log is many subscribers': each sees his own lines. An
 * account's is its own, wherever it has been. */
static bool is_own(const struct visit *v, const json_t *line)
{
    const char *client = json_string_value(json_object_get(line, "client"));
    struct endpoint e;

    return v->entry.account ||
           (client && endpoint_parse(span_of(client), &e) && prefix_contains(&v->unit, &e.addr));
}

json_t *subscriber_line(
    const struct visit *v, const struct redis_reply *reply, size_t i, struct span *position)
{
    const struct redis_reply *entry = redis_reply_at(reply, i);
    const struct redis_reply *fields = entry ? redis_reply_at(entry, 1) : NULL;
    struct span text = fields ? redis_reply_field(fields, "line") : (struct span){"", 0};
    json_t *line = json_loadb(text.at, text.len, 0, NULL);

    if (position && (!entry || !redis_reply_text(redis_reply_at(entry, 0), position))) {
        *position = SPAN_LITERAL("");
    }
    if (json_is_object(line) && is_own(v, line)) {
        return line;
    }
    json_decref(line);
    return NULL;
}

/* --- for people --- */

/* "messages:10/1m", as core/verdict.c writes it. */
static json_t *limit_of(const struct visit *v, struct span rule)
{
    const char *colon = rule.len > 0 ? memchr(rule.at, ':', rule.len) : NULL;
    struct span kind = {rule.at, colon ? (size_t)(colon - rule.at) : 0};
    struct span rest = span_skip(rule, kind.len + 1);
    struct rate rate;
    uint64_t count;

    for (enum limit_kind k = 0; colon && k < LIMIT_KINDS; k++) {
        if (!span_equal(kind, span_of(limit_kind_name(k)))) {
            continue;
        }
        if (conf_parse_rate(rest, &rate)) {
            return json_pack(
                "{s:s, s:o, s:o}", "kind", limit_kind_name(k), "amount",
                subscriber_amount(k, rate.count), "period", visit_duration(v, rate.period_us));
        }
        if (span_number(rest, UINT64_MAX / 2, &count)) {
            return json_pack(
                "{s:s, s:o}", "kind", limit_kind_name(k), "amount", subscriber_amount(k, count));
        }
    }
    return NULL;
}

static void copy(json_t *to, const json_t *from, const char *const *names)
{
    for (; *names; names++) {
        json_t *value = json_object_get(from, *names);

        if (value) {
            json_object_set(to, *names, value);
        }
    }
}

/* "2026-11-28T17:42:23.123Z" without its milliseconds: as the other times of the site. */
static json_t *time_of(const json_t *line, const char *name)
{
    const char *iso = json_string_value(json_object_get(line, name));

    if (!iso || strlen(iso) < 19) {
        return json_null();
    }
    return json_pack(
        "{s:s, s:o, s:o}", "iso", iso, "text", json_sprintf("%.10s %.8s UTC", iso, iso + 11),
        "date", json_sprintf("%.10s", iso));
}

bool subscriber_has_case(const json_t *line, struct span case_id)
{
    const json_t *cases = json_object_get(line, "cases");
    const char *own = json_string_value(json_object_get(line, "case"));
    bool found = own && span_equal(span_of(own), case_id);

    for (size_t i = 0; !found && i < json_array_size(cases); i++) {
        const char *one = json_string_value(json_array_get(cases, i));

        found = one && span_equal(span_of(one), case_id);
    }
    return found;
}

json_int_t subscriber_times(const json_t *line)
{
    json_int_t times = json_integer_value(json_object_get(line, "times"));

    return times > 1 ? times : 1;
}

/* The cases (servers) of `names` but the line's own, which the newest of them has. */
static json_t *others_of(const json_t *line, const char *name, const char *names)
{
    const json_t *all = json_object_get(line, names), *own = json_object_get(line, name);
    json_t *list = json_array();

    for (size_t i = 0; i < json_array_size(all); i++) {
        json_t *one = json_array_get(all, i);

        if (json_is_string(one) && !json_equal(one, own)) {
            json_array_append(list, one);
        }
    }
    size_t count = json_array_size(list);

    return json_pack("{s:I, s:b, s:o}", "count", (json_int_t)count, "one", count == 1, names, list);
}

static void put_others(
    json_t *entry, const char *key, const json_t *line, const char *name, const char *names)
{
    json_t *others = others_of(line, name, names);

    if (json_array_size(json_object_get(others, names)) > 0) {
        json_object_set(entry, key, others);
    }
    json_decref(others);
}

static void put_repeats(json_t *entry, const json_t *line)
{
    if (subscriber_times(line) > 1) {
        json_object_set_new(entry, "times", json_integer(subscriber_times(line)));
        json_object_set_new(entry, "since", time_of(line, "since"));
    }
    put_others(entry, "others", line, "case", "cases");
    put_others(entry, "other_servers", line, "server", "servers");
}

json_t *subscriber_entry(const struct visit *v, const json_t *line)
{
    static const char *const names[] = {"event", "case", "client", "server",   "from",
                                        "to",    "helo", "tls",    "messages", "recipients",
                                        "class", "spf",  "detail", "shadow",   NULL};
    json_t *entry = json_object();
    const char *rule = json_string_value(json_object_get(line, "rule"));
    json_int_t wait_s = json_integer_value(json_object_get(line, "retry_after_s"));
    json_int_t bytes = json_integer_value(json_object_get(line, "bytes_up"));
    json_t *limit = rule ? limit_of(v, span_of(rule)) : NULL;

    copy(entry, line, names);
    json_object_set_new(entry, "time", time_of(line, "time"));
    put_repeats(entry, line);
    json_object_set(entry, "done", json_object_get(line, "verdict"));
    json_object_set_new(
        entry, "bytes", subscriber_amount(LIMIT_BYTES, bytes > 0 ? (uint64_t)bytes : 0));
    if (limit) {
        json_object_set_new(entry, "limit", limit);
    } else if (rule) {
        json_object_set_new(entry, "rule", json_string(rule));
    }
    if (wait_s > 0) {
        json_object_set_new(entry, "wait", visit_duration(v, (uint64_t)wait_s * 1000000));
    }
    return entry;
}

/* --- Activity --- */

enum show { SHOW_ALL, SHOW_REFUSALS, SHOW_SESSIONS, SHOWS };

static const char *const show_names[SHOWS] = {
    [SHOW_ALL] = "all", [SHOW_REFUSALS] = "refusals", [SHOW_SESSIONS] = "sessions"};

struct filter {
    enum show show;
    struct span words; /* somewhere in server, sender, recipient or case */
    char from[POSITION];
    size_t most;
    bool json;
    /* what was found */
    json_t *entries;
    char next[POSITION]; /* where the next page begins; empty: nowhere */
};

static bool contains(const json_t *line, const char *name, struct span words)
{
    const char *value = json_string_value(json_object_get(line, name));

    return value && span_contains_nocase(span_of(value), words);
}

/* The line's own is in `case`, or `server`, too. */
static bool one_contains(const json_t *list, struct span words)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *value = json_string_value(json_array_get(list, i));

        if (value && span_contains_nocase(span_of(value), words)) {
            return true;
        }
    }
    return false;
}

static bool is_wanted(const struct filter *f, const json_t *line)
{
    static const char *const names[] = {"server", "from", "to", "case", "helo"};
    const char *event = json_string_value(json_object_get(line, "event"));
    bool refusal = event && strcmp(event, "refusal") == 0;

    if (f->show != SHOW_ALL && refusal != (f->show == SHOW_REFUSALS)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (f->words.len == 0 || contains(line, names[i], f->words)) {
            return true;
        }
    }
    return one_contains(json_object_get(line, "cases"), f->words) ||
           one_contains(json_object_get(line, "servers"), f->words);
}

static json_t *shown(const struct visit *v, const struct filter *f, const json_t *line)
{
    json_t *entry = subscriber_entry(v, line);
    const json_t *cases = json_object_get(json_object_get(entry, "others"), "cases");
    const json_t *servers = json_object_get(json_object_get(entry, "other_servers"), "servers");
    bool looks = f->words.len > 0;

    /* Who looks for one of them wants to see it. */
    json_object_set_new(entry, "found", json_boolean(looks && one_contains(cases, f->words)));
    json_object_set_new(
        entry, "found_server", json_boolean(looks && one_contains(servers, f->words)));
    return entry;
}

static void take_entries(struct visit *v, const struct redis_reply *reply)
{
    struct filter *f = subscriber_view(v)->more;
    struct span position = SPAN_LITERAL("");
    size_t count = redis_reply_count(reply);

    f->entries = json_array();
    visit_own(v, f->entries);
    for (size_t i = 0; i < count; i++) {
        json_t *line = subscriber_line(v, reply, i, &position);

        if (line && is_wanted(f, line)) {
            if (json_array_size(f->entries) == f->most) {
                json_decref(line);
                snprintf(f->next, POSITION, "%.*s", (int)position.len, position.at);
                return;
            }
            json_array_append_new(f->entries, f->json ? json_incref(line) : shown(v, f, line));
        }
        json_decref(line);
    }
    /* All that was looked at is shown, and there may be more. */
    if (count == LOOKED_AT && !f->json) {
        snprintf(f->next, POSITION, "%.*s", (int)position.len, position.at);
    }
}

/* "1700000000000-0": nothing else reaches Redis as a position. */
static bool is_position(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((s.at[i] < '0' || s.at[i] > '9') && s.at[i] != '-') {
            return false;
        }
    }
    return s.len > 0 && s.len < POSITION - 1;
}

static struct filter *read_filter(struct visit *v, bool json)
{
    struct filter *f = visit_alloc(v, sizeof(*f));
    struct span show = form_value(&v->query, "show"), from = form_value(&v->query, "from");

    for (enum show s = 0; s < SHOWS; s++) {
        if (span_equal(show, span_of(show_names[s]))) {
            f->show = s;
        }
    }
    f->words = form_value(&v->query, "search");
    if (!text_is_plain(f->words, false) || f->words.len > 200) {
        f->words = SPAN_LITERAL("");
    }
    if (is_position(from)) {
        snprintf(f->from, POSITION, "%.*s", (int)from.len, from.at);
    }
    f->json = json;
    f->most = json ? JSON_ENTRIES : PAGE_ENTRIES;
    subscriber_view(v)->more = f;
    return f;
}

static void show_activity(struct visit *v)
{
    struct filter *f = subscriber_view(v)->more;
    json_t *page = subscriber_view(v)->page;

    json_object_set(page, "entries", f->entries);
    json_object_set_new(page, "show", json_string(show_names[f->show]));
    json_object_set_new(page, "search", visit_text(f->words));
    json_object_set_new(page, "next", json_string(f->next));
    json_object_set_new(page, "later", json_boolean(f->from[0] != '\0'));
    json_object_set_new(page, "keep", visit_duration(v, v->conf->journal_keep_s * 1000000));
    subscriber_show(v, 200, "activity");
}

static void show_json(struct visit *v)
{
    struct filter *f = subscriber_view(v)->more;

    visit_json(v, json_incref(f->entries), "activity.json");
}

static void look(struct visit *v, const struct filter *f)
{
    subscriber_ask_log(
        v, f->json ? JSON_ENTRIES : LOOKED_AT, f->from[0] ? f->from : NULL, take_entries);
}

void subscriber_activity(struct visit *v)
{
    look(v, read_filter(v, false));
    visit_then(v, show_activity);
}

void subscriber_activity_json(struct visit *v)
{
    look(v, read_filter(v, true));
    visit_then(v, show_json);
}
