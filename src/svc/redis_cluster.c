#include "svc/redis_cluster.h"

#include <stdlib.h>
#include <string.h>

#include "net/clock.h"
#include "redis_cluster_internal.h"
#include "svc/redis_queue.h"

#define REDIRECTIONS 8
#define AGAIN_MS     10  /* before what a slot on its way refused is asked again */
#define AGAIN_MOST   500 /* times, where there is no deadline */

/* A request, kept until it is answered: it may have to go elsewhere. */
struct errand {
    TAILQ_ENTRY(errand) next; /* in `later` */
    struct redis_cluster *all;
    struct node *at; /* that has it now */
    redis_reply_cb reply;
    void *context;
    uint64_t ticket;
    int64_t deadline_ms; /* REDIS_NEVER: none */
    unsigned redirections, agains;
    bool keyed;
    unsigned slot;
    size_t count;
    struct span words[]; /* and behind them their bytes */
};

static struct errand *errand_new(
    struct redis_cluster *c, const struct span *words, size_t count, uint32_t deadline_ms)
{
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++) {
        bytes += words[i].len;
    }
    struct errand *e = malloc(sizeof *e + count * sizeof words[0] + bytes);
    if (!e) {
        return NULL;
    }
    *e = (struct errand){
        .all = c,
        .deadline_ms = deadline_ms ? clock_monotonic_ms() + deadline_ms : REDIS_NEVER,
        .count = count,
    };
    char *at = (char *)&e->words[count];
    for (size_t i = 0; i < count; i++) {
        memcpy(at, words[i].at, words[i].len);
        e->words[i] = (struct span){at, words[i].len};
        at += words[i].len;
    }
    return e;
}

static void finish(struct errand *e, const struct redis_reply *reply)
{
    if (e->reply) {
        e->reply(e->context, e->ticket, reply);
    }
    free(e);
}

/* --- sending --- */

static void on_reply(void *context, uint64_t ticket, const struct redis_reply *reply);

/* What is left of its time; 0: there is no deadline. -1: none is left. */
static int64_t time_left(const struct errand *e)
{
    int64_t left;

    if (e->deadline_ms == REDIS_NEVER) {
        return 0;
    }
    left = e->deadline_ms - clock_monotonic_ms();
    return left > 0 ? left : -1;
}

/* -1: it cannot go there. */
static int send_to(struct errand *e, struct node *n, bool asking)
{
    const struct span word = SPAN_LITERAL("ASKING");
    int64_t left = time_left(e);

    if (!n || left < 0 ||
        (asking && redis_link_call_early(n->link, &word, 1, 0, NULL, NULL, 0) != 0)) {
        return -1;
    }
    e->at = n;
    return redis_link_call_early(n->link, e->words, e->count, (uint32_t)left, on_reply, e, 0);
}

static void send_later(struct errand *e)
{
    const struct timeval wait = {0, AGAIN_MS * 1000};
    struct redis_cluster *c = e->all;

    TAILQ_INSERT_TAIL(&c->later, e, next);
    if (!event_pending(&c->again, EV_TIMEOUT, NULL)) {
        event_add(&c->again, &wait);
    }
}

static void on_again(evutil_socket_t fd, short what, void *context)
{
    struct redis_cluster *c = context;
    struct errands now = TAILQ_HEAD_INITIALIZER(now);

    (void)fd;
    (void)what;
    TAILQ_CONCAT(&now, &c->later, next);
    while (!TAILQ_EMPTY(&now)) {
        struct errand *e = TAILQ_FIRST(&now);
        TAILQ_REMOVE(&now, e, next);
        if (send_to(e, cluster_map_node(c, e->slot), false) != 0) {
            finish(e, NULL);
        }
    }
}

/* --- answers --- */

/* A link whose connection is still to be dialled takes nothing yet: a moment later it does. */
static bool go_on(struct errand *e, struct node *to, bool asking)
{
    if (!to || ++e->redirections > REDIRECTIONS) {
        return false;
    }
    if (send_to(e, to, asking) == 0) {
        return true;
    }
    if (redis_link_settled(to->link) || time_left(e) < 0) {
        return false;
    }
    send_later(e);
    return true;
}

static bool may_ask_again(struct errand *e)
{
    return e->deadline_ms == REDIS_NEVER ? ++e->agains <= AGAIN_MOST : time_left(e) > 0;
}

/* False: it has come to its end with this error. */
static bool redirect(struct errand *e, struct span error)
{
    struct redis_cluster *c = e->all;
    struct conf_redis_place to;
    struct node *n;
    unsigned slot;

    switch (redis_answer_redirect(error, redis_link_place(e->at->link)->host, &slot, &to)) {
    case REDIRECT_MOVED:
        n = cluster_map_node_at(c, &to);
        if (n) {
            cluster_map_moved(c, slot, n);
        }
        return go_on(e, n, false);
    case REDIRECT_ASK:
        return go_on(e, cluster_map_node_at(c, &to), true);
    case REDIRECT_AGAIN:
        if (!may_ask_again(e)) {
            return false;
        }
        e->redirections = 0; /* it begins anew at the slot's owner, who may send it away again */
        send_later(e);
        return true;
    case REDIRECT_DOWN:
        cluster_map_doubt(c);
        return false;
    case REDIRECT_NONE:
        break;
    }
    return false;
}

static void on_reply(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct errand *e = context;
    struct span error;

    (void)ticket;
    if (reply && e->keyed && redis_reply_is_error(reply, &error) && redirect(e, error)) {
        return;
    }
    finish(e, reply);
}

/* --- outside --- */

bool redis_cluster_is_up(const struct redis_cluster *c)
{
    for (uint16_t i = 0; i < c->node_count; i++) {
        if (c->nodes[i] && c->nodes[i]->listed && !redis_link_settled(c->nodes[i]->link)) {
            return false;
        }
    }
    return c->known && cluster_map_any(c) != NULL;
}

const char *redis_cluster_trouble(const struct redis_cluster *c)
{
    if (redis_cluster_is_up(c)) {
        return "";
    }
    for (uint16_t i = 0; i < c->node_count; i++) {
        if (c->nodes[i] && c->nodes[i]->listed && !redis_link_is_up(c->nodes[i]->link)) {
            return redis_link_trouble(c->nodes[i]->link);
        }
    }
    const char *scout = redis_link_trouble(c->scout);
    return scout[0] ? scout : "the cluster has no slots";
}

int redis_cluster_call(
    struct redis_cluster *c, const struct span *words, size_t count, uint32_t deadline_ms,
    redis_reply_cb reply, void *context, uint64_t ticket)
{
    struct span key;
    bool keyed = redis_command_key(words, count, &key);
    unsigned slot = keyed ? redis_slot_of(key) : 0;
    struct node *n = keyed ? cluster_map_node(c, slot) : cluster_map_any(c);
    struct errand *e = n && count > 0 ? errand_new(c, words, count, deadline_ms) : NULL;

    if (!e) {
        return -1;
    }
    e->at = n;
    e->keyed = keyed;
    e->slot = slot;
    e->reply = reply;
    e->context = context;
    e->ticket = ticket;
    if (redis_link_call(n->link, e->words, count, deadline_ms, on_reply, e, 0) != 0) {
        free(e);
        return -1;
    }
    return 0;
}

int redis_cluster_ask_masters(
    struct redis_cluster *c, const struct span *keys, size_t key_count, const struct span *words,
    size_t count, uint32_t deadline_ms, redis_reply_cb reply, void *context)
{
    int asked = 0;

    for (size_t i = 0; i < key_count; i++) {
        struct node *n = cluster_map_node(c, redis_slot_of(keys[i]));
        bool known = false;
        for (size_t earlier = 0; earlier < i; earlier++) {
            known = known || cluster_map_node(c, redis_slot_of(keys[earlier])) == n;
        }
        if (known) {
            continue;
        }
        if (!n || redis_link_call(n->link, words, count, deadline_ms, reply, context, 0) != 0) {
            return asked > 0 ? asked : -1;
        }
        asked++;
    }
    return asked;
}

struct redis_cluster *redis_cluster_new(
    struct event_base *base, const struct redis_cluster_options *options)
{
    struct redis_cluster *c = calloc(1, sizeof *c);

    if (!c) {
        return NULL;
    }
    c->base = base;
    c->how = *options;
    TAILQ_INIT(&c->later);
    event_assign(&c->again, base, -1, 0, on_again, c);
    if (cluster_map_open(c) != 0) {
        redis_cluster_free(c);
        return NULL;
    }
    return c;
}

void redis_cluster_free(struct redis_cluster *c)
{
    if (!c) {
        return;
    }
    c->how.state = NULL;
    cluster_map_close(c);
    while (!TAILQ_EMPTY(&c->later)) {
        struct errand *e = TAILQ_FIRST(&c->later);
        TAILQ_REMOVE(&c->later, e, next);
        finish(e, NULL);
    }
    event_del(&c->again);
    free(c);
}
