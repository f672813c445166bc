/* The page Quarantine: what was seen, what to do, and the way out. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/clock.h"
#include "subscriber_internal.h"
#include "svc/standings.h"

#define SEEN_ENTRIES 2000
#define SERVERS_MOST 2000

struct counts {
    json_int_t sessions, messages, recipients, refusals, bytes;
    json_t *servers, *senders; /* sets: objects with the names as keys */
    json_t *first, *last;
};

/* --- what was seen --- */

static void add_to_set(json_t *set, const json_t *text)
{
    const char *value = json_string_value(text);

    if (value && value[0] && json_object_size(set) < SERVERS_MOST) {
        json_object_set_new(set, value, json_true());
    }
}

/* Where an entry stands for several lines, of all of them. */
static void add_servers(json_t *set, const json_t *line)
{
    const json_t *servers = json_object_get(line, "servers");

    add_to_set(set, json_object_get(line, "server"));
    for (size_t i = 0; i < json_array_size(servers); i++) {
        add_to_set(set, json_array_get(servers, i));
    }
}

static void count_line(const struct visit *v, struct counts *c, const json_t *line)
{
    const char *event = json_string_value(json_object_get(line, "event"));
    bool refusal = event && strcmp(event, "refusal") == 0;

    if (!c->last) {
        c->last = subscriber_entry(v, line);
    }
    json_decref(c->first);
    c->first = subscriber_entry(v, line);
    add_servers(c->servers, line);
    add_to_set(c->senders, json_object_get(line, "from"));
    c->refusals += refusal ? subscriber_times(line) : 0;
    if (!refusal) {
        c->sessions += subscriber_times(line);
        c->messages += json_integer_value(json_object_get(line, "messages"));
        c->recipients += json_integer_value(json_object_get(line, "recipients"));
        c->bytes += json_integer_value(json_object_get(line, "bytes_up"));
    }
}

/* An entry that stands for several lines is as old as the first of them. */
static json_t *first_time(const struct counts *c)
{
    json_t *since = json_object_get(c->first, "since");

    return since ? since : json_object_get(c->first, "time");
}

static void take_log(struct visit *v, const struct redis_reply *reply)
{
    struct counts c = {.servers = json_object(), .senders = json_object()};
    json_t *page = subscriber_view(v)->page;

    for (size_t i = 0; i < redis_reply_count(reply); i++) {
        json_t *line = subscriber_line(v, reply, i, NULL);

        if (line) {
            count_line(v, &c, line);
        }
        json_decref(line);
    }
    if (c.last) {
        json_object_set_new(
            page, "seen",
            json_pack(
                "{s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:O, s:O}", "sessions", c.sessions, "messages",
                c.messages, "recipients", c.recipients, "refusals", c.refusals, "bytes",
                subscriber_amount(LIMIT_BYTES, (uint64_t)c.bytes), "servers",
                (json_int_t)json_object_size(c.servers), "senders",
                (json_int_t)json_object_size(c.senders), "first", first_time(&c), "last",
                json_object_get(c.last, "time")));
    }
    json_decref(c.first);
    json_decref(c.last);
    json_decref(c.servers);
    json_decref(c.senders);
}

/* --- the way out --- */

static struct span released_key(const struct visit *v, char array[STORE_KEY])
{
    struct text t;

    text_init(&t, array, STORE_KEY);
    text_addf(&t, "g25:released:{%s}", v->id);
    return text_span(&t);
}

/* Past releases that still count. */
static void take_released(struct visit *v, const struct redis_reply *reply)
{
    int64_t oldest_s = v->now_ms / 1000 - (int64_t)v->conf->web.release_period_s;
    unsigned used = 0;
    int64_t when_s;

    for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2) {
        used += redis_reply_integer(redis_reply_at(reply, i + 1), &when_s) && when_s > oldest_s;
    }
    subscriber_view(v)->releases_used = used;
    json_object_set_new(
        subscriber_view(v)->page, "releases_left",
        json_integer(used < v->conf->web.self_releases ? v->conf->web.self_releases - used : 0));
}

/* A standing over others' lines too is nobody's own to end; and some classes are the desk's alone
 * to release from. */
static bool may_release(const struct visit *v, const struct subscriber_view *view)
{
    return view->refuses && v->own && v->conf->web.self_releases > 0;
}

static void show(struct visit *v)
{
    struct subscriber_view *view = subscriber_view(v);
    struct span done = form_value(&v->query, "done");
    bool released = span_equal(done, SPAN_LITERAL("released"));

    json_object_set_new(view->page, "quarantined", json_boolean(view->refuses != NULL));
    json_object_set_new(view->page, "may_release", json_boolean(may_release(v, view)));
    json_object_set_new(view->page, "shared", json_boolean(!v->own));
    /* Anybody can write such an address: it is told only where it is so. */
    json_object_set_new(
        view->page, "released",
        json_boolean(released && !view->refuses && view->releases_used > 0));
    json_object_set_new(
        view->page, "spent",
        json_boolean(
            span_equal(done, SPAN_LITERAL("spent")) && view->refuses &&
            view->releases_used >= v->conf->web.self_releases));
    json_object_set_new(
        view->page, "changed", json_boolean(span_equal(done, SPAN_LITERAL("changed"))));
    json_object_set_new(view->page, "standing_since", json_string(view->since));
    json_object_set_new(
        view->page, "release_period", visit_duration(v, v->conf->web.release_period_s * 1000000));
    subscriber_show(v, 200, "quarantine");
}

static void ask(struct visit *v)
{
    char key[STORE_KEY];
    const struct span words[] = {SPAN_LITERAL("HGETALL"), released_key(v, key)};

    subscriber_ask_standing(v);
    visit_ask(v, words, 2, take_released);
}

void subscriber_quarantine(struct visit *v)
{
    ask(v);
    subscriber_ask_log(v, SEEN_ENTRIES, NULL, take_log);
    visit_then(v, show);
}

/* --- the release --- */

struct release {
    int64_t answer; /* of gate25_site_release */
};

static void redirect_done(struct visit *v)
{
    const struct release *r = subscriber_view(v)->more;

    visit_redirect(
        v, r->answer > 0    ? "/quarantine?done=released"
           : r->answer == 0 ? "/quarantine?done=changed"
                            : "/quarantine?done=spent");
}

/* The change is told last: whoever hears of it finds the rest in place. */
static void tell(struct visit *v)
{
    const struct span words[] = {
        SPAN_LITERAL("XADD"),   SPAN_LITERAL(STORE_CHANGES),
        SPAN_LITERAL("MAXLEN"), SPAN_LITERAL("~"),
        SPAN_LITERAL("100000"), SPAN_LITERAL("*"),
        SPAN_LITERAL("id"),     span_of(v->id),
        SPAN_LITERAL("class"),  SPAN_LITERAL(""),
        SPAN_LITERAL("since"),  SPAN_LITERAL("0"),
        SPAN_LITERAL("until"),  SPAN_LITERAL("0"),
        SPAN_LITERAL("verb"),   SPAN_LITERAL("release"),
        SPAN_LITERAL("by"),     SPAN_LITERAL("subscriber"),
        SPAN_LITERAL("reason"), SPAN_LITERAL("\"I have cleaned it\""),
    };

    visit_ask(v, words, sizeof(words) / sizeof(words[0]), NULL);
    visit_then(v, redirect_done);
}

static void take_release(struct visit *v, const struct redis_reply *reply)
{
    struct release *r = subscriber_view(v)->more;

    if (!redis_reply_integer(reply, &r->answer)) {
        r->answer = 0;
    }
}

static void forget(struct visit *v)
{
    const struct subscriber_view *view = subscriber_view(v);
    const struct release *r = view->more;
    char value[CONF_NAME + SUBSCRIBER_NUMBER];

    if (r->answer <= 0) {
        redirect_done(v);
        return;
    }
    snprintf(value, sizeof(value), "%s %s", view->class, view->until);
    const struct span words[] = {
        SPAN_LITERAL("FCALL"), SPAN_LITERAL("gate25_site_forget"),
        SPAN_LITERAL("1"),     SPAN_LITERAL(STORE_STANDINGS),
        span_of(v->id),        span_of(value),
    };

    log_info("%s released itself from %s", v->id, view->class);
    visit_ask(v, words, sizeof(words) / sizeof(words[0]), NULL);
    visit_then(v, tell);
}

static void release(struct visit *v)
{
    struct subscriber_view *view = subscriber_view(v);
    char standing[STORE_KEY], released[STORE_KEY], most[16], period[SUBSCRIBER_NUMBER];
    struct span seen = form_value(&v->form, "since");
    struct release *r = visit_alloc(v, sizeof(*r));

    view->more = r;
    if (!may_release(v, view) || !span_equal(seen, span_of(view->since))) {
        r->answer = v->own && view->refuses && v->conf->web.self_releases == 0 ? -1 : 0;
        redirect_done(v);
        return;
    }
    snprintf(most, sizeof(most), "%u", v->conf->web.self_releases);
    snprintf(period, sizeof(period), "%" PRIu64, v->conf->web.release_period_s);
    const struct span words[] = {
        SPAN_LITERAL("FCALL"),     SPAN_LITERAL("gate25_site_release"),
        SPAN_LITERAL("2"),         store_key(STORE_KEY_STANDING, span_of(v->id), standing),
        released_key(v, released), span_of(view->class),
        span_of(view->since),      span_of(most),
        span_of(period),
    };

    visit_ask(v, words, sizeof(words) / sizeof(words[0]), take_release);
    visit_then(v, forget);
}

void subscriber_release(struct visit *v)
{
    subscriber_ask_standing(v);
    visit_then(v, release);
}
