#include "svc/growing_map.h"

#include <stdlib.h>

static int grow(struct prefix_map *m, size_t capacity)
{
    struct prefix_slot *old = m->slots;
    struct prefix_slot *slots = calloc(capacity, sizeof(*slots));

    if (slots == NULL) {
        return -1;
    }
    if (old == NULL) {
        prefix_map_init(m, slots, capacity);
    } else {
        prefix_map_move(m, slots, capacity);
    }
    free(old);
    return 0;
}

int growing_map_expect(struct prefix_map *m, size_t expected)
{
    size_t capacity = prefix_map_capacity(expected);

    return capacity <= m->capacity ? 0 : grow(m, capacity);
}

int growing_map_room(struct prefix_map *m)
{
    if (m->slots == NULL) {
        return grow(m, PREFIX_MAP_SMALLEST);
    }
    return prefix_map_full(m) ? grow(m, m->capacity * 2) : 0;
}

int growing_map_put(struct prefix_map *m, const struct prefix *p, uint32_t value, int64_t until_s)
{
    return growing_map_room(m) == 0 && prefix_map_put(m, p, value, until_s) ? 0 : -1;
}

void growing_map_fini(struct prefix_map *m)
{
    free(m->slots);
    *m = (struct prefix_map){0};
}
