/* base/str, base/buf, base/idmap, base/recent_ids: the things everything else is made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/idmap.h"
#include "base/recent_ids.h"

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t max;
        bool good;
        uint64_t value;
    } rows[] = {
        {"0", 9, true, 0},
        {"9", 9, true, 9},
        {"10", 9, false, 0},
        {"", 9, false, 0},
        {"-1", 9, false, 0},
        {"+1", 9, false, 0},
        {"1 ", 9, false, 0},
        {"007", 9, true, 7},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, false, 0},
        {"99999999999999999999999", UINT64_MAX, false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t value = 42;
        assert_int_equal(span_number(span_of(rows[i].text), rows[i].max, &value), rows[i].good);
        assert_true(value == (rows[i].good ? rows[i].value : 42));
    }
}

static void test_numbers_are_written(void **state)
{
    (void)state;
    /* Each length, and both ends of it. */
    for (uint64_t first = 0;; first = first == 0 ? 1 : first * 10) {
        const uint64_t rows[] = {first, first + 1, first * 9, first - 1};
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            char expected[32], array[32], digits[NUMBER_DIGITS];
            struct text t;
            text_init(&t, array, sizeof array);
            text_add_number(&t, rows[i]);
            snprintf(expected, sizeof expected, "%" PRIu64, rows[i]);
            assert_string_equal(array, expected);
            assert_int_equal(number_write(rows[i], digits), strlen(expected));
            assert_memory_equal(digits, expected, strlen(expected));
        }
        if (first > UINT64_MAX / 10) {
            break;
        }
    }
    char four[5];
    struct text t;
    text_init(&t, four, sizeof four);
    text_add_number(&t, 12345);
    assert_true(t.cut);
    assert_string_equal(four, "1234");
}

static void test_spans(void **state)
{
    (void)state;
    assert_true(span_equal(span_trim(SPAN_LITERAL(" \ta b\t ")), SPAN_LITERAL("a b")));
    assert_int_equal(span_trim(SPAN_LITERAL("  ")).len, 0);
    struct span rest = SPAN_LITERAL("one  two");
    assert_true(span_equal(span_word(&rest), SPAN_LITERAL("one")));
    assert_int_equal(span_word(&rest).len, 0);
    assert_true(span_equal(span_word(&rest), SPAN_LITERAL("two")));
    assert_int_equal(rest.len, 0);
    assert_int_equal(span_word(&rest).len, 0);
    assert_true(span_equal_nocase(SPAN_LITERAL("MaIl"), SPAN_LITERAL("mAiL")));
    assert_false(span_equal_nocase(SPAN_LITERAL("MAIL"), SPAN_LITERAL("MAILX")));
    assert_false(span_equal_nocase(SPAN_LITERAL("[a"), SPAN_LITERAL("{a")));
    assert_true(span_starts_nocase(SPAN_LITERAL("rcpt to"), SPAN_LITERAL("RCPT")));
    assert_false(span_starts_nocase(SPAN_LITERAL("rc"), SPAN_LITERAL("RCPT")));
    assert_true(span_contains_nocase(SPAN_LITERAL("RCPT TO"), SPAN_LITERAL("pt t")));
    assert_true(span_contains_nocase(SPAN_LITERAL("rcpt"), SPAN_LITERAL("PT")));
    assert_true(span_contains_nocase(SPAN_LITERAL("x"), SPAN_LITERAL("")));
    assert_true(span_contains_nocase(SPAN_LITERAL(""), SPAN_LITERAL("")));
    assert_false(span_contains_nocase(SPAN_LITERAL("rcpt"), SPAN_LITERAL("ptx")));
    assert_false(span_contains_nocase(SPAN_LITERAL(""), SPAN_LITERAL("x")));
    assert_int_equal(span_skip(SPAN_LITERAL("abc"), 9).len, 0);
}

static void test_text_is_bounded(void **state)
{
    (void)state;
    char array[8];
    struct text t;
    text_init(&t, array, sizeof array);
    text_addf(&t, "%d", 12345);
    assert_false(t.cut);
    text_addf(&t, "%s", "678");
    assert_true(t.cut);
    assert_string_equal(array, "1234567");
    text_add(&t, SPAN_LITERAL("x"));
    assert_string_equal(array, "1234567");
    assert_int_equal(t.len, 7);
}

static void test_buf_keeps_order_and_gives_back(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    char expect = 0;
    char next = 0;
    for (int round = 0; round < 5000; round++) {
        char piece[37];
        size_t n = (size_t)(round * 7 % 37);
        for (size_t i = 0; i < n; i++) {
            piece[i] = next++;
        }
        assert_int_equal(buf_append(&b, (struct span){piece, n}), 0);
        size_t eat = (size_t)(round * 11 % 41);
        eat = eat < buf_len(&b) ? eat : buf_len(&b);
        for (size_t i = 0; i < eat; i++) {
            assert_true(buf_span(&b).at[i] == expect++);
        }
        buf_consume(&b, eat);
        assert_true(buf_len(&b) > 0 || b.at == NULL);
    }
    buf_clear(&b);
    assert_null(b.at);
}

static void count_one(void *object, void *context)
{
    (void)object;
    ++*(size_t *)context;
}

static void test_idmap_never_finds_a_successor(void **state)
{
    (void)state;
    struct idmap m;
    idmap_init(&m);
    int objects[200];
    uint64_t ids[200];
    for (int i = 0; i < 200; i++) {
        ids[i] = idmap_add(&m, &objects[i]);
        assert_true(ids[i] != IDMAP_NONE);
    }
    for (int i = 0; i < 200; i += 2) {
        idmap_remove(&m, ids[i]);
        idmap_remove(&m, ids[i]);
    }
    assert_int_equal(m.count, 100);
    for (int i = 0; i < 200; i++) {
        assert_ptr_equal(idmap_get(&m, ids[i]), i % 2 ? &objects[i] : NULL);
    }
    uint64_t again = idmap_add(&m, &objects[0]);
    assert_ptr_equal(idmap_get(&m, again), &objects[0]);
    for (int i = 0; i < 200; i += 2) {
        assert_null(idmap_get(&m, ids[i]));
    }
    size_t seen = 0;
    idmap_each(&m, count_one, &seen);
    assert_int_equal(seen, 101);
    assert_null(idmap_get(&m, IDMAP_NONE));
    assert_null(idmap_get(&m, UINT64_MAX));
    idmap_fini(&m);
}

struct entry {
    struct recent_id place;
    char id[16];
};

/* Who is in the table, last heard of first. */
static const char *names_of(const struct recent_ids *r, char out[64])
{
    const struct recent_id *place;
    struct text t;

    text_init(&t, out, 64);
    TAILQ_FOREACH(place, &r->recent, recent)
    {
        text_addf(&t, "%s ", place->id);
    }
    return out;
}

static void test_recent_ids(void **state)
{
    struct entry entries[4] = {{.id = "a"}, {.id = "b"}, {.id = "c"}, {.id = ""}};
    struct recent_ids r;
    char names[64];

    (void)state;
    assert_int_equal(recent_ids_init(&r, 4), 0);
    assert_null(recent_ids_oldest(&r));
    for (size_t i = 0; i < 4; i++) {
        assert_false(recent_ids_is_full(&r));
        assert_null(recent_ids_find(&r, entries[i].id));
        entries[i].place.id = entries[i].id;
        recent_ids_add(&r, &entries[i].place);
        assert_ptr_equal(recent_ids_find(&r, entries[i].id), &entries[i].place);
    }
    assert_true(recent_ids_is_full(&r));
    assert_string_equal(names_of(&r, names), " c b a ");
    assert_null(recent_ids_find(&r, "ab"));
    recent_ids_touch(&r, &entries[0].place);
    assert_ptr_equal(recent_ids_oldest(&r), &entries[1].place);
    recent_ids_remove(&r, &entries[2].place);
    assert_null(recent_ids_find(&r, "c"));
    assert_string_equal(names_of(&r, names), "a  b ");
    assert_int_equal(r.count, 3);
    recent_ids_fini(&r);
}

/* More than there are chains: each is still itself. */
static void test_many_recent_ids(void **state)
{
    enum { MANY = 5000 };
    struct entry *entries = calloc(MANY, sizeof *entries);
    struct recent_ids r;

    (void)state;
    assert_int_equal(recent_ids_init(&r, MANY), 0);
    for (int i = 0; i < MANY; i++) {
        snprintf(entries[i].id, sizeof entries[i].id, "%d", i);
        entries[i].place.id = entries[i].id;
        recent_ids_add(&r, &entries[i].place);
    }
    for (int i = 0; i < MANY; i++) {
        assert_ptr_equal(recent_ids_find(&r, entries[i].id), &entries[i].place);
    }
    recent_ids_fini(&r);
    free(entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_numbers_are_written),
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_text_is_bounded),
        cmocka_unit_test(test_buf_keeps_order_and_gives_back),
        cmocka_unit_test(test_idmap_never_finds_a_successor),
        cmocka_unit_test(test_recent_ids),
        cmocka_unit_test(test_many_recent_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
