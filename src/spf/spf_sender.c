#include "spf/spf_sender.h"

#include <idn2.h>
#include <string.h>

#define LABEL_MOST   63
#define DOMAIN_MOST  253
#define MAILBOX_MOST 320 /* of either part, more than a path may have in all */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* --- RFC 5322's tokens ---------------------------------------------------------------------------
 */

/* A local part and a domain in the making. */
struct mailbox {
    struct text *local, *domain;
    bool seen_at, quoted;
};

static struct text *target_of(const struct mailbox *m)
{
    return m->seen_at ? m->domain : m->local;
}

/* The length of the comment at the front of `s`, nested ones with it; 0: it has no end. */
static size_t comment_length(struct span s)
{
    unsigned depth = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] == '\\') {
            i++;
        } else if (s.at[i] == '(') {
            depth++;
        } else if (s.at[i] == ')' && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

/* Takes a quoted string in, without its quotes; its length, or 0: it has no end. */
static size_t read_quoted(struct mailbox *m, struct span s)
{
    for (size_t i = 1; i < s.len; i++) {
        if (s.at[i] == '"') {
            m->quoted = true;
            return i + 1;
        }
        if (s.at[i] == '\\' && i + 1 < s.len) {
            i++;
        }
        text_add(target_of(m), (struct span){s.at + i, 1});
    }
    return 0;
}

/* The last "@" that is not quoted parts the two: so do the servers that take more than one. */
static void read_at(struct mailbox *m)
{
    if (m->seen_at) {
        text_addf(m->local, "@");
        text_add(m->local, text_span(m->domain));
        m->domain->len = 0;
        m->domain->at[0] = '\0';
    }
    m->seen_at = true;
}

/* What one token is long; 0: `s` is no mailbox. */
static size_t read_token(struct mailbox *m, struct span s)
{
    char c = s.at[0];
    if (c == '(') {
        return comment_length(s);
    }
    if (c == '"') {
        return m->seen_at ? 0 : read_quoted(m, s);
    }
    if (c == '@') {
        read_at(m);
        return 1;
    }
    if (c == '\\' && s.len > 1) { /* RFC 821 */
        text_add(target_of(m), (struct span){s.at + 1, 1});
        return 2;
    }
    if (c == '\0') {
        return 0;
    }
    if (!is_blank(c)) {
        text_add(target_of(m), (struct span){s.at, 1});
    }
    return 1;
}

static bool read_mailbox(struct mailbox *m, struct span s)
{
    while (s.len > 0) {
        size_t size = read_token(m, s);
        if (size == 0) {
            return false;
        }
        s = span_skip(s, size);
    }
    return !m->local->cut && !m->domain->cut;
}

/* A source route says nothing of the sender. */
static struct span without_route(struct span s)
{
    const char *colon = s.len > 0 && s.at[0] == '@' ? memchr(s.at, ':', s.len) : NULL;
    return colon ? span_skip(s, (size_t)(colon - s.at) + 1) : s;
}

/* --- domains -------------------------------------------------------------------------------------
 */

/* Several labels of 1 to 63 bytes that a name can have. */
static bool is_domain(struct span s)
{
    size_t labels = 0;
    if (s.len == 0 || s.len > DOMAIN_MOST) {
        return false;
    }
    for (size_t start = 0, i = 0; i <= s.len; i++) {
        if (i < s.len && s.at[i] != '.') {
            if (s.at[i] <= ' ' || s.at[i] > '~' || strchr("[]()<>@,;:\\\"", s.at[i])) {
                return false;
            }
            continue;
        }
        if (i == start || i - start > LABEL_MOST) {
            return false;
        }
        labels++;
        start = i + 1;
    }
    return labels >= 2;
}

static bool is_ascii(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.at[i] > '~') {
            return false;
        }
    }
    return true;
}

/* RFC 8616 section 4: the DNS is asked for A-labels. `name` ends with a terminator. */
static bool add_domain(const char *name, struct text *out)
{
    struct span domain = span_of(name);
    char *ascii = NULL;
    if (!is_ascii(domain)) {
        if (idn2_lookup_u8(
                (const uint8_t *)name, (uint8_t **)&ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) !=
            IDN2_OK) {
            return false;
        }
        domain = span_of(ascii);
    }
    domain.len -= domain.len > 0 && domain.at[domain.len - 1] == '.';
    bool good = is_domain(domain);
    if (good) {
        text_add(out, domain);
    }
    idn2_free(ascii);
    return good && !out->cut;
}

/* A path with a quote or a comment that does not end, be it that it was cut in front: what stands
 * behind its last "@" is the domain for whoever takes it at all. */
static void read_rest(struct mailbox *m, struct span path)
{
    const char *at = path.len > 0 ? memrchr(path.at, '@', path.len) : NULL;
    m->local->len = m->domain->len = 0;
    m->seen_at = at != NULL;
    if (at) {
        text_add(m->domain, span_skip(path, (size_t)(at - path.at) + 1));
    }
}

bool spf_sender_read(struct span path, struct text *out)
{
    char local[MAILBOX_MOST], domain[MAILBOX_MOST];
    struct text texts[2];
    text_init(&texts[0], local, sizeof(local));
    text_init(&texts[1], domain, sizeof(domain));
    struct mailbox m = {.local = &texts[0], .domain = &texts[1]};
    bool whole = read_mailbox(&m, without_route(span_trim(path)));
    if (whole && !m.seen_at) { /* nobody, or a name of the server's own */
        return texts[0].len == 0 && !m.quoted;
    }
    if (!whole) {
        read_rest(&m, path);
        if (!m.seen_at) {
            return false;
        }
    }
    /* RFC 7208 section 4.3: no local part stands for postmaster. */
    text_add(out, texts[0].len > 0 ? text_span(&texts[0]) : SPAN_LITERAL("postmaster"));
    text_addf(out, "@");
    return add_domain(domain, out);
}

bool spf_sender_read_helo(struct span argument, struct text *out)
{
    char name[MAILBOX_MOST];
    struct text t;
    size_t n = 0;
    argument = span_trim(argument);
    while (n < argument.len && !is_blank(argument.at[n])) {
        n++;
    }
    struct span word = {argument.at, n};
    text_init(&t, name, sizeof(name));
    text_add(&t, word);
    return !t.cut && !memchr(name, '\0', t.len) && add_domain(name, out);
}
