/* The texts of the site: for each language a folder of templates (NAME.html; NAME.txt for mails)
 * and of words (words.txt, "key = text" a line), and a folder "static" of files sent as they are.
 */
#ifndef GATE25_WEB_PAGES_H
#define GATE25_WEB_PAGES_H

#include "core/conf_web.h"
#include "web/template.h"
#include "web/token.h"

struct pages;

struct page_file {
    char name[TEMPLATE_NAME];
    const char *type; /* of the content */
    char etag[TOKEN_TEXT];
    char *content;
    size_t len;
};

/* Reads `folder`. The first language is that of pages that others lack: it must have all `wanted`
 * (NULL: none; each list ends with NULL, as does the list of lists). NULL: `error` says
 * "FILE:LINE: what is wrong; allowed: what is". */
struct pages *pages_new(
    const char *folder, const struct language_list *languages, const char *const *const *wanted,
    struct text *error) __attribute__((warn_unused_result));
void pages_free(struct pages *p);

/* Renders `page` (in "layout") in that language, or in the first one where it lacks the page.
 * -1: as template_render(), or there is no such page. */
int pages_render(
    const struct pages *p, size_t language, const char *page, const json_t *values, struct buf *out)
    __attribute__((warn_unused_result));
/* The same of a mail's text, NAME.txt, without layout. */
int pages_render_text(
    const struct pages *p, size_t language, const char *page, const json_t *values, struct buf *out)
    __attribute__((warn_unused_result));
/* A word, or where no language has it, `key`. */
const char *pages_word(const struct pages *p, size_t language, const char *key);
const struct page_file *pages_file(const struct pages *p, struct span name); /* NULL: none */

#endif
