#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/renewed.h"

static void test_due(void **state)
{
    struct renewed *r = calloc(1, sizeof *r);

    (void)state;
    assert_non_null(r);
    assert_true(renewed_is_due(r, SPAN_LITERAL("a"), 1));
    renewed_note(r, SPAN_LITERAL("a"), 1000);
    assert_false(renewed_is_due(r, SPAN_LITERAL("a"), 1));
    assert_false(renewed_is_due(r, SPAN_LITERAL("a"), 999));
    assert_true(renewed_is_due(r, SPAN_LITERAL("a"), 1000));
    assert_true(renewed_is_due(r, SPAN_LITERAL("b"), 1));
    renewed_note(r, SPAN_LITERAL("a"), 3000);
    assert_false(renewed_is_due(r, SPAN_LITERAL("a"), 1000));
    renewed_forget(r);
    assert_true(renewed_is_due(r, SPAN_LITERAL("a"), 1));
    free(r);
}

/* More names than there is room for: one that is not known is due, never the other way round. */
static void test_more_than_fit(void **state)
{
    enum { NAMES = 3 * RENEWED_MOST };
    struct renewed *r = calloc(1, sizeof *r);
    char name[32];
    int known = 0;

    (void)state;
    assert_non_null(r);
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "g25:log:{10.20.%d.%d}", i >> 8, i & 255);
        assert_true(renewed_is_due(r, span_of(name), 1));
        renewed_note(r, span_of(name), 1000);
        assert_false(renewed_is_due(r, span_of(name), 1));
    }
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "g25:log:{10.20.%d.%d}", i >> 8, i & 255);
        known += !renewed_is_due(r, span_of(name), 1);
    }
    assert_in_range(known, RENEWED_MOST / 2, RENEWED_MOST);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_due),
        cmocka_unit_test(test_more_than_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
