/* What must be there of the site's texts before a site stands on them. */
#include "pages_internal.h"

#include <string.h>

struct check {
    const struct pages *pages;
    size_t language;
    const char *folder;
    struct text *error;
    /* From a page to what it includes, and so on: a name stands in it once. */
    const char *path[TEMPLATE_DEEP];
    unsigned deep;
    bool good;
};

static bool is_on_path(const struct check *c, const char *name)
{
    for (unsigned i = 0; i < c->deep; i++) {
        if (strcmp(c->path[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void check_include(void *context, const char *name, unsigned line)
{
    struct check *c = context;
    const struct template *t = pages_find(c->pages, c->language, name);
    const char *fault = !t                    ? "is not there; allowed: the name of a template"
                        : is_on_path(c, name) ? "includes itself in the end; allowed: no circles"
                        : c->deep == TEMPLATE_DEEP ? "is nested too deep; allowed: fewer levels"
                                                   : NULL;

    if (!c->good) {
        return;
    }
    if (fault) {
        const char *in = c->path[c->deep - 1];
        bool own = pages_find_in(&c->pages->language[c->language], in) != NULL;

        c->good = false;
        text_addf(
            c->error, "%s/%s/%s%s:%u: {{>%s}} %s", c->folder,
            c->pages->language[own ? c->language : 0].name, in,
            pages_has_suffix(in, PAGES_TEXT) ? "" : PAGES_HTML, line, name, fault);
        return;
    }
    c->path[c->deep++] = name;
    template_includes(t, check_include, c);
    c->deep--;
}

static bool check_language(
    const struct pages *p, size_t language, const char *folder, struct text *error)
{
    const struct language *l = &p->language[language];
    struct check c = {
        .pages = p, .language = language, .folder = folder, .error = error, .good = true};

    for (size_t i = 0; i < l->page_count && c.good; i++) {
        c.path[0] = l->pages[i].name;
        c.deep = 1;
        template_includes(l->pages[i].template, check_include, &c);
    }
    return c.good;
}

static bool want(const struct pages *p, const char *name, const char *folder, struct text *error)
{
    if (pages_find_in(&p->language[0], name)) {
        return true;
    }
    text_addf(
        error,
        "%s/%s/%s%s:1: is missing; allowed: all pages in \"%s\", any of them in "
        "other languages",
        folder, p->language[0].name, name, pages_has_suffix(name, PAGES_TEXT) ? "" : PAGES_HTML,
        p->language[0].name);
    return false;
}

bool pages_check(
    const struct pages *p, const char *folder, const char *const *const *wanted, struct text *error)
{
    for (size_t i = 0; i < p->count; i++) {
        if (!check_language(p, i, folder, error)) {
            return false;
        }
    }
    if (!want(p, PAGES_LAYOUT, folder, error)) {
        return false;
    }
    for (; wanted && *wanted; wanted++) {
        for (const char *const *name = *wanted; *name; name++) {
            if (!want(p, *name, folder, error)) {
                return false;
            }
        }
    }
    return true;
}
