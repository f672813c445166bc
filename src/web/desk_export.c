/* Tables to take away, as JSON or CSV; and what subscribers wrote to the desk. */
#include <stdio.h>
#include <string.h>

#include "csv.h"
#include "desk_subscriber.h"

#define FEEDBACK_SHOWN 50
#define FEEDBACK_TEXT  "50"
#define TOP            TALLY_TOP_MOST
#define POSITION       48

bool desk_export_may_begin(struct visit *v)
{
    struct span format = form_value(&v->query, "format");

    if (!form_has(&v->query, "format") || span_equal(format, SPAN_LITERAL("csv")) ||
        span_equal(format, SPAN_LITERAL("json"))) {
        return true;
    }
    desk_fault(v, 400, "format", format);
    return false;
}

void desk_export(struct visit *v, json_t *list, const char *const *columns, const char *name)
{
    struct buf out = BUF_INIT;
    char text[128];
    int rc;

    if (!span_equal(form_value(&v->query, "format"), SPAN_LITERAL("csv"))) {
        snprintf(text, sizeof(text), "%s.json", name);
        visit_json(v, list, text);
        return;
    }
    rc = csv_write(list, columns, &out);
    json_decref(list);
    if (rc != 0) {
        buf_clear(&out);
        visit_fail(v, 503);
        return;
    }
    snprintf(text, sizeof(text), "attachment; filename=\"%s.csv\"", name);
    visit_header(v, "Content-Disposition", text);
    visit_bytes(v, 200, "text/csv; charset=utf-8", buf_span(&out));
    buf_clear(&out);
}

/* --- a subscriber's log --- */

static void take_lines(struct visit *v, const struct redis_reply *reply)
{
    json_t *list = json_array();

    for (size_t i = 0; i < redis_reply_count(reply); i++) {
        const struct redis_reply *fields = redis_reply_at(redis_reply_at(reply, i), 1);
        struct span text = redis_reply_field(fields, "line");
        json_t *line = json_loadb(text.at, text.len, 0, NULL);

        if (json_is_object(line)) {
            json_array_append(list, line);
        }
        json_decref(line);
    }
    desk_put(v, "lines", list);
}

static void send_log(struct visit *v)
{
    static const char *const columns[] = {
        "time",          "event",       "case",       "id",     "client",
        "server",        "class",       "verdict",    "rule",   "shadow",
        "retry_after_s", "helo",        "from",       "to",     "messages",
        "recipients",    "bytes_up",    "bytes_down", "tls",    "turns",
        "spf",           "duration_ms", "node",       "detail", "times",
        "since",         "cases",       "servers",    NULL};

    desk_export(v, json_incref(json_object_get(desk_view(v)->page, "lines")), columns, "log");
}

void desk_log_export(struct visit *v)
{
    const struct desk_subject *s;
    char key[STORE_KEY];

    if (!desk_export_may_begin(v) || !desk_subject_of(v, form_value(&v->query, "id"))) {
        return;
    }
    s = desk_view(v)->more;
    const struct span words[] = {
        SPAN_LITERAL("XRANGE"), store_key(STORE_KEY_LOG, span_of(s->id), key), SPAN_LITERAL("-"),
        SPAN_LITERAL("+")};

    visit_ask(v, words, 4, take_lines);
    desk_trail(v, "export", span_of(s->id), SPAN_LITERAL("log"));
    visit_then(v, send_log);
}

/* --- the tally --- */

static void take_tally(struct visit *v, const struct tally_row *rows, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        json_t *row = desk_row(v, &rows[i]);

        json_object_del(row, "chart");
        json_array_append_new(list, row);
    }
    desk_put(v, "rows", list);
}

static void send_tally(struct visit *v)
{
    static const char *const columns[] = {"id",       "class",     "standing", "sessions",
                                          "messages", "deferrals", "refusals", NULL};

    desk_export(v, json_incref(json_object_get(desk_view(v)->page, "rows")), columns, "tally");
}

void desk_tally_export(struct visit *v)
{
    struct span by = form_value(&v->query, "by");
    enum tally_kind kind = TALLY_SESSIONS;

    if (!desk_export_may_begin(v)) {
        return;
    }
    while (kind < TALLY_OF_SUBSCRIBERS && !span_equal(by, span_of(tally_kind_name(kind)))) {
        kind++;
    }
    if (kind == TALLY_OF_SUBSCRIBERS) {
        desk_fault(v, 400, "by", by);
        return;
    }
    desk_ask_top(v, kind, TOP, take_tally);
    desk_trail(v, "export", SPAN_LITERAL("tally"), by);
    visit_then(v, send_tally);
}

/* --- feedback --- */

static void take_feedback(struct visit *v, const struct redis_reply *reply)
{
    static const char *const names[] = {"id", "address", "topic", "case", "contact", "language"};
    json_t *list = json_array();
    struct span position = {"", 0};
    char next[POSITION];

    for (size_t i = 0; i < redis_reply_count(reply); i++) {
        const struct redis_reply *entry = redis_reply_at(reply, i);
        const struct redis_reply *fields = redis_reply_at(entry, 1);
        uint64_t ms = 0;
        json_t *one;

        (void)redis_reply_text(redis_reply_at(entry, 0), &position);
        size_t dash = 0;
        while (dash < position.len && position.at[dash] != '-') {
            dash++;
        }
        (void)span_number((struct span){position.at, dash}, INT64_MAX, &ms);
        one = json_pack(
            "{s:o, s:o}", "time", visit_time((int64_t)ms), "words",
            visit_text(redis_reply_field(fields, "words")));
        for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
            json_object_set_new(one, names[n], visit_text(redis_reply_field(fields, names[n])));
        }
        json_array_append_new(list, one);
    }
    if (json_array_size(list) == FEEDBACK_SHOWN) {
        snprintf(next, sizeof(next), "%.*s", (int)position.len, position.at);
        desk_put(v, "next", json_string(next));
    }
    desk_put(v, "entries", list);
}

static void show_feedback(struct visit *v)
{
    desk_show(v, 200, "desk_feedback");
}

/* "1700000000000-0": nothing else reaches Redis. */
static bool is_position(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((s.at[i] < '0' || s.at[i] > '9') && s.at[i] != '-') {
            return false;
        }
    }
    return s.len > 0 && s.len < POSITION - 1;
}

void desk_feedback(struct visit *v)
{
    struct span before = form_value(&v->query, "before");
    char from[POSITION] = "+";

    if (is_position(before)) {
        snprintf(from, sizeof(from), "(%.*s", (int)before.len, before.at);
        desk_put(v, "later", json_true());
    }
    const struct span words[] = {
        SPAN_LITERAL("XREVRANGE"), SPAN_LITERAL(STORE_FEEDBACK), span_of(from),
        SPAN_LITERAL("-"),         SPAN_LITERAL("COUNT"),        SPAN_LITERAL(FEEDBACK_TEXT)};

    visit_ask(v, words, 6, take_feedback);
    visit_then(v, show_feedback);
}
