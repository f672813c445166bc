/* Pieces of text: a span looks at bytes that somebody else owns, a text fills a fixed array. */
#ifndef GATE25_BASE_STR_H
#define GATE25_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* `len` bytes at `at`, not terminated, any value allowed. Valid as long as what it looks at. */
struct span {
    const char *at;
    size_t len;
};

#define SPAN_LITERAL(literal) ((struct span){(literal), sizeof(literal) - 1})

struct span span_of(const char *cstring);
/* The part of `s` behind its first `n` bytes; empty when `n` is more than there is. */
static inline struct span span_skip(struct span s, size_t n)
{
    return n < s.len ? (struct span){s.at + n, s.len - n} : (struct span){s.at, 0};
}
/* Takes the word up to the next blank, or all there is, and the blank off the front. */
struct span span_word(struct span *rest);
struct span span_trim(struct span s); /* without spaces and tabs at both ends */
bool span_equal(struct span a, struct span b);
bool span_equal_nocase(struct span a, struct span b); /* ASCII case only, whatever the locale */
bool span_starts_nocase(struct span s, struct span prefix);
bool span_contains_nocase(struct span s, struct span part); /* an empty one is in all */

/* FNV-1a, 64 bits: for tables, and for nothing that an enemy gains by meeting. */
uint64_t span_hash(struct span s);

/* Reads the whole of `s` as a decimal number. False: empty, another character, or over `max`. */
bool span_number(struct span s, uint64_t max, uint64_t *out);

/* `n` in decimal, without a terminator: so many bytes of `out` are written. */
#define NUMBER_DIGITS 20
size_t number_write_long(uint64_t n, char out[NUMBER_DIGITS]);
static inline size_t number_write(uint64_t n, char out[NUMBER_DIGITS])
{
    if (n < 10) {
        out[0] = (char)('0' + n);
        return 1;
    }
    return number_write_long(n, out);
}

/* A bounded builder: what does not fit is left away, `cut` says so, the result stays terminated. */
struct text {
    char *at;
    size_t len;
    size_t cap; /* of the array, its terminator included; at least 1 */
    bool cut;
};

void text_init(struct text *t, char *array, size_t cap);
void text_cut(struct text *t, struct span s);     /* text_add() of what does not fit */
void text_add_number(struct text *t, uint64_t n); /* in decimal */
void text_addf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct span text_span(const struct text *t);

/* Here, so that a literal is copied by what copies so many bytes, and not by a call. */
static inline void text_add(struct text *t, struct span s)
{
    if (s.len >= t->cap - t->len) {
        text_cut(t, s);
        return;
    }
    if (s.len > 0) {
        memcpy(t->at + t->len, s.at, s.len);
    }
    t->len += s.len;
    t->at[t->len] = '\0';
}

#endif
