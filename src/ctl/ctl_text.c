#include "ctl/ctl_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/ctl_time.h"

#define LINE   8192
#define COLUMN 12

/* The length of the UTF-8 sequence at the start of `s` and its code point; 0: there is none. */
static size_t decode(struct span s, uint32_t *point)
{
    static const struct {
        uint8_t mask, lead;
        size_t len;
        uint32_t least;
    } forms[] = {
        {0x80, 0x00, 1, 0},
        {0xe0, 0xc0, 2, 0x80},
        {0xf0, 0xe0, 3, 0x800},
        {0xf8, 0xf0, 4, 0x10000}};
    uint8_t first = (uint8_t)s.at[0];

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if ((first & forms[i].mask) != forms[i].lead) {
            continue;
        }
        if (s.len < forms[i].len) {
            return 0;
        }
        *point = first & (uint8_t)~forms[i].mask;
        for (size_t k = 1; k < forms[i].len; k++) {
            if (((uint8_t)s.at[k] & 0xc0) != 0x80) {
                return 0;
            }
            *point = *point << 6 | ((uint8_t)s.at[k] & 0x3f);
        }
        return *point >= forms[i].least && *point <= 0x10ffff ? forms[i].len : 0;
    }
    return 0;
}

static bool is_readable(uint32_t point)
{
    static const struct {
        uint32_t first, last;
    } unreadable[] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},     {0x61c, 0x61c},
        {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f}, {0xd800, 0xf8ff},
        {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}, {0xfff0, 0xffff}, {0xe0000, 0x10ffff},
    };

    for (size_t i = 0; i < sizeof(unreadable) / sizeof(unreadable[0]); i++) {
        if (point >= unreadable[i].first && point <= unreadable[i].last) {
            return false;
        }
    }
    return true;
}

static void escape_bytes(struct span s, struct text *out)
{
    for (size_t i = 0; i < s.len; i++) {
        text_addf(out, "\\x%02x", (uint8_t)s.at[i]);
    }
}

static void escape(struct span s, bool all, struct text *out)
{
    while (s.len > 0) {
        uint32_t point = 0;
        size_t len = decode(s, &point);
        struct span piece = {s.at, len == 0 ? 1 : len};

        if (all && point == '\\' && len == 1) {
            text_add(out, SPAN_LITERAL("\\\\"));
        } else if (
            len == 0 || (all && !is_readable(point)) || (point >= 0xd800 && point <= 0xdfff)) {
            escape_bytes(piece, out);
        } else {
            text_add(out, piece);
        }
        s = span_skip(s, piece.len);
    }
}

void ctl_text_escape(struct span s, struct text *out)
{
    escape(s, true, out);
}

json_t *ctl_text_json(struct span s)
{
    json_t *value = json_stringn(s.at, s.len);
    struct text t;
    char *array;

    if (value != NULL) {
        return value;
    }
    array = malloc(s.len * 4 + 1);
    if (array == NULL) {
        return NULL;
    }
    text_init(&t, array, s.len * 4 + 1);
    escape(s, false, &t);
    value = json_stringn(t.at, t.len);
    free(array);
    return value;
}

json_t *ctl_text_json_or_null(struct span s)
{
    return s.len == 0 ? json_null() : ctl_text_json(s);
}

json_t *ctl_time_json(int64_t unix_s)
{
    char text[CTL_TIME_TEXT];

    if (unix_s == 0) {
        return json_null();
    }
    ctl_time_format(unix_s, text);
    return json_string(text);
}

int ctl_json_print(json_t *value)
{
    char *line = value == NULL ? NULL : json_dumps(value, JSON_ENSURE_ASCII);

    json_decref(value);
    if (line == NULL) {
        ctl_say("out of memory");
        return -1;
    }
    puts(line);
    free(line);
    return 0;
}

void ctl_print_row(const char *name, struct span value)
{
    char line[LINE];
    struct text t;

    if (value.len == 0) {
        return;
    }
    text_init(&t, line, sizeof(line));
    ctl_text_escape(value, &t);
    printf("%-*s%s\n", COLUMN, name, line);
}

void ctl_print_rowf(const char *name, const char *format, ...)
{
    va_list arguments;

    printf("%-*s", COLUMN, name);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

void ctl_say(const char *format, ...)
{
    char raw[LINE], line[LINE];
    struct text t;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(raw, sizeof(raw), format, arguments);
    va_end(arguments);
    text_init(&t, line, sizeof(line));
    ctl_text_escape(span_of(raw), &t);
    fflush(stdout);
    fprintf(stderr, "gate25ctl: %s\n", line);
}
