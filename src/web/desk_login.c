/* Logging in and out, and what slows guessing down. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "desk_entry.h"
#include "net/clock.h"
#include "site_internal.h"

#define OVERVIEW  "/desk"
#define PATH_MOST 512
#define NUMBER    24
#define BUSY_WAIT "5"

enum bucket { BUCKET_ADDRESS, BUCKET_ADDRESS_LONG, BUCKET_NAME };

/* Guesses: from one line, and at one operator from everywhere. */
static const struct rate limits[] = {
    [BUCKET_ADDRESS] = {5, 60 * UINT64_C(1000000)},
    [BUCKET_ADDRESS_LONG] = {30, 3600 * UINT64_C(1000000)},
    [BUCKET_NAME] = {60, 3600 * UINT64_C(1000000)},
};

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
    if (desk_is_near(v)) {
        show_login(v, 200, form_has(&v->query, "out") ? "out" : "");
    } else {
        visit_fail(v, 404);
    }
}

static bool may_guess(struct visit *v, const struct desk_entry *e)
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
static void tell_failure(struct visit *v, const struct desk_entry *e)
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
    struct desk_entry *e = v->data;
    char token[TOKEN_TEXT], seed[TOKEN_TEXT], began[NUMBER], record[NUMBER], idle[NUMBER];

    token_random(token);
    token_random(seed);
    struct span key = desk_session_key(e, span_of(token));
    snprintf(began, sizeof(began), "%lld", (long long)(v->now_ms / 1000));
    snprintf(record, sizeof(record), "%lld", (long long)e->since_s);
    snprintf(idle, sizeof(idle), "%llu", (unsigned long long)v->conf->desk.idle_s);
    const struct span set[] = {SPAN_LITERAL("HSET"),     key,
                               SPAN_LITERAL("operator"), span_of(e->name),
                               SPAN_LITERAL("began"),    span_of(began),
                               SPAN_LITERAL("record"),   span_of(record)};
    const struct span expire[] = {SPAN_LITERAL("EXPIRE"), key, span_of(idle)};

    visit_ask(v, set, sizeof(set) / sizeof(set[0]), NULL);
    visit_ask(v, expire, 3, NULL);
    /* Nothing that was there before the log-in is worth anything after it. */
    visit_set_cookie(v, DESK_COOKIE, token, 0);
    visit_set_cookie(v, COOKIE_SEED, seed, 0);
    snprintf(v->operator, sizeof(v->operator), "%s", e->name);
    desk_trail(v, "log-in", SPAN_LITERAL(""), span_of(operator_role_name(e->role)));
    visit_then(v, enter);
}

static void judge(struct visit *v)
{
    const struct desk_entry *e = v->data;

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
        ((struct desk_entry *)v->data)->fits = fits;
        visit_got(v);
    }
}

/* The work is the same whether or not the name is known and has a password. */
static void compare(struct visit *v)
{
    struct desk_entry *e = v->data;
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
    struct desk_entry *e = desk_entry_new(v);

    if (!desk_is_near(v)) {
        visit_fail(v, 404);
        return;
    }
    desk_entry_name(e, form_value(&v->form, "name"));
    e->given = form_value(&v->form, "password");
    if (!may_guess(v, e)) {
        show_login(v, 429, "busy");
        return;
    }
    if (e->given.len > PASSWORD_MOST) {
        e->given.len = 0; /* it fits nobody's */
    }
    desk_ask_operator(v);
    visit_then(v, compare);
}

static void leave(struct visit *v)
{
    visit_redirect(v, DESK_LOGIN "?out=1");
}

void desk_logout(struct visit *v)
{
    struct span token = visit_cookie(v, DESK_COOKIE);
    struct desk_entry *e = desk_entry_new(v);

    if (token_is(token)) {
        const struct span words[] = {SPAN_LITERAL("DEL"), desk_session_key(e, token)};

        visit_ask(v, words, 2, NULL);
    }
    visit_set_cookie(v, DESK_COOKIE, "", -1);
    desk_trail(v, "log-out", SPAN_LITERAL(""), SPAN_LITERAL(""));
    visit_then(v, leave);
}
