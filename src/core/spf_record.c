#include "core/spf_record.h"

#include <string.h>

/* The terms of a record that were read so far. */
struct record {
    enum addr_family family; /* the client's */
    struct text *out;
    struct span redirect, exp; /* whole terms; empty: none */
    bool has_all;
};

/* --- characters and words ------------------------------------------------------------------------
 */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

static bool is_alphanumeric(char c)
{
    return is_digit(c) || is_letter(c);
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static size_t count_digits(struct span s)
{
    size_t n = 0;
    while (n < s.len && is_digit(s.at[n])) {
        n++;
    }
    return n;
}

/* --- macro strings (section 7.1) -----------------------------------------------------------------
 */

/* The letters of macros that a record may use, and those of explanations besides. */
#define RECORD_LETTERS  "slodiphv"
#define EXPLAIN_LETTERS RECORD_LETTERS "crt"

/* What the macro at the front of `s`, which begins with "%", is long; 0: it is none. */
static size_t macro_length(struct span s, const char *letters)
{
    if (s.len >= 2 && is_one_of(s.at[1], "%_-")) {
        return 2;
    }
    if (s.len < 4 || s.at[1] != '{' || !is_letter(s.at[2]) || !strchr(letters, s.at[2] | 32)) {
        return 0;
    }
    size_t n = 3, digits = count_digits(span_skip(s, n)), zeros = 0;
    while (zeros < digits && s.at[n + zeros] == '0') {
        zeros++;
    }
    if (digits > 0 && zeros == digits) { /* section 7.3: that many labels are none */
        return 0;
    }
    n += digits;
    n += n < s.len && (s.at[n] | 32) == 'r';
    while (n < s.len && is_one_of(s.at[n], ".-+,/_=")) {
        n++;
    }
    return n < s.len && s.at[n] == '}' ? n + 1 : 0;
}

/* `blanks`: they may stand in it. `end`, or NULL: where the last macro ends, 0 with none. */
static bool is_macro_string(struct span s, const char *letters, bool blanks, size_t *end)
{
    size_t macro = 0;
    for (size_t i = 0; i < s.len;) {
        size_t size = 1;
        if (s.at[i] == '%') {
            size = macro_length(span_skip(s, i), letters);
            macro = i + size;
        } else if (s.at[i] < (blanks ? ' ' : '!') || s.at[i] > '~') {
            size = 0;
        }
        if (size == 0) {
            return false;
        }
        i += size;
    }
    if (end) {
        *end = macro;
    }
    return true;
}

/* Letters, digits and hyphens, which stand at neither end; not digits alone. */
static bool is_top_label(struct span s)
{
    if (s.len == 0 || s.at[0] == '-' || s.at[s.len - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (!is_alphanumeric(s.at[i]) && s.at[i] != '-') {
            return false;
        }
    }
    return count_digits(s) < s.len;
}

/* It ends in a macro, or in a dot and a top label. */
static bool is_domain_spec(struct span s)
{
    size_t macro;
    if (s.len == 0 || !is_macro_string(s, RECORD_LETTERS, false, &macro)) {
        return false;
    }
    if (macro == s.len) {
        return true;
    }
    struct span rest = span_skip(s, macro); /* no dot of a macro parts labels */
    rest.len -= rest.at[rest.len - 1] == '.';
    const char *dot = rest.len > 0 ? memrchr(rest.at, '.', rest.len) : NULL;
    return dot && is_top_label(span_skip(rest, (size_t)(dot - rest.at) + 1));
}

/* --- mechanisms (section 5) ----------------------------------------------------------------------
 */

/* A mechanism in parts. */
struct mechanism {
    struct span qualifier, name;
    struct span value; /* behind ":" */
    bool has_value;
    struct span length4, length6; /* with their slashes; empty: none */
};

/* Takes "/DIGITS" off the end of `s`, behind as many slashes as wanted. */
static struct span take_length(struct span *s, size_t slashes)
{
    size_t n = s->len;
    while (n > 0 && is_digit(s->at[n - 1])) {
        n--;
    }
    bool found = n < s->len && n >= slashes && memcmp(s->at + n - slashes, "//", slashes) == 0;
    struct span length = span_skip(*s, found ? n - slashes : s->len);
    s->len -= length.len;
    return length;
}

/* Of either network; an empty one is that of an address. No zeros in front. */
static bool is_length(struct span length, size_t slashes, unsigned most)
{
    struct span digits = span_skip(length, slashes);
    uint64_t number;
    return length.len == 0 ||
           (span_number(digits, most, &number) && (digits.at[0] != '0' || digits.len == 1));
}

static bool is_whole(struct span length)
{
    return length.len > 0 && span_skip(length, length.len - 2).at[0] == '/' &&
           length.at[length.len - 1] == '0';
}

static void add_term(struct record *r, const struct mechanism *m)
{
    struct text *out = r->out;
    bool four = r->family == ADDR_IPV4;
    text_addf(out, " ");
    text_add(out, m->qualifier);
    text_add(out, m->name);
    if (m->has_value) {
        text_addf(out, ":");
        text_add(out, m->value);
    }
    text_add(out, four ? m->length4 : m->length6);
}

static bool read_all(struct record *r, struct mechanism *m)
{
    r->has_all = true;
    add_term(r, m);
    return !m->has_value;
}

/* "include", "exists": no length is cut off, so it is found in the domain. */
static bool read_named(struct record *r, struct mechanism *m)
{
    add_term(r, m);
    return m->has_value && is_domain_spec(m->value);
}

static bool read_ptr(struct record *r, struct mechanism *m)
{
    add_term(r, m);
    return !m->has_value || is_domain_spec(m->value);
}

static bool read_hosts(struct record *r, struct mechanism *m)
{
    add_term(r, m);
    return (!m->has_value || is_domain_spec(m->value)) && is_length(m->length4, 1, 32) &&
           is_length(m->length6, 2, 128);
}

/* libspf2 does not read a length of 0, which is every address of the family. */
static void add_network(struct record *r, const struct mechanism *m, enum addr_family family)
{
    struct span length = family == ADDR_IPV4 ? m->length4 : m->length6;
    if (r->family == family && is_whole(length)) {
        r->has_all = true; /* nothing comes behind it */
        text_addf(r->out, " ");
        text_add(r->out, m->qualifier);
        text_addf(r->out, "all");
    } else if (r->family == family) {
        add_term(r, m);
    }
}

/* inet_pton() takes leading zeros for good or bad as it likes. */
static bool has_plain_numbers(struct span s)
{
    for (size_t i = 0; i + 1 < s.len; i++) {
        if (s.at[i] == '0' && is_digit(s.at[i + 1]) && (i == 0 || s.at[i - 1] == '.')) {
            return false;
        }
    }
    return true;
}

static bool read_ip4(struct record *r, struct mechanism *m)
{
    struct addr a;
    add_network(r, m, ADDR_IPV4);
    return addr_parse(m->value, &a) && a.family == ADDR_IPV4 && has_plain_numbers(m->value) &&
           is_length(m->length4, 1, 32);
}

static bool read_ip6(struct record *r, struct mechanism *m)
{
    struct addr a;
    add_network(r, m, ADDR_IPV6);
    return addr_parse(m->value, &a) && a.family == ADDR_IPV6 && is_length(m->length6, 1, 128);
}

/* Which lengths a mechanism may have behind it: of which family, behind how many slashes. */
static const struct {
    const char *name;
    bool (*read)(struct record *r, struct mechanism *m);
    unsigned slashes4, slashes6; /* 0: no length of that family */
} mechanisms[] = {
    {"all", read_all, 0, 0},  {"include", read_named, 0, 0}, {"a", read_hosts, 1, 2},
    {"mx", read_hosts, 1, 2}, {"ptr", read_ptr, 0, 0},       {"ip4", read_ip4, 1, 0},
    {"ip6", read_ip6, 0, 1},  {"exists", read_named, 0, 0},
};

static const char *read_mechanism(struct record *r, struct span term)
{
    struct mechanism m = {.qualifier = {term.at, is_one_of(term.at[0], "+-?~")}};
    struct span rest = span_skip(term, m.qualifier.len);
    size_t n = 0;
    while (n < rest.len && is_alphanumeric(rest.at[n])) {
        n++;
    }
    m.name = (struct span){rest.at, n};
    for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
        if (!span_equal_nocase(m.name, span_of(mechanisms[i].name))) {
            continue;
        }
        rest = span_skip(rest, n);
        if (mechanisms[i].slashes6 > 0) {
            m.length6 = take_length(&rest, mechanisms[i].slashes6);
        }
        if (mechanisms[i].slashes4 > 0) {
            m.length4 = take_length(&rest, mechanisms[i].slashes4);
        }
        m.has_value = rest.len > 0 && rest.at[0] == ':';
        m.value = span_skip(rest, 1);
        bool whole = rest.len == 0 || m.has_value;
        return whole && mechanisms[i].read(r, &m) ? NULL
                                                  : "a mechanism that RFC 7208 does not know";
    }
    return "a mechanism that RFC 7208 does not know";
}

/* --- modifiers (section 6) -----------------------------------------------------------------------
 */

/* What the name of a modifier at the front of `term` is long; 0: it is no modifier. */
static size_t modifier_name(struct span term)
{
    size_t n = 0;
    while (n < term.len && (is_letter(term.at[n]) ||
                            (n > 0 && (is_digit(term.at[n]) || is_one_of(term.at[n], "-_."))))) {
        n++;
    }
    return n < term.len && term.at[n] == '=' ? n : 0;
}

static const char *keep(struct span *kept, struct span term, struct span value, const char *twice)
{
    if (kept->len > 0) {
        return twice;
    }
    *kept = term;
    return is_domain_spec(value) ? NULL : "a modifier without a domain";
}

static const char *read_modifier(struct record *r, struct span term, size_t name_len)
{
    struct span name = {term.at, name_len}, value = span_skip(term, name_len + 1);
    if (span_equal_nocase(name, SPAN_LITERAL("redirect"))) {
        return keep(&r->redirect, term, value, "two redirect modifiers");
    }
    if (span_equal_nocase(name, SPAN_LITERAL("exp"))) {
        return keep(&r->exp, term, value, "two exp modifiers");
    }
    return is_macro_string(value, EXPLAIN_LETTERS, false, NULL) ? NULL : "a malformed modifier";
}

/* --- the record ----------------------------------------------------------------------------------
 */

static const struct span version = SPAN_LITERAL("v=spf1");

bool spf_record_is(struct span text)
{
    return span_starts_nocase(text, version) &&
           (text.len == version.len || text.at[version.len] == ' ');
}

static struct span next_term(struct span *rest)
{
    while (rest->len > 0 && rest->at[0] == ' ') {
        *rest = span_skip(*rest, 1);
    }
    const char *end = rest->len > 0 ? memchr(rest->at, ' ', rest->len) : NULL;
    struct span term = {rest->at, end ? (size_t)(end - rest->at) : rest->len};
    *rest = span_skip(*rest, term.len);
    return term;
}

static void add_modifier(struct record *r, struct span term)
{
    if (term.len > 0) {
        text_addf(r->out, " ");
        text_add(r->out, term);
    }
}

const char *spf_record_rewrite(struct span text, enum addr_family family, struct text *out)
{
    struct record r = {.family = family, .out = out};
    struct span rest = span_skip(text, version.len), term;
    if (text.len > SPF_RECORD_MOST) {
        return "a record of more than 2048 bytes";
    }
    text_add(out, version);
    while ((term = next_term(&rest)).len > 0) {
        size_t name = modifier_name(term);
        const char *wrong = name > 0 ? read_modifier(&r, term, name) : read_mechanism(&r, term);
        if (wrong) {
            return wrong;
        }
    }
    add_modifier(&r, r.exp);
    if (!r.has_all) {
        add_modifier(&r, r.redirect);
    }
    return NULL;
}

bool spf_record_explains(struct span text)
{
    return is_macro_string(text, EXPLAIN_LETTERS, true, NULL);
}
