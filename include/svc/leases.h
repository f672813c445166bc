/* This process's mirror of the leases in Redis: an account for an address without a round trip.
 * What writes them there is src/svc/leases.lua. */
#ifndef GATE25_SVC_LEASES_H
#define GATE25_SVC_LEASES_H

#include <event2/event.h>

#include "core/account.h"
#include "core/conf.h"

struct leases;

/* Reads the copy on disk, `copy` (NULL: there is none), which a `keeper` also writes; then mirrors
 * Redis over two connections of its own, and goes on without Redis with what it has: each lease
 * holds until its end, which is told by the monotonic clock. NULL: out of memory. */
struct leases *leases_new(
    struct event_base *base, const struct conf_redis *where, const char *copy, bool keeper)
    __attribute__((warn_unused_result));
void leases_free(struct leases *l); /* NULL is fine */

/* The account that holds the address now; NULL: none that is known. Valid until the loop's next
 * turn. */
const char *leases_find(const struct leases *l, const struct addr *a);
/* leases_find() will be asked about `a` soon: see prefix_map_prefetch(). */
void leases_prefetch(const struct leases *l, const struct addr *a);
size_t leases_count(const struct leases *l);     /* those that have ended not long ago included */
bool leases_are_current(const struct leases *l); /* read, and following changes */

#endif
