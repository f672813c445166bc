/* What operators did but for changes of standings, which are in STORE_CHANGES: log-ins, changes of
 * operators, exports. Both together are the audit trail. */
#ifndef GATE25_SVC_TRAIL_H
#define GATE25_SVC_TRAIL_H

#include "svc/redis.h"

/* Empty spans are left out. */
struct trail_entry {
    struct span what;   /* "log-in", "operator-add", ... */
    struct span by;     /* who did it */
    struct span from;   /* the address that it came from */
    struct span about;  /* an operator's name, a subscriber's id */
    struct span detail; /* anything */
    bool failed;        /* a log-in: it goes to STORE_FAILED, lest a flood of them fill the trail */
};

#define TRAIL_WORDS 16

/* The command that appends it, for redis_call(); the words look into the entry. Their number. */
size_t trail_words(const struct trail_entry *e, struct span out[TRAIL_WORDS]);
/* Appends it; about the last 100,000 are kept, of failed log-ins 10,000. As redis_call(); `reply`
 * may be NULL. */
int trail_add(
    struct redis *r, const struct trail_entry *e, uint32_t deadline_ms, redis_reply_cb reply,
    void *context, uint64_t ticket);

#endif
