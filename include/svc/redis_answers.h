/* What servers say about where things are: sentinels of their master, a cluster of its slots. Pure
 * readers of replies. */
#ifndef GATE25_SVC_REDIS_ANSWERS_H
#define GATE25_SVC_REDIS_ANSWERS_H

#include "svc/redis.h"

/* SENTINEL GET-MASTER-ADDR-BY-NAME. False: no such master, or no address. */
bool redis_answer_master(const struct redis_reply *reply, struct conf_redis_place *out);
/* SENTINEL MASTER: the number of the failover that made it the master. */
bool redis_answer_epoch(const struct redis_reply *reply, uint64_t *out);

/* Slots that one master of a cluster holds. */
struct redis_range {
    unsigned first, last;
    struct conf_redis_place master;
};

/* Range `i` of CLUSTER SLOTS. A node that does not know its own host leaves it empty: it is
 * `asked`, the one where the answer comes from. False: the reply has no such range. */
bool redis_answer_range(
    const struct redis_reply *reply, size_t i, const char *asked, struct redis_range *out);
/* CLUSTER INFO: how many elections the node knows of. */
bool redis_answer_cluster_epoch(const struct redis_reply *reply, uint64_t *out);

enum redis_redirect {
    REDIRECT_NONE,  /* another error */
    REDIRECT_MOVED, /* the slot is there for good */
    REDIRECT_ASK,   /* this once there, behind ASKING: the slot is on its way */
    REDIRECT_AGAIN, /* its keys are on both sides just now */
    REDIRECT_DOWN   /* the cluster is of no use now */
};

/* What an error says of a way: of MOVED and ASK `slot` and `to` are set. */
enum redis_redirect redis_answer_redirect(
    struct span error, const char *asked, unsigned *slot, struct conf_redis_place *to);

#endif
