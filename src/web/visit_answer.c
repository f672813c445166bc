#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "site_internal.h"

#define CONTENT_POLICY                                                                             \
    "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src "        \
    "'self'; "                                                                                     \
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

void visit_csrf(const struct visit *v, char out[TOKEN_TEXT])
{
    char array[VISIT_ID + VISIT_OPERATOR + 16];
    struct text t;

    text_init(&t, array, sizeof(array));
    text_addf(&t, "csrf\n%s\n%s", v->operator, v->id);
    token_mac(span_of(v->cookie), text_span(&t), out);
}

void visit_header(struct visit *v, const char *name, const char *value)
{
    if (v->in->headers == SITE_HEADERS) {
        log_error("%.*s: too many headers", (int)v->path.len, v->path.at);
        return;
    }
    v->in->header[v->in->headers++] = (struct http_header){name, visit_copy(v, span_of(value))};
}

void visit_set_cookie(struct visit *v, const char *name, const char *value, int64_t max_age_s)
{
    char array[1024];
    struct text t;

    text_init(&t, array, sizeof(array));
    text_addf(&t, "__Host-%s=%s; Path=/; Secure; HttpOnly; SameSite=Lax", name, value);
    if (max_age_s != 0) {
        text_addf(&t, "; Max-Age=%" PRId64, max_age_s > 0 ? max_age_s : 0);
    }
    visit_header(v, "Set-Cookie", array);
}

struct span visit_cookie(const struct visit *v, const char *name)
{
    char full[64];
    struct span value = SPAN_LITERAL("");

    snprintf(full, sizeof(full), "__Host-%s", name);
    (void)cookie_find(http_header(v->exchange, "Cookie"), full, &value);
    return value;
}

static void add_default(struct visit *v, const char *name, const char *value)
{
    for (size_t i = 0; i < v->in->headers; i++) {
        if (span_equal_nocase(span_of(v->in->header[i].name), span_of(name))) {
            return;
        }
    }
    visit_header(v, name, value);
}

/* The end of every visit. */
static void answer(struct visit *v, int status, const char *type, struct span body)
{
    add_default(v, "Content-Type", type);
    add_default(v, "Cache-Control", "no-store");
    add_default(v, "Content-Security-Policy", CONTENT_POLICY);
    add_default(v, "Strict-Transport-Security", "max-age=31536000");
    add_default(v, "X-Content-Type-Options", "nosniff");
    add_default(v, "X-Frame-Options", "DENY");
    add_default(v, "Referrer-Policy", "same-origin");
    add_default(v, "Cross-Origin-Opener-Policy", "same-origin");
    add_default(v, "Cross-Origin-Resource-Policy", "same-origin");
    http_answer(v->exchange, status, v->in->header, v->in->headers, body);
    visit_free(v);
}

void visit_bytes(struct visit *v, int status, const char *type, struct span body)
{
    answer(v, status, type, body);
}

static json_t *me_of(const struct visit *v)
{
    char address[ADDR_TEXT] = "", unit[PREFIX_TEXT] = "";

    if (v->client.family != ADDR_NONE) {
        addr_format(&v->client, address);
        prefix_format(&v->unit, unit);
    }
    const char *class = v->entry.class ? v->entry.class->name : "";
    return json_pack(
        "{s:s, s:s, s:s, s:o, s:s, s:s, s:b, s:b, s:b}", "address", address, "family",
        v->client.family == ADDR_IPV6 ? "IPv6" : "IPv4", "unit", unit, "id",
        visit_text(span_of(v->entry.account ? unit : v->id)), "class", class, "class_name",
        visit_class_name(v, class), "subscriber", v->is_subscriber, "own", v->own, "by_account",
        v->entry.account != NULL);
}

static void add_common(struct visit *v, json_t *values)
{
    static const char *const roles[] = {
        [WHO_ANYONE] = "",
        [WHO_SUBSCRIBER] = "",
        [WHO_VIEWER] = "viewer",
        [WHO_AGENT] = "agent",
        [WHO_ADMIN] = "admin"};
    char csrf[TOKEN_TEXT];

    visit_csrf(v, csrf);
    json_object_set_new(values, "csrf", json_string(csrf));
    json_object_set_new(values, "me", me_of(v));
    json_object_set_new(values, "language", json_string(v->conf->web.languages.at[v->lang]));
    json_object_set_new(values, "languages", visit_languages(v));
    json_object_set_new(values, "here", visit_here(v));
    json_object_set_new(values, "path", visit_text(v->path));
    json_object_set_new(values, "help", json_string(v->conf->help_url));
    json_object_set_new(values, "url", json_string(v->conf->web.url));
    if (v->operator[0]) {
        json_object_set_new(
            values, "operator",
            json_pack(
                "{s:o, s:s}", "name", visit_text(span_of(v->operator)), "role", roles[v->role]));
    }
}

void visit_page(struct visit *v, int status, const char *page, json_t *values)
{
    struct buf out = BUF_INIT;
    json_t *all = values ? values : json_object();

    add_common(v, all);
    if (v->in->fresh_cookie) {
        visit_set_cookie(v, COOKIE_SEED, v->cookie, 0);
        v->in->fresh_cookie = false;
    }
    visit_header(v, "Vary", "Accept-Language, Cookie");
    visit_header(v, "Content-Language", v->conf->web.languages.at[v->lang]);
    if (pages_render(v->site->pages, v->lang, page, all, &out) == 0) {
        answer(v, status, "text/html; charset=utf-8", buf_span(&out));
    } else {
        log_error("the page \"%s\" cannot be rendered", page);
        answer(v, 500, "text/plain; charset=utf-8", SPAN_LITERAL("This page is broken.\n"));
    }
    buf_clear(&out);
    json_decref(all);
}

void visit_redirect(struct visit *v, const char *path)
{
    char array[1024];
    struct text t;

    text_init(&t, array, sizeof(array));
    text_addf(&t, "%s%s", v->conf->web.url, path);
    visit_header(v, "Location", array);
    answer(v, 303, "text/plain; charset=utf-8", SPAN_LITERAL(""));
}

void visit_json(struct visit *v, json_t *body, const char *filename)
{
    char *text = body ? json_dumps(body, JSON_INDENT(2)) : NULL;
    char array[128];

    if (filename) {
        snprintf(array, sizeof(array), "attachment; filename=\"%s\"", filename);
        visit_header(v, "Content-Disposition", array);
    }
    if (text) {
        answer(v, 200, "application/json", span_of(text));
    } else {
        answer(v, 500, "application/json", SPAN_LITERAL("{\"error\": \"out of memory\"}\n"));
    }
    free(text);
    json_decref(body);
}

void visit_page_again(struct visit *v, int status, const char *page, json_t *values)
{
    json_t *all = values ? values : json_object(), *again = visit_form_again(v);

    if (again) {
        json_object_set_new(all, "again", again);
    }
    visit_page(v, status, page, all);
}

void visit_fail(struct visit *v, int status)
{
    static const struct {
        int status;
        const char *page;
    } pages[] = {
        {400, "bad_request"}, {403, "forbidden"}, {404, "not_found"},
        {405, "not_found"},   {429, "too_many"},  {503, "unavailable"},
    };

    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (pages[i].status == status) {
            visit_page_again(v, status, pages[i].page, NULL);
            return;
        }
    }
    answer(v, status, "text/plain; charset=utf-8", SPAN_LITERAL("This did not work.\n"));
}
