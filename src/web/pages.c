#include "web/pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pages_internal.h"

const struct template *pages_find_in(const struct language *l, const char *name)
{
    for (size_t i = 0; i < l->page_count; i++) {
        if (strcmp(l->pages[i].name, name) == 0) {
            return l->pages[i].template;
        }
    }
    return NULL;
}

const struct template *pages_find(const struct pages *p, size_t language, const char *name)
{
    const struct template *t = pages_find_in(&p->language[language], name);

    return t || language == 0 ? t : pages_find_in(&p->language[0], name);
}

bool pages_has_suffix(const char *name, const char *suffix)
{
    size_t len = strlen(name);

    return len > strlen(suffix) && strcmp(name + len - strlen(suffix), suffix) == 0;
}

struct pages *pages_new(
    const char *folder, const struct language_list *languages, const char *const *const *wanted,
    struct text *error)
{
    struct pages *p = calloc(1, sizeof(*p));
    bool good = p != NULL;

    if (!p) {
        text_addf(error, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < languages->count && good; i++) {
        struct language *l = &p->language[p->count++];

        memcpy(l->name, languages->at[i], sizeof(l->name));
        good = pages_read(p, l, folder, l->name, error);
    }
    good = good && pages_read(p, NULL, folder, "static", error) &&
           pages_check(p, folder, wanted, error);
    if (!good) {
        pages_free(p);
        return NULL;
    }
    return p;
}

void pages_free(struct pages *p)
{
    if (!p) {
        return;
    }
    for (size_t i = 0; i < p->count; i++) {
        struct language *l = &p->language[i];

        for (size_t j = 0; j < l->page_count; j++) {
            template_free(l->pages[j].template);
        }
        for (size_t j = 0; j < l->word_count; j++) {
            free(l->words[j].key);
        }
        free(l->pages);
        free(l->words);
    }
    for (size_t i = 0; i < p->file_count; i++) {
        free(p->files[i].content);
    }
    free(p->files);
    free(p);
}

struct view {
    const struct pages *pages;
    size_t language;
};

static const struct template *find_for_view(void *context, const char *name)
{
    const struct view *v = context;

    return pages_find(v->pages, v->language, name);
}

int pages_render(
    const struct pages *p, size_t language, const char *page, const json_t *values, struct buf *out)
{
    struct view view = {p, language < p->count ? language : 0};
    const struct template_set set = {find_for_view, &view};
    const struct template *t = pages_find(p, view.language, page);
    const struct template *layout = pages_find(p, view.language, PAGES_LAYOUT);

    return t && layout ? template_render(t, layout, values, &set, out) : -1;
}

int pages_render_text(
    const struct pages *p, size_t language, const char *page, const json_t *values, struct buf *out)
{
    struct view view = {p, language < p->count ? language : 0};
    const struct template_set set = {find_for_view, &view};
    char name[TEMPLATE_NAME];
    const struct template *t;

    snprintf(name, sizeof(name), "%s" PAGES_TEXT, page);
    t = pages_find(p, view.language, name);
    return t ? template_render(t, NULL, values, &set, out) : -1;
}

const char *pages_word(const struct pages *p, size_t language, const char *key)
{
    const struct language *look[] = {
        &p->language[language < p->count ? language : 0], &p->language[0]};

    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < look[i]->word_count; j++) {
            if (strcmp(look[i]->words[j].key, key) == 0) {
                return look[i]->words[j].text;
            }
        }
    }
    return key;
}

const struct page_file *pages_file(const struct pages *p, struct span name)
{
    for (size_t i = 0; i < p->file_count; i++) {
        if (span_equal(span_of(p->files[i].name), name)) {
            return &p->files[i];
        }
    }
    return NULL;
}
