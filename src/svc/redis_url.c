#include "svc/redis_url.h"

#include <string.h>

#define REDIS_PORT          6379
#define REDIS_SENTINEL_PORT 26379
#define REDIS_DATABASES     65536

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

static const char *parse_place(struct span s, uint16_t port_else, struct conf_redis_place *out)
{
    struct span host = s;
    bool has_port = false;
    uint64_t port = port_else;

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
    if (!copy_host(host, out->host, sizeof(out->host))) {
        return "has a bad host";
    }
    if (has_port && (!span_number(s, UINT16_MAX, &port) || port == 0)) {
        return "has a bad port";
    }
    out->port = (uint16_t)port;
    return NULL;
}

static const char *parse_login(struct span *authority, struct conf_redis *where)
{
    struct span login, user;

    if (!cut(authority, '@', true, &login)) {
        return NULL;
    }
    if (!cut(&login, ':', false, &user) || !copy_decoded(user, where->user, sizeof(where->user)) ||
        !copy_decoded(login, where->password, sizeof(where->password))) {
        return "has a bad user or password";
    }
    return NULL;
}

/* "HOST[:PORT],HOST[:PORT]" */
static const char *parse_places(struct span s, uint16_t port, struct conf_redis *where)
{
    const char *wrong = NULL;
    struct span one;
    bool more;

    where->places = 0;
    do {
        if (where->places == CONF_REDIS_PLACES) {
            return "names more than 8 hosts";
        }
        more = cut(&s, ',', false, &one);
        wrong = parse_place(more ? one : s, port, &where->place[where->places++]);
    } while (more && !wrong);
    return wrong;
}

static const char *parse_tcp(struct span s, struct conf_redis *where)
{
    struct span authority = s;
    const char *wrong;

    if (cut(&s, '/', true, &authority) && s.len > 0 && !parse_database(s, &where->database)) {
        return "has a bad database number";
    }
    wrong = parse_login(&authority, where);
    where->places = 1;
    return wrong ? wrong : parse_place(authority, REDIS_PORT, &where->place[0]);
}

static bool copy_master(struct span s, char *out, size_t cap)
{
    /* What redis-sentinel allows in the name of a master. */
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

    if (s.len == 0 || s.len >= cap) {
        return false;
    }
    memcpy(out, s.at, s.len);
    out[s.len] = '\0';
    return strspn(out, allowed) == s.len;
}

/* Cuts "AUTHORITY/REST"; REST is empty where there is no slash. The password may hold slashes. */
static struct span cut_authority(struct span *s)
{
    const char *at = s->len > 0 ? memrchr(s->at, '@', s->len) : NULL;
    size_t login = at ? (size_t)(at - s->at) : 0;
    struct span rest = span_skip(*s, login), head = rest;

    if (!cut(&rest, '/', false, &head)) {
        rest = (struct span){"", 0};
    }
    head = (struct span){s->at, login + head.len};
    *s = rest;
    return head;
}

static const char *parse_sentinels(struct span s, struct conf_redis *where)
{
    struct span authority = cut_authority(&s), master = s;
    const char *wrong;

    where->kind = REDIS_SENTINEL;
    if (cut(&s, '/', false, &master) && s.len > 0 && !parse_database(s, &where->database)) {
        return "has a bad database number";
    }
    if (!copy_master(master, where->master, sizeof(where->master))) {
        return "does not name the master that the sentinels watch";
    }
    wrong = parse_login(&authority, where);
    return wrong ? wrong : parse_places(authority, REDIS_SENTINEL_PORT, where);
}

static const char *parse_cluster(struct span s, struct conf_redis *where)
{
    struct span authority = cut_authority(&s);
    const char *wrong;

    where->kind = REDIS_CLUSTER;
    if (s.len > 0) {
        return "has something behind the hosts: a cluster has one database";
    }
    wrong = parse_login(&authority, where);
    return wrong ? wrong : parse_places(authority, REDIS_PORT, where);
}

/* What is no part of the URL stays as it is. */
static struct conf_redis without_url(const struct conf_redis *c)
{
    struct conf_redis bare = *c;

    bare.kind = REDIS_ALONE;
    bare.path[0] = bare.master[0] = bare.user[0] = bare.password[0] = '\0';
    bare.places = bare.database = 0;
    bare.tls = false;
    return bare;
}

const char *redis_url_parse(struct span url, struct conf_redis *out)
{
    static const struct {
        const char *scheme;
        bool tls;
        const char *(*parse)(struct span rest, struct conf_redis *where);
    } schemes[] = {
        {"unix:", false, parse_unix},
        {"redis://", false, parse_tcp},
        {"rediss://", true, parse_tcp},
        {"redis-sentinel://", false, parse_sentinels},
        {"rediss-sentinel://", true, parse_sentinels},
        {"redis-cluster://", false, parse_cluster},
        {"rediss-cluster://", true, parse_cluster},
    };
    struct conf_redis where = without_url(out);

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        struct span scheme = span_of(schemes[i].scheme);

        if (!span_starts_nocase(url, scheme)) {
            continue;
        }
        where.tls = schemes[i].tls;
        const char *wrong = schemes[i].parse(span_skip(url, scheme.len), &where);
        if (!wrong) {
            *out = where;
        }
        return wrong;
    }
    return "has an unknown scheme";
}

void redis_place_name(const struct conf_redis_place *place, struct text *out)
{
    if (strchr(place->host, ':')) {
        text_addf(out, "[%s]:%u", place->host, (unsigned)place->port);
    } else {
        text_addf(out, "%s:%u", place->host, (unsigned)place->port);
    }
}

void redis_url_name(const struct conf_redis *where, struct text *out)
{
    if (where->path[0]) {
        text_addf(out, "%s", where->path);
        return;
    }
    if (where->kind == REDIS_SENTINEL) {
        text_addf(out, "%s of ", where->master);
    }
    for (unsigned i = 0; i < where->places; i++) {
        text_addf(out, "%s", i > 0 ? ", " : "");
        redis_place_name(&where->place[i], out);
    }
}
