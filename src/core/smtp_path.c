#include "core/smtp_path.h"

#include <string.h>

static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

static bool is_beyond_ascii(char c)
{
    return (unsigned char)c > 0x7f;
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct span skip_blanks(struct span s)
{
    while (s.len > 0 && is_blank(s.at[0])) {
        s = span_skip(s, 1);
    }
    return s;
}

/* --- the parts of a mailbox ----------------------------------------------------------------------
 */

/* Dots may stand anywhere: nobody takes them for anything else. */
static bool is_atoms(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_alphanumeric(s.at[i]) && !is_beyond_ascii(s.at[i]) &&
            !is_one_of(s.at[i], ".!#$%&'*+-/=?^_`{|}~")) {
            return false;
        }
    }
    return s.len > 0;
}

/* What the quoted string at the front of `s` is long; 0: there is none, or a part of it is no text.
 */
static size_t quoted_length(struct span s)
{
    for (size_t i = 1; s.len > 0 && s.at[0] == '"' && i < s.len; i++) {
        if (s.at[i] == '"') {
            return i + 1;
        }
        i += s.at[i] == '\\';
        if (i == s.len || (s.at[i] < ' ' && !is_beyond_ascii(s.at[i])) || s.at[i] == 0x7f) {
            return 0;
        }
    }
    return 0;
}

static bool is_literal(struct span s)
{
    if (s.len < 3 || s.at[0] != '[' || s.at[s.len - 1] != ']') {
        return false;
    }
    for (size_t i = 1; i + 1 < s.len; i++) {
        if (!is_alphanumeric(s.at[i]) && !is_one_of(s.at[i], ":.-")) {
            return false;
        }
    }
    return true;
}

/* Labels of letters, digits, hyphens and underscores; a dot may stand at the end. */
static bool is_name(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        bool dot = s.at[i] == '.';
        if (dot ? i == 0 || s.at[i - 1] == '.'
                : !is_alphanumeric(s.at[i]) && !is_beyond_ascii(s.at[i]) &&
                      !is_one_of(s.at[i], "-_")) {
            return false;
        }
    }
    return s.len > 0;
}

static bool is_domain(struct span s)
{
    return is_name(s) || is_literal(s);
}

/* A name without a domain is the server's own, unless one is read out of it. */
static bool is_mailbox(struct span s, bool quotable)
{
    size_t quoted = quotable ? quoted_length(s) : 0;
    const char *at = memchr(s.at + quoted, '@', s.len - quoted);
    size_t local = at ? (size_t)(at - s.at) : s.len;
    if (quoted > 0 ? local != quoted : !is_atoms((struct span){s.at, local})) {
        return false;
    }
    if (at) {
        return is_domain(span_skip(s, local + 1));
    }
    return quoted == 0 && !memchr(s.at, '%', s.len) && !memchr(s.at, '!', s.len);
}

/* --- paths ---------------------------------------------------------------------------------------
 */

/* Behind "@a.example,@b.example:"; false: it is no route. */
static bool skip_route(struct span *path)
{
    const char *colon = memchr(path->at, ':', path->len);
    size_t end = colon ? (size_t)(colon - path->at) : 0;
    for (size_t start = 0, i = 0; i <= end; i++) {
        if (i < end && path->at[i] != ',') {
            continue;
        }
        if (path->at[start] != '@' ||
            !is_name((struct span){path->at + start + 1, i > start ? i - start - 1 : 0})) {
            return false;
        }
        start = i + 1;
    }
    *path = span_skip(*path, end + 1);
    return true;
}

bool smtp_path_is_plain(struct span path)
{
    path = span_trim(path);
    if (path.len == 0) {
        return true;
    }
    if (path.at[0] == '@' && !skip_route(&path)) {
        return false;
    }
    return path.len > 0 && is_mailbox(path, true);
}

/* What the path at the front of `s` is long with its brackets; 0: it has no end. */
static size_t bracketed_length(struct span s)
{
    for (size_t i = 1; i < s.len; i++) {
        size_t quoted = quoted_length(span_skip(s, i));
        if (quoted > 0) {
            i += quoted - 1;
        } else if (s.at[i] == '>') {
            return i + 1;
        }
    }
    return 0;
}

/* Words that no server takes for a path. */
static bool are_parameters(struct span s)
{
    bool between = true;
    if (s.len > 0 && !is_blank(s.at[0])) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        bool control = (s.at[i] < ' ' && !is_beyond_ascii(s.at[i])) || s.at[i] == 0x7f;
        if (!is_blank(s.at[i]) && (control || (between && !is_alphanumeric(s.at[i])))) {
            return false;
        }
        between = is_blank(s.at[i]);
    }
    return true;
}

bool smtp_path_is_plain_mail(struct span argument)
{
    static const struct span from = SPAN_LITERAL("FROM");
    if (!span_starts_nocase(argument, from)) {
        return false;
    }
    struct span rest = skip_blanks(span_skip(argument, from.len));
    if (rest.len == 0 || rest.at[0] != ':') {
        return false;
    }
    rest = skip_blanks(span_skip(rest, 1));
    size_t len = 0;
    if (rest.len > 0 && rest.at[0] == '<') {
        len = bracketed_length(rest);
        return len > 0 && smtp_path_is_plain((struct span){rest.at + 1, len - 2}) &&
               are_parameters(span_skip(rest, len));
    }
    while (len < rest.len && !is_blank(rest.at[len])) {
        len++;
    }
    /* A bracket further on may be what is taken for the path's. */
    return len > 0 && is_mailbox((struct span){rest.at, len}, false) &&
           are_parameters(span_skip(rest, len)) && !memchr(rest.at, '<', rest.len);
}
