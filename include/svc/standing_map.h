/* Standings by prefix, on the heap: a core/prefix_map.h that grows, with class names for values. */
#ifndef GATE25_SVC_STANDING_MAP_H
#define GATE25_SVC_STANDING_MAP_H

#include "core/conf.h"
#include "core/prefix_map.h"

/* Every class name seen so far, whether the configuration of the day knows it or not: a reload
 * needs no new scan. A name keeps its number for ever. */
struct class_names {
    char (*name)[CONF_NAME];
    uint32_t count;
};

/* The number of `name`, a new one where needed. -1: no class can be called that, there are absurdly
 * many, or out of memory. */
int64_t class_names_intern(struct class_names *n, struct span name);
struct span class_names_at(const struct class_names *n, uint32_t number);
void class_names_fini(struct class_names *n);

/* Room for `expected` entries at once. -1: out of memory. */
int standing_map_init(struct prefix_map *m, size_t expected) __attribute__((warn_unused_result));
void standing_map_fini(struct prefix_map *m);
/* Grows as needed. -1: out of memory, nothing changed. */
int standing_map_put(
    struct prefix_map *m, const struct prefix *p, uint32_t class_number, int64_t until_s)
    __attribute__((warn_unused_result));

/* The longest standing over `a` that has not ended at `now_s` and whose class `conf` knows; `class`
 * is set with it. NULL: there is none. */
const struct prefix_slot *standing_map_find(
    const struct prefix_map *m, const struct class_names *names, const struct conf *conf,
    const struct addr *a, int64_t now_s, const struct conf_class **class);

#endif
