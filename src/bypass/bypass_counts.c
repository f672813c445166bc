#include "bypass/bypass_counts.h"

#include <stdlib.h>

#include "svc/growing_map.h"

static const struct prefix_slot *get(const struct prefix_map *m, const struct prefix *p)
{
    return m->slots == NULL ? NULL : prefix_map_get(m, p);
}

void bypass_counts_fini(struct bypass_counts *c)
{
    for (size_t reading = 0; reading < BYPASS_READINGS; reading++) {
        growing_map_fini(&c->seen[reading]);
    }
    growing_map_fini(&c->index);
    free(c->figures);
    *c = (struct bypass_counts){0};
}

void bypass_counts_begin(struct bypass_counts *c)
{
    c->round++;
}

/* Keeps what was read in this round. Without memory old readings stay, which does no harm. */
static void prune(struct prefix_map *m, uint32_t round)
{
    struct prefix_map fresh = {0};

    for (size_t i = 0; i < m->capacity; i++) {
        const struct prefix_slot *s = &m->slots[i];
        struct prefix p = prefix_map_prefix(s);

        if (s->family != ADDR_NONE && s->value == round &&
            growing_map_put(&fresh, &p, round, s->until_s) != 0) {
            growing_map_fini(&fresh);
            return;
        }
    }
    growing_map_fini(m);
    *m = fresh;
}

void bypass_counts_end(struct bypass_counts *c)
{
    for (size_t reading = 0; reading < BYPASS_READINGS; reading++) {
        prune(&c->seen[reading], c->round);
    }
    c->counting = true;
}

static struct bypass_figures *figures_of(struct bypass_counts *c, const struct prefix *subscriber)
{
    const struct prefix_slot *slot = get(&c->index, subscriber);

    if (slot != NULL) {
        return &c->figures[slot->value];
    }
    if (c->count == BYPASS_COUNTED) {
        return NULL;
    }
    if (c->count == c->room) {
        size_t room = c->room == 0 ? 64 : c->room * 2;
        struct bypass_figures *more = reallocarray(c->figures, room, sizeof(*more));

        if (more == NULL) {
            return NULL;
        }
        c->figures = more;
        c->room = room;
    }
    if (growing_map_put(&c->index, subscriber, (uint32_t)c->count, 0) != 0) {
        return NULL;
    }
    c->figures[c->count] = (struct bypass_figures){.subscriber = *subscriber};
    return &c->figures[c->count++];
}

enum bypass_count bypass_counts_kind(enum bypass_reading reading)
{
    static const enum bypass_count kinds[BYPASS_READINGS] = {
        [READING_OPENED] = BYPASS_OPENED, [READING_UP] = BYPASS_UP,
        [READING_DOWN] = BYPASS_DOWN,     [READING_FAST_OPENED] = BYPASS_OPENED,
        [READING_FAST_UP] = BYPASS_UP,    [READING_FAST_DOWN] = BYPASS_DOWN,
    };

    return kinds[reading];
}

bool bypass_counts_hear(struct bypass_counts *c, const struct prefix *subscriber)
{
    struct bypass_figures *f = figures_of(c, subscriber);
    const uint64_t before = f == NULL ? 0 : f->heard;

    if (f == NULL) {
        return true; /* nothing is known of him */
    }
    f->heard = f->count[BYPASS_DOWN];
    return f->heard != before;
}

void bypass_counts_forget(
    struct bypass_counts *c, enum bypass_reading reading, const struct prefix *unit)
{
    if (unit == NULL) {
        growing_map_fini(&c->seen[reading]);
    } else if (get(&c->seen[reading], unit) != NULL) {
        prefix_map_remove(&c->seen[reading], unit);
    }
}

uint64_t bypass_counts_take(
    struct bypass_counts *c, enum bypass_reading reading, const struct prefix *unit, uint64_t value,
    const struct prefix *subscriber)
{
    const struct prefix_slot *slot = get(&c->seen[reading], unit);
    uint64_t before = slot == NULL ? 0 : (uint64_t)slot->until_s;
    /* A smaller number: the kernel had forgotten the unit, and began anew. */
    uint64_t more = value >= before ? value - before : value;
    struct bypass_figures *figures;

    if (growing_map_put(&c->seen[reading], unit, c->round, (int64_t)value) != 0 || !c->counting ||
        more == 0) {
        return 0;
    }
    figures = figures_of(c, subscriber);
    if (figures != NULL) {
        figures->count[bypass_counts_kind(reading)] += more;
    }
    return more;
}

const struct bypass_figures *bypass_counts_of(
    const struct bypass_counts *c, const struct prefix *subscriber)
{
    const struct prefix_slot *slot = get(&c->index, subscriber);

    return slot == NULL ? NULL : &c->figures[slot->value];
}

size_t bypass_counts_top(
    const struct bypass_counts *c, const struct bypass_figures **out, size_t most)
{
    size_t count = 0;

    for (size_t i = 0; i < c->count; i++) {
        const struct bypass_figures *f = &c->figures[i];
        size_t at = count;

        /* Moves down whoever has less; the least falls out. */
        while (at > 0 && out[at - 1]->count[BYPASS_UP] < f->count[BYPASS_UP]) {
            at--;
        }
        if (at == most) {
            continue;
        }
        for (size_t j = count < most ? count : most - 1; j > at; j--) {
            out[j] = out[j - 1];
        }
        out[at] = f;
        count += count < most;
    }
    return count;
}
