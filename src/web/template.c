#include "web/template.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "template_internal.h"

#define NAMES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
#define ALLOWED                                                                                    \
    "{{name}}, {{#name}}, {{^name}}, {{/name}}, {{>name}}, {{=name}}, {{@name}}, {{! comment }}"

struct open {
    size_t step; /* its index */
    struct place place;
};

struct parser {
    struct template *t;
    size_t room;
    struct span rest;
    unsigned line;
    struct place place;
    struct open open[TEMPLATE_DEEP];
    size_t depth;
    bool plain; /* no HTML */
    struct text *error;
};

static bool __attribute__((format(printf, 3, 4)))
fail(const struct parser *p, unsigned line, const char *format, ...)
{
    char array[256];
    va_list arguments;

    va_start(arguments, format);
    if (vsnprintf(array, sizeof(array), format, arguments) < 0) {
        array[0] = '\0';
    }
    va_end(arguments);
    text_addf(p->error, "%u: %s", line, array);
    return false;
}

static struct step *add(struct parser *p, enum step_kind kind, struct span text)
{
    struct template *t = p->t;

    if (t->count == p->room) {
        size_t room = p->room * 2 + 16;
        struct step *more = reallocarray(t->steps, room, sizeof(*more));

        if (!more) {
            return NULL;
        }
        t->steps = more;
        p->room = room;
    }
    t->steps[t->count] = (struct step){.kind = kind, .text = text, .line = p->line};
    return &t->steps[t->count++];
}

static void count_lines(struct parser *p, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        p->line += s.at[i] == '\n';
    }
}

static bool add_text(struct parser *p, struct span text)
{
    if (text.len > 0 && !add(p, STEP_TEXT, text)) {
        return fail(p, p->line, "out of memory");
    }
    if (p->plain) {
        return true;
    }
    place_step(&p->place, text);
    /* A value right behind "href=" is behind nothing yet; behind "<" nothing is a tag. */
    if (p->place.state == PLACE_TAG_OPEN) {
        return fail(p, p->line, "\"<\" before a tag of the template; allowed: \"&lt;\"");
    }
    return true;
}

static bool add_value(struct parser *p, struct span name)
{
    enum escape escape = ESCAPE_NONE;
    const char *fault = p->plain ? NULL : place_escape(&p->place, &escape);
    struct step *s;

    if (fault) {
        return fail(
            p, p->line, "{{%.*s}} %s; allowed: values in text and in quoted attributes",
            (int)name.len, name.at, fault);
    }
    s = add(p, STEP_VALUE, name);
    if (!s) {
        return fail(p, p->line, "out of memory");
    }
    s->escape = escape;
    place_value(&p->place);
    return true;
}

static bool want_text(struct parser *p, struct span tag)
{
    return p->place.state == PLACE_TEXT ||
           fail(
               p, p->line, "{{%.*s}} stands in a tag, script or comment; allowed: in text only",
               (int)tag.len, tag.at);
}

static bool open_section(struct parser *p, enum step_kind kind, struct span name)
{
    const char *equals = memchr(name.at, '=', name.len);
    struct step *s = add(p, kind, name);

    if (!s) {
        return fail(p, p->line, "out of memory");
    }
    if (equals) {
        s->text.len = (size_t)(equals - name.at);
        s->word = span_skip(name, s->text.len + 1);
    }
    if (p->depth == TEMPLATE_DEEP) {
        return fail(p, p->line, "tags are nested too deep; allowed: %d", TEMPLATE_DEEP);
    }
    p->open[p->depth++] = (struct open){p->t->count - 1, p->place};
    return true;
}

/* An attribute without a value, such as "selected", ends with what comes behind the section. */
static void end_attribute(struct parser *p, const struct place *start)
{
    bool ends = p->rest.len > 0 && strchr(" \t\n>/", p->rest.at[0]);

    if (p->place.state == PLACE_ATTRIBUTE && start->state == PLACE_TAG && ends) {
        p->place = *start;
    }
}

static bool close_section(struct parser *p, struct span name)
{
    struct open *o;
    struct step *s;

    if (p->depth == 0) {
        return fail(p, p->line, "{{/%.*s}} closes nothing", (int)name.len, name.at);
    }
    o = &p->open[--p->depth];
    s = &p->t->steps[o->step];
    if (!span_equal(s->text, name)) {
        return fail(
            p, p->line, "{{/%.*s}} does not close {{%.*s}} of line %u", (int)name.len, name.at,
            (int)s->text.len, s->text.at, s->line);
    }
    end_attribute(p, &o->place);
    if (!place_equal(&o->place, &p->place)) {
        return fail(
            p, p->line,
            "{{/%.*s}} stands elsewhere in the HTML than its beginning in line %u; allowed: whole "
            "elements, or whole attributes",
            (int)name.len, name.at, s->line);
    }
    place_close(&p->place, &o->place);
    s->end = p->t->count;
    return true;
}

static bool is_name(struct span s)
{
    char array[2 * TEMPLATE_NAME];

    if (s.len == 0 || s.len >= sizeof(array)) {
        return false;
    }
    memcpy(array, s.at, s.len);
    array[s.len] = '\0';
    return strspn(array, NAMES) == s.len && !strstr(array, "..");
}

/* Of "name=word" the name; a word is anything without blanks. */
static struct span name_part(struct span s)
{
    const char *equals = s.len > 0 ? memchr(s.at, '=', s.len) : NULL;
    size_t len = equals ? (size_t)(equals - s.at) : s.len;

    for (size_t i = len; i < s.len; i++) {
        if (strchr(" \t\r\n", s.at[i])) {
            return SPAN_LITERAL("");
        }
    }
    return (struct span){s.at, len};
}

static bool add_named(struct parser *p, char mark, struct span name)
{
    switch (mark) {
    case '#':
        return open_section(p, STEP_SECTION, name);
    case '^':
        return open_section(p, STEP_INVERTED, name);
    case '/':
        return close_section(p, name);
    case '=':
        return want_text(p, name) && open_section(p, STEP_DEFINE, name);
    case '@':
        return want_text(p, name) && (add(p, STEP_USE, name) || fail(p, p->line, "out of memory"));
    case '>':
        return want_text(p, name) &&
               (add(p, STEP_INCLUDE, name) || fail(p, p->line, "out of memory"));
    default:
        return add_value(p, name);
    }
}

static bool add_tag(struct parser *p, struct span tag)
{
    char mark = tag.len > 0 && strchr("#^/=@>!", tag.at[0]) ? tag.at[0] : ' ';
    struct span name = span_trim(span_skip(tag, mark == ' ' ? 0 : 1));
    bool word = mark == '#' || mark == '^';

    if (mark == '!') {
        return true;
    }
    if (!is_name(word ? name_part(name) : name) ||
        (strchr("=@>", mark) && name.len >= TEMPLATE_NAME)) {
        return fail(p, p->line, "a tag that is none; allowed: " ALLOWED);
    }
    return add_named(p, mark, name);
}

/* A tag alone on its line takes the line with it: cut the blanks before, skip those behind. */
static bool stands_alone(const struct parser *p, struct span before, struct span behind, char mark)
{
    size_t i = before.len;

    if (mark == '\0' || !strchr("#^/=>!", mark)) {
        return false;
    }
    while (i > 0 && (before.at[i - 1] == ' ' || before.at[i - 1] == '\t')) {
        i--;
    }
    if (i > 0 ? before.at[i - 1] != '\n' : before.at != p->t->source && before.at[-1] != '\n') {
        return false;
    }
    i = 0;
    while (i < behind.len && (behind.at[i] == ' ' || behind.at[i] == '\t')) {
        i++;
    }
    return i < behind.len && behind.at[i] == '\n';
}

static bool step(struct parser *p)
{
    const char *start = memmem(p->rest.at, p->rest.len, "{{", 2);
    struct span before = {p->rest.at, start ? (size_t)(start - p->rest.at) : p->rest.len};
    struct span tag = span_skip(p->rest, before.len + 2), behind;
    const char *end;
    bool alone;

    if (!start) {
        p->rest = SPAN_LITERAL("");
        return add_text(p, before);
    }
    end = memmem(tag.at, tag.len, "}}", 2);
    if (!end) {
        count_lines(p, before);
        return fail(p, p->line, "a tag without its end; allowed: " ALLOWED);
    }
    tag.len = (size_t)(end - tag.at);
    behind = span_skip(p->rest, before.len + tag.len + 4);
    alone = stands_alone(p, before, behind, tag.len > 0 ? tag.at[0] : '\0');
    p->rest = behind;
    if (alone) {
        size_t skip = strcspn(behind.at, "\n") + 1;

        p->rest = span_skip(behind, skip);
        while (before.len > 0 && before.at[before.len - 1] != '\n') {
            before.len--;
        }
    }
    if (!add_text(p, before)) {
        return false;
    }
    count_lines(p, before);
    if (!add_tag(p, tag)) {
        return false;
    }
    count_lines(p, tag);
    p->line += alone;
    return true;
}

static bool parse(struct parser *p)
{
    while (p->rest.len > 0) {
        if (!step(p)) {
            return false;
        }
    }
    if (p->depth > 0) {
        const struct step *s = &p->t->steps[p->open[p->depth - 1].step];

        return fail(
            p, s->line, "{{%.*s}} is not closed; allowed: {{/%.*s}} behind it", (int)s->text.len,
            s->text.at, (int)s->text.len, s->text.at);
    }
    return p->place.state == PLACE_TEXT ||
           fail(p, p->line, "ends within a tag, script or comment; allowed: whole elements");
}

static struct template *parse_source(struct span source, bool plain, struct text *error)
{
    struct template *t = calloc(1, sizeof(*t));
    struct parser p = {.t = t, .line = 1, .plain = plain, .error = error};

    if (t) {
        t->source = calloc(1, source.len + 1);
    }
    if (!t || !t->source) {
        template_free(t);
        text_addf(error, "1: out of memory");
        return NULL;
    }
    memcpy(t->source, source.at, source.len);
    /* The end of a file's last line is none of the text: a template may stand within a sentence. */
    source.len -= source.len > 0 && source.at[source.len - 1] == '\n';
    p.rest = (struct span){t->source, source.len};
    if (memchr(t->source, '\0', source.len) ? !fail(&p, 1, "holds a zero byte") : !parse(&p)) {
        template_free(t);
        return NULL;
    }
    return t;
}

struct template *template_parse(struct span source, struct text *error)
{
    return parse_source(source, false, error);
}

struct template *template_parse_text(struct span source, struct text *error)
{
    return parse_source(source, true, error);
}

void template_free(struct template *t)
{
    if (t) {
        free(t->steps);
        free(t->source);
        free(t);
    }
}

void template_includes(
    const struct template *t, void (*each)(void *context, const char *name, unsigned line),
    void *context)
{
    char name[TEMPLATE_NAME];

    for (size_t i = 0; i < t->count; i++) {
        if (t->steps[i].kind == STEP_INCLUDE) {
            snprintf(name, sizeof(name), "%.*s", (int)t->steps[i].text.len, t->steps[i].text.at);
            each(context, name, t->steps[i].line);
        }
    }
}
