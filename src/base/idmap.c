#include "base/idmap.h"

#include <stdlib.h>

#define IDMAP_FIRST 64
#define NO_SLOT     UINT32_MAX

void idmap_init(struct idmap *m)
{
    *m = (struct idmap){.first_free = NO_SLOT};
}

void idmap_fini(struct idmap *m)
{
    free(m->slots);
    idmap_init(m);
}

static int idmap_enlarge(struct idmap *m)
{
    uint32_t cap = m->cap ? m->cap * 2 : IDMAP_FIRST;
    struct idmap_slot *slots = reallocarray(m->slots, cap, sizeof *slots);
    if (!slots) {
        return -1;
    }
    for (uint32_t i = m->cap; i < cap; i++) {
        slots[i] = (struct idmap_slot){NULL, 1, i + 1 < cap ? i + 1 : NO_SLOT};
    }
    m->first_free = m->cap;
    m->slots = slots;
    m->cap = cap;
    return 0;
}

uint64_t idmap_add(struct idmap *m, void *object)
{
    if (m->first_free == NO_SLOT && idmap_enlarge(m) != 0) {
        return IDMAP_NONE;
    }
    uint32_t index = m->first_free;
    struct idmap_slot *slot = &m->slots[index];
    m->first_free = slot->next_free;
    slot->object = object;
    m->count++;
    return (uint64_t)slot->generation << 32 | index;
}

static struct idmap_slot *idmap_slot(const struct idmap *m, uint64_t id)
{
    uint32_t index = (uint32_t)id;
    if (index >= m->cap) {
        return NULL;
    }
    struct idmap_slot *slot = &m->slots[index];
    return slot->object && slot->generation == (uint32_t)(id >> 32) ? slot : NULL;
}

void *idmap_get(const struct idmap *m, uint64_t id)
{
    const struct idmap_slot *slot = idmap_slot(m, id);
    return slot ? slot->object : NULL;
}

void idmap_remove(struct idmap *m, uint64_t id)
{
    struct idmap_slot *slot = idmap_slot(m, id);
    if (!slot) {
        return;
    }
    slot->object = NULL;
    /* Generation 0 would make index 0 look like IDMAP_NONE. */
    slot->generation = slot->generation == UINT32_MAX ? 1 : slot->generation + 1;
    slot->next_free = m->first_free;
    m->first_free = (uint32_t)id;
    m->count--;
}

void idmap_each(struct idmap *m, void (*each)(void *object, void *context), void *context)
{
    for (uint32_t i = 0; i < m->cap; i++) {
        if (m->slots[i].object) {
            each(m->slots[i].object, context);
        }
    }
}
