/* How the files of the site's texts share them: read from a folder (pages_read.c), checked
 * (pages_check.c), then rendered (pages.c). */
#ifndef GATE25_WEB_PAGES_INTERNAL_H
#define GATE25_WEB_PAGES_INTERNAL_H

#include "web/pages.h"

#define PAGES_LAYOUT "layout"
#define PAGES_HTML   ".html"
#define PAGES_TEXT   ".txt" /* of mails; the name keeps it, so that no page includes one */

struct page {
    char name[TEMPLATE_NAME];
    struct template *template;
};

struct word {
    char *key, *text; /* both in `key`'s memory */
};

struct language {
    char name[8];
    struct page *pages;
    size_t page_count;
    struct word *words;
    size_t word_count;
};

struct pages {
    struct language language[CONF_LANGUAGES];
    size_t count;
    struct page_file *files;
    size_t file_count;
};

/* --- pages.c --- */

/* The template of that name in that language alone; NULL: it has none. */
const struct template *pages_find_in(const struct language *l, const char *name);
/* ... or else in the first language. */
const struct template *pages_find(const struct pages *p, size_t language, const char *name);
bool pages_has_suffix(const char *name, const char *suffix);

/* --- pages_read.c --- */

/* Reads the folder `name` of `folder` into `l`, or where that is NULL, its files as they are. */
bool pages_read(
    struct pages *p, struct language *l, const char *folder, const char *name, struct text *error);

/* --- pages_check.c --- */

/* All that is included is there, without circles; so is all that is wanted (see pages_new()). */
bool pages_check(
    const struct pages *p, const char *folder, const char *const *const *wanted,
    struct text *error);

#endif
