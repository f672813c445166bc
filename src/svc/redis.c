#include "svc/redis.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/tls_client.h"
#include "svc/redis_cluster.h"
#include "svc/redis_link.h"
#include "svc/redis_sentinel.h"

#define REPLICAS_MS 1000 /* for an answer about replicas, beyond what it is to wait for them */

struct redis {
    struct conf_redis where;
    const char *functions;
    redis_state_cb state;
    void *context;
    struct tls_client_context *tls;  /* NULL: plain, or its files cannot be used */
    char fault[300];                 /* why nothing can be connected at all */
    struct redis_link *link;         /* to the one server, or to the master */
    struct redis_sentinel *sentinel; /* NULL: none */
    struct redis_cluster *cluster;   /* then there is no link */
    bool was_up, speaks;
};

/* --- connections --- */

static void on_link(void *context, struct redis_link *link, bool up)
{
    struct redis *r = context;

    (void)link;
    if (!up && r->sentinel) {
        redis_sentinel_ask(r->sentinel);
    }
    if (up == r->was_up) {
        return;
    }
    r->was_up = up;
    if (r->state) {
        r->state(r->context, up);
    }
}

static void on_master(void *context, const struct conf_redis_place *master)
{
    struct redis *r = context;

    redis_link_move(r->link, master);
}

static int open_link(struct redis *r, struct event_base *base)
{
    bool sentinel = r->where.kind == REDIS_SENTINEL;
    const struct redis_greeting greeting = {
        .user = r->where.user,
        .password = r->where.password,
        .database = r->where.database,
        .functions = r->functions,
        .master = sentinel,
    };
    const struct redis_link_options options = {
        .path = r->where.path,
        .place = sentinel ? (struct conf_redis_place){.port = 0} : r->where.place[0],
        .tls = r->tls,
        .tls_name = r->where.tls_name,
        .greeting = &greeting,
        .state = on_link,
        .context = r,
    };

    r->link = redis_link_new(base, &options);
    if (r->link && sentinel) {
        r->sentinel = redis_sentinel_new(base, &r->where, r->tls, r->speaks, on_master, r);
    }
    return r->link && (!sentinel || r->sentinel) ? 0 : -1;
}

static int open_cluster(struct redis *r, struct event_base *base)
{
    const struct redis_cluster_options options = {
        .where = &r->where,
        .tls = r->tls,
        .functions = r->functions,
        .state = r->state,
        .context = r->context,
        .speaks = r->speaks,
    };

    r->cluster = redis_cluster_new(base, &options);
    return r->cluster ? 0 : -1;
}

static int open_any(struct redis *r, struct event_base *base)
{
    return r->where.kind == REDIS_CLUSTER ? open_cluster(r, base) : open_link(r, base);
}

/* False: the files cannot be used, and nothing will be connected without what they are for. */
static bool prepare_tls(struct redis *r)
{
    const struct tls_client_files files = {
        .ca = r->where.tls_ca, .certificate = r->where.tls_certificate, .key = r->where.tls_key};
    struct text error;

    if (!r->where.tls) {
        return true;
    }
    text_init(&error, r->fault, sizeof r->fault);
    r->tls = tls_client_context_new(&files, &error);
    if (!r->tls) {
        log_error("redis: %s", r->fault);
    }
    return r->tls != NULL;
}

/* --- outside --- */

struct redis *redis_new(struct event_base *base, const struct redis_options *options)
{
    struct redis *r = calloc(1, sizeof *r);

    if (!r) {
        return NULL;
    }
    r->where = *options->where;
    r->functions = options->functions;
    r->state = options->state;
    r->context = options->context;
    r->speaks = options->speaks;
    if (prepare_tls(r) && open_any(r, base) != 0) {
        redis_free(r);
        return NULL;
    }
    return r;
}

void redis_free(struct redis *r)
{
    if (!r) {
        return;
    }
    r->state = NULL;
    redis_sentinel_free(r->sentinel);
    r->sentinel = NULL;
    redis_link_free(r->link);
    redis_cluster_free(r->cluster);
    tls_client_context_free(r->tls);
    explicit_bzero(&r->where, sizeof r->where);
    free(r);
}

bool redis_is_up(const struct redis *r)
{
    return r->cluster ? redis_cluster_is_up(r->cluster) : r->link && redis_link_is_up(r->link);
}

bool redis_keeps_order(const struct redis *r)
{
    return r->cluster == NULL;
}

const char *redis_trouble(const struct redis *r)
{
    if (r->cluster) {
        return redis_cluster_trouble(r->cluster);
    }
    const char *trouble = r->sentinel ? redis_sentinel_trouble(r->sentinel) : r->fault;

    return trouble[0] || !r->link ? trouble : redis_link_trouble(r->link);
}

int redis_ask_replicas(
    struct redis *r, const struct span *keys, size_t count, uint32_t most_ms, redis_reply_cb reply,
    void *context)
{
    char wait[NUMBER_DIGITS];
    const struct span words[] = {
        SPAN_LITERAL("WAIT"),
        SPAN_LITERAL("1"),
        {wait, number_write(most_ms, wait)},
    };

    if (r->cluster) {
        return redis_cluster_ask_masters(
            r->cluster, keys, count, words, 3, most_ms + REPLICAS_MS, reply, context);
    }
    if (!r->sentinel) {
        return 0;
    }
    return redis_link_call(r->link, words, 3, most_ms + REPLICAS_MS, reply, context, 0) == 0 ? 1
                                                                                             : -1;
}

int redis_call(
    struct redis *r, const struct span *words, size_t count, uint32_t deadline_ms,
    redis_reply_cb reply, void *context, uint64_t ticket)
{
    if (r->cluster) {
        return redis_cluster_call(r->cluster, words, count, deadline_ms, reply, context, ticket);
    }
    return r->link ? redis_link_call(r->link, words, count, deadline_ms, reply, context, ticket)
                   : -1;
}

int redis_tell(
    struct redis *r, const struct span *words, size_t count, uint32_t deadline_ms,
    redis_reply_cb reply, void *context, uint64_t ticket)
{
    if (r->cluster) {
        return redis_cluster_call(r->cluster, words, count, deadline_ms, reply, context, ticket);
    }
    return r->link ? redis_link_tell(r->link, words, count, deadline_ms, reply, context, ticket)
                   : -1;
}

void redis_send(struct redis *r)
{
    if (r->link) {
        redis_link_send(r->link);
    }
}
