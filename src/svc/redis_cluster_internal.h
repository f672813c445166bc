/* A cluster's inside, shared by redis_cluster.c (requests and redirections) and redis_cluster_map.c
 * (nodes, and which slots they hold). */
#ifndef GATE25_SVC_REDIS_CLUSTER_INTERNAL_H
#define GATE25_SVC_REDIS_CLUSTER_INTERNAL_H

#include <event2/event_struct.h>
#include <sys/queue.h>

#include "svc/redis_answers.h"
#include "svc/redis_cluster.h"
#include "svc/redis_link.h"
#include "svc/redis_slots.h"

#define NO_NODE UINT16_MAX

/* A master, or where a slot is on its way to. */
struct node {
    struct redis_cluster *all;
    struct redis_link *link;
    bool listed;         /* holds slots, says the map */
    bool was_listed;     /* said the map before, while a new one is taken */
    int64_t unlisted_ms; /* since then it does not */
    bool was_up, was_settled;
};

struct errand;
TAILQ_HEAD(errands, errand);

struct redis_cluster {
    struct event_base *base;
    struct redis_cluster_options how;
    struct node **nodes; /* NULL: a free number */
    uint16_t node_count;
    uint16_t slot[REDIS_SLOTS]; /* number of its node, or NO_NODE */
    bool known;                 /* the map was read once */

    struct redis_link *scout; /* asks for the map, one node after the other */
    unsigned scout_number;    /* of the places, then of the nodes */
    bool asking, complained;
    uint64_t epoch, epoch_read; /* of the map; of the one that is being read */
    struct event look;          /* for the map again */
    int64_t look_ms;

    struct errands later; /* to be sent again in a moment */
    struct event again;
};

/* --- redis_cluster_map.c --- */

int cluster_map_open(struct redis_cluster *c) __attribute__((warn_unused_result));
void cluster_map_close(struct redis_cluster *c);
/* The map is old: looks for a new one soon. */
void cluster_map_doubt(struct redis_cluster *c);
/* The node that holds the slot; NULL: none is known. */
struct node *cluster_map_node(const struct redis_cluster *c, unsigned slot);
/* The node at a place, a new one if need be. NULL: out of memory, or too many. */
struct node *cluster_map_node_at(struct redis_cluster *c, const struct conf_redis_place *place);
/* A node said that the slot has moved there. */
void cluster_map_moved(struct redis_cluster *c, unsigned slot, const struct node *to);
/* The first node that is up, for commands without a key; NULL: none. */
struct node *cluster_map_any(const struct redis_cluster *c);

#endif
