#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/clock.h"
#include "redis_cluster_internal.h"
#include "svc/redis_url.h"

#define NODES_MOST    1024
#define LOOK_CALM_MS  5000 /* between two looks at the map while all is well */
#define LOOK_EAGER_MS 250  /* while a master is missing */
#define LOOK_SOON_MS  50   /* after a redirection: the others of this moment are spared */
#define ANSWER_MS     1000
#define UNLISTED_MS   30000 /* a node without slots is kept: answers may come */

/* --- nodes --- */

static bool same_place(const struct conf_redis_place *a, const struct conf_redis_place *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

static void on_node(void *context, struct redis_link *link, bool up)
{
    struct node *n = context;
    struct redis_cluster *c = n->all;
    bool news = up != n->was_up || !n->was_settled;

    (void)link;
    n->was_up = up;
    n->was_settled = true;
    if (!n->listed) {
        return;
    }
    if (!up) {
        cluster_map_doubt(c);
    }
    if (news && c->how.state) {
        c->how.state(c->how.context, redis_cluster_is_up(c));
    }
}

static struct node *node_new(struct redis_cluster *c, const struct conf_redis_place *place)
{
    struct node *n = calloc(1, sizeof *n);
    const struct redis_greeting greeting = {
        .user = c->how.where->user,
        .password = c->how.where->password,
        .functions = c->how.functions,
    };
    const struct redis_link_options options = {
        .place = *place,
        .tls = c->how.tls,
        .tls_name = c->how.where->tls_name,
        .greeting = &greeting,
        .state = on_node,
        .context = n,
    };

    if (!n) {
        return NULL;
    }
    n->all = c;
    n->unlisted_ms = clock_monotonic_ms();
    n->link = redis_link_new(c->base, &options);
    if (!n->link) {
        free(n);
        return NULL;
    }
    return n;
}

static struct node **free_number(struct redis_cluster *c)
{
    struct node **larger;

    for (uint16_t i = 0; i < c->node_count; i++) {
        if (!c->nodes[i]) {
            return &c->nodes[i];
        }
    }
    larger = c->node_count < NODES_MOST
                 ? realloc(c->nodes, (c->node_count + 1U) * sizeof(struct node *))
                 : NULL;
    if (!larger) {
        return NULL;
    }
    c->nodes = larger;
    c->nodes[c->node_count] = NULL;
    return &c->nodes[c->node_count++];
}

struct node *cluster_map_node_at(struct redis_cluster *c, const struct conf_redis_place *place)
{
    struct node **at;

    for (uint16_t i = 0; i < c->node_count; i++) {
        if (c->nodes[i] && same_place(redis_link_place(c->nodes[i]->link), place)) {
            return c->nodes[i];
        }
    }
    at = free_number(c);
    if (!at) {
        return NULL;
    }
    *at = node_new(c, place);
    return *at;
}

static uint16_t number_of(const struct redis_cluster *c, const struct node *n)
{
    uint16_t i = 0;

    while (i < c->node_count && c->nodes[i] != n) {
        i++;
    }
    return i < c->node_count ? i : NO_NODE;
}

struct node *cluster_map_node(const struct redis_cluster *c, unsigned slot)
{
    return c->slot[slot] == NO_NODE ? NULL : c->nodes[c->slot[slot]];
}

void cluster_map_moved(struct redis_cluster *c, unsigned slot, const struct node *to)
{
    c->slot[slot] = number_of(c, to);
    cluster_map_doubt(c);
}

struct node *cluster_map_any(const struct redis_cluster *c)
{
    for (uint16_t i = 0; i < c->node_count; i++) {
        if (c->nodes[i] && c->nodes[i]->listed && redis_link_is_up(c->nodes[i]->link)) {
            return c->nodes[i];
        }
    }
    return NULL;
}

static bool is_whole(const struct redis_cluster *c)
{
    for (uint16_t i = 0; i < c->node_count; i++) {
        if (c->nodes[i] && c->nodes[i]->listed && !redis_link_is_up(c->nodes[i]->link)) {
            return false;
        }
    }
    return c->known;
}

/* Off the table first: whoever hears of its end finds it gone. */
static void remove_node(struct redis_cluster *c, uint16_t i)
{
    struct node *n = c->nodes[i];

    for (unsigned slot = 0; slot < REDIS_SLOTS; slot++) {
        c->slot[slot] = c->slot[slot] == i ? NO_NODE : c->slot[slot];
    }
    c->nodes[i] = NULL;
    redis_link_free(n->link);
    free(n);
}

static void remove_old(struct redis_cluster *c, int64_t now)
{
    for (uint16_t i = 0; i < c->node_count; i++) {
        struct node *n = c->nodes[i];
        if (n && !n->listed && now - n->unlisted_ms > UNLISTED_MS) {
            remove_node(c, i);
        }
    }
}

/* --- the map --- */

static void set_range(struct redis_cluster *c, const struct redis_range *range)
{
    struct node *n = cluster_map_node_at(c, &range->master);

    if (!n) {
        return;
    }
    n->listed = true;
    uint16_t number = number_of(c, n);
    for (unsigned slot = range->first; slot <= range->last; slot++) {
        c->slot[slot] = number;
    }
}

/* True: other nodes hold slots now than before. */
static bool take_map(struct redis_cluster *c, const struct redis_reply *reply)
{
    const char *asked = redis_link_place(c->scout)->host;
    struct redis_range range;
    bool changed = false;

    for (uint16_t i = 0; i < c->node_count; i++) {
        if (c->nodes[i]) {
            c->nodes[i]->was_listed = c->nodes[i]->listed;
            c->nodes[i]->listed = false;
        }
    }
    for (unsigned slot = 0; slot < REDIS_SLOTS; slot++) {
        c->slot[slot] = NO_NODE;
    }
    for (size_t i = 0; i < redis_reply_count(reply); i++) {
        if (redis_answer_range(reply, i, asked, &range)) {
            set_range(c, &range);
        }
    }
    for (uint16_t i = 0; i < c->node_count; i++) {
        struct node *n = c->nodes[i];
        if (n && n->listed != n->was_listed) {
            changed = true;
            n->unlisted_ms = clock_monotonic_ms();
        }
    }
    remove_old(c, clock_monotonic_ms());
    c->known = true;
    c->epoch = c->epoch_read;
    return changed;
}

/* A node that was cut off knows of fewer elections than we have heard of. While nobody else can be
 * reached, its map is better than none: the cluster may have been set up anew. */
static bool is_old_news(const struct redis_cluster *c)
{
    return c->epoch_read < c->epoch && cluster_map_any(c) != NULL;
}

static void look_in(struct redis_cluster *c, int64_t ms);

static void on_epoch(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct redis_cluster *c = context;

    (void)ticket;
    if (!reply || !redis_answer_cluster_epoch(reply, &c->epoch_read)) {
        c->epoch_read = 0;
    }
}

/* Once: nothing will be asked of it before there are slots. */
static void complain(struct redis_cluster *c, const struct redis_reply *reply)
{
    struct span why = SPAN_LITERAL("the list is empty");
    char name[300];
    struct text place;

    if (!c->how.speaks || c->known || c->complained || !reply) {
        return;
    }
    (void)redis_reply_is_error(reply, &why);
    text_init(&place, name, sizeof name);
    redis_place_name(redis_link_place(c->scout), &place);
    log_error("redis %s: the cluster has no slots: %.*s", name, (int)why.len, why.at);
    c->complained = true;
}

static void on_slots(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct redis_cluster *c = context;

    (void)ticket;
    c->asking = false;
    if (!reply || redis_reply_count(reply) == 0 || is_old_news(c)) {
        complain(c, reply);
        look_in(c, LOOK_EAGER_MS);
        return;
    }
    bool changed = take_map(c, reply);
    look_in(c, is_whole(c) ? LOOK_CALM_MS : LOOK_EAGER_MS);
    if (changed && c->how.state) {
        c->how.state(c->how.context, redis_cluster_is_up(c));
    }
}

static void ask(struct redis_cluster *c)
{
    const struct span info[] = {SPAN_LITERAL("CLUSTER"), SPAN_LITERAL("INFO")};
    const struct span slots[] = {SPAN_LITERAL("CLUSTER"), SPAN_LITERAL("SLOTS")};

    if (!c->asking && redis_link_call(c->scout, info, 2, ANSWER_MS, on_epoch, c, 0) == 0 &&
        redis_link_call(c->scout, slots, 2, ANSWER_MS, on_slots, c, 0) == 0) {
        c->asking = true;
    }
}

/* --- the scout --- */

static const struct conf_redis_place *next_place(struct redis_cluster *c)
{
    unsigned places = c->how.where->places;

    for (;;) {
        unsigned i = c->scout_number++;
        if (i < places) {
            return &c->how.where->place[i];
        }
        if (i - places >= c->node_count) {
            c->scout_number = 0;
        } else if (c->nodes[i - places]) {
            return redis_link_place(c->nodes[i - places]->link);
        }
    }
}

static void on_scout(void *context, struct redis_link *link, bool up)
{
    struct redis_cluster *c = context;

    (void)link;
    if (up) {
        ask(c);
    } else {
        c->asking = false;
        look_in(c, LOOK_EAGER_MS);
    }
}

/* While something is missing, each look asks another node: one of them knows. */
static void on_look(evutil_socket_t fd, short what, void *context)
{
    struct redis_cluster *c = context;
    bool up = redis_link_is_up(c->scout);

    (void)fd;
    (void)what;
    c->look_ms = INT64_MAX;
    if (!up || !is_whole(c)) {
        c->asking = false;
        redis_link_move(c->scout, next_place(c));
        look_in(c, ANSWER_MS);
        return;
    }
    ask(c);
    look_in(c, LOOK_CALM_MS);
}

/* The sooner of two looks counts. */
static void look_in(struct redis_cluster *c, int64_t ms)
{
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    int64_t at = clock_monotonic_ms() + ms;

    if (at < c->look_ms) {
        c->look_ms = at;
        event_add(&c->look, &wait);
    }
}

void cluster_map_doubt(struct redis_cluster *c)
{
    look_in(c, LOOK_SOON_MS);
}

/* --- outside --- */

int cluster_map_open(struct redis_cluster *c)
{
    const struct redis_greeting greeting = {
        .user = c->how.where->user, .password = c->how.where->password};
    const struct redis_link_options options = {
        .place = *next_place(c),
        .tls = c->how.tls,
        .tls_name = c->how.where->tls_name,
        .greeting = &greeting,
        .state = on_scout,
        .context = c,
    };

    for (unsigned slot = 0; slot < REDIS_SLOTS; slot++) {
        c->slot[slot] = NO_NODE;
    }
    c->look_ms = INT64_MAX;
    event_assign(&c->look, c->base, -1, 0, on_look, c);
    c->scout = redis_link_new(c->base, &options);
    look_in(c, ANSWER_MS);
    return c->scout ? 0 : -1;
}

void cluster_map_close(struct redis_cluster *c)
{
    redis_link_free(c->scout);
    c->scout = NULL;
    for (uint16_t i = 0; i < c->node_count; i++) {
        if (c->nodes[i]) {
            remove_node(c, i);
        }
    }
    /* Questions that end without an answer want to look again. */
    event_del(&c->look);
    free(c->nodes);
    c->nodes = NULL;
    c->node_count = 0;
}
