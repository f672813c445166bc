/* Longest-prefix match over addresses and prefixes of both families, changed in O(1): one hash
 * table, probed once for each prefix length in use. The slots belong to the owner of the map. */
#ifndef GATE25_CORE_PREFIX_MAP_H
#define GATE25_CORE_PREFIX_MAP_H

#include "core/prefix.h"

#define PREFIX_MAP_SMALLEST 64 /* slots that an array should have at least */
#define PREFIX_MAP_LENGTHS  129

struct prefix_slot {
    uint64_t high, low; /* the address, host bits zero; IPv4 in the upper half of `high` */
    int64_t until_s;    /* the owner's */
    uint32_t value;     /* the owner's */
    uint8_t family;     /* ADDR_NONE: a free slot */
    uint8_t len;
};

/* Which lengths of one family are in use, and by how many entries. */
struct prefix_map_lengths {
    uint32_t count[PREFIX_MAP_LENGTHS];
    uint64_t used[3]; /* bit `len` of the three words together */
};

struct prefix_map {
    struct prefix_slot *slots;
    uint64_t seed;   /* of the order in which entries stand */
    size_t capacity; /* a power of two */
    size_t count;
    struct prefix_map_lengths v4, v6;
};

/* The smallest capacity that takes `count` entries before prefix_map_full() says so. */
size_t prefix_map_capacity(size_t count);
/* `slots` are zeroed and stay the caller's; `capacity` is a power of two, at least 2. `seed`: any
 * number, but another one for each map. What is put into a smaller map in the order of the slots of
 * another with the same seed piles up at the beginning, and takes time with its number squared. */
void prefix_map_init(
    struct prefix_map *m, struct prefix_slot *slots, size_t capacity, uint64_t seed);
/* Three quarters are taken: time for a larger array (it goes on slower until the last slot but
 * one). */
bool prefix_map_full(const struct prefix_map *m);
/* Moves all entries into a larger zeroed array; the old one is the caller's to free. */
void prefix_map_move(struct prefix_map *m, struct prefix_slot *slots, size_t capacity);

/* Adds the entry or replaces what it says. False: no slot is left. Of a family that is neither IPv4
 * nor IPv6 an entry is found by prefix_map_get() alone. */
bool prefix_map_put(struct prefix_map *m, const struct prefix *p, uint32_t value, int64_t until_s);
bool prefix_map_remove(struct prefix_map *m, const struct prefix *p); /* false: was not there */
/* The entry of exactly this prefix, or NULL. Put, remove and get need slots, which a map that is
 * all zero has not; the others do without. */
const struct prefix_slot *prefix_map_get(const struct prefix_map *m, const struct prefix *p);
/* Has the memory come that prefix_map_cover() will look at for `a`, and does not wait for it: it
 * takes longer than all else of a search, and something else may be done meanwhile. */
void prefix_map_prefetch(const struct prefix_map *m, const struct addr *a);
/* The entry with the longest prefix over `a` of at most `max_len` bits, or NULL. To look behind the
 * one found, ask again with its length less one (-1: there is none). */
const struct prefix_slot *prefix_map_cover(
    const struct prefix_map *m, const struct addr *a, int max_len);

/* The prefix of a slot that is taken. */
struct prefix prefix_map_prefix(const struct prefix_slot *slot);

#endif
