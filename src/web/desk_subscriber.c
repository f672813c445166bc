/* One subscriber's whole picture. */
#include <stdio.h>
#include <string.h>

#include "chart.h"
#include "desk_subscriber.h"
#include "subscriber_internal.h"

#define LOG_SHOWN     "60"
#define CHANGES_PAGE  1000
#define CHANGES_TEXT  "1000"
#define CHANGES_PAGES 5 /* older ones: gate25ctl show */
#define HISTORY_SHOWN 30

static struct desk_subject *subject_of(struct visit *v)
{
    return desk_view(v)->more;
}

/* --- standing --- */

static void take_standing(struct visit *v, const struct redis_reply *reply)
{
    struct desk_subject *s = subject_of(v);
    struct standing seen;
    const struct conf_class *class;
    bool ended;

    if (!standing_seen(reply, &seen, s->digest)) {
        desk_lose(v);
        return;
    }
    desk_put(v, "seen", json_string(s->digest));
    if (seen.class.len == 0) {
        return;
    }
    class = conf_class_named(v->conf, seen.class);
    ended = seen.until_s != 0 && seen.until_s <= v->now_ms / 1000;
    if (!ended && class && !s->passed_over) {
        s->class = class;
    }
    s->quarantine = desk_is_quarantine(class, seen.class);
    desk_put(
        v, "standing",
        json_pack(
            "{s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b}", "class", visit_text(seen.class), "since",
            visit_time(seen.since_s * 1000), "until", visit_time(seen.until_s * 1000), "by",
            visit_text(seen.by), "reason", visit_text(seen.reason), "note", visit_text(seen.note),
            "ended", ended, "unknown", class == NULL));
}

static void ask_standing(struct visit *v)
{
    char key[STORE_KEY];
    const struct span words[] = {
        SPAN_LITERAL("FCALL_RO"), SPAN_LITERAL("gate25_site_look"), SPAN_LITERAL("1"),
        store_key(STORE_KEY_STANDING, span_of(subject_of(v)->id), key)};

    visit_ask(v, words, 4, take_standing);
}

/* A standing over a wider prefix holds where the subscriber has none of his own. */
static void put_cover(struct visit *v)
{
    struct desk_subject *s = subject_of(v);
    struct registry_entry entry;
    char id[PREFIX_TEXT];

    s->class = &v->conf->classes[v->conf->default_class];
    if (!s->is_prefix) {
        (void)registry_find_account(
            site_registry(v->site), v->conf, s->id, v->now_ms / 1000, &s->class);
        return;
    }
    registry_find(site_registry(v->site), v->conf, &s->prefix.addr, v->now_ms / 1000, &entry);
    s->passed_over = desk_is_passed_over(v, &s->prefix);
    desk_put(v, "passed_over", json_boolean(s->passed_over));
    if (!entry.standing || entry.account || entry.unit.len >= s->prefix.len) {
        return;
    }
    s->class = entry.class;
    prefix_format(&entry.unit, id);
    desk_put(v, "cover", json_pack("{s:s, s:s}", "id", id, "class", entry.class->name));
}

/* --- meters --- */

static json_t *limit_of(
    const struct visit *v, const struct meter_window *w, const struct meter_level *level)
{
    uint64_t count = w->rate.count, left = meter_left(w, level);
    json_t *limit = json_pack(
        "{s:s, s:I, s:I, s:I, s:o, s:o, s:b}", "kind", limit_kind_name(w->kind), "seconds",
        (json_int_t)(w->rate.period_us / 1000000), "count", (json_int_t)count, "left",
        (json_int_t)left, "amount", subscriber_amount(w->kind, count), "left_amount",
        subscriber_amount(w->kind, left), "low", left * 5 <= count);

    if (w->kind != LIMIT_CONCURRENT) {
        json_object_set_new(limit, "period", visit_duration(v, w->rate.period_us));
    }
    if (level->full_us > 0) {
        json_object_set_new(limit, "full", visit_duration(v, level->full_us));
    }
    return limit;
}

static void take_levels(struct visit *v, const struct redis_reply *reply)
{
    const struct desk_subject *s = subject_of(v);
    json_t *list = json_array();
    struct meter_level level;

    for (size_t i = 0; reply && i < s->windows.count; i++) {
        if (meter_level_decode(reply, i, &level)) {
            json_array_append_new(list, limit_of(v, &s->windows.at[i], &level));
        }
    }
    desk_put(v, "limits", list);
}

/* The class is known by now. Without any gate Redis has no functions for it. */
static void ask_levels(struct visit *v)
{
    struct desk_subject *s = subject_of(v);
    struct meter_words words;

    meter_windows_of(s->class, METER_ALL_KINDS, &s->windows);
    if (s->class->action == ACTION_METER && s->windows.count > 0) {
        meter_words_peek(&words, s->id, &s->windows);
        visit_try(v, words.at, words.count, take_levels);
    }
}

/* --- log, history, tally --- */

static void take_log(struct visit *v, const struct redis_reply *reply)
{
    json_t *list = json_array();
    bool anchored = false;

    for (size_t i = 0; i < redis_reply_count(reply); i++) {
        const struct redis_reply *fields = redis_reply_at(redis_reply_at(reply, i), 1);
        struct span text = redis_reply_field(fields, "line");
        json_t *line = json_loadb(text.at, text.len, 0, NULL);

        if (json_is_object(line)) {
            json_t *entry = subscriber_entry(v, line);
            bool found = subscriber_has_case(line, form_value(&v->query, "case"));

            json_object_set_new(entry, "found", json_boolean(found));
            json_object_set_new(entry, "anchor", json_boolean(found && !anchored));
            anchored = anchored || found;
            json_array_append_new(list, entry);
        }
        json_decref(line);
    }
    desk_put(v, "entries", list);
}

static void ask_log(struct visit *v)
{
    char key[STORE_KEY];
    const struct span words[] = {
        SPAN_LITERAL("XREVRANGE"), store_key(STORE_KEY_LOG, span_of(subject_of(v)->id), key),
        SPAN_LITERAL("+"),         SPAN_LITERAL("-"),
        SPAN_LITERAL("COUNT"),     SPAN_LITERAL(LOG_SHOWN)};

    visit_ask(v, words, 6, take_log);
}

static void ask_changes(struct visit *v);

static void take_changes(struct visit *v, const struct redis_reply *reply)
{
    struct desk_subject *s = subject_of(v);
    size_t count = redis_reply_count(reply);

    s->changes_seen = count;
    for (size_t i = 0; i < count && json_array_size(s->history) < HISTORY_SHOWN; i++) {
        const struct redis_reply *entry = redis_reply_at(reply, i);
        const struct redis_reply *fields = redis_reply_at(entry, 1);
        struct span position = {"", 0};

        redis_reply_text(redis_reply_at(entry, 0), &position);
        snprintf(s->next, sizeof(s->next), "(%.*s", (int)position.len, position.at);
        if (span_equal(redis_reply_field(fields, "id"), span_of(s->id))) {
            json_array_append_new(s->history, desk_change(v, position, fields));
        }
    }
}

/* What has been done, if it can be seen: `done` comes from the address line. */
static const char *done_of(struct visit *v)
{
    struct span done = form_value(&v->query, "done");
    bool quarantine = subject_of(v)->quarantine;

    if (span_equal(done, SPAN_LITERAL("quarantined"))) {
        return quarantine ? "quarantined" : "";
    }
    if (span_equal(done, SPAN_LITERAL("released"))) {
        return quarantine ? "" : "released";
    }
    return desk_decided(v, done);
}

/* What was typed for a decision has no field to stand in once the registration waits no longer. */
static void put_lost(struct visit *v)
{
    const json_t *page = desk_view(v)->page;
    json_t *typed = json_object_get(page, "typed_reason");
    const char *state =
        json_string_value(json_object_get(json_object_get(page, "registration"), "state"));

    if (typed && (!state || strcmp(state, "pending") != 0)) {
        desk_put(v, "lost", json_incref(typed));
    }
}

static bool is_empty(struct visit *v, const char *name)
{
    const json_t *value = json_object_get(desk_view(v)->page, name);

    return json_array_size(value) == 0 && json_object_size(value) == 0;
}

/* An account that nobody has ever seen at work may be a slip of the pen. */
static bool is_unheard_of(struct visit *v)
{
    const struct desk_subject *s = subject_of(v);

    return !s->is_prefix && !s->tallied && is_empty(v, "entries") && is_empty(v, "registration") &&
           is_empty(v, "leases");
}

static void show(struct visit *v)
{
    struct desk_subject *s = subject_of(v);

    if (s->changes_seen == CHANGES_PAGE && json_array_size(s->history) < HISTORY_SHOWN) {
        if (s->changes_pages < CHANGES_PAGES) {
            ask_changes(v);
            visit_then(v, show);
            return;
        }
        desk_put(v, "older_changes", json_true());
    }
    desk_put(v, "history", json_incref(s->history));
    desk_put(v, "class", json_string(s->class->name));
    desk_put(v, "action", json_string(class_action_name(s->class->action)));
    desk_put(v, "enforce", json_boolean(s->class->enforce));
    desk_put(v, "quarantine", json_boolean(s->quarantine));
    desk_put(v, "done", json_string(done_of(v)));
    put_lost(v);
    desk_put(v, "unheard", json_boolean(is_unheard_of(v)));
    desk_show(v, s->status, "desk_subscriber");
}

static void ask_changes(struct visit *v)
{
    struct desk_subject *s = subject_of(v);
    const struct span words[] = {SPAN_LITERAL("XREVRANGE"), SPAN_LITERAL(STORE_CHANGES),
                                 span_of(s->next),          SPAN_LITERAL("-"),
                                 SPAN_LITERAL("COUNT"),     SPAN_LITERAL(CHANGES_TEXT)};

    s->changes_pages++;
    visit_ask(v, words, 6, take_changes);
}

static void take_row(struct visit *v, const struct tally_row *rows, size_t count)
{
    if (count == 1) {
        for (enum tally_kind k = 0; k < TALLY_KINDS; k++) {
            subject_of(v)->tallied = subject_of(v)->tallied || rows->total[k] > 0;
        }
        desk_put(v, "row", desk_row(v, rows));
        desk_put(v, "hours", chart_table(rows, v->now_ms / 1000));
    }
}

/* --- the page --- */

static void put_classes(struct visit *v)
{
    json_t *list = json_array();

    for (size_t i = 0; i < v->conf->class_count; i++) {
        const struct conf_class *c = &v->conf->classes[i];

        if (desk_is_quarantine(c, span_of(c->name))) {
            json_array_append_new(list, json_string(c->name));
        }
    }
    desk_put(v, "many_quarantines", json_boolean(json_array_size(list) > 1));
    desk_put(v, "quarantines", list);
}

/* Many lines at once want a second thought. */
static void put_wide(struct visit *v)
{
    const struct desk_subject *s = subject_of(v);
    uint64_t lines = s->is_prefix ? desk_lines(v, &s->prefix) : 1;

    if (lines > 1) {
        desk_put(v, "wide", json_pack("{s:I}", "lines", (json_int_t)lines));
    }
}

static void ask_rest(struct visit *v)
{
    ask_levels(v);
    visit_then(v, show);
}

static void ask_all(struct visit *v, int status, const char *notice)
{
    struct desk_subject *s = subject_of(v);

    s->status = status;
    s->history = json_array();
    visit_own(v, s->history);
    snprintf(s->next, sizeof(s->next), "+");
    desk_put(v, "id", visit_text(span_of(s->id)));
    desk_put(v, "notice", json_string(notice));
    desk_put(v, "back", json_string("subscriber"));
    put_wide(v);
    put_classes(v);
    put_cover(v);
    ask_standing(v);
    ask_log(v);
    ask_changes(v);
    desk_ask_leases(v);
    desk_ask_registration(v, span_of(s->id));
    desk_ask_row(v, span_of(s->id), take_row);
    visit_then(v, ask_rest);
}

void desk_subscriber(struct visit *v)
{
    struct span id = form_value(&v->query, "id");

    if (id.len == 0) {
        visit_redirect(v, "/desk/search");
    } else if (desk_subject_of(v, id)) {
        ask_all(v, 200, "");
    }
}

void desk_subscriber_again(struct visit *v, int status, const char *notice)
{
    ask_all(v, status, notice);
}
