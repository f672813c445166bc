/* What of a new configuration takes effect with a restart alone. */
#include <string.h>

#include "svc/conf_file.h"

static bool same_endpoints(const struct endpoint *a, const struct endpoint *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!endpoint_equal(&a[i], &b[i])) {
            return false;
        }
    }
    return true;
}

static bool same_intercept(const struct conf *a, const struct conf *b)
{
    if (a->mode != b->mode || a->workers != b->workers || a->max_sessions != b->max_sessions ||
        a->listen_count != b->listen_count) {
        return false;
    }
    return same_endpoints(a->listen, b->listen, a->listen_count);
}

static bool same_metrics(const struct endpoint_list *a, const struct endpoint_list *b)
{
    return a->count == b->count && same_endpoints(a->at, b->at, a->count);
}

static bool same_places(const struct conf_redis *a, const struct conf_redis *b)
{
    if (a->places != b->places) {
        return false;
    }
    for (unsigned i = 0; i < a->places; i++) {
        if (strcmp(a->place[i].host, b->place[i].host) != 0 ||
            a->place[i].port != b->place[i].port) {
            return false;
        }
    }
    return true;
}

static bool same_redis(const struct conf_redis *a, const struct conf_redis *b)
{
    const struct {
        const char *a, *b;
    } texts[] = {
        {a->path, b->path},
        {a->master, b->master},
        {a->user, b->user},
        {a->password, b->password},
        {a->sentinel_user, b->sentinel_user},
        {a->sentinel_password, b->sentinel_password},
        {a->tls_ca, b->tls_ca},
        {a->tls_certificate, b->tls_certificate},
        {a->tls_key, b->tls_key},
        {a->tls_name, b->tls_name},
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strcmp(texts[i].a, texts[i].b) != 0) {
            return false;
        }
    }
    return a->kind == b->kind && a->tls == b->tls && a->database == b->database &&
           same_places(a, b);
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

struct part {
    const char *name;
    bool same;
};

static void name_different(const struct part *parts, size_t count, struct text *out)
{
    const char *between = "";

    for (size_t i = 0; i < count; i++) {
        if (!parts[i].same) {
            text_addf(out, "%s%s", between, parts[i].name);
            between = ", ";
        }
    }
}

void conf_needs_restart(const struct conf *old, const struct conf *new, struct text *out)
{
    const struct part parts[] = {
        {"intercept", same_intercept(old, new)},
        {"redis", same_redis(&old->redis, &new->redis)},
        {"control", same_text(old->control_socket, new->control_socket)},
        {"metrics", same_metrics(&old->metrics, &new->metrics)},
    };

    name_different(parts, sizeof(parts) / sizeof(parts[0]), out);
}

void conf_bypass_needs_restart(const struct conf *old, const struct conf *new, struct text *out)
{
    const struct part parts[] = {
        {"intercept.mode", old->mode == new->mode},
        {"redis", same_redis(&old->redis, &new->redis)},
        {"bypass.control", same_text(old->bypass.control_socket, new->bypass.control_socket)},
        {"bypass.listen", same_metrics(&old->bypass.listen, &new->bypass.listen)},
        /* Without links at the start the right to it was given up. */
        {"bypass.fast-path", old->bypass.fast_path.count > 0 || new->bypass.fast_path.count == 0},
    };

    name_different(parts, sizeof(parts) / sizeof(parts[0]), out);
}
