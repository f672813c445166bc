#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/prefix_map.h"

static struct prefix prefix(const char *text)
{
    struct prefix p;

    assert_int_equal(prefix_parse(span_of(text), &p), PREFIX_OK);
    return p;
}

static struct addr addr(const char *text)
{
    struct addr a;

    assert_true(addr_parse(span_of(text), &a));
    return a;
}

static void put(struct prefix_map *m, const char *text, uint32_t value)
{
    struct prefix p = prefix(text);

    assert_true(prefix_map_put(m, &p, value, 0));
}

static void finds_the_longest(void **state)
{
    static const struct {
        const char *address;
        int max_len;
        int value; /* -1: none */
    } rows[] = {
        {"192.0.2.7", 128, 3},   {"192.0.2.7", 31, 2},         {"192.0.2.7", 23, 1},
        {"192.0.2.7", 15, 0},    {"192.0.2.7", -1, -1},        {"192.0.2.8", 128, 2},
        {"192.0.3.8", 128, 1},   {"10.0.0.1", 128, 0},         {"2001:db8::1", 128, 6},
        {"2001:db8::2", 128, 5}, {"2001:db8:0:100::", 128, 4}, {"2001:db8::1", 64, 5},
        {"2001:db8::1", 63, 5},  {"2001:db8::1", 55, 4},       {"2001:db9::1", 128, -1},
        {"2001:db8::1", 127, 5},
    };
    struct prefix_slot slots[64] = {0};
    struct prefix_map m;

    (void)state;
    prefix_map_init(&m, slots, 64, 25);
    put(&m, "0.0.0.0/0", 0);
    put(&m, "192.0.0.0/16", 1);
    put(&m, "192.0.2.0/24", 2);
    put(&m, "192.0.2.7", 3);
    put(&m, "2001:db8::/32", 4);
    put(&m, "2001:db8::/56", 5);
    put(&m, "2001:db8::1", 6);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct addr a = addr(rows[i].address);
        const struct prefix_slot *s = prefix_map_cover(&m, &a, rows[i].max_len);

        assert_int_equal(s == NULL ? -1 : (int)s->value, rows[i].value);
        if (s != NULL) {
            struct prefix p = prefix_map_prefix(s);

            assert_true(prefix_contains(&p, &a));
        }
    }
}

static void replaces_and_removes(void **state)
{
    struct prefix_slot slots[64] = {0};
    struct prefix_map m;
    struct prefix p = prefix("192.0.2.0/24");

    (void)state;
    prefix_map_init(&m, slots, 64, 25);
    assert_true(prefix_map_put(&m, &p, 1, 100));
    assert_true(prefix_map_put(&m, &p, 2, 200));
    assert_int_equal(m.count, 1);
    assert_int_equal(prefix_map_get(&m, &p)->value, 2);
    assert_int_equal(prefix_map_get(&m, &p)->until_s, 200);
    assert_true(prefix_map_remove(&m, &p));
    assert_false(prefix_map_remove(&m, &p));
    assert_int_equal(m.count, 0);
    assert_null(prefix_map_get(&m, &p));
    assert_null(prefix_map_cover(&m, &p.addr, 128));
}

/* Keys of the owner's own stand beside the addresses, and cost their searches nothing. */
static void other_families_are_found_by_their_key_alone(void **state)
{
    struct prefix_slot slots[64] = {0};
    struct prefix_map m;
    struct prefix key = {.addr = {.family = 1, .bytes = {1, 2, 3}}, .len = 128};

    (void)state;
    prefix_map_init(&m, slots, 64, 25);
    assert_true(prefix_map_put(&m, &key, 7, 0));
    assert_int_equal(m.count, 1);
    assert_int_equal(m.v6.used[0] | m.v6.used[1] | m.v6.used[2], 0);
    assert_int_equal(prefix_map_get(&m, &key)->value, 7);
    put(&m, "2001:db8::1", 8);
    assert_true(prefix_map_remove(&m, &key));
    assert_null(prefix_map_get(&m, &key));
    assert_int_equal(m.count, 1);
    struct addr a = addr("2001:db8::1");
    assert_int_equal(prefix_map_cover(&m, &a, 128)->value, 8);
}

static void says_when_no_slot_is_left(void **state)
{
    struct prefix_slot slots[4] = {0}, larger[64] = {0};
    struct prefix_map m;
    struct prefix fourth = prefix("192.0.2.4");

    (void)state;
    prefix_map_init(&m, slots, 4, 25);
    put(&m, "192.0.2.1", 1);
    put(&m, "192.0.2.2", 2);
    assert_false(prefix_map_full(&m));
    put(&m, "192.0.2.3", 3);
    assert_true(prefix_map_full(&m));
    assert_false(prefix_map_put(&m, &fourth, 4, 0));
    put(&m, "192.0.2.3", 5); /* replacing needs no slot */
    prefix_map_move(&m, larger, 64);
    assert_false(prefix_map_full(&m));
    assert_true(prefix_map_put(&m, &fourth, 4, 0));
    assert_int_equal(m.count, 4);
}

#define CROWDED 256

static struct prefix numbered(unsigned number)
{
    struct prefix p = {
        .addr = {.family = ADDR_IPV4, .bytes = {10, (uint8_t)(number >> 8), (uint8_t)number}},
        .len = 24};

    return p;
}

/* With one slot free the entries are one row round the end of the array: all have moved, and move
 * back when others go. */
static void holds_as_many_as_there_are_slots_but_one(void **state)
{
    struct prefix_slot slots[CROWDED] = {0};
    struct prefix_map m;

    (void)state;
    prefix_map_init(&m, slots, CROWDED, 25);
    for (unsigned i = 0; i < CROWDED - 1; i++) {
        struct prefix p = numbered(i);
        assert_true(prefix_map_put(&m, &p, i, 0));
    }
    for (unsigned gone = 0; gone < CROWDED - 1; gone++) {
        struct prefix victim = numbered(gone * 7 % (CROWDED - 1)); /* each once */
        assert_true(prefix_map_remove(&m, &victim));
        for (unsigned i = 0; i < CROWDED - 1; i++) {
            struct prefix p = numbered(i * 7 % (CROWDED - 1));
            const struct prefix_slot *s = prefix_map_get(&m, &p);
            assert_int_equal(s != NULL, i > gone);
            assert_true(s == NULL || s->value == i * 7 % (CROWDED - 1));
        }
    }
    assert_int_equal(m.count, 0);
    for (unsigned i = 0; i < CROWDED; i++) {
        assert_int_equal(slots[i].family, ADDR_NONE);
    }
}

/* The longest row of slots without a free one: what a search may have to go through. */
static size_t longest_row(const struct prefix_map *m)
{
    size_t longest = 0, row = 0;

    for (size_t i = 0; i < 2 * m->capacity; i++) { /* twice: it may go round the end */
        row = m->slots[i & (m->capacity - 1)].family == ADDR_NONE ? 0 : row + 1;
        longest = row > longest ? row : longest;
    }
    return longest;
}

/* Puts all entries of a map, slot by slot, into one that grows; the longest row on the way. */
static size_t fill_from(const struct prefix_map *from, uint64_t seed)
{
    struct prefix_map m;
    size_t longest = 0;

    prefix_map_init(&m, calloc(64, sizeof(*m.slots)), 64, seed);
    for (size_t i = 0; i < from->capacity; i++) {
        if (from->slots[i].family == ADDR_NONE) {
            continue;
        }
        struct prefix p = prefix_map_prefix(&from->slots[i]);
        if (prefix_map_full(&m)) {
            struct prefix_slot *old = m.slots;
            size_t row = longest_row(&m); /* the map is at its fullest */
            longest = row > longest ? row : longest;
            prefix_map_move(&m, calloc(m.capacity * 2, sizeof(*old)), m.capacity * 2);
            free(old);
        }
        assert_true(prefix_map_put(&m, &p, 1, 0));
    }
    assert_int_equal(m.count, from->count);
    free(m.slots);
    return longest;
}

/* A copy is read, and sets are made, in the order of another map's slots. */
static void entries_do_not_pile_up_in_the_order_of_another_map(void **state)
{
    struct prefix_map m;
    size_t capacity = 1 << 15;

    (void)state;
    prefix_map_init(&m, calloc(capacity, sizeof(*m.slots)), capacity, 1);
    for (unsigned i = 0; i < capacity / 100 * 57; i++) {
        struct prefix p = numbered(i);
        assert_true(prefix_map_put(&m, &p, i, 0));
    }
    assert_true(fill_from(&m, 2) < 300);
    assert_true(fill_from(&m, 1) > 3000); /* which is what the seed is for */
    free(m.slots);
}

/* It changes nothing, and an empty map has no memory to ask for. */
static void prefetches(void **state)
{
    struct prefix_slot slots[2] = {0};
    struct prefix_map m = {0};
    struct addr a4 = addr("192.0.2.1"), a6 = addr("2001:db8::1");

    (void)state;
    prefix_map_prefetch(&m, &a4);
    prefix_map_prefetch(&m, &a6);
    prefix_map_init(&m, slots, 2, 25);
    put(&m, "192.0.2.0/24", 1);
    prefix_map_prefetch(&m, &a4);
    prefix_map_prefetch(&m, &a6);
    assert_int_equal(m.count, 1);
    assert_int_equal(prefix_map_cover(&m, &a4, 128)->value, 1);
}

static void names_a_capacity(void **state)
{
    static const size_t counts[] = {0, 1, 47, 48, 49, 1000, 1000000};

    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct prefix_map m;

        prefix_map_init(&m, NULL, prefix_map_capacity(counts[i]), 25);
        m.count = counts[i];
        assert_false(prefix_map_full(&m));
        assert_int_equal(m.capacity & (m.capacity - 1), 0);
    }
    assert_true(prefix_map_capacity(1000000) * sizeof(struct prefix_slot) <= 100000000);
}

/* --- against a naive list --- */

#define NAIVE 400

struct naive {
    struct prefix prefix[NAIVE];
    uint32_t value[NAIVE];
    size_t count;
};

/* Few distinct bits, so that prefixes nest and meet again. */
static struct prefix random_prefix(void)
{
    bool v6 = rand() % 2 == 0;
    struct addr a = {.family = v6 ? ADDR_IPV6 : ADDR_IPV4};
    static const unsigned v4_lens[] = {0, 8, 24, 30, 31, 32};
    static const unsigned v6_lens[] = {0, 1, 32, 56, 63, 64, 65, 127, 128};

    for (unsigned i = 0; i < (v6 ? 16U : 4U); i++) {
        a.bytes[i] = (uint8_t)(rand() % 3 == 0 ? rand() % 4 : 0);
    }
    return prefix_of(&a, v6 ? v6_lens[rand() % 9] : v4_lens[rand() % 6]);
}

static size_t naive_find(const struct naive *n, const struct prefix *p)
{
    size_t i = 0;

    while (i < n->count && !prefix_equal(&n->prefix[i], p)) {
        i++;
    }
    return i;
}

static const struct prefix *naive_cover(const struct naive *n, const struct addr *a, int max_len)
{
    const struct prefix *best = NULL;

    for (size_t i = 0; i < n->count; i++) {
        const struct prefix *p = &n->prefix[i];

        if ((int)p->len <= max_len && prefix_contains(p, a) &&
            (best == NULL || p->len > best->len)) {
            best = p;
        }
    }
    return best;
}

static void change(struct prefix_map *m, struct naive *n)
{
    struct prefix p = random_prefix();
    size_t at = naive_find(n, &p);

    if (rand() % 5 < 2) {
        assert_int_equal(prefix_map_remove(m, &p), at < n->count);
        if (at < n->count) {
            n->count--;
            n->prefix[at] = n->prefix[n->count];
            n->value[at] = n->value[n->count];
        }
        return;
    }
    if (at == NAIVE) {
        return;
    }
    n->prefix[at] = p;
    n->value[at] = (uint32_t)rand();
    n->count += at == n->count;
    if (prefix_map_full(m)) {
        struct prefix_slot *old = m->slots;

        prefix_map_move(m, calloc(m->capacity * 2, sizeof(*old)), m->capacity * 2);
        free(old);
    }
    assert_true(prefix_map_put(m, &p, n->value[at], 0));
}

static void agrees_with_a_list(void **state)
{
    static struct naive n;
    struct prefix_map m;

    (void)state;
    srand(25);
    prefix_map_init(&m, calloc(2, sizeof(struct prefix_slot)), 2, 25);
    for (unsigned round = 0; round < 60000; round++) {
        struct addr a = random_prefix().addr;
        int max_len = rand() % 2 == 0 ? 128 : rand() % 129;
        const struct prefix *expected;
        const struct prefix_slot *got;

        change(&m, &n);
        assert_int_equal(m.count, n.count);
        expected = naive_cover(&n, &a, max_len);
        got = prefix_map_cover(&m, &a, max_len);
        assert_int_equal(got == NULL, expected == NULL);
        if (got != NULL && expected != NULL) {
            struct prefix p = prefix_map_prefix(got);

            assert_true(prefix_equal(&p, expected));
            assert_int_equal(got->value, n.value[expected - n.prefix]);
        }
    }
    assert_true(n.count > 50);
    free(m.slots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_longest),
        cmocka_unit_test(replaces_and_removes),
        cmocka_unit_test(other_families_are_found_by_their_key_alone),
        cmocka_unit_test(says_when_no_slot_is_left),
        cmocka_unit_test(names_a_capacity),
        cmocka_unit_test(holds_as_many_as_there_are_slots_but_one),
        cmocka_unit_test(prefetches),
        cmocka_unit_test(entries_do_not_pile_up_in_the_order_of_another_map),
        cmocka_unit_test(agrees_with_a_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
