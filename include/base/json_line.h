/* Writes one JSON object (RFC 8259) on one line, without a tree and without memory. Strings may
 * hold anything: each byte of a control character (also DEL and U+0080 to U+009F), each byte that
 * is not UTF-8 (RFC 3629) and each backslash stands as the four characters \xNN, two upper-case
 * hexadecimal digits. */
#ifndef GATE25_BASE_JSON_LINE_H
#define GATE25_BASE_JSON_LINE_H

#include "base/str.h"

/* The most bytes that one byte of a string becomes. */
#define JSON_LINE_GROWTH 5

/* A key with all that stands around it, put together by the compiler; `name` is plain. */
#define JSON_KEY(name) SPAN_LITERAL(",\"" name "\":")

struct json_line {
    struct text *to; /* cut: the line did not fit, and is none */
    bool begun;
};

void json_line_begin(struct json_line *l, struct text *to);
void json_line_string(struct json_line *l, struct span key, const char *value); /* NULL: null */
/* A string that is known to need no escape. */
void json_line_plain(struct json_line *l, struct span key, struct span value);
void json_line_number(struct json_line *l, struct span key, uint64_t value);
void json_line_bool(struct json_line *l, struct span key, bool value);
void json_line_null(struct json_line *l, struct span key);
void json_line_list(struct json_line *l, struct span key); /* items follow, and the list's end */
void json_line_item(struct json_line *l, const char *value);
void json_line_list_end(struct json_line *l);
void json_line_end(struct json_line *l); /* the newline too */
/* Instead of json_line_begin(): goes on behind the last key of `object`, which json_line_end() has
 * ended, with its newline or without, and which has a key at least. */
void json_line_go_on(struct json_line *l, struct text *to, struct span object);

#endif
