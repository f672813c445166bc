#include "svc/lease_map.h"

#include <stdlib.h>
#include <string.h>

#include "svc/growing_map.h"

#define FIRST_ROOM    64
#define MOST_EXPECTED (1U << 24)

struct lease {
    int64_t began;
    char account[];
};

void lease_map_fini(struct lease_map *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        free(m->at[i]);
    }
    free(m->at);
    free(m->unused);
    growing_map_fini(&m->index);
    *m = (struct lease_map){0};
}

static struct lease *lease_new(struct span account, int64_t began)
{
    struct lease *l = malloc(sizeof(*l) + account.len + 1);

    if (l != NULL) {
        l->began = began;
        memcpy(l->account, account.at, account.len);
        l->account[account.len] = '\0';
    }
    return l;
}

/* Both arrays have room for a number more. */
static bool grow_numbers(struct lease_map *m)
{
    uint32_t room = m->room == 0 ? FIRST_ROOM : m->room * 2;
    struct lease **at = realloc(m->at, room * sizeof(void *));
    uint32_t *unused;

    if (at == NULL) {
        return false;
    }
    m->at = at;
    unused = realloc(m->unused, room * sizeof(*unused));
    if (unused == NULL) {
        return false;
    }
    m->unused = unused;
    m->room = room;
    return true;
}

void lease_map_expect(struct lease_map *m, size_t expected)
{
    if (growing_map_expect(&m->index, expected < MOST_EXPECTED ? expected : MOST_EXPECTED) != 0) {
        return; /* then it grows, as it can */
    }
}

static bool has_number(struct lease_map *m)
{
    return m->unused_count > 0 || m->count < m->room || grow_numbers(m);
}

int lease_map_put(
    struct lease_map *m, const struct prefix *p, struct span account, int64_t began, int64_t until)
{
    const struct prefix_slot *s = m->index.capacity == 0 ? NULL : prefix_map_get(&m->index, p);
    struct lease *l = NULL;
    uint32_t number;

    if (s != NULL && span_equal(span_of(m->at[s->value]->account), account)) {
        number = s->value; /* renewed: nothing is copied */
        m->at[number]->began = began;
    } else {
        l = lease_new(account, began);
        if (l == NULL || (s == NULL && (growing_map_room(&m->index) != 0 || !has_number(m)))) {
            free(l);
            return -1;
        }
        number = s != NULL             ? s->value
                 : m->unused_count > 0 ? m->unused[--m->unused_count]
                                       : m->count++;
        if (s != NULL) {
            free(m->at[number]);
        }
        m->at[number] = l;
    }
    (void)prefix_map_put(&m->index, p, number, until); /* there is room */
    return 0;
}

void lease_map_remove(struct lease_map *m, const struct prefix *p)
{
    const struct prefix_slot *s = m->index.capacity == 0 ? NULL : prefix_map_get(&m->index, p);
    uint32_t number;

    if (s == NULL) {
        return;
    }
    number = s->value;
    free(m->at[number]);
    m->at[number] = NULL;
    m->unused[m->unused_count++] = number;
    (void)prefix_map_remove(&m->index, p);
}

const char *lease_map_find(const struct lease_map *m, const struct addr *a, int64_t now)
{
    const struct lease *last = NULL;
    const struct prefix_slot *s;

    if (m->index.count == 0) {
        return NULL;
    }
    s = prefix_map_cover(&m->index, a, PREFIX_MAP_LENGTHS);
    for (; s != NULL; s = prefix_map_cover(&m->index, a, (int)s->len - 1)) {
        const struct lease *l = m->at[s->value];

        if (s->until_s > now && (last == NULL || l->began > last->began)) {
            last = l;
        }
    }
    return last == NULL ? NULL : last->account;
}

size_t lease_map_sweep(struct lease_map *m, int64_t now, size_t slots, size_t *next)
{
    size_t before = m->index.count;

    for (; slots > 0 && m->index.capacity > 0; slots--) {
        const struct prefix_slot *s;

        if (*next >= m->index.capacity) {
            *next = 0;
        }
        s = &m->index.slots[*next];
        if (s->family == ADDR_NONE || s->until_s > now) {
            (*next)++;
            continue;
        }
        /* Whoever stood behind it may stand in its slot now, which is looked at again. */
        struct prefix p = prefix_map_prefix(s);
        lease_map_remove(m, &p);
    }
    return before - m->index.count;
}

bool lease_map_row(const struct lease_map *m, size_t i, struct lease_row *out)
{
    const struct prefix_slot *s = &m->index.slots[i];

    if (s->family == ADDR_NONE) {
        return false;
    }
    *out = (struct lease_row){
        .unit = prefix_map_prefix(s),
        .account = m->at[s->value]->account,
        .began = m->at[s->value]->began,
        .until = s->until_s};
    return true;
}

size_t lease_map_count(const struct lease_map *m)
{
    return m->index.count;
}
