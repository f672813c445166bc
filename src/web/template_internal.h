/* What template.c (tags), template_place.c (where in the HTML) and template_render.c share. */
#ifndef GATE25_WEB_TEMPLATE_INTERNAL_H
#define GATE25_WEB_TEMPLATE_INTERNAL_H

#include "web/template.h"

enum step_kind {
    STEP_TEXT,
    STEP_VALUE,
    STEP_SECTION, /* ... to `end` */
    STEP_INVERTED,
    STEP_DEFINE,
    STEP_INCLUDE,
    STEP_USE,
};

enum escape { ESCAPE_HTML, ESCAPE_URL_START, ESCAPE_URL_PART, ESCAPE_NONE };

struct step {
    enum step_kind kind;
    enum escape escape;
    struct span text; /* of STEP_TEXT; else the name */
    struct span word; /* of {{#name=word}}; at NULL: none */
    size_t end;       /* behind the last step of a section or block */
    unsigned line;
};

struct template
{
    char *source;
    struct step *steps;
    size_t count;
};

/* Where in the HTML a byte stands. */
enum place_state {
    PLACE_TEXT,
    PLACE_TAG_OPEN, /* behind "<" */
    PLACE_TAG_NAME,
    PLACE_TAG, /* between attributes */
    PLACE_ATTRIBUTE,
    PLACE_EQUALS,
    PLACE_QUOTED, /* in `quote` */
    PLACE_BARE,   /* an attribute's value without quotes */
    PLACE_MARKUP, /* <! ... > */
    PLACE_COMMENT,
    PLACE_RAW, /* in a script or style sheet */
};

#define PLACE_NAME   16
#define PLACE_SCHEME 8 /* "mailto" and one more */

/* What a value behind the text of a URL attribute can be. */
enum place_link {
    LINK_OPEN, /* no scheme has ended, and no path begun */
    LINK_SAFE, /* a part of a path, query or fragment, here or by http:, https:, mailto: */
    LINK_CODE, /* anything, as behind "javascript:" */
};

struct place {
    enum place_state state;
    char quote;
    bool started;         /* the attribute's value holds something */
    enum place_link link; /* of the attribute's value */
    char scheme[PLACE_SCHEME];
    char tag[PLACE_NAME]; /* lower case, cut */
    char attribute[PLACE_NAME];
    unsigned matched; /* of what ends a comment or raw text */
};

void place_step(struct place *p, struct span html);
/* How a value is to be escaped here. NULL, or what is wrong with a value here. */
const char *place_escape(const struct place *p, enum escape *out);
/* A value stands here. */
void place_value(struct place *p);
/* Here ends a section that may have been left out: what is known behind it, having begun at
 * `start`. */
void place_close(struct place *p, const struct place *start);
bool place_equal(const struct place *a, const struct place *b);

#endif
