#include "bypass/bypass_sets.h"

#include <stdlib.h>
#include <string.h>

#include "svc/growing_map.h"

#define RANGES_FIRST 16

/* --- addresses as numbers --- */

addr_number addr_to_number(const struct addr *a)
{
    addr_number n = 0;

    for (unsigned i = 0; i < addr_bits(a->family) / 8; i++) {
        n = n << 8 | a->bytes[i];
    }
    return n;
}

struct addr addr_of_number(addr_number n, uint8_t family)
{
    struct addr a = {.family = family};

    for (unsigned i = addr_bits(family) / 8; i > 0; i--) {
        a.bytes[i - 1] = (uint8_t)n;
        n >>= 8;
    }
    return a;
}

struct addr prefix_last(const struct prefix *p)
{
    struct addr a = p->addr;

    for (unsigned bit = p->len; bit < addr_bits(a.family); bit++) {
        a.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    }
    return a;
}

/* --- units --- */

int bypass_sets_put(struct bypass_sets *s, const struct prefix *unit, int64_t end_s)
{
    return growing_map_put(&s->units, unit, 0, end_s);
}

const struct prefix_slot *bypass_sets_unit(const struct bypass_sets *s, const struct prefix *unit)
{
    return s->units.slots == NULL ? NULL : prefix_map_get(&s->units, unit);
}

/* --- ranges --- */

int bypass_sets_add(struct bypass_sets *s, const struct bypass_range *range)
{
    if (s->range_count == s->range_room) {
        size_t room = s->range_room == 0 ? RANGES_FIRST : s->range_room * 2;
        struct bypass_range *more = reallocarray(s->ranges, room, sizeof(*more));

        if (more == NULL) {
            return -1;
        }
        s->ranges = more;
        s->range_room = room;
    }
    s->ranges[s->range_count++] = *range;
    return 0;
}

void bypass_range_units(
    const struct bypass_range *r, unsigned ipv6_unit, size_t most, bypass_unit_cb each,
    void *context)
{
    const uint8_t family = r->first.family;
    const unsigned len = family == ADDR_IPV4 ? addr_bits(ADDR_IPV4) : ipv6_unit;
    const addr_number size = (addr_number)1 << (addr_bits(family) - len);
    const addr_number first = addr_to_number(&r->first), last = addr_to_number(&r->last);
    /* Up to the first unit's beginning; the last one's end is a unit's size further. */
    const addr_number begins = (size - first % size) % size;
    const addr_number whole = last - first < begins ? 0 : (last - first - begins + 1) / size;

    for (addr_number i = 0; i < whole && whole <= most; i++) {
        const struct addr a = addr_of_number(first + begins + i * size, family);
        const struct prefix unit = {a, (uint8_t)len};

        each(context, &unit, r->end_s);
    }
}

static int compare_addr(const struct addr *a, const struct addr *b)
{
    if (a->family != b->family) {
        return a->family < b->family ? -1 : 1;
    }
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static int compare_ranges(const void *a, const void *b)
{
    return compare_addr(
        &((const struct bypass_range *)a)->first, &((const struct bypass_range *)b)->first);
}

void bypass_sets_sort(struct bypass_sets *s)
{
    if (s->range_count > 0) {
        qsort(s->ranges, s->range_count, sizeof(*s->ranges), compare_ranges);
    }
}

/* The (sorted) range that the address is in, or NULL. */
static const struct bypass_range *range_of(const struct bypass_sets *s, const struct addr *a)
{
    size_t low = 0, high = s->range_count; /* the last one that does not begin behind `a` */

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare_addr(&s->ranges[middle].first, a) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 && s->ranges[low - 1].first.family == a->family &&
                   compare_addr(a, &s->ranges[low - 1].last) <= 0
               ? &s->ranges[low - 1]
               : NULL;
}

bool bypass_sets_cover(const struct bypass_sets *s, const struct addr *a, unsigned ipv6_unit)
{
    struct prefix unit = prefix_unit(a, ipv6_unit);

    return bypass_sets_unit(s, &unit) != NULL || range_of(s, a) != NULL;
}

bool bypass_sets_let_by(const struct bypass_sets *s, const struct prefix *unit)
{
    const struct addr last = prefix_last(unit);
    const struct bypass_range *range = range_of(s, &unit->addr);

    return bypass_sets_unit(s, unit) != NULL ||
           (range != NULL && compare_addr(&last, &range->last) <= 0);
}

/* --- both --- */

size_t bypass_sets_count(const struct bypass_sets *s)
{
    return s->units.count + s->range_count;
}

void bypass_sets_fini(struct bypass_sets *s)
{
    growing_map_fini(&s->units);
    free(s->ranges);
    *s = (struct bypass_sets){0};
}
