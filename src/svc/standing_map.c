#include "svc/standing_map.h"

#include <stdlib.h>
#include <string.h>

#define MOST_NAMES 4096

int64_t class_names_intern(struct class_names *n, struct span name)
{
    char(*larger)[CONF_NAME];

    for (uint32_t i = 0; i < n->count; i++) {
        if (span_equal(class_names_at(n, i), name)) {
            return i;
        }
    }
    if (name.len == 0 || name.len >= CONF_NAME || n->count == MOST_NAMES ||
        memchr(name.at, '\0', name.len) != NULL) {
        return -1;
    }
    larger = realloc(n->name, (n->count + 1) * sizeof(*larger));
    if (larger == NULL) {
        return -1;
    }
    n->name = larger;
    memcpy(larger[n->count], name.at, name.len);
    larger[n->count][name.len] = '\0';
    return n->count++;
}

struct span class_names_at(const struct class_names *n, uint32_t number)
{
    return span_of(n->name[number]);
}

void class_names_fini(struct class_names *n)
{
    free(n->name);
    *n = (struct class_names){0};
}

int standing_map_init(struct prefix_map *m, size_t expected)
{
    size_t capacity = prefix_map_capacity(expected);
    struct prefix_slot *slots = calloc(capacity, sizeof(*slots));

    if (slots == NULL) {
        return -1;
    }
    prefix_map_init(m, slots, capacity);
    return 0;
}

void standing_map_fini(struct prefix_map *m)
{
    free(m->slots);
    *m = (struct prefix_map){0};
}

static int grow(struct prefix_map *m)
{
    struct prefix_slot *old = m->slots;
    struct prefix_slot *slots = calloc(m->capacity * 2, sizeof(*slots));

    if (slots == NULL) {
        return -1;
    }
    prefix_map_move(m, slots, m->capacity * 2);
    free(old);
    return 0;
}

int standing_map_put(
    struct prefix_map *m, const struct prefix *p, uint32_t class_number, int64_t until_s)
{
    if (prefix_map_full(m) && grow(m) != 0) {
        return -1;
    }
    return prefix_map_put(m, p, class_number, until_s) ? 0 : -1;
}

const struct prefix_slot *standing_map_find(
    const struct prefix_map *m, const struct class_names *names, const struct conf *conf,
    const struct addr *a, int64_t now_s, const struct conf_class **class)
{
    const struct prefix_slot *s = prefix_map_cover(m, a, PREFIX_MAP_LENGTHS);

    for (; s != NULL; s = prefix_map_cover(m, a, (int)s->len - 1)) {
        if (s->until_s != 0 && s->until_s <= now_s) {
            continue;
        }
        *class = conf_class_named(conf, class_names_at(names, s->value));
        if (*class != NULL) {
            return s;
        }
    }
    return NULL;
}
