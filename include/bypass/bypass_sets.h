/* What the kernel's sets hold, or shall hold: units (an IPv4 address, an IPv6 prefix of ipv6-unit)
 * and ranges of addresses. */
#ifndef GATE25_BYPASS_BYPASS_SETS_H
#define GATE25_BYPASS_BYPASS_SETS_H

#include "core/prefix_map.h"

/* Addresses as numbers: they can be compared, and have neighbours. */
typedef unsigned __int128 addr_number;

addr_number addr_to_number(const struct addr *a);
struct addr addr_of_number(addr_number n, uint8_t family);
struct addr prefix_last(const struct prefix *p); /* its last address */

/* All addresses from `first` to `last`, which are of one family. */
struct bypass_range {
    struct addr first, last;
    int64_t end_s; /* monotonic seconds at which the kernel lets it go; 0: never */
};

typedef void (*bypass_unit_cb)(void *context, const struct prefix *unit, int64_t end_s);
/* Every unit that lies in the range as a whole, with the range's end; none, where there are more
 * than `most`. */
void bypass_range_units(
    const struct bypass_range *r, unsigned ipv6_unit, size_t most, bypass_unit_cb each,
    void *context);

struct bypass_sets {
    struct prefix_map units; /* until_s as end_s above; no slots: empty, and nothing was put yet */
    struct bypass_range *ranges; /* see bypass_sets_sort() */
    size_t range_count, range_room;
};

void bypass_sets_fini(struct bypass_sets *s); /* leaves it empty, and good for use */
/* Each of the two: -1: out of memory, nothing changed. */
int bypass_sets_put(struct bypass_sets *s, const struct prefix *unit, int64_t end_s)
    __attribute__((warn_unused_result));
int bypass_sets_add(struct bypass_sets *s, const struct bypass_range *range)
    __attribute__((warn_unused_result));
/* NULL: it holds no such unit. */
const struct prefix_slot *bypass_sets_unit(const struct bypass_sets *s, const struct prefix *unit);
/* Puts the ranges into the order of family and addresses. */
void bypass_sets_sort(struct bypass_sets *s);
/* Is the address in a unit, or in one of the (sorted) ranges? */
bool bypass_sets_cover(const struct bypass_sets *s, const struct addr *a, unsigned ipv6_unit);
/* Is all of the unit let by: as one, or as a part of a range? */
bool bypass_sets_let_by(const struct bypass_sets *s, const struct prefix *unit);
size_t bypass_sets_count(const struct bypass_sets *s);

#endif
