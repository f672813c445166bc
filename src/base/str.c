#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct span span_of(const char *cstring)
{
    return (struct span){cstring, strlen(cstring)};
}

struct span span_word(struct span *rest)
{
    const char *blank = rest->len == 0 ? NULL : memchr(rest->at, ' ', rest->len);
    struct span word = {rest->at, blank == NULL ? rest->len : (size_t)(blank - rest->at)};

    *rest = span_skip(*rest, word.len + 1);
    return word;
}

struct span span_trim(struct span s)
{
    while (s.len > 0 && is_blank(s.at[0])) {
        s.at++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.at[s.len - 1])) {
        s.len--;
    }
    return s;
}

bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

bool span_equal_nocase(struct span a, struct span b)
{
    return a.len == b.len && span_starts_nocase(a, b);
}

bool span_starts_nocase(struct span s, struct span prefix)
{
    if (s.len < prefix.len) {
        return false;
    }
    for (size_t i = 0; i < prefix.len; i++) {
        if (lower(s.at[i]) != lower(prefix.at[i])) {
            return false;
        }
    }
    return true;
}

bool span_contains_nocase(struct span s, struct span part)
{
    for (; s.len >= part.len; s.at++, s.len--) {
        if (span_starts_nocase(s, part)) {
            return true;
        }
        if (s.len == 0) {
            break;
        }
    }
    return false;
}

uint64_t span_hash(struct span s)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < s.len; i++) {
        hash = (hash ^ (unsigned char)s.at[i]) * 0x100000001b3u;
    }
    return hash;
}

bool span_number(struct span s, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (s.len == 0) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9') {
            return false;
        }
        uint64_t digit = (uint64_t)(s.at[i] - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    if (value > max) {
        return false;
    }
    *out = value;
    return true;
}

/* Of `n` > 0. */
static size_t digits_of(uint64_t n)
{
    static const uint64_t powers[NUMBER_DIGITS] = {
        1,
        10,
        100,
        1000,
        10000,
        100000,
        1000000,
        10000000,
        100000000,
        1000000000,
        10000000000,
        100000000000,
        1000000000000,
        10000000000000,
        100000000000000,
        1000000000000000,
        10000000000000000,
        100000000000000000,
        1000000000000000000,
        10000000000000000000u};
    unsigned bits = 64 - (unsigned)__builtin_clzll(n);
    size_t least = bits * 1233 >> 12; /* 1233 / 4096 is a little more than log10(2) */

    return least + (n >= powers[least]);
}

size_t number_write_long(uint64_t n, char out[NUMBER_DIGITS])
{
    size_t len = digits_of(n);

    for (size_t i = len; i > 0; n /= 10) {
        out[--i] = (char)('0' + n % 10);
    }
    return len;
}

void text_init(struct text *t, char *array, size_t cap)
{
    *t = (struct text){array, 0, cap, false};
    array[0] = '\0';
}

void text_cut(struct text *t, struct span s)
{
    size_t room = t->cap - 1 - t->len;

    t->cut = true;
    text_add(t, (struct span){s.at, room});
}

void text_add_number(struct text *t, uint64_t n)
{
    char digits[NUMBER_DIGITS];

    if (t->cap - t->len > NUMBER_DIGITS) {
        t->len += number_write(n, t->at + t->len);
        t->at[t->len] = '\0';
        return;
    }
    text_add(t, (struct span){digits, number_write(n, digits)});
}

void text_addf(struct text *t, const char *format, ...)
{
    size_t room = t->cap - t->len;
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(t->at + t->len, room, format, arguments);
    va_end(arguments);
    if (n < 0) {
        t->at[t->len] = '\0';
        return;
    }
    if ((size_t)n >= room) {
        t->cut = true;
        n = (int)room - 1;
    }
    t->len += (size_t)n;
}

struct span text_span(const struct text *t)
{
    return (struct span){t->at, t->len};
}
