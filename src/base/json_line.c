#include "base/json_line.h"

/* Bytes of the character at `s`, which is not ASCII, that are fit to print; 0: escape the first. */
static size_t printable(struct span s)
{
    /* RFC 3629 section 4: the first byte tells the length, and the range of the second byte. */
    static const struct {
        uint8_t first, last, length, second_from, second_to;
    } rows[] = {
        {0xc2, 0xc2, 2, 0xa0, 0xbf}, /* U+0080 to U+009F are controls */
        {0xc3, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf}, {0xe1, 0xec, 3, 0x80, 0xbf},
        {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf}, {0xf0, 0xf0, 4, 0x90, 0xbf},
        {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
    };
    const uint8_t *at = (const uint8_t *)s.at;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (at[0] < rows[i].first || at[0] > rows[i].last) {
            continue;
        }
        if (rows[i].length > s.len || at[1] < rows[i].second_from || at[1] > rows[i].second_to) {
            return 0;
        }
        for (size_t k = 2; k < rows[i].length; k++) {
            if ((at[k] & 0xc0) != 0x80) {
                return 0;
            }
        }
        return rows[i].length;
    }
    return 0;
}

static bool is_plain(char c)
{
    return c >= ' ' && c <= '~' && c != '"' && c != '\\';
}

/* The character at the front of `s`, which is not plain; its bytes. */
static size_t add_odd(struct text *to, struct span s)
{
    static const char digits[] = "0123456789ABCDEF";
    uint8_t byte = (uint8_t)s.at[0];
    size_t n = printable(s);

    if (byte == '"') {
        text_add(to, SPAN_LITERAL("\\\""));
        return 1;
    }
    if (n > 0) {
        text_add(to, (struct span){s.at, n});
        return n;
    }
    const char escape[] = {'\\', '\\', 'x', digits[byte >> 4], digits[byte & 15]};
    text_add(to, (struct span){escape, sizeof(escape)});
    return 1;
}

static void add_escaped(struct text *to, struct span s)
{
    while (s.len > 0) {
        size_t n = 0;

        while (n < s.len && is_plain(s.at[n])) {
            n++;
        }
        text_add(to, (struct span){s.at, n});
        s = span_skip(s, n);
        if (s.len > 0) {
            s = span_skip(s, add_odd(to, s));
        }
    }
}

static void add_key(struct json_line *l, struct span key)
{
    if (l->begun) {
        text_add(l->to, key);
        return;
    }
    l->begun = true;
    text_add(l->to, SPAN_LITERAL("{"));
    text_add(l->to, span_skip(key, 1)); /* there is nothing that its comma would part it from */
}

void json_line_begin(struct json_line *l, struct text *to)
{
    *l = (struct json_line){.to = to};
}

void json_line_null(struct json_line *l, struct span key)
{
    add_key(l, key);
    text_add(l->to, SPAN_LITERAL("null"));
}

void json_line_string(struct json_line *l, struct span key, const char *value)
{
    if (!value) {
        json_line_null(l, key);
        return;
    }
    add_key(l, key);
    text_add(l->to, SPAN_LITERAL("\""));
    add_escaped(l->to, span_of(value));
    text_add(l->to, SPAN_LITERAL("\""));
}

void json_line_plain(struct json_line *l, struct span key, struct span value)
{
    add_key(l, key);
    text_add(l->to, SPAN_LITERAL("\""));
    text_add(l->to, value);
    text_add(l->to, SPAN_LITERAL("\""));
}

void json_line_number(struct json_line *l, struct span key, uint64_t value)
{
    add_key(l, key);
    text_add_number(l->to, value);
}

void json_line_bool(struct json_line *l, struct span key, bool value)
{
    add_key(l, key);
    text_add(l->to, value ? SPAN_LITERAL("true") : SPAN_LITERAL("false"));
}

void json_line_list(struct json_line *l, struct span key)
{
    add_key(l, key);
    text_add(l->to, SPAN_LITERAL("["));
}

void json_line_item(struct json_line *l, const char *value)
{
    bool first = l->to->at[l->to->len - 1] == '['; /* a string before it would end with a quote */

    text_add(l->to, first ? SPAN_LITERAL("\"") : SPAN_LITERAL(",\""));
    add_escaped(l->to, span_of(value));
    text_add(l->to, SPAN_LITERAL("\""));
}

void json_line_list_end(struct json_line *l)
{
    text_add(l->to, SPAN_LITERAL("]"));
}

void json_line_go_on(struct json_line *l, struct text *to, struct span object)
{
    while (object.len > 0 && object.at[object.len - 1] != '}') {
        object.len--;
    }
    object.len -= object.len > 0; /* its brace */
    *l = (struct json_line){.to = to, .begun = true};
    text_add(to, object);
}

void json_line_end(struct json_line *l)
{
    text_add(l->to, l->begun ? SPAN_LITERAL("}\n") : SPAN_LITERAL("{}\n"));
}
