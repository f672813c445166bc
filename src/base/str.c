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

struct span span_skip(struct span s, size_t n)
{
    if (n >= s.len) {
        return (struct span){s.at, 0};
    }
    return (struct span){s.at + n, s.len - n};
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

void text_init(struct text *t, char *array, size_t cap)
{
    *t = (struct text){array, 0, cap, false};
    array[0] = '\0';
}

void text_add(struct text *t, struct span s)
{
    size_t room = t->cap - 1 - t->len;
    if (s.len > room) {
        s.len = room;
        t->cut = true;
    }
    if (s.len > 0) {
        memcpy(t->at + t->len, s.at, s.len);
    }
    t->len += s.len;
    t->at[t->len] = '\0';
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
