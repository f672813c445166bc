#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "template_internal.h"

struct scope {
    const struct scope *outer;
    const json_t *value;
};

struct render {
    const struct template *page;
    const struct template_set *set;
    struct buf *out;
    unsigned deep;
};

static int run(
    struct render *r, const struct template *t, size_t from, size_t to, const struct scope *scope);

static int put(struct render *r, struct span s)
{
    return buf_len(r->out) + s.len > TEMPLATE_MOST ? -1 : buf_append(r->out, s);
}

static int put_html(struct render *r, struct span s)
{
    static const char *const names[256] = {
        ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;"};
    size_t from = 0;

    for (size_t i = 0; i < s.len; i++) {
        const char *name = names[(unsigned char)s.at[i]];

        if (!name) {
            continue;
        }
        if (put(r, (struct span){s.at + from, i - from}) != 0 || put(r, span_of(name)) != 0) {
            return -1;
        }
        from = i + 1;
    }
    return put(r, span_skip(s, from));
}

static int put_url_part(struct render *r, struct span s)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
    char code[4];

    for (size_t i = 0; i < s.len; i++) {
        bool keep = memchr(plain, s.at[i], sizeof(plain) - 1) != NULL;

        snprintf(code, sizeof(code), "%%%02X", (unsigned char)s.at[i]);
        if (put(r, keep ? (struct span){s.at + i, 1} : span_of(code)) != 0) {
            return -1;
        }
    }
    return 0;
}

static bool is_safe_url(struct span s)
{
    static const char *const starts[] = {"http://", "https://", "mailto:", "#", "?"};
    bool path = s.len > 0 && s.at[0] == '/' && !(s.len > 1 && strchr("/\\", s.at[1]));

    for (size_t i = 0; !path && i < sizeof(starts) / sizeof(starts[0]); i++) {
        path = span_starts_nocase(s, span_of(starts[i]));
    }
    return path;
}

static struct span words_of(const json_t *value, char array[32])
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        return (struct span){json_string_value(value), json_string_length(value)};
    case JSON_INTEGER:
        snprintf(array, 32, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return span_of(array);
    case JSON_REAL:
        snprintf(array, 32, "%.10g", json_real_value(value));
        return span_of(array);
    case JSON_TRUE:
        return SPAN_LITERAL("true");
    default:
        return SPAN_LITERAL("");
    }
}

static const json_t *member(const json_t *object, struct span name)
{
    char array[2 * TEMPLATE_NAME];

    snprintf(array, sizeof(array), "%.*s", (int)name.len, name.at);
    return json_object_get(object, array);
}

/* "a.b": `a` is looked for from the inside to the outside, `b` in what was found. */
static const json_t *look_up(const struct scope *scope, struct span name)
{
    const char *dot = memchr(name.at, '.', name.len);
    struct span first = {name.at, dot ? (size_t)(dot - name.at) : name.len};
    const json_t *found = NULL;

    if (name.len == 1 && dot) {
        return scope->value;
    }
    for (; scope && !found; scope = scope->outer) {
        found = member(scope->value, first);
    }
    while (found && first.len < name.len) {
        name = span_skip(name, first.len + 1);
        dot = name.len > 0 ? memchr(name.at, '.', name.len) : NULL;
        first = (struct span){name.at, dot ? (size_t)(dot - name.at) : name.len};
        found = member(found, first);
    }
    return found;
}

static int put_value(struct render *r, const struct step *s, const struct scope *scope)
{
    const json_t *value = look_up(scope, s->text);
    char array[32];
    struct span words;

    if (!value) {
        return 0;
    }
    words = words_of(value, array);
    if (s->escape == ESCAPE_NONE) {
        return put(r, words);
    }
    if (s->escape == ESCAPE_URL_PART) {
        return put_url_part(r, words);
    }
    if (s->escape == ESCAPE_URL_START && !is_safe_url(words)) {
        words = SPAN_LITERAL("#");
    }
    return put_html(r, words);
}

static bool is_something(const json_t *value)
{
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT:
        return json_object_size(value) > 0;
    case JSON_ARRAY:
        return json_array_size(value) > 0;
    case JSON_STRING:
        return json_string_length(value) > 0;
    case JSON_INTEGER:
        return json_integer_value(value) != 0;
    case JSON_REAL:
    case JSON_TRUE:
        return true;
    default:
        return false;
    }
}

static bool is_word(const json_t *value, struct span word)
{
    char array[32];

    return span_equal(value ? words_of(value, array) : SPAN_LITERAL(""), word);
}

static int run_section(
    struct render *r, const struct template *t, size_t at, const struct scope *scope)
{
    const struct step *s = &t->steps[at];
    const json_t *value = look_up(scope, s->text);
    bool shown = s->word.at ? is_word(value, s->word) : is_something(value);

    if (shown == (s->kind == STEP_INVERTED)) {
        return 0;
    }
    if (s->kind == STEP_INVERTED || s->word.at || !value) {
        return run(r, t, at + 1, s->end, scope);
    }
    if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            struct scope item = {scope, json_array_get(value, i)};

            if (run(r, t, at + 1, s->end, &item) != 0) {
                return -1;
            }
        }
        return 0;
    }
    struct scope inner = {scope, value};

    return run(r, t, at + 1, s->end, json_is_object(value) ? &inner : scope);
}

static int run_use(struct render *r, struct span name, const struct scope *scope)
{
    if (!r->page) {
        return 0;
    }
    if (span_equal(name, SPAN_LITERAL("page"))) {
        return run(r, r->page, 0, r->page->count, scope);
    }
    for (size_t i = 0; i < r->page->count; i++) {
        const struct step *s = &r->page->steps[i];

        if (s->kind == STEP_DEFINE && span_equal(s->text, name)) {
            return run(r, r->page, i + 1, s->end, scope);
        }
    }
    return 0;
}

static int run_include(struct render *r, struct span name, const struct scope *scope)
{
    char array[TEMPLATE_NAME];
    const struct template *t;

    snprintf(array, sizeof(array), "%.*s", (int)name.len, name.at);
    t = r->set ? r->set->find(r->set->context, array) : NULL;
    return t ? run(r, t, 0, t->count, scope) : 0;
}

static int run_step(struct render *r, const struct template *t, size_t i, const struct scope *scope)
{
    const struct step *s = &t->steps[i];

    switch (s->kind) {
    case STEP_TEXT:
        return put(r, s->text);
    case STEP_VALUE:
        return put_value(r, s, scope);
    case STEP_SECTION:
    case STEP_INVERTED:
        return run_section(r, t, i, scope);
    case STEP_INCLUDE:
        return run_include(r, s->text, scope);
    case STEP_USE:
        return run_use(r, s->text, scope);
    case STEP_DEFINE:
        break;
    }
    return 0;
}

static int run(
    struct render *r, const struct template *t, size_t from, size_t to, const struct scope *scope)
{
    int result = 0;

    if (++r->deep > 4 * TEMPLATE_DEEP) {
        return -1;
    }
    for (size_t i = from; i < to && result == 0;) {
        enum step_kind kind = t->steps[i].kind;
        bool block = kind == STEP_SECTION || kind == STEP_INVERTED || kind == STEP_DEFINE;

        result = run_step(r, t, i, scope);
        i = block ? t->steps[i].end : i + 1;
    }
    r->deep--;
    return result;
}

int template_render(
    const struct template *page, const struct template *layout, const json_t *values,
    const struct template_set *set, struct buf *out)
{
    struct render r = {.page = layout ? page : NULL, .set = set, .out = out};
    const struct template *first = layout ? layout : page;
    const struct scope scope = {NULL, values};

    return run(&r, first, 0, first->count, &scope);
}
