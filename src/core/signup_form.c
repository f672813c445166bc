#include "core/signup_form.h"

#include <string.h>

#define LOCAL_MOST 64
#define LABEL_MOST 63

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

static bool is_line_end(char c)
{
    return c == '\r' || c == '\n' || c == '\t';
}

static bool is_blank(char c)
{
    return c == ' ' || is_line_end(c);
}

/* Spaces, tabs and line ends around what was typed are nobody's wish. */
static struct span trim(struct span s)
{
    while (s.len > 0 && is_blank(s.at[0])) {
        s.at++, s.len--;
    }
    while (s.len > 0 && is_blank(s.at[s.len - 1])) {
        s.len--;
    }
    return s;
}

static bool has_control(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (is_control(s.at[i])) {
            return true;
        }
    }
    return false;
}

/* One label of a domain name (RFC 1123): letters, digits, hyphens within. */
static bool is_label(struct span label)
{
    if (label.len == 0 || label.len > LABEL_MOST || label.at[0] == '-' ||
        label.at[label.len - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < label.len; i++) {
        if (!is_letter_or_digit(label.at[i]) && label.at[i] != '-') {
            return false;
        }
    }
    return true;
}

static bool is_all_digits(struct span label)
{
    uint64_t ignored;
    return span_number(label, UINT64_MAX, &ignored);
}

/* A name with two labels at least, whose last one is no number: addresses are none. */
static bool is_domain(struct span s)
{
    struct span label;
    size_t labels = 0;

    if (s.len == 0 || s.len >= SIGNUP_DOMAIN) {
        return false;
    }
    for (;; s = span_skip(s, 1)) {
        const char *dot = memchr(s.at, '.', s.len);
        label = (struct span){s.at, dot ? (size_t)(dot - s.at) : s.len};
        labels++;
        if (!is_label(label)) {
            return false;
        }
        s = span_skip(s, label.len);
        if (s.len == 0) {
            break;
        }
    }
    return labels >= 2 && !is_all_digits(label);
}

static struct span without_last_dot(struct span s)
{
    if (s.len > 0 && s.at[s.len - 1] == '.') {
        s.len--;
    }
    return s;
}

/* RFC 5322 atext. Quoted local parts are legal, and no mailbox that people give has one. */
static bool is_local_part(struct span s)
{
    char before = '.';

    if (s.len == 0 || s.len > LOCAL_MOST) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        bool atom = is_letter_or_digit(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c));
        if (!atom && (c != '.' || before == '.')) {
            return false;
        }
        before = c;
    }
    return before != '.';
}

static void copy_lower(struct text *out, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = lower(s.at[i]);
        text_add(out, (struct span){&c, 1});
    }
}

static enum signup_fault check_domain(struct span s, char *out)
{
    struct text t;

    s = without_last_dot(trim(s));
    if (s.len == 0) {
        return SIGNUP_MISSING;
    }
    if (has_control(s)) {
        return SIGNUP_CONTROL;
    }
    if (s.len >= SIGNUP_DOMAIN) {
        return SIGNUP_TOO_LONG;
    }
    if (!is_domain(s)) {
        return SIGNUP_BAD_DOMAIN;
    }
    text_init(&t, out, SIGNUP_DOMAIN);
    copy_lower(&t, s);
    return SIGNUP_OK;
}

static enum signup_fault check_contact(struct span s, char *out)
{
    struct text t;
    const char *at;

    s = trim(s);
    if (s.len == 0) {
        return SIGNUP_MISSING;
    }
    if (has_control(s)) {
        return SIGNUP_CONTROL;
    }
    if (s.len >= SIGNUP_CONTACT) {
        return SIGNUP_TOO_LONG;
    }
    at = memrchr(s.at, '@', s.len);
    if (!at) {
        return SIGNUP_NO_ADDRESS;
    }
    struct span local = {s.at, (size_t)(at - s.at)};
    struct span domain = without_last_dot(span_skip(s, local.len + 1));
    if (!is_local_part(local)) {
        return local.len == 0 ? SIGNUP_NO_ADDRESS : SIGNUP_BAD_LOCAL;
    }
    if (!is_domain(domain)) {
        return SIGNUP_BAD_DOMAIN;
    }
    text_init(&t, out, SIGNUP_CONTACT);
    text_add(&t, local);
    text_add(&t, SPAN_LITERAL("@"));
    copy_lower(&t, domain);
    return SIGNUP_OK;
}

/* The length of the UTF-8 character at the start of `s`; 0: there is none (RFC 3629). */
static size_t utf8_length(struct span s)
{
    const unsigned char *p = (const unsigned char *)s.at;
    size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

    if (p[0] >= 0x80 && (p[0] < 0xc2 || p[0] > 0xf4)) {
        return 0;
    }
    if (n > s.len || (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return n;
}

/* What has no width, turns the direction of writing, or ends a line by another name (C1, U+2028).
 */
static bool is_odd(struct span c)
{
    const unsigned char *p = (const unsigned char *)c.at;

    return (c.len == 2 && p[0] == 0xc2 && p[1] < 0xa0) ||
           (c.len == 3 && p[0] == 0xe2 && p[1] == 0x80 &&
            ((p[2] >= 0x8b && p[2] <= 0x8f) || (p[2] >= 0xa8 && p[2] <= 0xae))) ||
           (c.len == 3 && p[0] == 0xe2 && p[1] == 0x81 && p[2] >= 0xa0 && p[2] <= 0xaf) ||
           (c.len == 3 && p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf);
}

/* A text area's line ends become blanks: the reason is shown in one line at the desk. */
static enum signup_fault check_reason(struct span s, char *out)
{
    struct text t;
    size_t characters = 0;

    s = trim(s);
    if (s.len == 0) {
        return SIGNUP_MISSING;
    }
    if (s.len >= SIGNUP_REASON) {
        return SIGNUP_TOO_LONG;
    }
    text_init(&t, out, SIGNUP_REASON);
    while (s.len > 0) {
        struct span c = {s.at, utf8_length(s)};
        bool line_end = c.len == 1 && is_line_end(c.at[0]);
        if (c.len == 0) {
            return SIGNUP_NOT_UTF8;
        }
        if ((!line_end && is_control(c.at[0])) || is_odd(c)) {
            return SIGNUP_CONTROL;
        }
        if (!line_end) {
            text_add(&t, c);
            characters++;
        } else if (t.len > 0 && t.at[t.len - 1] != ' ') {
            text_add(&t, SPAN_LITERAL(" "));
            characters++;
        }
        s = span_skip(s, c.len);
    }
    return characters < SIGNUP_REASON_LEAST ? SIGNUP_TOO_SHORT : SIGNUP_OK;
}

bool signup_form_check(
    const struct signup_form *form, struct signup_request *out,
    enum signup_fault faults[SIGNUP_FIELDS])
{
    *out = (struct signup_request){.contact = ""};
    faults[SIGNUP_FIELD_CONTACT] = check_contact(form->contact, out->contact);
    faults[SIGNUP_FIELD_DOMAIN] = check_domain(form->domain, out->domain);
    faults[SIGNUP_FIELD_HOST] = check_domain(form->host, out->host);
    faults[SIGNUP_FIELD_REASON] = check_reason(form->reason, out->reason);
    for (size_t i = 0; i < SIGNUP_FIELDS; i++) {
        if (faults[i] != SIGNUP_OK) {
            return false;
        }
    }
    return true;
}

const char *signup_field_name(enum signup_field f)
{
    static const char *const names[] = {
        [SIGNUP_FIELD_CONTACT] = "contact",
        [SIGNUP_FIELD_DOMAIN] = "domain",
        [SIGNUP_FIELD_HOST] = "host",
        [SIGNUP_FIELD_REASON] = "reason",
    };
    return names[f];
}

const char *signup_fault_name(enum signup_fault f)
{
    static const char *const names[] = {
        [SIGNUP_OK] = "ok",
        [SIGNUP_MISSING] = "missing",
        [SIGNUP_TOO_LONG] = "too-long",
        [SIGNUP_TOO_SHORT] = "too-short",
        [SIGNUP_CONTROL] = "control",
        [SIGNUP_NOT_UTF8] = "not-utf8",
        [SIGNUP_NO_ADDRESS] = "no-address",
        [SIGNUP_BAD_LOCAL] = "bad-local",
        [SIGNUP_BAD_DOMAIN] = "bad-domain",
    };
    return names[f];
}

void signup_contact_key(struct span contact, char out[SIGNUP_CONTACT])
{
    const char *at = contact.len > 0 ? memrchr(contact.at, '@', contact.len) : NULL;
    size_t local_len = at ? (size_t)(at - contact.at) : contact.len;
    const char *plus = local_len > 0 ? memchr(contact.at, '+', local_len) : NULL;
    struct text t;

    text_init(&t, out, SIGNUP_CONTACT);
    /* "+x@..." is a whole local part of its own. */
    copy_lower(
        &t, (struct span){
                contact.at, plus && plus > contact.at ? (size_t)(plus - contact.at) : local_len});
    copy_lower(&t, span_skip(contact, local_len));
}
