#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/meter_owed.h"

#define HOUR_US 3600e6
#define RATE(n)                                                                                    \
    {                                                                                              \
        n, 3600000000u                                                                             \
    }

static const struct meter_windows windows = {
    .count = 4,
    .at = {
        {LIMIT_SESSIONS, 0, RATE(4)},
        {LIMIT_MESSAGES, 0, RATE(10)},
        {LIMIT_MESSAGES, 1, {20, 86400000000u}},
        {LIMIT_SPREAD, 0, RATE(5)}}};
static const struct addr mx = {ADDR_IPV4, {192, 0, 2, 1}};

static int start(void **state)
{
    *state = meter_owed_new(3);
    return *state ? 0 : -1;
}

static int stop(void **state)
{
    meter_owed_free(*state);
    return 0;
}

/* The words joined by blanks; "" when nothing is left. */
static const char *words_of(const struct meter_debt *debt, double now_us)
{
    static struct meter_owed_words words;
    static char out[sizeof words.text * 2];
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; meter_debt_words(debt, now_us, &words) && i < words.count; i++) {
        used += (size_t)snprintf(
            out + used, sizeof out - used, "%s%.*s", i ? " " : "", (int)words.at[i].len,
            words.at[i].at);
    }
    return out;
}

static void check_words(struct meter_owed *o, const char *id, double now_us, const char *expected)
{
    struct meter_debt *debt = meter_owed_take(o, id);

    assert_non_null(debt);
    assert_string_equal(meter_debt_id(debt), id);
    assert_string_equal(words_of(debt, now_us), expected);
    meter_debt_free(debt);
}

static void add_messages(struct meter_owed *o, const char *id, uint64_t n, double now_us)
{
    meter_owed_add(o, id, &(struct meter_passed){.messages = n}, &windows, now_us);
}

static void test_words(void **state)
{
    struct meter_owed *o = *state;
    const struct meter_passed session = {.sessions = 1, .destination = &mx};

    meter_owed_add(o, "a", &session, &windows, HOUR_US);
    add_messages(o, "a", 1, HOUR_US + 1e6);
    add_messages(o, "a", 1, HOUR_US + 2e6);
    add_messages(o, "b", 1, HOUR_US);
    assert_int_equal(meter_owed_count(o), 2);
    /* Less the seconds that have passed since the first. */
    check_words(
        o, "a", HOUR_US + 4e6,
        "FCALL gate25_settle 2 g25:meter:{a} g25:spread:{a} 3600000000 sessions 3600000000 "
        "896000000 messages 3600000000 717000000 messages 86400000000 8637000000 contact "
        "192.0.2.1 4000000");
    assert_null(meter_owed_take(o, "a"));
    check_words(
        o, "b", HOUR_US + 360e6,
        "FCALL gate25_settle 1 g25:meter:{b} 0 messages 86400000000 3960000000");
    assert_int_equal(meter_owed_count(o), 0);
}

static void test_nothing_is_left(void **state)
{
    struct meter_owed *o = *state;

    /* No window asks for recipients, none of bytes is there. */
    meter_owed_add(o, "a", &(struct meter_passed){.recipients = 7, .bytes = 9}, &windows, HOUR_US);
    meter_owed_add(o, "a", &(struct meter_passed){0}, &windows, HOUR_US);
    assert_int_equal(meter_owed_count(o), 0);
    meter_owed_add(
        o, "a", &(struct meter_passed){.sessions = 4, .destination = &mx}, &windows, HOUR_US);
    check_words(o, "a", 2 * HOUR_US, "");
}

static void test_put_back(void **state)
{
    struct meter_owed *o = *state;
    struct meter_debt *debt;

    add_messages(o, "a", 3, HOUR_US);
    debt = meter_owed_take(o, "a");
    add_messages(o, "a", 2, HOUR_US + 60e6);
    meter_owed_add(
        o, "a", &(struct meter_passed){.sessions = 1, .destination = &mx}, &windows,
        HOUR_US + 60e6);
    meter_owed_put_back(o, debt, HOUR_US + 60e6);
    assert_int_equal(meter_owed_count(o), 1);
    check_words(
        o, "a", HOUR_US + 60e6,
        "FCALL gate25_settle 2 g25:meter:{a} g25:spread:{a} 3600000000 messages 3600000000 "
        "1740000000 messages 86400000000 21540000000 sessions 3600000000 900000000 contact "
        "192.0.2.1 0");
}

static void test_bounded(void **state)
{
    struct meter_owed *o = *state;
    const char *const ids[] = {"a", "b", "c", "a", "d"};

    for (size_t i = 0; i < 5; i++) {
        add_messages(o, ids[i], 1, HOUR_US);
    }
    assert_int_equal(meter_owed_count(o), 3);
    assert_null(meter_owed_take(o, "b"));
    struct meter_debt *oldest = meter_owed_take_oldest(o);
    assert_string_equal(meter_debt_id(oldest), "c");
    meter_debt_free(oldest);
}

static void test_many_contacts(void **state)
{
    struct meter_owed *o = *state;
    struct addr to = mx;

    for (unsigned i = 0; i < METER_OWED_CONTACTS + 10; i++) {
        to.bytes[2] = (uint8_t)(i >> 8);
        to.bytes[3] = (uint8_t)i;
        for (int twice = 0; twice < 2; twice++) {
            const struct meter_passed session = {.destination = &to};
            meter_owed_add(o, "a", &session, &windows, HOUR_US + i);
        }
    }
    struct meter_debt *debt = meter_owed_take(o, "a");
    const char *words = words_of(debt, HOUR_US + 1000);
    unsigned contacts = 0;
    for (const char *at = words; (at = strstr(at, "contact ")); at++) {
        contacts++;
    }
    assert_int_equal(contacts, METER_OWED_CONTACTS);
    assert_null(strstr(words, "contact 192.0.0.9 "));
    assert_non_null(strstr(words, "contact 192.0.0.10 990"));
    assert_non_null(strstr(words, "contact 192.0.1.9 735"));
    meter_debt_free(debt);
}

static double outstanding(struct meter_owed *o, double now_us)
{
    struct meter_debt *debt = meter_owed_take(o, "a");
    const char *at = debt ? strstr(words_of(debt, now_us), "messages 3600000000 ") : NULL;
    double us = at ? strtod(at + strlen("messages 3600000000 "), NULL) : 0;

    if (debt) {
        meter_debt_free(debt);
    }
    return us;
}

/* What two nodes owe together is never more than what one that had seen all would; and of a burst
 * it is all of it. */
static void test_never_more_than_the_truth(void **state)
{
    (void)state;
    srand(25);
    for (int round = 0; round < 2000; round++) {
        struct meter_owed *nodes[] = {meter_owed_new(3), meter_owed_new(3)};
        struct rate rate = RATE(10);
        double now = HOUR_US, tat = 0, passed = 0, began = now;
        double pause = round % 2 ? 0 : 600e6;
        for (int i = rand() % 12; i >= 0; i--) {
            now += pause * (rand() % 1000) / 1000;
            /* Without the bound of a debt, which makes the truth smaller. */
            tat = (tat > now ? tat : now) + (double)rate.period_us / 10;
            passed += (double)rate.period_us / 10;
            add_messages(nodes[rand() % 2], "a", 1, now);
        }
        double owed = outstanding(nodes[0], now) + outstanding(nodes[1], now);
        assert_true(owed <= tat - now + 2);
        assert_true(owed >= passed - 2 * (now - began) - 2);
        meter_owed_free(nodes[0]);
        meter_owed_free(nodes[1]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_words),   TEST(test_nothing_is_left), TEST(test_put_back),
        TEST(test_bounded), TEST(test_many_contacts),   TEST(test_never_more_than_the_truth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
