/* Leases by prefix, on the heap: which account holds an address now. */
#ifndef GATE25_SVC_LEASE_MAP_H
#define GATE25_SVC_LEASE_MAP_H

#include "core/account.h"
#include "core/prefix_map.h"

struct lease; /* lease_map.c */

/* All zero is an empty one. A slot's value is the number of its lease. */
struct lease_map {
    struct prefix_map index;
    struct lease **at;
    uint32_t count, room;
    uint32_t *unused; /* numbers that are free again: `count` of them are given out */
    uint32_t unused_count;
};

/* Makes room for so many at once, as far as there is memory: they find it one by one else. */
void lease_map_expect(struct lease_map *m, size_t expected);
void lease_map_fini(struct lease_map *m);

/* Adds the lease, or replaces that of the prefix. `began`: of the session, Unix milliseconds;
 * `until`: of a clock that the owner of the map chooses. -1: out of memory, nothing changed. */
int lease_map_put(
    struct lease_map *m, const struct prefix *p, struct span account, int64_t began, int64_t until)
    __attribute__((warn_unused_result));
void lease_map_remove(struct lease_map *m, const struct prefix *p);

/* The account that holds `a` at `now`: of all leases over it that have not ended, the one whose
 * session began last. NULL: none does. Valid until the map changes. */
const char *lease_map_find(const struct lease_map *m, const struct addr *a, int64_t now);

/* Removes leases that ended before `now`, looking at `slots` slots from *next on, which moves on
 * and begins again at the end. How many it were: others have moved then. */
size_t lease_map_sweep(struct lease_map *m, int64_t now, size_t slots, size_t *next);
/* What stands in slot `i` of the index; valid until the map changes. False: nothing. */
struct lease_row {
    struct prefix unit;
    const char *account;
    int64_t began, until;
};
bool lease_map_row(const struct lease_map *m, size_t i, struct lease_row *out);
size_t lease_map_count(const struct lease_map *m);

#endif
