#include "svc/redis_url.h"

#include <string.h>

#define REDIS_PORT      6379
#define REDIS_DATABASES 65536

/* Cuts `s` at the first (or last) `c`: `*head` before it, the rest behind it. False: none there. */
static bool cut(struct span *s, char c, bool last, struct span *head)
{
    const char *at = NULL;

    if (s->len > 0) {
        at = last ? memrchr(s->at, c, s->len) : memchr(s->at, c, s->len);
    }
    if (!at) {
        return false;
    }
    *head = (struct span){s->at, (size_t)(at - s->at)};
    *s = span_skip(*s, head->len + 1);
    return true;
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + ('a' - 'A') : c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* Copies with %XX decoded. False: a bad escape, or it does not fit. */
static bool copy_decoded(struct span s, char *out, size_t cap)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        int byte = (unsigned char)s.at[i];

        if (s.at[i] == '%') {
            int high = i + 2 < s.len ? hex_digit(s.at[i + 1]) : -1;
            int low = i + 2 < s.len ? hex_digit(s.at[i + 2]) : -1;

            byte = high < 0 || low < 0 ? 0 : high * 16 + low;
            i += 2;
        }
        if (byte == 0 || n + 1 >= cap) {
            return false;
        }
        out[n++] = (char)byte;
    }
    out[n] = '\0';
    return true;
}

static bool copy_host(struct span s, char *out, size_t cap)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:";

    if (s.len == 0 || s.len >= cap) {
        return false;
    }
    memcpy(out, s.at, s.len);
    out[s.len] = '\0';
    return strspn(out, allowed) == s.len;
}

static bool parse_database(struct span s, unsigned *out)
{
    uint64_t number;

    if (!span_number(s, REDIS_DATABASES - 1, &number)) {
        return false;
    }
    *out = (unsigned)number;
    return true;
}

static const char *parse_unix(struct span s, struct conf_redis *where)
{
    struct span path = s;
    struct span query = s;

    if (cut(&query, '?', false, &path)) {
        if (!span_starts_nocase(query, SPAN_LITERAL("db=")) ||
            !parse_database(span_skip(query, 3), &where->database)) {
            return "has something else than ?db=N behind the path";
        }
    }
    if (path.len == 0 || path.at[0] != '/') {
        return "has no absolute path";
    }
    if (path.len >= sizeof(where->path)) {
        return "has a path of more than 107 bytes";
    }
    memcpy(where->path, path.at, path.len);
    where->path[path.len] = '\0';
    return NULL;
}

static const char *parse_host_port(struct span s, struct conf_redis *where)
{
    struct span host = s;
    bool has_port = false;
    uint64_t port = REDIS_PORT;

    if (s.len > 0 && s.at[0] == '[') {
        s = span_skip(s, 1);
        if (!cut(&s, ']', false, &host) || (s.len > 0 && s.at[0] != ':')) {
            return "has a bad host";
        }
        has_port = s.len > 0;
        s = span_skip(s, 1);
    } else {
        has_port = cut(&s, ':', false, &host);
    }
    if (!copy_host(host, where->host, sizeof(where->host))) {
        return "has a bad host";
    }
    if (has_port && (!span_number(s, UINT16_MAX, &port) || port == 0)) {
        return "has a bad port";
    }
    where->port = (uint16_t)port;
    return NULL;
}

static const char *parse_tcp(struct span s, struct conf_redis *where)
{
    struct span authority = s, login, user;

    if (cut(&s, '/', true, &authority)) {
        if (s.len > 0 && !parse_database(s, &where->database)) {
            return "has a bad database number";
        }
    }
    if (cut(&authority, '@', true, &login)) {
        if (!cut(&login, ':', false, &user) ||
            !copy_decoded(user, where->user, sizeof(where->user)) ||
            !copy_decoded(login, where->password, sizeof(where->password))) {
            return "has a bad user or password";
        }
    }
    return parse_host_port(authority, where);
}

const char *redis_url_parse(struct span url, struct conf_redis *out)
{
    static const struct {
        const char *scheme;
        const char *(*parse)(struct span rest, struct conf_redis *where); /* NULL: not yet */
    } schemes[] = {
        {"unix:", parse_unix},       {"redis://", parse_tcp},    {"rediss://", NULL},
        {"redis-sentinel://", NULL}, {"redis-cluster://", NULL},
    };
    struct conf_redis where = {.when_down = out->when_down, .deadline_ms = out->deadline_ms};

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        struct span scheme = span_of(schemes[i].scheme);

        if (!span_starts_nocase(url, scheme)) {
            continue;
        }
        if (!schemes[i].parse) {
            return "is not supported in this version";
        }
        const char *wrong = schemes[i].parse(span_skip(url, scheme.len), &where);
        if (!wrong) {
            *out = where;
        }
        return wrong;
    }
    return "has an unknown scheme";
}
