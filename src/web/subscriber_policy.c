/* The page Policy, made of the configuration that runs; and Feedback. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "core/conf_digest.h"
#include "subscriber_internal.h"
#include "svc/gate_ask.h"

#define STATUS_MS     2000
#define FEEDBACK_MOST "10000" /* about so many are kept */
#define WORDS_MOST    4000
#define CONTACT_MOST  200
#define CASE_MOST     64

/* --- Policy --- */

static json_t *class_of(const struct visit *v, const struct conf_class *c)
{
    static const char *const overs[] = {
        [OVER_DEFER] = "defer", [OVER_REFUSE] = "refuse", [OVER_SUBMIT] = "submit"};

    return json_pack(
        "{s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:o}", "name", c->name, "title",
        visit_class_name(v, c->name), "action", class_action_name(c->action), "over",
        overs[c->over], "enforce", c->enforce, "default",
        c == &v->conf->classes[v->conf->default_class], "no_tls", c->starttls == STARTTLS_REFUSE,
        "limits", c->action == ACTION_METER ? subscriber_limits(v, c) : json_array());
}

/* The page tells the site's own configuration; the gate beside it decides by its own. */
static void compare(struct visit *v, const json_t *status)
{
    const char *theirs = json_string_value(json_object_get(status, "policy"));
    char ours[CONF_DIGEST];

    if (!theirs) {
        return;
    }
    conf_policy_digest(v->conf, ours);
    bool same = strcmp(ours, theirs) == 0;
    bool *differs = site_state(v->site, &subscriber_module);
    if (!same && !*differs) {
        log_warning("the gate works by other classes, limits, ipv6-unit, spf.use or journal.keep "
                    "than this site's configuration, which the policy page is made of");
    } else if (same && *differs) {
        log_info("the gate and the policy page agree again");
    }
    *differs = !same;
    json_object_set_new(
        subscriber_view(v)->page, same ? "policy_agrees" : "policy_differs", json_true());
}

/* What this gate has counted since its start. */
static void use_status(struct visit *v, struct span line)
{
    static const char *const names[] = {"sessions", "passed",  "metered",  "deferred",
                                        "refused",  "bridged", "messages", NULL};
    json_t *status = line.len > 0 ? json_loadb(line.at, line.len, 0, NULL) : NULL;
    json_t *counters = json_object_get(status, "counters");
    json_t *effect = json_object();
    char full[32];

    compare(v, status);
    for (const char *const *name = names; *name; name++) {
        snprintf(full, sizeof(full), "%s_total", *name);
        json_t *value = json_object_get(counters ? counters : status, full);

        if (json_is_integer(value)) {
            json_object_set(effect, *name, value);
        }
    }
    json_object_set_new(subscriber_view(v)->page, "effect", effect);
    json_decref(status);
}

static void on_status(void *context, uint64_t ticket, struct span line)
{
    struct visit *v = visit_of(context, ticket);

    if (v) {
        use_status(v, line);
        visit_got(v);
    }
}

static void take_count(struct visit *v, const struct redis_reply *reply)
{
    int64_t count;

    if (reply && redis_reply_integer(reply, &count)) {
        json_object_set_new(subscriber_view(v)->page, "standings", json_integer(count));
    }
}

static void show_policy(struct visit *v)
{
    subscriber_show(v, 200, "policy");
}

static json_t *text_or_null(const char *s)
{
    return s[0] ? json_string(s) : json_null();
}

/* The policy is there to be read whatever works: no answer only leaves a figure out. */
void subscriber_policy(struct visit *v)
{
    static const char *const spf[] = {
        [SPF_USE_OFF] = "off",
        [SPF_USE_LOG] = "log",
        [SPF_USE_METER] = "meter",
        [SPF_USE_REFUSE] = "refuse"};
    const struct span words[] = {SPAN_LITERAL("HLEN"), SPAN_LITERAL(STORE_STANDINGS)};
    json_t *page = subscriber_view(v)->page, *classes = json_array();
    const struct conf *c = v->conf;
    uint64_t ticket;

    for (size_t i = 0; i < c->class_count; i++) {
        json_array_append_new(classes, class_of(v, &c->classes[i]));
    }
    json_object_set_new(page, "classes", classes);
    json_object_set_new(page, "spf", json_string(spf[c->spf.use]));
    json_object_set_new(page, "since", text_or_null(c->web.since));
    json_object_set_new(page, "review", text_or_null(c->web.review));
    json_object_set_new(page, "decides", text_or_null(c->web.decides));
    json_object_set_new(page, "contact", text_or_null(c->web.contact));
    json_object_set_new(page, "ipv6_unit", json_integer(c->ipv6_unit));
    json_object_set_new(page, "keep", visit_duration(v, c->journal_keep_s * 1000000));
    json_object_set_new(page, "self_releases", json_integer(c->web.self_releases));
    visit_try(v, words, 2, take_count);
    ticket = visit_wait(v);
    if (!c->control_socket || gate_ask(
                                  site_base(v->site), c->control_socket, "status", STATUS_MS,
                                  on_status, v->site, ticket) != 0) {
        visit_then(v, show_policy);
        visit_got(v);
        return;
    }
    visit_then(v, show_policy);
}

/* --- Feedback --- */

void subscriber_feedback(struct visit *v)
{
    json_t *page = subscriber_view(v)->page;

    json_object_set_new(page, "sent", json_boolean(form_has(&v->query, "sent")));
    json_object_set_new(page, "topic", visit_text(form_value(&v->query, "topic")));
    json_object_set_new(page, "case", visit_text(form_value(&v->query, "case")));
    subscriber_show(v, 200, "feedback");
}

static void redirect_sent(struct visit *v)
{
    visit_redirect(v, "/feedback?sent=1");
}

static bool is_one_of(struct span s, const char *const *list)
{
    while (*list && !span_equal(s, span_of(*list))) {
        list++;
    }
    return *list != NULL;
}

/* Shown again with what was written, and what is wrong with it, if anything is. */
static void show_again(struct visit *v, int status, const char *fault)
{
    static const char *const names[] = {"topic", "case", "words", "contact", NULL};
    json_t *page = subscriber_view(v)->page;

    for (const char *const *name = names; *name; name++) {
        json_object_set_new(page, *name, visit_text(form_value(&v->form, *name)));
    }
    if (fault) {
        json_object_set_new(page, fault, json_true());
    }
    json_object_set_new(page, "page_form", json_string("page-form"));
    subscriber_show(v, status, "feedback");
}

static void keep_feedback(struct visit *v, struct span topic, struct span words)
{
    char address[ADDR_TEXT];

    addr_format(&v->client, address);
    const struct span add[] = {
        SPAN_LITERAL("XADD"),        SPAN_LITERAL("g25:feedback"),
        SPAN_LITERAL("MAXLEN"),      SPAN_LITERAL("~"),
        SPAN_LITERAL(FEEDBACK_MOST), SPAN_LITERAL("*"),
        SPAN_LITERAL("id"),          span_of(v->id),
        SPAN_LITERAL("address"),     span_of(address),
        SPAN_LITERAL("topic"),       topic,
        SPAN_LITERAL("case"),        form_value(&v->form, "case"),
        SPAN_LITERAL("contact"),     form_value(&v->form, "contact"),
        SPAN_LITERAL("language"),    span_of(v->conf->web.languages.at[v->lang]),
        SPAN_LITERAL("words"),       words,
    };

    visit_ask(v, add, sizeof(add) / sizeof(add[0]), NULL);
    visit_then(v, redirect_sent);
}

static bool is_short_text(struct span s, size_t most)
{
    return s.len <= most && text_is_plain(s, false);
}

/* What is wrong with the form, as its template knows it; NULL: nothing. */
static const char *fault_of(const struct visit *v)
{
    static const char *const topics[] = {"question", "objection", "fault", "praise", NULL};
    struct span words = form_value(&v->form, "words");

    if (!is_one_of(form_value(&v->form, "topic"), topics)) {
        return "bad_topic";
    }
    if (words.len == 0) {
        return "no_words";
    }
    if (words.len > WORDS_MOST || !text_is_plain(words, true)) {
        return "bad_words";
    }
    if (!is_short_text(form_value(&v->form, "case"), CASE_MOST)) {
        return "bad_case";
    }
    return is_short_text(form_value(&v->form, "contact"), CONTACT_MOST) ? NULL : "bad_contact";
}

void subscriber_feedback_post(struct visit *v)
{
    const char *fault = fault_of(v);
    bool looks = span_equal(form_value(&v->form, "action"), SPAN_LITERAL("language"));

    if (fault || looks) {
        show_again(v, fault ? 422 : 200, fault);
    } else {
        keep_feedback(v, form_value(&v->form, "topic"), form_value(&v->form, "words"));
    }
}
