/* Who is at the desk: by a session, whose token is in a cookie and whose hash is in Redis, or by
 * the word of the proxy that has logged him in (single sign-on). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "desk_entry.h"
#include "site_internal.h"

#define SESSION_KEY "g25:session:{"
#define PATH_MOST   512
#define NUMBER      24

static const enum who roles[OPERATOR_ROLES] = {
    [OPERATOR_NONE] = WHO_ANYONE,
    [OPERATOR_VIEWER] = WHO_VIEWER,
    [OPERATOR_AGENT] = WHO_AGENT,
    [OPERATOR_ADMIN] = WHO_ADMIN,
};

/* --- what is known of him --- */

struct desk_entry *desk_entry_new(struct visit *v)
{
    v->data = visit_alloc(v, sizeof(struct desk_entry));
    return v->data;
}

void desk_entry_name(struct desk_entry *e, struct span name)
{
    if (operator_name_is_good(name)) {
        snprintf(e->name, sizeof(e->name), "%.*s", (int)name.len, name.at);
    }
}

struct span desk_session_key(struct desk_entry *e, struct span token)
{
    char hash[TOKEN_TEXT];
    struct text t;

    token_hash(token, hash);
    text_init(&t, e->key, sizeof(e->key));
    text_addf(&t, SESSION_KEY "%s}", hash);
    return text_span(&t);
}

static int64_t number_of(struct span s)
{
    uint64_t n;

    return span_number(s, INT64_MAX, &n) ? (int64_t)n : 0;
}

static void take_operator(struct visit *v, const struct redis_reply *reply)
{
    struct desk_entry *e = v->data;
    struct operator_record r;
    struct span value;

    if (redis_reply_text(reply, &value) && operator_parse(value, &r)) {
        e->known = true;
        e->role = r.role;
        e->since_s = r.since_s;
        snprintf(e->hash, sizeof(e->hash), "%.*s", (int)r.hash.len, r.hash.at);
    }
}

void desk_ask_operator(struct visit *v)
{
    struct desk_entry *e = v->data;
    const struct span words[] = {
        SPAN_LITERAL("HGET"), SPAN_LITERAL(STORE_OPERATORS), span_of(e->name)};

    visit_ask(v, words, 3, take_operator);
}

/* --- the guard --- */

/* From elsewhere there is no desk. */
bool desk_is_near(const struct visit *v)
{
    const struct prefix_list *from = &v->conf->desk.from;

    for (size_t i = 0; i < from->count; i++) {
        if (prefix_contains(&from->at[i], &v->client)) {
            return true;
        }
    }
    return from->count == 0;
}

/* The page that a form of the desk was on. */
static void add_page_of(const struct visit *v, struct text *out)
{
    struct span id = form_value(&v->form, "id"), back = form_value(&v->form, "back");
    uint64_t from;

    if (span_number(back, UINT32_MAX, &from)) {
        text_addf(out, "/desk/pending?from=%" PRIu64, from);
    } else if (id.len > 0) {
        desk_path(out, "/desk/subscriber", id);
    } else {
        text_addf(out, "/desk");
    }
}

/* A log-in that has ended while a form was being filled in: what was typed is not lost. */
static void tell_lapsed(struct visit *v)
{
    static const char *const names[] = {"id", "reason", "note", "days"};
    json_t *typed = json_object();
    char page[PATH_MOST];
    struct text to;
    bool any = false;

    text_init(&to, page, sizeof(page));
    for (size_t i = 0; visit_is_from_here(v) && i < sizeof(names) / sizeof(names[0]); i++) {
        struct span value = form_value(&v->form, names[i]);

        any = any || value.len > 0;
        json_object_set_new(typed, names[i], desk_typed(value));
    }
    if (any) {
        add_page_of(v, &to);
    }
    visit_page(
        v, 403, "desk_lapsed",
        json_pack("{s:o, s:b, s:s}", "typed", typed, "any", any, "to", to.cut ? "" : page));
}

static void send_to_login(struct visit *v)
{
    char path[PATH_MOST], where[PATH_MOST];
    struct text t, to;

    if (v->method == HTTP_POST) {
        tell_lapsed(v);
        return;
    }
    text_init(&to, where, sizeof(where));
    text_add(&to, v->path);
    if (http_query(v->exchange).len > 0) {
        text_addf(&to, "?");
        text_add(&to, http_query(v->exchange));
    }
    text_init(&t, path, sizeof(path));
    text_addf(&t, DESK_LOGIN "?to=");
    desk_encode(&t, text_span(&to));
    visit_redirect(v, t.cut || to.cut ? DESK_LOGIN : path);
}

static void admit(struct visit *v)
{
    struct desk_entry *e = v->data;
    char name[OPERATOR_NAME];

    snprintf(name, sizeof(name), "%s", e->name);
    v->data = NULL; /* the handler's own from now on */
    visit_admit(v, roles[e->role], name);
}

/* A page that says that nobody is let in: there is no log-in to lead to. */
static void tell_unknown(struct visit *v, struct span name, bool twice)
{
    visit_page(
        v, 403, "desk_unknown", json_pack("{s:o, s:b}", "name", desk_typed(name), "twice", twice));
}

static void admit_named(struct visit *v)
{
    const struct desk_entry *e = v->data;

    if (e->known) {
        admit(v);
    } else {
        tell_unknown(v, span_of(e->name), false);
    }
}

/* By the proxy's word; from anybody else it is none, for anybody can send a header. A header that
 * is there twice may be the proxy's and the visitor's. False: the proxy says nothing. */
static bool ask_proxy(struct visit *v)
{
    struct desk_entry *e = v->data;
    const char *header = v->conf->desk.sso_header;
    struct span name;

    if (header[0] == '\0' || !http_from_proxy(v->exchange)) {
        return false;
    }
    name = span_trim(http_header(v->exchange, header));
    if (http_header_count(v->exchange, header) > 1) {
        log_warning("desk: %s came twice: the proxy does not remove that of visitors", header);
        tell_unknown(v, name, true);
        return true;
    }
    desk_entry_name(e, name);
    if (e->name[0] != '\0') {
        desk_ask_operator(v);
        visit_then(v, admit_named);
    } else if (name.len > 0) {
        tell_unknown(v, name, false);
    }
    return name.len > 0;
}

/* A page that refreshes its figures is nobody at work. */
static bool is_script(const struct visit *v)
{
    return span_equal(http_header(v->exchange, "Sec-Fetch-Dest"), SPAN_LITERAL("empty"));
}

/* The operator is as he was when he logged in, and neither time is over: Redis forgets a session
 * that rests. */
static void admit_session(struct visit *v)
{
    struct desk_entry *e = v->data;
    int64_t now_s = v->now_ms / 1000;
    char idle[NUMBER];
    const struct span renew[] = {SPAN_LITERAL("EXPIRE"), span_of(e->key), {idle, 0}};
    struct span words[3];

    if (!e->known || e->since_s != e->record_s || e->began_s > now_s ||
        now_s - e->began_s >= (int64_t)v->conf->desk.session_s) {
        send_to_login(v);
        return;
    }
    if (is_script(v)) {
        admit(v);
        return;
    }
    memcpy(words, renew, sizeof(words));
    words[2].len =
        (size_t)snprintf(idle, sizeof(idle), "%llu", (unsigned long long)v->conf->desk.idle_s);
    visit_ask(v, words, 3, NULL);
    visit_then(v, admit);
}

static void take_session(struct visit *v, const struct redis_reply *reply)
{
    struct desk_entry *e = v->data;

    desk_entry_name(e, redis_reply_field(reply, "operator"));
    e->began_s = number_of(redis_reply_field(reply, "began"));
    e->record_s = number_of(redis_reply_field(reply, "record"));
}

static void check_session(struct visit *v)
{
    const struct desk_entry *e = v->data;

    if (e->name[0] == '\0') {
        send_to_login(v);
        return;
    }
    desk_ask_operator(v);
    visit_then(v, admit_session);
}

void desk_guard(struct visit *v)
{
    struct desk_entry *e = desk_entry_new(v);
    struct span token = visit_cookie(v, DESK_COOKIE);

    if (!desk_is_near(v)) {
        visit_fail(v, 404);
        return;
    }
    if (ask_proxy(v)) {
        return;
    }
    if (!token_is(token)) {
        send_to_login(v);
        return;
    }
    const struct span words[] = {SPAN_LITERAL("HGETALL"), desk_session_key(e, token)};

    visit_ask(v, words, 2, take_session);
    visit_then(v, check_session);
}
