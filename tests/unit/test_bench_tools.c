/* The pure parts of the bench's load and sink. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bench/address.h"
#include "bench/latency.h"
#include "bench/load_pace.h"
#include "bench/load_reply.h"
#include "bench/machine.h"
#include "bench/sink_dot.h"

static void test_quantiles_are_wrong_by_less_than_a_hundredth(void **state)
{
    (void)state;
    static struct latency l;

    for (double ns = 1; ns < 1e12; ns *= 1.37) {
        memset(&l, 0, sizeof l);
        latency_add(&l, (int64_t)ns);
        double exact = (double)(int64_t)ns / 1000;
        double found = latency_quantile_us(&l, 0.99);
        assert_true(found > exact * 0.99 && found < exact * 1.01);
        assert_true(latency_mean_us(&l) > exact * 0.9999 && latency_mean_us(&l) < exact * 1.0001);
    }
}

static void test_quantiles_of_many(void **state)
{
    (void)state;
    static struct latency l;
    static const struct {
        double quantile, us;
    } rows[] = {{0.5, 500}, {0.9, 900}, {0.99, 990}, {0.999, 999}, {1, 1000}, {0, 1}};

    memset(&l, 0, sizeof l);
    assert_true(latency_quantile_us(&l, 0.5) <= 0 && latency_mean_us(&l) <= 0);
    for (int us = 1000; us > 0; us--) {
        latency_add(&l, us * 1000);
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double found = latency_quantile_us(&l, rows[i].quantile);
        assert_true(found > rows[i].us * 0.99 && found < rows[i].us * 1.01);
    }
    assert_true(latency_mean_us(&l) > 500.49 && latency_mean_us(&l) < 500.51);
}

static void test_odd_times(void **state)
{
    (void)state;
    static struct latency l;

    memset(&l, 0, sizeof l);
    latency_add(&l, -5);
    assert_true(latency_quantile_us(&l, 1) <= 0);
    latency_add(&l, INT64_MAX); /* as long as can be told */
    assert_int_equal(l.count, 2);
    assert_true(latency_quantile_us(&l, 1) > 1e9);
}

static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint16_t port;
        bool is_read;
        uint16_t expected;
    } rows[] = {
        {"192.0.2.1", 25, true, 25},
        {"192.0.2.1:2525", 25, true, 2525},
        {"2001:db8::1", 25, true, 25},
        {"[2001:db8::1]:2525", 25, true, 2525},
        {"192.0.2.1:65535", 0, true, 65535},
        {"192.0.2.1", 0, false, 0},
        {"2001:db8::1:25", 0, false, 0},
        {"[192.0.2.1]:25", 0, false, 0},
        {"192.0.2.1:0", 25, false, 0},
        {"192.0.2.1:65536", 25, false, 0},
        {"[2001:db8::1]", 25, false, 0},
        {":25", 25, false, 0},
        {"", 25, false, 0},
        {"192.0.2.1:25 ", 25, false, 0},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        union address a;
        assert_int_equal(address_read(rows[i].text, rows[i].port, &a), rows[i].is_read);
        if (rows[i].is_read) {
            assert_int_equal(
                ntohs(a.any.sa_family == AF_INET ? a.four.sin_port : a.six.sin6_port),
                rows[i].expected);
        }
    }
}

static void test_an_address_is_written_as_it_is_read(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "192.0.2.1:25", "[2001:db8::1]:2525", "[1111:2222:3333:4444:5555:6666:7777:8888]:65535"};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        union address a;
        char text[ADDRESS_TEXT_SIZE];
        assert_true(address_read(rows[i], 0, &a));
        assert_string_equal(address_text(&a, text), rows[i]);
    }
}

static void test_ranges_carry(void **state)
{
    (void)state;
    static const struct {
        const char *range, *last;
    } rows[] = {
        {"10.20.0.254+4", "10.20.1.1"},
        {"10.64.0.0+100000", "10.65.134.159"},
        {"2001:db8::ffff+2", "2001:db8::1:0"},
        {"2001:db8::ffff:ffff:ffff:ffff+2", "2001:db8:0:1::"},
        {"2001:db8::+16777216", "2001:db8::ff:ffff"},
        {"192.0.2.9", "192.0.2.9"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct address_range range;
        union address a;
        char text[INET6_ADDRSTRLEN];
        assert_true(address_range_read(rows[i].range, &range));
        address_range_at(&range, range.count - 1, &a);
        const void *bytes =
            a.any.sa_family == AF_INET ? (const void *)&a.four.sin_addr : &a.six.sin6_addr;
        assert_non_null(inet_ntop(a.any.sa_family, bytes, text, sizeof text));
        assert_string_equal(text, rows[i].last);
    }
}

/* Whatever is behind an end is not taken. */
static size_t dot_end(const char *text, size_t cut)
{
    size_t length = strlen(text), at = 0;
    bool ended = false;
    struct dot dot;

    dot_begin(&dot);
    for (size_t end = cut; !ended && at < length; end += cut ? cut : length) {
        end = cut && end < length ? end : length;
        at += dot_scan(&dot, text + at, end - at, &ended);
    }
    return ended ? at : 0;
}

static void test_the_end_of_a_text(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t end; /* 0: there is none */
    } rows[] = {
        {".\r\n", 3},         {".\r\nQUIT\r\n", 3},
        {"a\r\n.\r\n", 6},    {"\r\n\r\n.\r\n", 7},
        {"\r\r\n.\r\n.", 6},  {".\r.\r\n", 0},
        {"a.\r\n", 0},        {"\n.\r\n", 0},
        {"a\n.\n\r\n.\n", 0}, {"..\r\n.\r\n", 7},
        {".\r\r\n.\r\n", 7},  {"\r.\r\n", 0},
        {"a\r\n.", 0},        {"a.b.c\r\n.d\r\n.\r\n", 14},
        {"\r\n.\r\n", 5},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t cut = 0; cut <= strlen(rows[i].text); cut++) {
            assert_int_equal(dot_end(rows[i].text, cut), rows[i].end);
        }
    }
}

static void test_replies(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        size_t taken;
    } rows[] = {
        {"220 ready\r\n", 220, 11}, {"250-a\r\n250 b\r\n354 go", 250, 14},
        {"250\r\n", 250, 5},        {"250 a\n", 250, 6},
        {"250-a\r\n", 0, 7},        {"25", 0, 2},
        {"hello\r\n", -1, 7},       {"250-a\r\nb\r\n", -1, 10},
        {"600 x\r\n", -1, 7},       {"25\r\n", -1, 4},
        {"250x\r\n", -1, 6},        {"\r\n", -1, 2},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t length = strlen(rows[i].text), whole = 0, pieces = 0;
        struct reply r = {0};
        assert_int_equal(reply_take(&r, rows[i].text, length, &whole), rows[i].code);
        assert_int_equal(whole, rows[i].taken);
        r = (struct reply){0};
        int code = 0;
        while (code == 0 && pieces < length) {
            code = reply_take(&r, rows[i].text + pieces, 1, &pieces);
        }
        assert_int_equal(code, rows[i].code);
        assert_int_equal(pieces, rows[i].taken);
    }
}

static struct load_options options_of(uint32_t concurrent)
{
    struct load_options o = {.servers = 1, .concurrent = concurrent};

    assert_true(address_read("192.0.2.1", 25, &o.server[0]));
    return o;
}

static void begin(struct pace *p, uint32_t count)
{
    struct session_ends ends;

    while (count-- > 0) {
        pace_begin(p, &ends);
        assert_null(ends.source); /* none was given */
    }
}

static void test_a_rate_by_the_clock(void **state)
{
    (void)state;
    struct load_options o = options_of(1000000);
    struct pace p;
    uint64_t begun = 0;

    o.rate = 700;
    pace_init(&p, &o, 5);
    for (int64_t now = 5; now < 5 + 10 * SECOND_NS; now = pace_next_ns(&p)) {
        uint32_t due = pace_due(&p, (struct pace_state){0}, now);
        begin(&p, due);
        begun += due;
        assert_true(due <= 1);
        /* Never early, and never late by more than its turn is: they are even. */
        assert_true((double)begun <= (double)(now - 5) / SECOND_NS * 700 + 1.001);
        assert_true((double)begun >= (double)(now - 5) / SECOND_NS * 700 - 0.001);
    }
    assert_in_range(begun, 6999, 7001);
}

static void test_what_is_too_many_is_missed(void **state)
{
    (void)state;
    struct load_options o = options_of(10);
    struct pace p;

    o.rate = 1000;
    o.sessions = 100;
    pace_init(&p, &o, 0);
    assert_int_equal(pace_due(&p, (struct pace_state){.open = 7}, SECOND_NS / 50), 3);
    assert_int_equal(p.missed, 21 - 3);
    begin(&p, 3);
    assert_int_equal(pace_due(&p, (struct pace_state){.open = 10}, SECOND_NS), 0);
    assert_true(pace_is_over(&p, SECOND_NS)); /* 3 began and 97 were missed */
}

static void test_as_fast_as_they_end(void **state)
{
    (void)state;
    static const struct {
        struct pace_state state; /* open, places taken, arriving */
        bool hold;
        uint32_t due;
    } rows[] = {
        {{0, 0, 0}, false, 200},     {{200, 200, 200}, false, 50}, {{200, 200, 150}, false, 100},
        {{400, 400, 400}, false, 0}, {{390, 400, 400}, false, 10}, /* one for each that has ended */
        {{990, 990, 0}, false, 10},  {{400, 1000, 0}, false, 600}, {{200, 200, 200}, true, 0},
        {{200, 200, 150}, true, 50}, {{1000, 1000, 0}, false, 0},
    };
    struct load_options o = options_of(1000);
    struct pace p;

    pace_init(&p, &o, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        o.hold = rows[i].hold;
        assert_int_equal(pace_due(&p, rows[i].state, 0), rows[i].due);
    }
    o.hold = false;
    assert_int_equal(pace_next_ns(&p), INT64_MAX);
    assert_false(pace_is_over(&p, INT64_MAX - 1));
    o.sessions = 3;
    assert_int_equal(pace_due(&p, (struct pace_state){0, 0, 0}, 0), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantiles_are_wrong_by_less_than_a_hundredth),
        cmocka_unit_test(test_quantiles_of_many),
        cmocka_unit_test(test_odd_times),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_an_address_is_written_as_it_is_read),
        cmocka_unit_test(test_ranges_carry),
        cmocka_unit_test(test_the_end_of_a_text),
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_a_rate_by_the_clock),
        cmocka_unit_test(test_what_is_too_many_is_missed),
        cmocka_unit_test(test_as_fast_as_they_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
