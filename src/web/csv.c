#include "csv.h"

#include <inttypes.h>
#include <string.h>

static int add(struct buf *out, struct span s)
{
    return buf_append(out, s);
}

/* OWASP's list of what begins a formula. */
static bool is_formula(struct span s)
{
    return s.len > 0 && s.at[0] != '\0' && strchr("=+-@\t\r", s.at[0]) != NULL;
}

static int add_cell(struct buf *out, struct span s)
{
    int rc = add(out, SPAN_LITERAL("\""));

    if (is_formula(s)) {
        rc |= add(out, SPAN_LITERAL("'"));
    }
    while (s.len > 0) {
        const char *quote = memchr(s.at, '"', s.len);
        size_t len = quote ? (size_t)(quote - s.at) + 1 : s.len;

        rc |= add(out, (struct span){s.at, len});
        if (quote) {
            rc |= add(out, SPAN_LITERAL("\""));
        }
        s = span_skip(s, len);
    }
    return rc | add(out, SPAN_LITERAL("\""));
}

/* Of strings: joined by blanks. */
static int add_list(struct buf *out, const json_t *list)
{
    struct buf joined = BUF_INIT;
    int rc = 0;

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);

        if (json_is_string(one)) {
            rc |= buf_len(&joined) > 0 ? add(&joined, SPAN_LITERAL(" ")) : 0;
            rc |= add(&joined, (struct span){json_string_value(one), json_string_length(one)});
        }
    }
    rc |= add_cell(out, buf_span(&joined));
    buf_clear(&joined);
    return rc;
}

static int add_value(struct buf *out, const json_t *value)
{
    char array[32];
    struct text t;

    if (json_is_object(value)) {
        value = json_object_get(value, "iso");
    }
    if (json_is_string(value)) {
        return add_cell(out, (struct span){json_string_value(value), json_string_length(value)});
    }
    if (json_is_array(value)) {
        return add_list(out, value);
    }
    text_init(&t, array, sizeof(array));
    if (json_is_integer(value)) {
        /* A number is no formula, whatever its sign. */
        text_addf(&t, "\"%" JSON_INTEGER_FORMAT "\"", json_integer_value(value));
        return add(out, text_span(&t));
    }
    text_addf(&t, "%s", json_is_true(value) ? "true" : json_is_false(value) ? "false" : "");
    return add_cell(out, text_span(&t));
}

int csv_write(const json_t *list, const char *const *columns, struct buf *out)
{
    int rc = 0;

    for (const char *const *c = columns; *c; c++) {
        rc |= c == columns ? 0 : add(out, SPAN_LITERAL(","));
        rc |= add_cell(out, span_of(*c));
    }
    rc |= add(out, SPAN_LITERAL("\r\n"));
    for (size_t i = 0; i < json_array_size(list); i++) {
        for (const char *const *c = columns; *c; c++) {
            rc |= c == columns ? 0 : add(out, SPAN_LITERAL(","));
            rc |= add_value(out, json_object_get(json_array_get(list, i), *c));
        }
        rc |= add(out, SPAN_LITERAL("\r\n"));
    }
    return rc;
}
