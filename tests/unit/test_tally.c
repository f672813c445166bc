#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "svc/meter.h"
#include "svc/tally.h"
#include "unit/real_redis.h"

#define HOUR  3600
#define NOW_S (INT64_C(500000) * HOUR + 1234) /* some hour; nothing here depends on the clock */

struct bench {
    struct real_redis server;
    struct event_base *base;
    struct redis *redis;
    struct tally *tally;
    struct real_answer answer;
    char asked[CASE_TEXT], owner[TALLY_ID];
    bool came;
    bool failed;
    size_t count;
    struct tally_row rows[TALLY_TOP_MOST];
};

static int start(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    bool good = real_redis_open(&b->server, &b->base, &b->redis, meter_functions);

    b->tally = tally_new(b->base, b->redis, REAL_REDIS_PATIENCE_MS);
    *state = b;
    return good && b->tally ? 0 : -1;
}

static int stop(void **state)
{
    struct bench *b = *state;

    tally_free(b->tally);
    real_redis_close(&b->server, b->base, b->redis);
    free(b);
    return 0;
}

static const char *ask(struct bench *b, const char *command)
{
    return real_redis_ask(b->base, b->redis, &b->answer, "%s", command);
}

static void on_rows(void *context, const struct tally_row *rows, size_t count, struct span fault)
{
    (void)fault;
    struct bench *b = context;

    b->came = true;
    b->failed = rows == NULL;
    b->count = count;
    if (rows != NULL) {
        memcpy(b->rows, rows, count * sizeof *rows);
    }
}

static bool rows_came(const void *context)
{
    return ((const struct bench *)context)->came;
}

static void read_ids(struct bench *b, const char *first, const char *second)
{
    struct span ids[] = {span_of(first), span_of(second)};

    b->came = false;
    assert_int_equal(tally_read(b->redis, ids, 2, NOW_S, REAL_REDIS_PATIENCE_MS, on_rows, b), 0);
    assert_true(real_redis_until(b->base, rows_came, b));
}

static void read_hours(struct bench *b, enum tally_kind by, size_t most, unsigned hours)
{
    b->came = false;
    assert_int_equal(
        tally_read_top(b->redis, by, most, hours, NOW_S, REAL_REDIS_PATIENCE_MS, on_rows, b), 0);
    assert_true(real_redis_until(b->base, rows_came, b));
    assert_false(b->failed);
}

static void read_top(struct bench *b, enum tally_kind by, size_t most)
{
    read_hours(b, by, most, TALLY_HOURS);
}

static void test_counts_come_back_by_hour(void **state)
{
    struct bench *b = *state;

    tally_add(b->tally, "10.20.0.7", TALLY_SESSIONS, 5, NOW_S - 2 * HOUR);
    tally_add(b->tally, "10.20.0.7", TALLY_SESSIONS, 1, NOW_S); /* writes the earlier hour */
    tally_add(b->tally, "10.20.0.7", TALLY_SESSIONS, 2, NOW_S);
    tally_add(b->tally, "10.20.0.7", TALLY_DEFERRALS, 4, NOW_S);
    tally_add(b->tally, "2001:db8:20:7::/56", TALLY_MESSAGES, 9, NOW_S);
    tally_add(b->tally, "10.20.0.7", TALLY_REFUSALS, 0, NOW_S);
    tally_write(b->tally);
    read_ids(b, "10.20.0.7", "2001:db8:20:7::/56");
    assert_int_equal(b->count, 2);
    assert_string_equal(b->rows[0].id, "10.20.0.7");
    assert_int_equal(b->rows[0].hour[TALLY_SESSIONS][TALLY_HOURS - 3], 5);
    assert_int_equal(b->rows[0].hour[TALLY_SESSIONS][TALLY_HOURS - 2], 0);
    assert_int_equal(b->rows[0].hour[TALLY_SESSIONS][TALLY_HOURS - 1], 3);
    assert_int_equal(b->rows[0].total[TALLY_SESSIONS], 8);
    assert_int_equal(b->rows[0].total[TALLY_DEFERRALS], 4);
    assert_int_equal(b->rows[0].total[TALLY_REFUSALS], 0);
    assert_int_equal(b->rows[1].total[TALLY_MESSAGES], 9);
    assert_string_equal(ask(b, "EXISTS g25:tally:{500000}:refusals"), "0");
    assert_string_equal(ask(b, "TTL g25:tally:{500000}:sessions"), "90000");
}

/* An hour that is over is written with its own name, and what is older than the reading is not
 * read. */
static void test_only_the_last_hours_count(void **state)
{
    struct bench *b = *state;

    tally_add(b->tally, "a", TALLY_SESSIONS, 7, NOW_S - TALLY_HOURS * HOUR);
    tally_add(b->tally, "a", TALLY_SESSIONS, 1, NOW_S - (TALLY_HOURS - 1) * HOUR);
    tally_write(b->tally);
    read_ids(b, "a", "b");
    assert_int_equal(b->rows[0].total[TALLY_SESSIONS], 1);
    assert_int_equal(b->rows[0].hour[TALLY_SESSIONS][0], 1);
    assert_int_equal(b->rows[1].total[TALLY_SESSIONS], 0);
}

static void test_the_largest_come_first(void **state)
{
    struct bench *b = *state;
    char id[16];

    for (unsigned i = 1; i <= 40; i++) {
        snprintf(id, sizeof id, "10.20.1.%u", i);
        tally_add(b->tally, id, TALLY_DEFERRALS, i, NOW_S - HOUR);
    }
    /* Over two hours together it is the largest. */
    tally_add(b->tally, "10.20.1.33", TALLY_DEFERRALS, 30, NOW_S);
    tally_add(b->tally, "10.20.1.33", TALLY_SESSIONS, 3, NOW_S);
    tally_add(b->tally, "10.20.9.9", TALLY_SESSIONS, 1000, NOW_S);
    tally_write(b->tally);
    read_top(b, TALLY_DEFERRALS, 3);
    assert_int_equal(b->count, 3);
    assert_string_equal(b->rows[0].id, "10.20.1.33");
    assert_int_equal(b->rows[0].total[TALLY_DEFERRALS], 63);
    assert_int_equal(b->rows[0].total[TALLY_SESSIONS], 3);
    assert_string_equal(b->rows[1].id, "10.20.1.40");
    assert_string_equal(b->rows[2].id, "10.20.1.39");
    read_top(b, TALLY_REFUSALS, 3);
    assert_int_equal(b->count, 0);
    assert_int_equal(
        tally_read_top(b->redis, TALLY_SESSIONS, 0, TALLY_HOURS, NOW_S, 1000, on_rows, b), -1);
    assert_int_equal(
        tally_read_top(
            b->redis, TALLY_SESSIONS, TALLY_TOP_MOST + 1, TALLY_HOURS, NOW_S, 1000, on_rows, b),
        -1);
}

/* Who asks for the last hours alone is told of those alone. */
static void test_the_largest_of_few_hours(void **state)
{
    struct bench *b = *state;

    tally_add(b->tally, "before", TALLY_SESSIONS, 100, NOW_S - 2 * HOUR);
    tally_add(b->tally, "both", TALLY_SESSIONS, 50, NOW_S - 2 * HOUR);
    tally_add(b->tally, "both", TALLY_SESSIONS, 3, NOW_S - HOUR);
    tally_add(b->tally, "both", TALLY_SESSIONS, 2, NOW_S);
    tally_add(b->tally, "now", TALLY_SESSIONS, 4, NOW_S);
    tally_write(b->tally);
    read_hours(b, TALLY_SESSIONS, 3, 2);
    assert_int_equal(b->count, 2);
    assert_string_equal(b->rows[0].id, "both");
    assert_int_equal(b->rows[0].total[TALLY_SESSIONS], 5);
    assert_string_equal(b->rows[1].id, "now");
    read_hours(b, TALLY_SESSIONS, 3, 1);
    assert_string_equal(b->rows[0].id, "now");
    assert_int_equal(tally_read_top(b->redis, TALLY_SESSIONS, 3, 0, NOW_S, 1000, on_rows, b), -1);
    assert_int_equal(
        tally_read_top(b->redis, TALLY_SESSIONS, 3, TALLY_HOURS + 1, NOW_S, 1000, on_rows, b), -1);
}

/* However many destinations somebody sprays at, there is room for subscribers. */
static void test_destinations_leave_room(void **state)
{
    struct bench *b = *state;
    char id[32];

    for (unsigned i = 0; i < TALLY_GATHERED; i++) {
        snprintf(id, sizeof id, "198.51.%u.%u", i / 256, i % 256);
        tally_add(b->tally, id, TALLY_DESTINATIONS, 1, NOW_S);
    }
    tally_add(b->tally, "198.51.0.1", TALLY_DESTINATIONS, 6, NOW_S);
    tally_add(b->tally, "10.20.0.7", TALLY_SESSIONS, 1, NOW_S);
    tally_write(b->tally);
    assert_string_equal(ask(b, "ZCARD g25:tally:{500000}:destinations"), "4096");
    assert_string_equal(ask(b, "ZCARD g25:tally:{500000}:sessions"), "1");
    read_top(b, TALLY_DESTINATIONS, 3);
    assert_string_equal(b->rows[0].id, "198.51.0.1");
    assert_int_equal(b->rows[0].total[TALLY_DESTINATIONS], 7);
}

/* Neither the worker's memory nor Redis's grows without end. */
static void test_it_is_bounded(void **state)
{
    struct bench *b = *state;
    char id[32];

    for (unsigned i = 0; i < TALLY_GATHERED + 100; i++) {
        snprintf(id, sizeof id, "10.21.%u.%u", i / 256, i % 256);
        tally_add(b->tally, id, TALLY_SESSIONS, i < 3 ? 50 : 1, NOW_S);
    }
    tally_write(b->tally);
    assert_string_equal(ask(b, "ZCARD g25:tally:{500000}:sessions"), "8192");
    for (unsigned round = 1; round < 6; round++) {
        for (unsigned i = 0; i < TALLY_GATHERED; i++) {
            snprintf(id, sizeof id, "10.%u.%u.%u", 30 + round, i / 256, i % 256);
            tally_add(b->tally, id, TALLY_SESSIONS, 1, NOW_S);
        }
        tally_write(b->tally);
    }
    int kept = atoi(ask(b, "ZCARD g25:tally:{500000}:sessions"));
    assert_in_range(kept, TALLY_MOST, 2 * TALLY_MOST);
    read_ids(b, "10.21.0.0", "10.21.0.2");
    assert_int_equal(b->rows[0].total[TALLY_SESSIONS], 50);
    assert_int_equal(b->rows[1].total[TALLY_SESSIONS], 50);
}

/* What was gathered while Redis was away is written when it is back. */
static void test_redis_away(void **state)
{
    struct bench *b = *state;

    tally_add(b->tally, "a", TALLY_SESSIONS, 1, NOW_S);
    real_redis_kill(&b->server);
    assert_true(real_redis_until(b->base, real_redis_is_down, b->redis));
    tally_write(b->tally);
    tally_add(b->tally, "a", TALLY_SESSIONS, 1, NOW_S);
    assert_int_equal(
        tally_read_top(b->redis, TALLY_SESSIONS, 3, TALLY_HOURS, NOW_S, 1000, on_rows, b), -1);
    real_redis_run(&b->server);
    assert_true(real_redis_until(b->base, real_redis_is_up, b->redis));
    tally_write(b->tally);
    read_ids(b, "a", "b");
    assert_int_equal(b->rows[0].total[TALLY_SESSIONS], 2);
}

/* An answer that is an error fails the whole reading; the callback comes all the same, once. */
static void test_a_key_of_the_wrong_type(void **state)
{
    struct bench *b = *state;
    struct span id = SPAN_LITERAL("a");

    ask(b, "SET g25:tally:{499999}:messages nonsense");
    b->came = false;
    assert_int_equal(tally_read(b->redis, &id, 1, NOW_S, REAL_REDIS_PATIENCE_MS, on_rows, b), 0);
    assert_true(real_redis_until(b->base, rows_came, b));
    assert_true(b->failed);
}

static void on_cases(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct bench *b = context;
    struct span id = SPAN_LITERAL("nobody");

    (void)ticket;
    assert_non_null(reply);
    tally_case_owner(reply, b->asked, &id);
    snprintf(b->owner, sizeof b->owner, "%.*s", (int)id.len, id.at);
    b->came = true;
}

static const char *whose(struct bench *b, const char *typed)
{
    assert_true(tally_case_parse(span_of(typed), b->asked));
    b->came = false;
    assert_int_equal(tally_ask_case(b->redis, b->asked, REAL_REDIS_PATIENCE_MS, on_cases, b, 0), 0);
    assert_true(real_redis_until(b->base, rows_came, b));
    return b->owner;
}

static void test_cases_are_found(void **state)
{
    struct bench *b = *state;

    tally_case(b->tally, "10.20.0.7", "CWF5T8D795", NOW_S);
    tally_case(b->tally, "10.20.0.7", "CWF5T8D795", NOW_S);
    tally_case(b->tally, "10.20.0.8", "CW01000000", NOW_S);
    tally_write(b->tally);
    assert_string_equal(ask(b, "XLEN g25:cases:{CW}"), "2");
    assert_string_equal(whose(b, "CWF5T8D795"), "10.20.0.7");
    assert_string_equal(whose(b, " cwo1ooiool\t"), "nobody");
    assert_string_equal(whose(b, " cwo1oooooo\t"), "10.20.0.8");
    assert_string_equal(whose(b, "ZZZZZZZZZZ"), "nobody");
    /* One line that is refused a thousand times a second does not push the others' out. */
    for (unsigned i = 0; i < 1000; i++) {
        char case_id[CASE_TEXT];

        snprintf(case_id, sizeof case_id, "CW%08u", i);
        tally_case(b->tally, "10.20.66.6", case_id, NOW_S);
    }
    tally_write(b->tally);
    assert_string_equal(ask(b, "XLEN g25:cases:{CW}"), "6");
}

static void test_what_is_no_case(void **state)
{
    static const char *const none[] = {"",           "CWF5T8D79",  "CWF5T8D7955",
                                       "CWF5T8D79!", "CWF5T8D79U", "CWF5T8D79}"};
    char case_id[CASE_TEXT];

    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_false(tally_case_parse(span_of(none[i]), case_id));
    }
    assert_false(tally_case_parse((struct span){"CWF5T8D\0ab", 10}, case_id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_counts_come_back_by_hour, start, stop),
        cmocka_unit_test_setup_teardown(test_only_the_last_hours_count, start, stop),
        cmocka_unit_test_setup_teardown(test_the_largest_come_first, start, stop),
        cmocka_unit_test_setup_teardown(test_the_largest_of_few_hours, start, stop),
        cmocka_unit_test_setup_teardown(test_destinations_leave_room, start, stop),
        cmocka_unit_test_setup_teardown(test_it_is_bounded, start, stop),
        cmocka_unit_test_setup_teardown(test_redis_away, start, stop),
        cmocka_unit_test_setup_teardown(test_a_key_of_the_wrong_type, start, stop),
        cmocka_unit_test_setup_teardown(test_cases_are_found, start, stop),
        cmocka_unit_test(test_what_is_no_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
