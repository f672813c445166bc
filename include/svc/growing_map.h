/* A prefix map (core/prefix_map.h) whose slots are on the heap, and grow as needed. Begins as {0}.
 */
#ifndef GATE25_SVC_GROWING_MAP_H
#define GATE25_SVC_GROWING_MAP_H

#include "core/prefix_map.h"

/* Room for `expected` entries at once. -1: out of memory, nothing changed. */
int growing_map_expect(struct prefix_map *m, size_t expected) __attribute__((warn_unused_result));
/* Room for one entry more. -1: as above. */
int growing_map_room(struct prefix_map *m) __attribute__((warn_unused_result));
/* As prefix_map_put(). -1: as above. */
int growing_map_put(struct prefix_map *m, const struct prefix *p, uint32_t value, int64_t until_s)
    __attribute__((warn_unused_result));
void growing_map_fini(struct prefix_map *m); /* becomes {0} */

#endif
