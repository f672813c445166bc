/* What brings a visitor back to where he is: the links to other languages, and the form that was
 * sent and could not be served. */
#include <stdlib.h>
#include <string.h>

#include "site_internal.h"

static bool add(struct buf *out, struct span s)
{
    return buf_append(out, s) == 0;
}

static bool add_encoded(struct buf *out, struct span s)
{
    static const char digits[] = "0123456789ABCDEF";
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
    bool good = true;

    for (size_t i = 0; i < s.len && good; i++) {
        unsigned char c = (unsigned char)s.at[i];
        const char code[] = {'%', digits[c >> 4], digits[c & 15]};

        good = memchr(plain, c, sizeof(plain) - 1) ? add(out, (struct span){s.at + i, 1})
                                                   : add(out, (struct span){code, sizeof(code)});
    }
    return good;
}

/* The page that a visitor can ask for again: that of a form without one of its own is his first. */
static struct span page_of(const struct visit *v)
{
    if (site_has_route(v->site, HTTP_GET, v->path)) {
        return v->path;
    }
    return v->role >= WHO_VIEWER ? SPAN_LITERAL("/desk") : SPAN_LITERAL("/");
}

/* The page with what its query says, in `lang` or (NULL) in the language that it is in. */
static json_t *link_to(const struct visit *v, const char *lang)
{
    struct buf out = BUF_INIT;
    bool good = add(&out, page_of(v)), first = true;
    json_t *link = NULL;

    for (size_t i = 0; i < v->query.count && good; i++) {
        const struct form_field *f = &v->query.field[i];

        if (!span_equal(f->name, SPAN_LITERAL("lang"))) {
            good = add(&out, first ? SPAN_LITERAL("?") : SPAN_LITERAL("&")) &&
                   add_encoded(&out, f->name) && add(&out, SPAN_LITERAL("=")) &&
                   add_encoded(&out, f->value);
            first = false;
        }
    }
    if (lang) {
        good = good && add(&out, first ? SPAN_LITERAL("?lang=") : SPAN_LITERAL("&lang=")) &&
               add(&out, span_of(lang));
    }
    if (good) {
        link = visit_text(buf_span(&out));
    }
    buf_clear(&out);
    return link ? link : json_string("/");
}

json_t *visit_here(const struct visit *v)
{
    return link_to(v, NULL);
}

json_t *visit_languages(const struct visit *v)
{
    const struct language_list *l = &v->conf->web.languages;
    json_t *list = json_array();

    for (size_t i = 0; i < l->count; i++) {
        char key[32];
        struct text t;

        text_init(&t, key, sizeof(key));
        text_addf(&t, "language-%s", l->at[i]);
        json_array_append_new(
            list,
            json_pack(
                "{s:s, s:s, s:b, s:o}", "tag", l->at[i], "name", pages_word(v->site->pages, i, key),
                "chosen", i == v->lang, "href", link_to(v, l->at[i])));
    }
    return list;
}

/* --- a form that could not be served --- */

bool visit_is_from_here(const struct visit *v)
{
    struct span fetched = http_header(v->exchange, "Sec-Fetch-Site");

    return span_equal_nocase(http_header(v->exchange, "Origin"), span_of(v->conf->web.url)) &&
           (fetched.len == 0 || span_equal(fetched, SPAN_LITERAL("same-origin")));
}

json_t *visit_form_again(const struct visit *v)
{
    json_t *fields;

    if (v->method != HTTP_POST || !v->in->form_read || !visit_is_from_here(v) ||
        form_has(&v->form, "password") || !site_has_route(v->site, HTTP_POST, v->path)) {
        return NULL;
    }
    fields = json_array();
    for (size_t i = 0; i < v->form.count; i++) {
        const struct form_field *f = &v->form.field[i];

        if (!span_equal(f->name, SPAN_LITERAL("csrf"))) {
            json_array_append_new(
                fields,
                json_pack(
                    "{s:o, s:o}", "name", visit_text(f->name), "value", visit_text(f->value)));
        }
    }
    return json_pack("{s:o, s:o}", "path", visit_text(v->path), "fields", fields);
}
