/* Pieces of text: a span looks at bytes that somebody else owns, a text fills a fixed array. */
#ifndef GATE25_BASE_STR_H
#define GATE25_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `len` bytes at `at`, not terminated, any value allowed. Valid as long as what it looks at. */
struct span {
    const char *at;
    size_t len;
};

#define SPAN_LITERAL(literal) ((struct span){(literal), sizeof(literal) - 1})

struct span span_of(const char *cstring);
/* The part of `s` behind its first `n` bytes; empty when `n` is more than there is. */
struct span span_skip(struct span s, size_t n);
/* Takes the word up to the next blank, or all there is, and the blank off the front. */
struct span span_word(struct span *rest);
struct span span_trim(struct span s); /* without spaces and tabs at both ends */
bool span_equal(struct span a, struct span b);
bool span_equal_nocase(struct span a, struct span b); /* ASCII case only, whatever the locale */
bool span_starts_nocase(struct span s, struct span prefix);
bool span_contains_nocase(struct span s, struct span part); /* an empty one is in all */

/* Reads the whole of `s` as a decimal number. False: empty, another character, or over `max`. */
bool span_number(struct span s, uint64_t max, uint64_t *out);

/* A bounded builder: what does not fit is left away, `cut` says so, the result stays terminated. */
struct text {
    char *at;
    size_t len;
    size_t cap; /* of the array, its terminator included; at least 1 */
    bool cut;
};

void text_init(struct text *t, char *array, size_t cap);
void text_add(struct text *t, struct span s);
void text_addf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct span text_span(const struct text *t);

#endif
