#include "web/subscriber.h"

#include <stdio.h>
#include <stdlib.h>

#include "subscriber_internal.h"
#include "web/signup.h"

#define HOME_ENTRIES  200 /* looked through for the last refusals */
#define HOME_REFUSALS 5

struct subscriber_view *subscriber_view(struct visit *v)
{
    struct subscriber_view *view = v->data;

    if (!view) {
        view = visit_alloc(v, sizeof(*view));
        view->page = json_object();
        visit_own(v, view->page);
        v->data = view;
    }
    return view;
}

void subscriber_show(struct visit *v, int status, const char *page)
{
    visit_page(v, status, page, json_incref(subscriber_view(v)->page));
}

/* --- the standing --- */

static int64_t number_of(struct span s)
{
    uint64_t n = 0;

    return span_number(s, INT64_MAX / 1000, &n) ? (int64_t)n : 0;
}

static void keep(char *out, size_t cap, struct span s)
{
    snprintf(out, cap, "%.*s", (int)s.len, s.at);
}

static void take_standing(struct visit *v, const struct redis_reply *reply)
{
    struct subscriber_view *view = subscriber_view(v);
    struct span name = redis_reply_field(reply, "class");
    const struct conf_class *class = conf_class_named(v->conf, name);
    struct span until = redis_reply_field(reply, "until");
    struct span since = redis_reply_field(reply, "since");
    int64_t until_ms = number_of(until) * 1000;

    if (name.len == 0 || !class || (until_ms != 0 && until_ms <= v->now_ms)) {
        return;
    }
    keep(view->class, sizeof(view->class), name);
    keep(view->since, sizeof(view->since), since);
    keep(view->until, sizeof(view->until), until.len > 0 ? until : SPAN_LITERAL("0"));
    view->refuses = class->action == ACTION_REFUSE ? class : NULL;
    json_object_set_new(
        view->page, "standing",
        json_pack(
            "{s:s, s:s, s:o, s:o, s:o}", "class", class->name, "action",
            class_action_name(class->action), "since", visit_time(number_of(since) * 1000), "until",
            visit_time(until_ms), "reason", visit_text(redis_reply_field(reply, "reason"))));
}

/* Neither who decided nor the desk's notes are for the subscriber's eyes. An account with none of
 * its own has that of the wider prefix that it is in. */
void subscriber_ask_standing(struct visit *v)
{
    const struct prefix *over = &v->entry.over;
    bool wider = v->entry.account && over->addr.family != ADDR_NONE;
    char id[PREFIX_TEXT], key[STORE_KEY];

    prefix_format(over, id);
    const struct span words[] = {
        SPAN_LITERAL("HGETALL"), store_key(STORE_KEY_STANDING, span_of(wider ? id : v->id), key)};

    visit_ask(v, words, 2, take_standing);
}

/* --- Home --- */

static void take_refusals(struct visit *v, const struct redis_reply *reply)
{
    json_t *list = json_array();

    for (size_t i = 0; i < redis_reply_count(reply); i++) {
        json_t *line = subscriber_line(v, reply, i, NULL);
        const char *event = json_string_value(json_object_get(line, "event"));

        if (event && span_equal(span_of(event), SPAN_LITERAL("refusal")) &&
            json_array_size(list) < HOME_REFUSALS) {
            json_array_append_new(list, subscriber_entry(v, line));
        }
        json_decref(line);
    }
    json_object_set_new(subscriber_view(v)->page, "refusals", list);
}

static void take_registration(struct visit *v, const struct redis_reply *reply)
{
    json_t *summary = signup_summary(v, reply);

    if (summary) {
        json_object_set_new(subscriber_view(v)->page, "signup", summary);
    }
}

static void show_home(struct visit *v)
{
    subscriber_show(v, 200, "home");
}

void subscriber_home(struct visit *v)
{
    json_t *page = subscriber_view(v)->page;
    const struct conf_submission *s = &v->conf->submission;

    json_object_set_new(page, "action", json_string(class_action_name(v->entry.class->action)));
    json_object_set_new(page, "enforce", json_boolean(v->entry.class->enforce));
    json_object_set_new(
        page, "submission",
        s->host[0] ? json_pack("{s:s, s:i}", "host", s->host, "port", (int)s->port) : json_null());
    subscriber_ask_standing(v);
    signup_ask_registration(v, take_registration);
    subscriber_ask_limits(v);
    subscriber_ask_log(v, HOME_ENTRIES, NULL, take_refusals);
    visit_then(v, show_home);
}

static const struct route routes[] = {
    {HTTP_GET, "/", WHO_SUBSCRIBER, subscriber_home},
    {HTTP_GET, "/activity", WHO_SUBSCRIBER, subscriber_activity},
    {HTTP_GET, "/activity.json", WHO_SUBSCRIBER, subscriber_activity_json},
    {HTTP_GET, "/quarantine", WHO_SUBSCRIBER, subscriber_quarantine},
    {HTTP_POST, "/quarantine", WHO_SUBSCRIBER, subscriber_release},
    {HTTP_GET, "/policy", WHO_ANYONE, subscriber_policy},
    {HTTP_GET, "/feedback", WHO_SUBSCRIBER, subscriber_feedback},
    {HTTP_POST, "/feedback", WHO_SUBSCRIBER, subscriber_feedback_post},
    {0},
};

static const char *const pages[] = {
    "home", "activity", "quarantine", "policy", "feedback", NULL,
};

/* The module's state: whether the policy differed from the gate's when it was compared last, so
 * that visitors do not fill the log with it. */
static int start(struct site *site, void **state, struct text *error)
{
    (void)site;
    *state = calloc(1, sizeof(bool));
    if (!*state) {
        text_addf(error, "out of memory");
    }
    return *state ? 0 : -1;
}

const struct site_module subscriber_module = {
    .name = "subscriber",
    .routes = routes,
    .pages = pages,
    .start = start,
    .stop = free,
};
