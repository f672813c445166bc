#include "core/form.h"

#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Cuts `s` behind the first `c`; what stands before it. */
static struct span cut(struct span *s, char c)
{
    const char *found = s->len > 0 ? memchr(s->at, c, s->len) : NULL;
    struct span head = *s;

    if (found) {
        head.len = (size_t)(found - s->at);
    }
    *s = span_skip(*s, head.len + (found ? 1 : 0));
    return head;
}

static bool decode(struct span in, char *room, struct span *out)
{
    size_t n = 0;

    for (size_t i = 0; i < in.len; i++) {
        int c = (unsigned char)in.at[i];

        if (c == '%') {
            int high = i + 2 < in.len ? hex_digit(in.at[i + 1]) : -1;
            int low = i + 2 < in.len ? hex_digit(in.at[i + 2]) : -1;

            if (high < 0 || low < 0) {
                return false;
            }
            c = high * 16 + low;
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        if (c == '\0') {
            return false;
        }
        room[n++] = (char)c;
    }
    *out = (struct span){room, n};
    return true;
}

bool form_decode(struct span encoded, char *room, size_t cap, struct form *out)
{
    struct span rest = encoded;

    out->count = 0;
    if (encoded.len > cap) {
        return false;
    }
    while (rest.len > 0) {
        struct span pair = cut(&rest, '&');
        struct span name = cut(&pair, '=');
        struct form_field *field = &out->field[out->count];

        if (name.len == 0 && pair.len == 0) {
            continue;
        }
        if (out->count == FORM_FIELDS || !decode(name, room, &field->name) ||
            !decode(pair, room + field->name.len, &field->value)) {
            out->count = 0;
            return false;
        }
        room += field->name.len + field->value.len;
        out->count++;
    }
    return true;
}

static const struct form_field *find(const struct form *f, const char *name)
{
    for (size_t i = 0; i < f->count; i++) {
        if (span_equal(f->field[i].name, span_of(name))) {
            return &f->field[i];
        }
    }
    return NULL;
}

struct span form_value(const struct form *f, const char *name)
{
    const struct form_field *field = find(f, name);

    return field ? span_trim(field->value) : (struct span){"", 0};
}

bool form_has(const struct form *f, const char *name)
{
    return find(f, name) != NULL;
}

bool cookie_find(struct span header, const char *name, struct span *out)
{
    while (header.len > 0) {
        struct span value = cut(&header, ';');
        struct span found = span_trim(cut(&value, '='));

        if (span_equal(found, span_of(name))) {
            *out = span_trim(value);
            return true;
        }
    }
    return false;
}

static bool is_trusted(const struct addr *a, const struct prefix *trusted, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (prefix_contains(&trusted[i], a)) {
            return true;
        }
    }
    return false;
}

bool forwarded_client(
    const struct addr *peer, struct span forwarded, const struct prefix *trusted, size_t count,
    struct addr *out)
{
    if (!is_trusted(peer, trusted, count)) {
        *out = *peer;
        return true;
    }
    while (forwarded.len > 0) {
        const char *comma = memrchr(forwarded.at, ',', forwarded.len);
        size_t start = comma ? (size_t)(comma - forwarded.at) + 1 : 0;

        if (!addr_parse(span_trim(span_skip(forwarded, start)), out)) {
            return false;
        }
        if (!is_trusted(out, trusted, count)) {
            return true;
        }
        forwarded.len = comma ? start - 1 : 0;
    }
    return false;
}

/* The weight behind ";q=", in thousandths; what makes no sense counts as 0. */
static unsigned weight(struct span parameters)
{
    struct span q = span_trim(parameters);
    unsigned sum = 0, unit = 1000;

    if (q.len == 0) {
        return 1000;
    }
    if (!span_starts_nocase(q, SPAN_LITERAL("q="))) {
        return 0;
    }
    for (size_t i = 2; i < q.len && i < 7; i++) {
        if (q.at[i] == '.') {
            continue;
        }
        if (q.at[i] < '0' || q.at[i] > '9') {
            return 0;
        }
        sum += (unsigned)(q.at[i] - '0') * unit;
        unit /= 10;
    }
    return sum > 1000 ? 1000 : sum;
}

int language_choose(struct span accept, const char known[][8], size_t count)
{
    unsigned best = 0;
    int chosen = -1;

    while (accept.len > 0) {
        struct span parameters = cut(&accept, ',');
        struct span range = span_trim(cut(&parameters, ';'));
        struct span tag = cut(&range, '-');
        unsigned q = weight(parameters);

        for (size_t i = 0; i < count; i++) {
            if (q > best && span_equal_nocase(tag, span_of(known[i]))) {
                best = q;
                chosen = (int)i;
            }
        }
    }
    return chosen;
}

/* Length of the UTF-8 character (RFC 3629) at the start of `s`, its code in *code; 0: none. */
static size_t character(struct span s, unsigned *code)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = (unsigned char)s.at[0];
    size_t n = first < 0x80 ? 1 : (first & 0xe0) == 0xc0 ? 2 : (first & 0xf0) == 0xe0 ? 3 : 4;

    if ((n == 4 && (first & 0xf8) != 0xf0) || n > s.len) {
        return 0;
    }
    *code = n == 1 ? first : first & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if (((unsigned char)s.at[i] & 0xc0) != 0x80) {
            return 0;
        }
        *code = *code << 6 | ((unsigned char)s.at[i] & 0x3f);
    }
    return *code < least[n] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000) ? 0 : n;
}

bool text_is_plain(struct span s, bool lines)
{
    while (s.len > 0) {
        unsigned code = 0;
        size_t n = character(s, &code);
        bool line_end = code == '\n' || code == '\r' || code == '\t';
        /* U+2028 and U+2029 end lines too, the others turn the direction of what follows. */
        bool turns = (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);

        if (n == 0 || turns || (code < ' ' && !(lines && line_end)) ||
            (code >= 0x7f && code < 0xa0)) {
            return false;
        }
        s = span_skip(s, n);
    }
    return true;
}
