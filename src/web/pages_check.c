/* What must be there of the site's texts before a site stands on them. */
#include "pages_internal.h"

#include <string.h>

struct check {
    const struct pages *pages;
    size_t language;
    const char *folder, *page;
    struct text *error;
    unsigned deep;
    bool good;
};

static void check_include(void *context, const char *name, unsigned line)
{
    struct check *c = context;
    const struct template *t = pages_find(c->pages, c->language, name);

    if (!c->good) {
        return;
    }
    if (!t || c->deep >= TEMPLATE_DEEP) {
        c->good = false;
        text_addf(
            c->error, "%s/%s/%s" PAGES_HTML ":%u: {{>%s}} %s", c->folder,
            c->pages->language[c->language].name, c->page, line, name,
            t ? "includes itself in the end; allowed: no circles"
              : "is not there; allowed: the name of a template");
        return;
    }
    c->deep++;
    template_includes(t, check_include, c);
    c->deep--;
}

static bool check_language(
    const struct pages *p, size_t language, const char *folder, struct text *error)
{
    const struct language *l = &p->language[language];
    struct check c = {p, language, folder, NULL, error, 0, true};

    for (size_t i = 0; i < l->page_count && c.good; i++) {
        c.page = l->pages[i].name;
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
