#include "svc/redis_answers.h"

#include <stdio.h>
#include <string.h>

#include "svc/redis_slots.h"

static bool read_host(const struct redis_reply *reply, char *out, size_t cap)
{
    struct span host;

    if (!reply || !redis_reply_text(reply, &host) || host.len == 0 || host.len >= cap ||
        memchr(host.at, '\0', host.len)) {
        return false;
    }
    memcpy(out, host.at, host.len);
    out[host.len] = '\0';
    return true;
}

static bool read_port(const struct redis_reply *reply, uint16_t *out)
{
    int64_t port;

    if (!reply || !redis_reply_integer(reply, &port) || port <= 0 || port > UINT16_MAX) {
        return false;
    }
    *out = (uint16_t)port;
    return true;
}

bool redis_answer_master(const struct redis_reply *reply, struct conf_redis_place *out)
{
    struct conf_redis_place place = {.port = 0};

    if (!read_host(redis_reply_at(reply, 0), place.host, sizeof place.host) ||
        !read_port(redis_reply_at(reply, 1), &place.port)) {
        return false;
    }
    *out = place;
    return true;
}

bool redis_answer_epoch(const struct redis_reply *reply, uint64_t *out)
{
    return span_number(redis_reply_field(reply, "config-epoch"), INT64_MAX, out);
}

/* --- clusters --- */

/* Empty and NULL: the one that was asked. "?": nobody knows. */
static bool read_node(
    const struct redis_reply *node, const char *asked, struct conf_redis_place *out)
{
    const struct redis_reply *host = redis_reply_at(node, 0);
    struct span text;

    if (!host || !read_port(redis_reply_at(node, 1), &out->port)) {
        return false;
    }
    if (redis_reply_is_nil(host) || (redis_reply_text(host, &text) && text.len == 0)) {
        snprintf(out->host, sizeof out->host, "%s", asked);
        return true;
    }
    return read_host(host, out->host, sizeof out->host) && strcmp(out->host, "?") != 0;
}

bool redis_answer_range(
    const struct redis_reply *reply, size_t i, const char *asked, struct redis_range *out)
{
    const struct redis_reply *range = redis_reply_at(reply, i);
    const struct redis_reply *first = range ? redis_reply_at(range, 0) : NULL;
    const struct redis_reply *last = range ? redis_reply_at(range, 1) : NULL;
    const struct redis_reply *master = range ? redis_reply_at(range, 2) : NULL;
    struct redis_range found;
    int64_t from, to;

    if (!first || !last || !master || !redis_reply_integer(first, &from) ||
        !redis_reply_integer(last, &to) || from < 0 || to < from || to >= REDIS_SLOTS ||
        !read_node(master, asked, &found.master)) {
        return false;
    }
    found.first = (unsigned)from;
    found.last = (unsigned)to;
    *out = found;
    return true;
}

bool redis_answer_cluster_epoch(const struct redis_reply *reply, uint64_t *out)
{
    static const char name[] = "cluster_current_epoch:";
    struct span text;

    if (!redis_reply_text(reply, &text) || text.len == 0) {
        return false;
    }
    const char *at = memmem(text.at, text.len, name, sizeof name - 1);
    if (!at) {
        return false;
    }
    struct span value = span_skip(text, (size_t)(at - text.at) + sizeof name - 1);
    const char *end = value.len ? memchr(value.at, '\r', value.len) : NULL;
    value.len = end ? (size_t)(end - value.at) : value.len;
    return span_number(value, INT64_MAX, out);
}

/* "SLOT HOST:PORT"; the host of an IPv6 address has colons too. */
static bool read_way(struct span s, const char *asked, unsigned *slot, struct conf_redis_place *to)
{
    const char *blank = s.len ? memchr(s.at, ' ', s.len) : NULL;
    uint64_t number, port;

    if (!blank ||
        !span_number((struct span){s.at, (size_t)(blank - s.at)}, REDIS_SLOTS - 1, &number)) {
        return false;
    }
    struct span node = span_skip(s, (size_t)(blank - s.at) + 1);
    const char *colon = node.len ? memrchr(node.at, ':', node.len) : NULL;
    if (!colon) {
        return false;
    }
    struct span host = {node.at, (size_t)(colon - node.at)};
    if (!span_number(span_skip(node, host.len + 1), UINT16_MAX, &port) || port == 0 ||
        host.len >= sizeof to->host || (host.len && memchr(host.at, '\0', host.len))) {
        return false;
    }
    if (host.len == 0) {
        host = span_of(asked);
    }
    *slot = (unsigned)number;
    to->port = (uint16_t)port;
    memmove(to->host, host.at, host.len);
    to->host[host.len] = '\0';
    return true;
}

enum redis_redirect redis_answer_redirect(
    struct span error, const char *asked, unsigned *slot, struct conf_redis_place *to)
{
    static const struct {
        struct span begin;
        enum redis_redirect what;
    } kinds[] = {
        {{"MOVED ", 6}, REDIRECT_MOVED},
        {{"ASK ", 4}, REDIRECT_ASK},
        {{"TRYAGAIN", 8}, REDIRECT_AGAIN},
        {{"CLUSTERDOWN", 11}, REDIRECT_DOWN},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!span_starts_nocase(error, kinds[i].begin)) {
            continue;
        }
        if (kinds[i].what != REDIRECT_MOVED && kinds[i].what != REDIRECT_ASK) {
            return kinds[i].what;
        }
        return read_way(span_skip(error, kinds[i].begin.len), asked, slot, to) ? kinds[i].what
                                                                               : REDIRECT_NONE;
    }
    return REDIRECT_NONE;
}
