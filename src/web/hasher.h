/* Compares passwords in a thread of its own: a comparison takes a quarter of a second, and the site
 * goes on meanwhile. One at a time, so that a flood of log-ins costs one processor and 32 MB. */
#ifndef GATE25_WEB_HASHER_H
#define GATE25_WEB_HASHER_H

#include <event2/event.h>

#include "base/str.h"

struct hasher;

#define HASHER_WAITING 8 /* comparisons that may wait */

/* Called from the loop. */
typedef void (*hasher_cb)(void *context, uint64_t ticket, bool fits);

/* NULL: out of memory, descriptors or threads. */
struct hasher *hasher_new(struct event_base *base) __attribute__((warn_unused_result));
void hasher_free(struct hasher *h); /* waits for the one that is running; no calls any more */
/* password_fits(). -1: too many wait already. */
int hasher_ask(
    struct hasher *h, struct span password, struct span hash, hasher_cb done, void *context,
    uint64_t ticket) __attribute__((warn_unused_result));

#endif
