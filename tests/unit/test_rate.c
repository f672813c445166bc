#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/rate.h"

#define SECOND 1000000ull
#define MINUTE (60 * SECOND)
#define DAY    (86400 * SECOND)
#define NOW    1.7e15 /* a Unix time in microseconds, as Redis gives it */

static const struct rate rates[] = {
    {1, 1},     {1, MINUTE}, {3, SECOND},      {10, MINUTE},      {7, MINUTE},
    {200, DAY}, {500, DAY},  {100000000, DAY}, {1000000, SECOND}, {999999937, MINUTE},
};
#define RATES (sizeof(rates) / sizeof(rates[0]))

/* Whole numbers, compared as such. */
static void same(double got, double expected)
{
    assert_int_equal((int64_t)got, (int64_t)expected);
    assert_true(got == (double)(int64_t)got);
}

static void test_full_bucket_holds_its_count(void **state)
{
    (void)state;
    for (size_t i = 0; i < RATES; i++) {
        const struct rate *r = &rates[i];
        double tat;

        assert_int_equal(rate_available(r, 0, NOW, r->count), r->count);
        tat = rate_take(r, 0, NOW, r->count);
        same(tat, NOW + (double)r->period_us);
        assert_int_equal(rate_available(r, tat, NOW, 1), r->count > r->period_us ? 1 : 0);
    }
}

static void test_known_steps(void **state)
{
    static const struct rate ten = {10, MINUTE};
    static const struct {
        double tat, now; /* seconds behind NOW */
        uint64_t want, available;
        double after, wait; /* seconds, of taking and of waiting for `want` */
    } rows[] = {
        {-100, 0, 1, 1, 6, 0}, /* full, whatever the past was */
        {0, 0, 10, 10, 60, 0}, /* all at once */
        {0, 0, 11, 10, 66, 0}, /* more than there is ever: asked for as for the count */
        {60, 0, 1, 0, 66, 6},  /* empty */
        {60, 6, 1, 1, 66, 0},  /* one is back, to the microsecond */
        {60, 5.999999, 1, 0, 66, 0.000001},
        {60, 30, 10, 5, 120, 30},  /* half is back */
        {30, 0, 3, 3, 48, 0},      /* half is used */
        {120, 0, 1, 0, 120, 66},   /* in debt as deep as can be */
        {60, 0, 1000, 0, 120, 60}, /* the debt has an end */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        double tat = NOW + rows[i].tat * 1e6, now = NOW + rows[i].now * 1e6;

        assert_int_equal(rate_available(&ten, tat, now, rows[i].want), rows[i].available);
        same(rate_take(&ten, tat, now, rows[i].want), NOW + rows[i].after * 1e6);
        same(rate_wait_us(&ten, tat, now, rows[i].want), rows[i].wait * 1e6);
    }
}

static void test_wanting_nothing(void **state)
{
    static const struct rate ten = {10, MINUTE};

    (void)state;
    assert_int_equal(rate_available(&ten, 0, NOW, 0), 0);
    same(rate_take(&ten, NOW + 30e6, NOW, 0), NOW + 30e6);
    same(rate_wait_us(&ten, 0, NOW, 0), 0);
}

static void test_full_again(void **state)
{
    (void)state;
    same(rate_full_us(NOW + 42, NOW), 42);
    same(rate_full_us(NOW - 42, NOW), 0);
}

/* A cheap generator, the same numbers in every run. */
static uint64_t next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* available, wait and take tell the same story, wherever the bucket stands. */
static void test_consistency(void **state)
{
    uint64_t seed = 0x9e3779b97f4a7c15;

    (void)state;
    for (unsigned round = 0; round < 200000; round++) {
        const struct rate *r = &rates[next(&seed) % RATES];
        double tat = NOW + (double)(next(&seed) % (2 * r->period_us + 1)) - 5;
        uint64_t want = next(&seed) % (r->count + 3);
        uint64_t n = rate_available(r, tat, NOW, want);
        double wait = rate_wait_us(r, tat, NOW, n + 1);

        assert_true(n <= want);
        same(
            rate_wait_us(r, tat, NOW, 0),
            tat > NOW + (double)r->period_us ? tat - NOW - (double)r->period_us : 0);
        if (n > 0) {
            same(rate_wait_us(r, tat, NOW, n), 0);
        }
        /* Faster than a token a microsecond, the rounding hides some of them. */
        if (n < want && n < r->count && r->count <= r->period_us) {
            assert_true(wait > 0);
            assert_true(rate_available(r, tat, NOW + wait, n + 1) == n + 1);
            assert_true(rate_available(r, tat, NOW + wait - 1, n + 1) <= n);
        }
        assert_true(rate_take(r, tat, NOW, want) <= NOW + 2.0 * (double)r->period_us);
    }
}

/* Nobody gets more than a full bucket and what flows back, however the asking is spread. */
static void test_bound_over_time(void **state)
{
    uint64_t seed = 42;

    (void)state;
    for (size_t i = 0; i < RATES; i++) {
        const struct rate *r = &rates[i];
        double tat = 0, now = NOW, taken = 0;

        for (unsigned step = 0; step < 5000; step++) {
            uint64_t n = rate_available(r, tat, now, next(&seed) % (r->count + 1));
            double elapsed, refill;

            tat = rate_take(r, tat, now, n);
            taken += (double)n;
            elapsed = now - NOW;
            /* Increments are rounded to microseconds, half of one a step at most. */
            refill = (elapsed + 0.5 * (step + 1)) * (double)r->count / (double)r->period_us;
            assert_true(taken <= (double)r->count + refill + 1);
            now += (double)(next(&seed) % (r->period_us / 4 + 2));
        }
    }
}

/* A refused attempt uses nothing up: who hammers gets as much as who waits. */
static void test_refused_attempts_are_free(void **state)
{
    static const struct rate ten = {10, MINUTE};
    double tat = rate_take(&ten, 0, NOW, 10);
    unsigned granted = 0;

    (void)state;
    for (unsigned ms = 1; ms <= 60000; ms++) {
        double now = NOW + ms * 1000.0;

        if (rate_available(&ten, tat, now, 1) == 1) {
            tat = rate_take(&ten, tat, now, 1);
            granted++;
        }
    }
    assert_int_equal(granted, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_bucket_holds_its_count),
        cmocka_unit_test(test_known_steps),
        cmocka_unit_test(test_wanting_nothing),
        cmocka_unit_test(test_full_again),
        cmocka_unit_test(test_consistency),
        cmocka_unit_test(test_bound_over_time),
        cmocka_unit_test(test_refused_attempts_are_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
