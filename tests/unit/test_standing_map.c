#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "svc/growing_map.h"
#include "svc/standing_map.h"

#define NOW_S  1000
#define NAIVE  600
#define ROUNDS 100000

/* What is asked of the map, asked of a list. */
struct standing {
    struct prefix prefix;
    uint32_t class;
    int64_t until_s;
};

struct list {
    struct standing at[NAIVE];
    size_t count;
};

struct place {
    struct prefix_map map;
    struct class_names names;
    struct list list;
};

static struct conf_class known[] = {{.name = "registered"}, {.name = "ordinary"}};
static const struct conf conf = {.classes = known, .class_count = 2};
/* By number; the last is one that the configuration does not know. */
static const char *const class_of[] = {"registered", "ordinary", "bygone"};

/* Of few distinct bits, so that prefixes nest and meet again. More lengths than the map looks for
 * together. */
static struct addr random_addr(void)
{
    bool v6 = rand() % 2 == 0;
    struct addr a = {.family = v6 ? ADDR_IPV6 : ADDR_IPV4};

    for (unsigned i = 0; i < (v6 ? 16U : 4U); i++) {
        a.bytes[i] = (uint8_t)(rand() % 4 == 0 ? rand() % 3 : 0);
    }
    return a;
}

static struct prefix random_prefix(void)
{
    static const uint8_t v4[] = {0, 4, 8, 12, 16, 20, 24, 28, 30, 31, 32};
    static const uint8_t v6[] = {0, 1, 16, 32, 40, 48, 56, 63, 64, 65, 96, 127, 128};
    struct addr a = random_addr();

    return a.family == ADDR_IPV4 ? prefix_of(&a, v4[(size_t)rand() % sizeof(v4)])
                                 : prefix_of(&a, v6[(size_t)rand() % sizeof(v6)]);
}

static size_t place_in(const struct list *l, const struct prefix *p)
{
    size_t i = 0;

    while (i < l->count && !prefix_equal(&l->at[i].prefix, p)) {
        i++;
    }
    return i;
}

static void change(struct place *t)
{
    struct prefix p = random_prefix();
    size_t i = place_in(&t->list, &p);
    struct standing *s = &t->list.at[i];

    if (rand() % 5 < 2) {
        assert_int_equal(prefix_map_remove(&t->map, &p), i < t->list.count);
        if (i < t->list.count) {
            *s = t->list.at[--t->list.count];
        }
        return;
    }
    if (i == NAIVE) {
        return;
    }
    t->list.count += i == t->list.count;
    *s = (struct standing){p, (uint32_t)rand() % 3, rand() % 2 == 0 ? 0 : NOW_S - 2 + rand() % 5};
    assert_int_equal(growing_map_put(&t->map, &p, s->class, s->until_s), 0);
}

static const struct standing *find(const struct list *l, const struct addr *a, int max_len)
{
    const struct standing *best = NULL;

    for (size_t i = 0; i < l->count; i++) {
        const struct standing *s = &l->at[i];
        bool holds = s->class < 2 && (s->until_s == 0 || s->until_s > NOW_S);

        if (holds && (int)s->prefix.len <= max_len && prefix_contains(&s->prefix, a) &&
            (best == NULL || s->prefix.len > best->prefix.len)) {
            best = s;
        }
    }
    return best;
}

static bool same(const struct place *t, const struct addr *a, int max_len)
{
    const struct conf_class *class = NULL;
    const struct prefix_slot *got =
        standing_map_find(&t->map, &t->names, &conf, a, max_len, NOW_S, &class);
    const struct standing *expected = find(&t->list, a, max_len);
    struct prefix p;

    if (got == NULL || expected == NULL) {
        assert_true(got == NULL && expected == NULL);
        return false;
    }
    p = prefix_map_prefix(got);
    assert_true(prefix_equal(&p, &expected->prefix));
    assert_int_equal(got->until_s, expected->until_s);
    assert_ptr_equal(class, &known[expected->class]);
    return true;
}

static void agrees_with_a_list(void **state)
{
    static struct place t;
    unsigned found = 0;

    (void)state;
    srand(25);
    assert_int_equal(growing_map_expect(&t.map, 0), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(class_names_intern(&t.names, span_of(class_of[i])), i);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct addr a = random_addr();

        change(&t);
        found += same(&t, &a, rand() % 2 == 0 ? PREFIX_MAP_LENGTHS : rand() % 130 - 1);
        assert_int_equal(t.map.count, t.list.count);
    }
    assert_true(found > ROUNDS / 10 && found < ROUNDS / 10 * 9);
    growing_map_fini(&t.map);
    class_names_fini(&t.names);
}

/* From a few slots to arrays that lie in huge pages, and down again. */
static void grows_large(void **state)
{
    struct prefix_map m = {0};
    struct prefix p = {.addr.family = ADDR_IPV4, .len = 32};

    (void)state;
    for (uint32_t i = 0; i < 150000; i++) {
        memcpy(p.addr.bytes, &i, sizeof(i));
        assert_int_equal(growing_map_put(&m, &p, i, i), 0);
    }
    assert_true(m.capacity * sizeof(*m.slots) > (size_t)4 << 20);
    for (uint32_t i = 0; i < 150000; i += 2) {
        memcpy(p.addr.bytes, &i, sizeof(i));
        assert_true(prefix_map_remove(&m, &p));
    }
    for (uint32_t i = 0; i < 160000; i++) {
        const struct prefix_slot *s;

        memcpy(p.addr.bytes, &i, sizeof(i));
        s = prefix_map_get(&m, &p);
        assert_int_equal(s != NULL, i < 150000 && i % 2 == 1);
        assert_true(s == NULL || (s->value == i && s->until_s == i));
    }
    growing_map_fini(&m);
    assert_null(m.slots);
    assert_int_equal(growing_map_expect(&m, 1000000), 0);
    for (size_t i = 0; i < m.capacity; i++) {
        assert_int_equal(m.slots[i].family, ADDR_NONE);
    }
    growing_map_fini(&m);
}

/* What is copied from one to the other does not come in the other's order: see prefix_map_init().
 */
static void each_map_has_an_order_of_its_own(void **state)
{
    struct prefix_map a = {0}, b = {0};

    (void)state;
    assert_int_equal(growing_map_expect(&a, 0), 0);
    assert_int_equal(growing_map_expect(&b, 0), 0);
    assert_int_not_equal(a.seed, b.seed);
    uint64_t seed = a.seed;
    assert_int_equal(growing_map_expect(&a, 1000), 0);
    assert_int_equal(a.seed, seed);
    growing_map_fini(&a);
    growing_map_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_list),
        cmocka_unit_test(each_map_has_an_order_of_its_own),
        cmocka_unit_test(grows_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
