/* Follows HTML closely enough to know how a value has to be escaped where it stands. */
#include <string.h>

#include "template_internal.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool is_letter(char c)
{
    return lower(c) >= 'a' && lower(c) <= 'z';
}

static void name_add(char name[PLACE_NAME], char c)
{
    size_t len = strlen(name);

    if (len < PLACE_NAME - 1) {
        name[len] = lower(c);
        name[len + 1] = '\0';
    }
}

static void enter_tag(struct place *p)
{
    p->state = PLACE_TAG;
    p->quote = '\0';
    p->attribute[0] = '\0';
    p->started = false;
}

static void leave_tag(struct place *p)
{
    bool raw = strcmp(p->tag, "script") == 0 || strcmp(p->tag, "style") == 0;

    p->state = raw ? PLACE_RAW : PLACE_TEXT;
    p->matched = 0;
    p->attribute[0] = '\0';
    p->started = false;
    if (!raw) {
        p->tag[0] = '\0';
    }
}

static void step_tag(struct place *p, char c)
{
    if (c == '>') {
        leave_tag(p);
    } else if (p->state == PLACE_TAG_NAME) {
        if (is_blank(c) || c == '/') {
            enter_tag(p);
        } else {
            name_add(p->tag, c);
        }
    } else if (p->state == PLACE_ATTRIBUTE) {
        if (c == '=') {
            p->state = PLACE_EQUALS;
        } else if (is_blank(c) || c == '/') {
            enter_tag(p);
        } else {
            name_add(p->attribute, c);
        }
    } else if (!is_blank(c) && c != '/') {
        p->state = PLACE_ATTRIBUTE;
        p->attribute[0] = '\0';
        name_add(p->attribute, c);
    }
}

static bool is_one_of(const char *name, const char *const *list)
{
    while (*list && strcmp(name, *list) != 0) {
        list++;
    }
    return *list != NULL;
}

/* Blanks within a scheme are passed over by browsers; "&" may stand for any character. */
static void step_link(struct place *p, char c)
{
    static const char *const schemes[] = {"http", "https", "mailto", NULL};
    size_t len = strlen(p->scheme);

    if (p->link != LINK_OPEN || (unsigned char)c <= ' ') {
        return;
    }
    if (c == '/' || c == '?' || c == '#') {
        p->link = LINK_SAFE;
    } else if (c == ':') {
        p->link = is_one_of(p->scheme, schemes) ? LINK_SAFE : LINK_CODE;
    } else if (c == '&') {
        p->link = LINK_CODE;
    } else if (len < PLACE_SCHEME - 1) {
        p->scheme[len] = lower(c);
        p->scheme[len + 1] = '\0';
    }
}

static void step_value(struct place *p, char c)
{
    if (p->state == PLACE_EQUALS) {
        if (c == '"' || c == '\'') {
            p->state = PLACE_QUOTED;
            p->quote = c;
            p->started = false;
            p->link = LINK_OPEN;
            p->scheme[0] = '\0';
        } else if (c == '>') {
            leave_tag(p);
        } else if (!is_blank(c)) {
            p->state = PLACE_BARE;
        }
    } else if (p->state == PLACE_QUOTED) {
        if (c == p->quote) {
            enter_tag(p);
        } else {
            p->started = p->started || !is_blank(c);
            step_link(p, c);
        }
    } else if (c == '>') {
        leave_tag(p);
    } else if (is_blank(c)) {
        enter_tag(p);
    }
}

/* Counts how much of `end` has been seen; true when all of it. */
static bool match(struct place *p, const char *end, char c)
{
    if (lower(c) == end[p->matched]) {
        p->matched++;
    } else if (!(c == '-' && end[0] == '-' && p->matched == 2)) {
        p->matched = lower(c) == end[0];
    }
    return end[p->matched] == '\0';
}

static void step_closed(struct place *p, char c)
{
    if (p->state == PLACE_COMMENT) {
        if (match(p, "-->", c)) {
            p->state = PLACE_TEXT;
        }
        return;
    }
    if (match(p, strcmp(p->tag, "style") == 0 ? "</style" : "</script", c)) {
        p->state = PLACE_TAG_NAME;
        p->tag[0] = '\0';
        name_add(p->tag, '/');
    }
}

static void step_markup(struct place *p, char c)
{
    if (c == '>') {
        p->state = PLACE_TEXT;
    } else if (c == '-' && p->matched < 2) {
        p->matched++;
    } else {
        p->matched = 3; /* a doctype or the like, no comment any more */
    }
    if (p->matched == 2) {
        p->state = PLACE_COMMENT;
        p->matched = 0;
    }
}

static void step_open(struct place *p, char c)
{
    p->tag[0] = '\0';
    if (c == '!') {
        p->state = PLACE_MARKUP;
        p->matched = 0;
    } else if (is_letter(c) || c == '/') {
        p->state = PLACE_TAG_NAME;
        name_add(p->tag, c);
    } else {
        p->state = c == '<' ? PLACE_TAG_OPEN : PLACE_TEXT;
    }
}

void place_step(struct place *p, struct span html)
{
    for (size_t i = 0; i < html.len; i++) {
        char c = html.at[i];

        switch (p->state) {
        case PLACE_TEXT:
            p->state = c == '<' ? PLACE_TAG_OPEN : PLACE_TEXT;
            break;
        case PLACE_TAG_OPEN:
            step_open(p, c);
            break;
        case PLACE_TAG_NAME:
        case PLACE_TAG:
        case PLACE_ATTRIBUTE:
            step_tag(p, c);
            break;
        case PLACE_EQUALS:
        case PLACE_QUOTED:
        case PLACE_BARE:
            step_value(p, c);
            break;
        case PLACE_MARKUP:
            step_markup(p, c);
            break;
        case PLACE_COMMENT:
        case PLACE_RAW:
            step_closed(p, c);
            break;
        }
    }
}

const char *place_escape(const struct place *p, enum escape *out)
{
    static const char *const urls[] = {"href", "src",  "action", "formaction", "xlink:href",
                                       "data", "cite", "poster", "ping",       NULL};
    static const char *const code[] = {"style", "srcdoc", "srcset", NULL};

    *out = ESCAPE_HTML;
    if (p->state == PLACE_TEXT) {
        return NULL;
    }
    if (p->state != PLACE_QUOTED) {
        return p->state == PLACE_RAW ? "stands in a script or style sheet"
               : p->state == PLACE_COMMENT || p->state == PLACE_MARKUP
                   ? "stands in a comment"
                   : "stands in a tag, outside of a quoted attribute";
    }
    if (strncmp(p->attribute, "on", 2) == 0 || is_one_of(p->attribute, code)) {
        return "stands in an attribute that is code";
    }
    if (is_one_of(p->attribute, urls)) {
        if (p->started && p->link == LINK_CODE) {
            return "stands behind a scheme that may be code, other than http:, https: and mailto:";
        }
        *out = p->started ? ESCAPE_URL_PART : ESCAPE_URL_START;
    }
    return NULL;
}

void place_value(struct place *p)
{
    if (p->state != PLACE_QUOTED) {
        p->started = false;
        return;
    }
    if (!p->started && p->link == LINK_OPEN) {
        p->link = LINK_SAFE; /* it is a whole URL that is safe, or "#" */
    }
    p->started = true;
}

void place_close(struct place *p, const struct place *start)
{
    /* An attribute's start is only behind it if it is so with the section and without. */
    p->started = p->started && start->started;
    if (p->link == LINK_SAFE && start->link == LINK_OPEN) {
        p->link = LINK_OPEN;
        memcpy(p->scheme, start->scheme, sizeof(p->scheme));
    }
}

bool place_equal(const struct place *a, const struct place *b)
{
    return a->state == b->state && a->quote == b->quote && strcmp(a->tag, b->tag) == 0 &&
           strcmp(a->attribute, b->attribute) == 0;
}
