#include "svc/growing_map.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

/* Searches jump about in the array: with ordinary pages nearly each would wait for the page tables
 * too, which takes longer than the slot itself. Arrays of this size or more begin at a huge page
 * and ask for such ones; a kernel that has none to give uses ordinary pages. */
#define HUGE_PAGE ((size_t)1 << 21)

static bool is_large(size_t bytes)
{
    return bytes >= HUGE_PAGE;
}

/* Of memory that the kernel hands out zeroed, page by page as it is touched. */
static void *map_large(size_t bytes)
{
    char *whole =
        mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t before;

    if (whole == MAP_FAILED) {
        return NULL;
    }
    before = -(uintptr_t)whole & (HUGE_PAGE - 1);
    if (before > 0) {
        munmap(whole, before);
    }
    munmap(whole + before + bytes, HUGE_PAGE - before);
    (void)madvise(whole + before, bytes, MADV_HUGEPAGE);
    return whole + before;
}

static struct prefix_slot *new_slots(size_t capacity)
{
    size_t bytes = capacity * sizeof(struct prefix_slot);

    return is_large(bytes) ? map_large(bytes) : calloc(capacity, sizeof(struct prefix_slot));
}

static void free_slots(struct prefix_slot *slots, size_t capacity)
{
    size_t bytes = capacity * sizeof(*slots);

    if (is_large(bytes)) {
        munmap(slots, bytes);
    } else {
        free(slots);
    }
}

/* Maps are filled from others slot by slot: when a copy is read, which was written so; when sets
 * are made of the standings. */
static uint64_t new_seed(void)
{
    uint64_t seed = 0;

    /* Without any it works, slower. */
    (void)!getrandom(&seed, sizeof seed, GRND_NONBLOCK);
    return seed;
}

static int grow(struct prefix_map *m, size_t capacity)
{
    struct prefix_slot *old = m->slots, *slots = new_slots(capacity);
    size_t old_capacity = m->capacity;

    if (slots == NULL) {
        return -1;
    }
    if (old == NULL) {
        prefix_map_init(m, slots, capacity, new_seed());
        return 0;
    }
    prefix_map_move(m, slots, capacity);
    free_slots(old, old_capacity);
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
    if (m->slots != NULL) {
        free_slots(m->slots, m->capacity);
    }
    *m = (struct prefix_map){0};
}
