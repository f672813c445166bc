/* Who is an operator: log-in, sessions, single sign-on. A session is a random token in the cookie
 * __Host-g25desk; Redis knows its hash alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "desk_internal.h"
#include "net/clock.h"
#include "site_internal.h"
#include "svc/operators.h"
#include "svc/password.h"

#define COOKIE      "g25desk"
#define SESSION_KEY "g25:session:{"
#define LOGIN       "/desk/login"
#define OVERVIEW    "/desk"
#define PATH_MOST   512
#define NUMBER      24
#define BUSY_WAIT   "5"

enum bucket { BUCKET_ADDRESS, BUCKET_ADDRESS_LONG, BUCKET_NAME };

/* Guesses: from one line, and at one operator from everywhere. */
static const struct rate limits[] = {
    [BUCKET_ADDRESS] = {5, 60 * UINT64_C(1000000)},
    [BUCKET_ADDRESS_LONG] = {30, 3600 * UINT64_C(1000000)},
    [BUCKET_NAME] = {60, 3600 * UINT64_C(1000000)},
};

/* One request's way through the guard or the log-in: visit.data. */
struct entry {
    char name[OPERATOR_NAME];
    struct span given;         /* the password */
    char key[STORE_KEY];       /* of the session */
    int64_t began_s, record_s; /* the session's; 0: there is none */
    bool known, fits;          /* the operator; his password */
    enum operator_role role;
    int64_t since_s;
    char hash[PASSWORD_HASH];
};

static const enum who roles[OPERATOR_ROLES] = {
    [OPERATOR_NONE] = WHO_ANYONE,
    [OPERATOR_VIEWER] = WHO_VIEWER,
    [OPERATOR_AGENT] = WHO_AGENT,
    [OPERATOR_ADMIN] = WHO_ADMIN,
};

static struct entry *entry_new(struct visit *v)
{
    v->data = visit_alloc(v, sizeof(struct entry));
    return v->data;
}

static void set_name(struct entry *e, struct span name)
{
    if (operator_name_is_good(name)) {
        snprintf(e->name, sizeof(e->name), "%.*s", (int)name.len, name.at);
    }
}

static struct span session_key(struct entry *e, struct span token)
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
    struct entry *e = v->data;
    struct operator_record r;
    struct span value;

    if (redis_reply_text(reply, &value) && operator_parse(value, &r)) {
        e->known = true;
        e->role = r.role;
        e->since_s = r.since_s;
        snprintf(e->hash, sizeof(e->hash), "%.*s", (int)r.hash.len, r.hash.at);
    }
}

static void ask_operator(struct visit *v)
{
    struct entry *e = v->data;
    const struct span words[] = {
        SPAN_LITERAL("HGET"), SPAN_LITERAL(STORE_OPERATORS), span_of(e->name)};

    visit_ask(v, words, 3, take_operator);
}

/* --- the guard --- */

/* From elsewhere there is no desk. */
static bool is_near(const struct visit *v)
{
    const struct prefix_list *from = &v->conf->desk.from;

    for (size_t i = 0; i < from->count; i++) {
        if (prefix_contains(&from->at[i], &v->client)) {
            return true;
        }
    }
    return from->count == 0;
}

static void send_to_login(struct visit *v)
{
    char path[PATH_MOST], where[PATH_MOST];
    struct text t, to;

    if (v->method == HTTP_POST) {
        visit_page(v, 403, "expired", NULL);
        return;
    }
    text_init(&to, where, sizeof(where));
    text_add(&to, v->path);
    if (http_query(v->exchange).len > 0) {
        text_addf(&to, "?");
        text_add(&to, http_query(v->exchange));
    }
    text_init(&t, path, sizeof(path));
    text_addf(&t, LOGIN "?to=");
    desk_encode(&t, text_span(&to));
    visit_redirect(v, t.cut || to.cut ? LOGIN : path);
}

static void admit(struct visit *v)
{
    struct entry *e = v->data;
    char name[OPERATOR_NAME];

    snprintf(name, sizeof(name), "%s", e->name);
    v->data = NULL; /* the handler's own from now on */
    visit_admit(v, roles[e->role], name);
}

/* Known to whom the proxy vouches for, or a page that says so: there is no log-in to lead to. */
static void admit_named(struct visit *v)
{
    const struct entry *e = v->data;

    if (e->known) {
        admit(v);
    } else {
        visit_page(v, 403, "desk_unknown", json_pack("{s:s}", "name", e->name));
    }
}

static void take_nothing(struct visit *v, const struct redis_reply *reply)
{
    (void)v, (void)reply;
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
    struct entry *e = v->data;
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
    visit_ask(v, words, 3, take_nothing);
    visit_then(v, admit);
}

static void take_session(struct visit *v, const struct redis_reply *reply)
{
    struct entry *e = v->data;

    set_name(e, redis_reply_field(reply, "operator"));
    e->began_s = number_of(redis_reply_field(reply, "began"));
    e->record_s = number_of(redis_reply_field(reply, "record"));
}

static void check_session(struct visit *v)
{
    const struct entry *e = v->data;

    if (e->name[0] == '\0') {
        send_to_login(v);
        return;
    }
    ask_operator(v);
    visit_then(v, admit_session);
}

void desk_guard(struct visit *v)
{
    struct entry *e = entry_new(v);
    const char *header = v->conf->desk.sso_header;
    struct span token = visit_cookie(v, COOKIE);

    if (!is_near(v)) {
        visit_fail(v, 404);
        return;
    }
    /* Only from the proxy itself: anybody can send a header. */
    if (header[0] != '\0' && http_from_proxy(v->exchange)) {
        set_name(e, span_trim(http_header(v->exchange, header)));
        if (e->name[0] != '\0') {
            ask_operator(v);
            visit_then(v, admit_named);
            return;
        }
    }
    if (!token_is(token)) {
        send_to_login(v);
        return;
    }
    const struct span words[] = {SPAN_LITERAL("HGETALL"), session_key(e, token)};

    visit_ask(v, words, 2, take_session);
    visit_then(v, check_session);
}

/* --- logging in --- */

/* Nothing but a path of the desk; a browser takes "//host" and "/\host" for other places. */
static struct span good_target(struct span to)
{
    bool good = span_starts_nocase(to, SPAN_LITERAL("/desk")) && to.len < PATH_MOST &&
                (to.len == 5 || strchr("/?", to.at[5]) != NULL);

    for (size_t i = 0; i < to.len; i++) {
        good = good && to.at[i] > ' ' && to.at[i] < 0x7f && to.at[i] != '\\';
    }
    return good ? to : SPAN_LITERAL(OVERVIEW);
}

static void show_login(struct visit *v, int status, const char *notice)
{
    struct span to = form_value(v->method == HTTP_POST ? &v->form : &v->query, "to");
    struct span name = form_value(&v->form, "name");

    if (name.len > OPERATOR_NAME || !text_is_plain(name, false)) {
        name = SPAN_LITERAL("");
    }
    visit_page(
        v, status, "desk_login",
        json_pack(
            "{s:o, s:o, s:s}", "to", visit_text(good_target(to)), "name", visit_text(name),
            "notice", notice));
}

void desk_login(struct visit *v)
{
    if (is_near(v)) {
        show_login(v, 200, form_has(&v->query, "out") ? "out" : "");
    } else {
        visit_fail(v, 404);
    }
}

static bool may_guess(struct visit *v, const struct entry *e)
{
    double now_us = (double)clock_monotonic_ms() * 1000 + 1e12, wait_us = 0;
    struct rate_table *t = desk_of(v)->rates;
    char seconds[32];
    const struct span ids[] = {
        [BUCKET_ADDRESS] = span_of(v->id),
        [BUCKET_ADDRESS_LONG] = span_of(v->id),
        [BUCKET_NAME] = span_of(e->name),
    };

    for (enum bucket b = BUCKET_ADDRESS; b <= BUCKET_NAME && wait_us <= 0; b++) {
        if (ids[b].len > 0) {
            wait_us = rate_table_take(t, ids[b], b, &limits[b], now_us);
        }
    }
    if (wait_us <= 0) {
        return true;
    }
    snprintf(seconds, sizeof(seconds), "%.0f", wait_us / 1e6 + 1);
    visit_header(v, "Retry-After", seconds);
    return false;
}

/* Failed ones have a stream of their own, so that a flood of them pushes nothing out of the trail;
 * and a line in the log, for those who count there. */
static void tell_failure(struct visit *v, const struct entry *e)
{
    char address[ADDR_TEXT];
    const char *name = e->name[0] != '\0' ? e->name : "?";

    addr_format(&v->client, address);
    log_warning("desk: failed log-in as %s from %s", name, address);
    struct trail_entry entry = {
        .what = SPAN_LITERAL("log-in-failed"),
        .by = span_of(name),
        .from = span_of(address),
        .failed = true};
    (void)trail_add(site_redis(v->site), &entry, SITE_REDIS_MS, NULL, NULL, 0);
}

static void enter(struct visit *v)
{
    char path[PATH_MOST];
    struct span to = good_target(form_value(&v->form, "to"));

    snprintf(path, sizeof(path), "%.*s", (int)to.len, to.at);
    visit_redirect(v, path);
}

static void begin_session(struct visit *v)
{
    struct entry *e = v->data;
    char token[TOKEN_TEXT], seed[TOKEN_TEXT], began[NUMBER], record[NUMBER], idle[NUMBER];

    token_random(token);
    token_random(seed);
    struct span key = session_key(e, span_of(token));
    snprintf(began, sizeof(began), "%lld", (long long)(v->now_ms / 1000));
    snprintf(record, sizeof(record), "%lld", (long long)e->since_s);
    snprintf(idle, sizeof(idle), "%llu", (unsigned long long)v->conf->desk.idle_s);
    const struct span set[] = {SPAN_LITERAL("HSET"),     key,
                               SPAN_LITERAL("operator"), span_of(e->name),
                               SPAN_LITERAL("began"),    span_of(began),
                               SPAN_LITERAL("record"),   span_of(record)};
    const struct span expire[] = {SPAN_LITERAL("EXPIRE"), key, span_of(idle)};

    visit_ask(v, set, sizeof(set) / sizeof(set[0]), take_nothing);
    visit_ask(v, expire, 3, take_nothing);
    /* Nothing that was there before the log-in is worth anything after it. */
    visit_set_cookie(v, COOKIE, token, 0);
    visit_set_cookie(v, COOKIE_SEED, seed, 0);
    snprintf(v->operator, sizeof(v->operator), "%s", e->name);
    desk_trail(v, "log-in", SPAN_LITERAL(""), span_of(operator_role_name(e->role)));
    visit_then(v, enter);
}

static void judge(struct visit *v)
{
    const struct entry *e = v->data;

    if (e->fits) {
        begin_session(v);
    } else {
        tell_failure(v, e);
        show_login(v, 403, "wrong");
    }
}

static void on_compared(void *context, uint64_t ticket, bool fits)
{
    struct visit *v = visit_of(context, ticket);

    if (v) {
        ((struct entry *)v->data)->fits = fits;
        visit_got(v);
    }
}

/* The work is the same whether or not the name is known and has a password. */
static void compare(struct visit *v)
{
    struct entry *e = v->data;
    uint64_t ticket = visit_wait(v);

    if (hasher_ask(desk_of(v)->hasher, e->given, span_of(e->hash), on_compared, v->site, ticket) ==
        0) {
        visit_then(v, judge);
        return;
    }
    visit_header(v, "Retry-After", BUSY_WAIT);
    show_login(v, 429, "busy");
}

void desk_login_post(struct visit *v)
{
    struct entry *e = entry_new(v);

    if (!is_near(v)) {
        visit_fail(v, 404);
        return;
    }
    set_name(e, form_value(&v->form, "name"));
    e->given = form_value(&v->form, "password");
    if (!may_guess(v, e)) {
        show_login(v, 429, "busy");
        return;
    }
    if (e->given.len > PASSWORD_MOST) {
        e->given.len = 0; /* it fits nobody's */
    }
    ask_operator(v);
    visit_then(v, compare);
}

static void leave(struct visit *v)
{
    visit_redirect(v, LOGIN "?out=1");
}

void desk_logout(struct visit *v)
{
    struct span token = visit_cookie(v, COOKIE);
    struct entry *e = entry_new(v);

    if (token_is(token)) {
        const struct span words[] = {SPAN_LITERAL("DEL"), session_key(e, token)};

        visit_ask(v, words, 2, take_nothing);
    }
    visit_set_cookie(v, COOKIE, "", -1);
    desk_trail(v, "log-out", SPAN_LITERAL(""), SPAN_LITERAL(""));
    visit_then(v, leave);
}
