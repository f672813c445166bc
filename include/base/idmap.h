/* Names for objects that may be gone: an id finds its object or nothing, never a successor. */
#ifndef GATE25_BASE_IDMAP_H
#define GATE25_BASE_IDMAP_H

#include <stddef.h>
#include <stdint.h>

struct idmap_slot {
    void *object; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
};

struct idmap {
    struct idmap_slot *slots;
    uint32_t cap;
    uint32_t first_free;
    size_t count;
};

#define IDMAP_NONE 0 /* no object ever has this id */

void idmap_init(struct idmap *m);
void idmap_fini(struct idmap *m);
/* Gives `object` an id. IDMAP_NONE: out of memory. */
uint64_t idmap_add(struct idmap *m, void *object) __attribute__((warn_unused_result));
void *idmap_get(const struct idmap *m, uint64_t id); /* NULL: gone, or never was */
void idmap_remove(struct idmap *m, uint64_t id);
/* Calls `each` for every object; `each` may remove the object it is given, and no other. */
void idmap_each(struct idmap *m, void (*each)(void *object, void *context), void *context);

#endif
