/* The leases' copy on disk: text, one line a lease, so that a worker started while Redis is away
 * knows who is where. */
#ifndef GATE25_SVC_LEASE_COPY_H
#define GATE25_SVC_LEASE_COPY_H

#include <event2/event.h>

#include "svc/lease_map.h"

/* Puts what `path` holds and has not ended into the map, whose ends are of the monotonic clock, in
 * seconds. Lines that make no sense are left out with a warning. No file: nothing. */
void lease_copy_read(const char *path, struct lease_map *map);

struct lease_copy;

/* Keeps a copy of *map, which outlives it, in `path` (copied), in slices and between other events
 * of the loop; what it lacks is no older than a minute. NULL: out of memory. */
struct lease_copy *lease_copy_new(
    struct event_base *base, const struct lease_map *map, const char *path)
    __attribute__((warn_unused_result));
void lease_copy_free(struct lease_copy *c); /* writes what is not yet written; NULL is fine */
void lease_copy_changed(struct lease_copy *c);

#endif
