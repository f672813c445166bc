#include "core/mail_message.h"

#include <stdio.h>
#include <string.h>

#define LINE_MOST                                                                                  \
    76 /* characters of an encoded line, RFC 2045 section 6.7 and RFC 2047 section 2 */
#define WORD_BYTES                                                                                 \
    39                 /* of text in one encoded word: 52 characters of base64, and 12 around them \
                        */
#define FIELD_MOST 400 /* bytes of a field's text; a longer one is cut */
#define ADDRESS    254

bool mail_address_is_plain(struct span address)
{
    const char *at = address.len > 0 ? memchr(address.at, '@', address.len) : NULL;

    if (!at || at == address.at || at + 1 == address.at + address.len || address.len > ADDRESS) {
        return false;
    }
    for (size_t i = 0; i < address.len; i++) {
        char c = address.at[i];
        if (c <= ' ' || c > '~' || strchr("<>()[],;:\\\"", c) ||
            (c == '@' && &address.at[i] != at)) {
            return false;
        }
    }
    return true;
}

static bool id_is_good(struct span id)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    const char *at = id.len > 0 ? memchr(id.at, '@', id.len) : NULL;

    if (!at || at == id.at || at + 1 == id.at + id.len || id.len > ADDRESS) {
        return false;
    }
    for (size_t i = 0; i < id.len; i++) {
        if (&id.at[i] != at && (id.at[i] == '\0' || !strchr(allowed, id.at[i]))) {
            return false;
        }
    }
    return true;
}

/* Days since 1970-01-01 to a date of the Gregorian calendar. */
static void civil(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    int64_t z = days + 719468; /* from 0000-03-01 */
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;

    *day = doy - (153 * mp + 2) / 5 + 1;
    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = (int64_t)yoe + era * 400 + (*month <= 2);
}

void mail_date(int64_t unix_s, char out[MAIL_DATE])
{
    static const char days[][4] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    int64_t s = unix_s < 0 ? 0 : unix_s > 253402300799 ? 253402300799 : unix_s; /* to year 9999 */
    unsigned second = (unsigned)(s % 86400), month, day;
    int64_t year;
    struct text t;

    civil(s / 86400, &year, &month, &day);
    text_init(&t, out, MAIL_DATE);
    text_addf(
        &t, "%s, %02u %s %04d %02u:%02u:%02u +0000", days[s / 86400 % 7], day, months[month - 1],
        (int)year, second / 3600, second / 60 % 60, second % 60);
}

/* The length of the UTF-8 character at the start of `s`; 0: it is none. */
static size_t character(struct span s)
{
    unsigned char first = (unsigned char)s.at[0];
    size_t n = first < 0x80   ? 1
               : first < 0xc2 ? 0
               : first < 0xe0 ? 2
               : first < 0xf0 ? 3
               : first < 0xf5 ? 4
                              : 0;

    if (n > s.len) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if (((unsigned char)s.at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return n;
}

/* A field's text as it may be told. */
static void clean(struct span s, struct text *out)
{
    while (s.len > 0) {
        size_t n = character(s);
        bool control = n == 1 && ((unsigned char)s.at[0] < ' ' || s.at[0] == 0x7f);
        struct span c = n == 0    ? SPAN_LITERAL("?")
                        : control ? SPAN_LITERAL(" ")
                                  : (struct span){s.at, n};
        if (out->len + c.len >= out->cap) { /* not half a character */
            return;
        }
        text_add(out, c);
        s = span_skip(s, n == 0 ? 1 : n);
    }
}

static bool is_ascii(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.at[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

static void add_base64(struct text *out, struct span s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < s.len; i += 3) {
        uint32_t bits = 0;
        size_t n = s.len - i < 3 ? s.len - i : 3;
        char four[4];
        for (size_t j = 0; j < 3; j++) {
            bits = bits << 8 | (j < n ? (unsigned char)s.at[i + j] : 0);
        }
        for (size_t j = 0; j < 4; j++) {
            four[j] = j <= n ? digits[bits >> (18 - 6 * j) & 63] : '=';
        }
        text_add(out, (struct span){four, sizeof(four)});
    }
}

/* Encoded words of whole characters, one a line. */
static void add_encoded_words(struct text *out, struct span s)
{
    const char *between = "";

    while (s.len > 0) {
        size_t len = 0;
        while (len < s.len) {
            size_t n = character(span_skip(s, len));
            if (len + n > WORD_BYTES) {
                break;
            }
            len += n;
        }
        text_addf(out, "%s=?UTF-8?B?", between);
        add_base64(out, (struct span){s.at, len});
        text_addf(out, "?=");
        between = "\r\n ";
        s = span_skip(s, len);
    }
}

/* ASCII, folded at blanks (RFC 5322 section 2.2.3), so that no line is over 998. */
static void add_folded(struct text *out, struct span s, size_t column)
{
    while (s.len > 0) {
        const char *blank = memchr(s.at + 1, ' ', s.len - 1);
        size_t len = blank ? (size_t)(blank - s.at) : s.len;
        if (s.at[0] == ' ' && column + len > LINE_MOST) {
            text_addf(out, "\r\n");
            column = 0;
        }
        text_add(out, (struct span){s.at, len});
        column += len;
        s = span_skip(s, len);
    }
}

static void add_unstructured(struct text *out, const char *name, struct span value)
{
    char array[FIELD_MOST];
    struct text t;

    text_init(&t, array, sizeof(array));
    clean(value, &t);
    /* A line of blanks alone would be obsolete syntax. */
    struct span told = span_trim(text_span(&t));
    text_addf(out, "%s: ", name);
    if (is_ascii(told) && !memchr(array, '=', t.len)) {
        /* One blank between words: a folded line never consists of blanks alone. */
        char single[FIELD_MOST];
        struct text one;
        text_init(&one, single, sizeof(single));
        for (size_t i = 0; i < told.len; i++) {
            if (told.at[i] != ' ' || told.at[i - 1] != ' ') {
                text_add(&one, (struct span){&told.at[i], 1});
            }
        }
        add_folded(out, text_span(&one), strlen(name) + 2);
    } else {
        add_encoded_words(out, told);
    }
    text_addf(out, "\r\n");
}

/* A name is a phrase: without special characters as it is, else in encoded words. */
static void add_from(struct text *out, const struct mail_message *m)
{
    char array[FIELD_MOST];
    struct text t;

    text_init(&t, array, sizeof(array));
    clean(m->from_name, &t);
    struct span name = span_trim(text_span(&t));
    bool plain = is_ascii(name);
    for (size_t i = 0; i < name.len; i++) {
        plain = plain && !strchr("()<>[]:;@\\,.\"=?_", name.at[i]);
    }
    text_addf(out, "From: ");
    if (name.len > 0) {
        if (plain && name.len < LINE_MOST - 10) {
            text_add(out, name);
        } else {
            add_encoded_words(out, name);
        }
        text_addf(out, "\r\n ");
    }
    text_addf(out, "<%.*s>\r\n", (int)m->from.len, m->from.at);
}

/* One line's bytes, quoted-printable, with soft line ends. */
static void add_quoted_line(struct text *out, struct span line)
{
    size_t column = 0;

    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.at[i];
        bool last = i + 1 == line.len;
        bool plain = (c > ' ' && c <= '~' && c != '=') || ((c == ' ' || c == '\t') && !last);
        /* A dot in front would need stuffing, which is the transport's: here is none. */
        plain = plain && !(c == '.' && column == 0);
        if (column + (plain ? 1 : 3) > LINE_MOST - 1) {
            text_addf(out, "=\r\n");
            column = 0;
            plain = plain && c != '.';
        }
        text_addf(out, plain ? "%c" : "=%02X", c);
        column += plain ? 1 : 3;
    }
    text_addf(out, "\r\n");
}

static void add_body(struct text *out, struct span body)
{
    if (body.len > MAIL_MESSAGE_BODY) {
        body.len = MAIL_MESSAGE_BODY;
    }
    while (body.len > 0) {
        const char *end = memchr(body.at, '\n', body.len);
        size_t len = end ? (size_t)(end - body.at) : body.len;
        struct span line = {body.at, len};
        if (line.len > 0 && line.at[line.len - 1] == '\r') {
            line.len--;
        }
        add_quoted_line(out, line);
        body = span_skip(body, len + 1);
    }
}

static bool language_is_good(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '-') {
            return false;
        }
    }
    return s.len > 0 && s.len <= 35; /* RFC 5646 */
}

bool mail_message_write(const struct mail_message *m, struct text *out)
{
    char date[MAIL_DATE];

    if (!mail_address_is_plain(m->from) || !mail_address_is_plain(m->to) || !id_is_good(m->id)) {
        return false;
    }
    mail_date(m->date_s, date);
    text_addf(out, "Date: %s\r\n", date);
    add_from(out, m);
    text_addf(out, "To: <%.*s>\r\n", (int)m->to.len, m->to.at);
    add_unstructured(out, "Subject", m->subject);
    text_addf(out, "Message-ID: <%.*s>\r\n", (int)m->id.len, m->id.at);
    /* RFC 3834: nobody's out-of-office shall answer. */
    text_addf(out, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n");
    if (language_is_good(m->language)) {
        text_addf(out, "Content-Language: %.*s\r\n", (int)m->language.len, m->language.at);
    }
    text_addf(
        out, "Content-Type: text/plain; charset=utf-8\r\n"
             "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
    add_body(out, m->body);
    return !out->cut;
}
