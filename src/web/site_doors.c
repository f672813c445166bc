/* From a request to its handler: who may come in, and how often. */
#include <stdio.h>
#include <string.h>

#include "net/clock.h"
#include "site_internal.h"

enum bucket_kind { BUCKET_REQUESTS, BUCKET_POSTS };

static const char static_files[] = "/static/";

/* Whoever is in quarantine and opens any page in plain HTTP is led here (contrib/routers). */
static void answer_garden(struct site *s, struct http_exchange *x)
{
    char where[sizeof(s->conf->web.url) + 16];
    const struct http_header headers[] = {
        {"Location", where}, {"Cache-Control", "no-store"}, {"Connection", "close"}};

    snprintf(where, sizeof(where), "%s/quarantine", s->conf->web.url);
    http_answer(x, 302, headers, sizeof(headers) / sizeof(headers[0]), SPAN_LITERAL(""));
}

static void answer_file(struct visit *v)
{
    struct span name = span_skip(v->path, sizeof(static_files) - 1);
    const struct page_file *f = pages_file(v->site->pages, name);
    char etag[TOKEN_TEXT + 2];

    if (!f) {
        visit_fail(v, 404);
        return;
    }
    snprintf(etag, sizeof(etag), "\"%s\"", f->etag);
    visit_header(v, "ETag", etag);
    visit_header(v, "Cache-Control", "public, max-age=300");
    if (span_equal(http_header(v->exchange, "If-None-Match"), span_of(etag))) {
        visit_bytes(v, 304, f->type, SPAN_LITERAL(""));
    } else {
        visit_bytes(v, 200, f->type, (struct span){f->content, f->len});
    }
}

/* What there was too much of, and when there is more of it. */
static void answer_too_many(
    struct visit *v, const char *what, const struct rate *rate, double wait_us)
{
    char seconds[32];

    snprintf(seconds, sizeof(seconds), "%.0f", wait_us / 1e6 + 1);
    visit_header(v, "Retry-After", seconds);
    visit_page_again(
        v, 429, "too_many",
        json_pack(
            "{s:s, s:I, s:o, s:o}", "what", what, "count", (json_int_t)rate->count, "period",
            visit_duration(v, rate->period_us), "wait", visit_duration(v, (uint64_t)wait_us + 1)));
}

/* Microseconds since whenever: rates have no use for the date. */
static bool may_ask(struct visit *v)
{
    const struct {
        const char *what;
        const struct rate *rate;
        bool counts;
    } buckets[] = {
        [BUCKET_REQUESTS] = {"pages", &v->conf->web.requests, true},
        [BUCKET_POSTS] = {"forms", &v->conf->web.posts, v->method == HTTP_POST}};
    double now_us = (double)clock_monotonic_ms() * 1000 + 1e12;

    for (enum bucket_kind b = BUCKET_REQUESTS; b <= BUCKET_POSTS; b++) {
        double wait_us =
            buckets[b].counts
                ? rate_table_take(v->site->rates, span_of(v->id), b, buckets[b].rate, now_us)
                : 0;

        if (wait_us > 0) {
            answer_too_many(v, buckets[b].what, buckets[b].rate, wait_us);
            return false;
        }
    }
    return true;
}

/* The form's own secret is what counts; the browser's word is a second lock. */
static bool is_own_form(const struct visit *v)
{
    struct span origin = http_header(v->exchange, "Origin");
    struct span fetched = http_header(v->exchange, "Sec-Fetch-Site");
    char csrf[TOKEN_TEXT];

    visit_csrf(v, csrf);
    return !v->in->fresh_cookie && token_equal(form_value(&v->form, "csrf"), span_of(csrf)) &&
           (origin.len == 0 || span_equal_nocase(origin, span_of(v->conf->web.url))) &&
           (fetched.len == 0 || span_equal(fetched, SPAN_LITERAL("same-origin")) ||
            span_equal(fetched, SPAN_LITERAL("none")));
}

static void read_form(struct visit *v)
{
    struct span type = http_header(v->exchange, "Content-Type");
    struct span body = http_body(v->exchange);

    v->in->form_read =
        span_starts_nocase(type, SPAN_LITERAL("application/x-www-form-urlencoded")) &&
        form_decode(body, visit_alloc(v, body.len + 1), body.len, &v->form);
}

static void enter(struct visit *v)
{
    if (v->method == HTTP_POST) {
        if (!v->in->form_read) {
            visit_fail(v, 400);
            return;
        }
        if (!is_own_form(v)) {
            visit_page_again(v, 403, "expired", NULL);
            return;
        }
    }
    v->route->handle(v);
}

void visit_admit(struct visit *v, enum who role, const char *name)
{
    v->role = role;
    snprintf(v->operator, sizeof(v->operator), "%s", name);
    if (role < v->route->who) {
        visit_fail(v, 403);
    } else {
        enter(v);
    }
}

static bool is_method(enum http_method wanted, enum http_method used)
{
    return used == HTTP_HEAD ? wanted == HTTP_GET : used == wanted;
}

static const struct route *find_route(
    const struct site *s, enum http_method method, struct span path, bool *path_known)
{
    *path_known = false;
    for (const struct site_module *const *m = s->modules; *m; m++) {
        for (const struct route *r = (*m)->routes; r && r->path; r++) {
            if (!span_equal(path, span_of(r->path))) {
                continue;
            }
            if (is_method(r->method, method)) {
                return r;
            }
            *path_known = true;
        }
    }
    return NULL;
}

bool site_has_route(const struct site *s, enum http_method method, struct span path)
{
    bool other;

    return find_route(s, method, path, &other) != NULL;
}

static void ask_guard(struct visit *v)
{
    for (const struct site_module *const *m = v->site->modules; *m; m++) {
        if ((*m)->guard) {
            (*m)->guard(v);
            return;
        }
    }
    visit_fail(v, 404);
}

static void answer_route(struct visit *v)
{
    bool path_known;

    v->route = find_route(v->site, v->method, v->path, &path_known);
    if (!v->route) {
        if (path_known) {
            visit_header(v, "Allow", v->method == HTTP_POST ? "GET, HEAD" : "POST");
        }
        visit_fail(v, path_known ? 405 : 404);
    } else if (v->route->who >= WHO_VIEWER) {
        ask_guard(v);
    } else if (v->route->who == WHO_SUBSCRIBER && !v->is_subscriber) {
        visit_page(v, 403, "no_subscriber", NULL);
    } else if (v->route->who == WHO_SUBSCRIBER && v->holder_unknown) {
        visit_page(v, 503, "no_lease", NULL);
    } else {
        enter(v);
    }
}

void site_on_request(void *site, struct http_exchange *x)
{
    struct site *s = site;
    struct visit *v;

    if (http_door(x) == SITE_GARDEN) {
        answer_garden(s, x);
        return;
    }
    v = visit_new(s, x);
    if (!v) {
        return;
    }
    if (v->method == HTTP_POST) {
        read_form(v);
    }
    if (v->client.family == ADDR_NONE) {
        visit_fail(v, 400); /* the proxy does not say whose request this is */
    } else if (!s->tls && !http_from_proxy(x)) {
        visit_fail(v, 403); /* plain, and not from the proxy */
    } else if (span_starts_nocase(v->path, span_of(static_files)) && v->method != HTTP_POST) {
        answer_file(v);
    } else if (may_ask(v)) {
        answer_route(v);
    }
}
