/* Templates that escape by default. A template is HTML with tags:
 *
 *   {{name}} {{a.b}} {{.}}          a value: escaped for the place where it stands
 *   {{#name}} ... {{/name}}         for each item of a list; once for an object (its names are
 *                                   found first then) and for any other value but false, null, "",
 *                                   0 and {}
 *   {{^name}} ... {{/name}}         when the above would show nothing
 *   {{#name=word}}, {{^name=word}}  when the value is, is not, that word; ends with {{/name}}
 *   {{>name}}                       another template
 *   {{=name}} ... {{/name}}         a block, for {{@name}} in the layout
 *   {{@name}}                       in a layout: that block of the page; {{@page}}: the page itself
 *   {{! ... }}                      a comment
 *
 * Values may stand in text and in quoted attributes. In an attribute that holds a URL, a value at
 * its start must be a path of this site, "#...", "?...", http:, https: or mailto:, or it becomes
 * "#"; a value behind the start is percent-encoded, and refused behind a scheme other than http:,
 * https: and mailto:. Scripts, style sheets, comments, on...=,
 * style= and srcdoc= take none. */
#ifndef GATE25_WEB_TEMPLATE_H
#define GATE25_WEB_TEMPLATE_H

#include <jansson.h>

#include "base/buf.h"

#define TEMPLATE_NAME 48
#define TEMPLATE_DEEP 16         /* templates within templates, and tags within tags */
#define TEMPLATE_MOST (4u << 20) /* bytes that a page may have */

struct template;

/* NULL: `error` says "LINE: what is wrong; allowed: what is". `source` is copied. */
struct template *template_parse(struct span source, struct text *error)
    __attribute__((warn_unused_result));
/* The same for plain text, such as a mail's: values stand in it as they are. */
struct template *template_parse_text(struct span source, struct text *error)
    __attribute__((warn_unused_result));
void template_free(struct template *t);

/* The template called `name`, or NULL. */
typedef const struct template *(*template_find_cb)(void *context, const char *name);

struct template_set {
    template_find_cb find;
    void *context;
};

/* Calls `each` with the name of every template that `t` includes and the tag's line. */
void template_includes(
    const struct template *t, void (*each)(void *context, const char *name, unsigned line),
    void *context);

/* Appends the page to `out`, in `layout` where there is one. -1: out of memory, longer than
 * TEMPLATE_MOST, or includes that go round in a circle; `out` then holds a part. */
int template_render(
    const struct template *page, const struct template *layout, const json_t *values,
    const struct template_set *set, struct buf *out) __attribute__((warn_unused_result));

#endif
