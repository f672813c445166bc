#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/ctl_top_view.h"

static struct ctl_top_table table(enum tally_kind by, bool live)
{
    struct ctl_top_table t = {.title = "Held back most", .by = by, .live = live, .count = 3};

    strcpy(t.rows[0].id, "10.20.0.7");
    strcpy(t.rows[1].id, "2001:db8:20:ff00::/56");
    strcpy(t.rows[2].id, "a\x1b[2Jb\\c\xc3\xbc\n");
    for (size_t i = 0; i < t.count; i++) {
        for (enum tally_kind k = 0; k < TALLY_KINDS; k++) {
            t.rows[i].total[k] = 10 * (i + 1) + k;
        }
    }
    t.rows[0].grown = 4;
    t.rows[1].total[TALLY_SESSIONS] = UINT64_MAX;
    return t;
}

/* "no line" where there is none. */
static const char *line(const struct ctl_top_table *t, size_t n, size_t width)
{
    static char array[CTL_TOP_LINE];
    struct text out;

    text_init(&out, array, sizeof array);
    return ctl_top_line(t, n, width, &out) ? array : "no line";
}

static void whole_lines(void **state)
{
    struct ctl_top_table t = table(TALLY_DEFERRALS, true);

    (void)state;
    assert_string_equal(line(&t, 0, 0), "Held back most");
    assert_string_equal(
        line(&t, 1, 0),
        "SUBSCRIBER                 DEFERRED        NEW   SESSIONS   MESSAGES    REFUSED");
    assert_string_equal(
        line(&t, 2, 0),
        "10.20.0.7                        12         +4         10         11         13");
    assert_string_equal(
        line(&t, 3, 0),
        "2001:db8:20:ff00::/56            22             18446744T         21         23");
    assert_string_equal(
        line(&t, 4, 0),
        "a\\x1b[2Jb\\\\c\\xc3\\xbc\\x0a         32                    30         31         33");
    assert_string_equal(line(&t, 5, 0), "no line");
}

static void a_narrow_one_loses_columns(void **state)
{
    struct ctl_top_table t = table(TALLY_DEFERRALS, true);

    (void)state;
    assert_string_equal(
        line(&t, 3, 60), "2001:db8:20:ff00::/56            22             18446744T");
    assert_string_equal(line(&t, 3, 37), "2001:db8:20:ff00::/56            22");
    assert_string_equal(line(&t, 3, 30), "2001:db8:20:ff00::~         22");
    assert_string_equal(line(&t, 3, 20), "2001:db8:20:ff00::/~");
    assert_string_equal(line(&t, 2, 20), "10.20.0.7           ");
}

static void of_any_width(void **state)
{
    (void)state;
    for (enum tally_kind by = 0; by < TALLY_KINDS; by++) {
        struct ctl_top_table t = table(by, by % 2);

        for (size_t width = 1; width < 300; width++) {
            for (size_t n = 0; n < 5; n++) {
                const char *text = line(&t, n, width);

                assert_in_range(strlen(text), 1, width);
                for (const char *c = text; *c; c++) {
                    assert_true(*c >= ' ' && *c <= '~');
                }
            }
            assert_string_equal(line(&t, 5, width), "no line");
        }
    }
}

/* ... as gate25ctl takes it back; a destination is no subscriber. */
static void an_ipv6_address_has_its_length(void **state)
{
    struct ctl_top_table t = {.by = TALLY_SESSIONS, .count = 1};

    (void)state;
    strcpy(t.rows[0].id, "2001:db8:20:9900::1");
    assert_string_equal(line(&t, 2, 35), "2001:db8:20:9900::1/128          0");
    t.by = TALLY_DESTINATIONS;
    assert_string_equal(line(&t, 2, 30), "2001:db8:20:9900::1          0");
}

static void an_empty_one_says_so(void **state)
{
    struct ctl_top_table t = {.title = "Busiest destinations", .by = TALLY_DESTINATIONS};

    (void)state;
    assert_string_equal(line(&t, 1, 0), "DESTINATION       SESSIONS");
    assert_string_equal(line(&t, 2, 0), "(none)");
    assert_string_equal(line(&t, 3, 0), "no line");
}

/* The longest id of all, every byte of it escaped, fits into a line. */
static void the_longest_line(void **state)
{
    struct ctl_top_table t = {.title = "", .by = TALLY_SESSIONS, .live = true, .count = 1};

    (void)state;
    memset(t.rows[0].id, 1, TALLY_ID - 1);
    assert_int_equal(strlen(line(&t, 2, 0)), 4 * (TALLY_ID - 1) + 5 * 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_lines),      cmocka_unit_test(a_narrow_one_loses_columns),
        cmocka_unit_test(of_any_width),     cmocka_unit_test(an_empty_one_says_so),
        cmocka_unit_test(the_longest_line), cmocka_unit_test(an_ipv6_address_has_its_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
