/* What the gate counts and how it tells it: histograms, verdicts, the page, the health. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/health.h"
#include "proxy/metrics_page.h"

static void test_histogram_bounds_are_inclusive(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        unsigned bucket;
    } rows[] = {
        {-5, 0},
        {0, 0},
        {100, 0},
        {101, 1},
        {250, 1},
        {30000000, HISTOGRAM_BUCKETS - 1},
        {30000001, HISTOGRAM_BUCKETS},
        {INT64_MAX, HISTOGRAM_BUCKETS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct histogram h = {0};
        struct histogram_sum sum = {0};
        histogram_add(&h, rows[i].us);
        histogram_sum(&h, &sum);
        for (unsigned b = 0; b <= HISTOGRAM_BUCKETS; b++) {
            assert_int_equal(sum.bucket[b], b == rows[i].bucket);
        }
        assert_int_equal(sum.sum_us, rows[i].us > 0 ? rows[i].us : 0);
    }
    for (unsigned b = 1; b < HISTOGRAM_BUCKETS; b++) {
        assert_true(histogram_bounds_us[b] > histogram_bounds_us[b - 1]);
    }
}

#define TOLD 200

struct told {
    size_t count;
    char line[TOLD][128];
};

static void tell(
    void *context, const char *class, const char *verdict, const char *rule, uint64_t count)
{
    struct told *t = context;
    assert_true(t->count < TOLD);
    (void)snprintf(
        t->line[t->count++], sizeof t->line[0], "%s %s %s %llu", class, verdict, rule,
        (unsigned long long)count);
}

static bool was_told(const struct told *t, const char *line)
{
    for (size_t i = 0; i < t->count; i++) {
        if (strcmp(t->line[i], line) == 0) {
            return true;
        }
    }
    return false;
}

static const struct verdict over_messages = {
    .action = VERDICT_DEFER, .rule = RULE_LIMIT, .limit = LIMIT_MESSAGES};

static void test_verdicts_are_summed_over_workers(void **state)
{
    (void)state;
    struct verdict_counts *all = verdict_counts_new(2);
    struct verdict_counts *first = verdict_counts_of(all, 0), *second = verdict_counts_of(all, 1);
    static const struct conf_class ordinary = {.name = "ordinary"}, other = {.name = "probation"};
    static const struct verdict passed = {.action = VERDICT_FORWARD};
    static const struct verdict direct = {.action = VERDICT_REFUSE, .rule = RULE_DIRECT};
    struct verdict shadow = over_messages;
    shadow.action = VERDICT_FORWARD;
    shadow.shadow = true;
    assert_non_null(all);
    verdict_counts_add(first, JOURNAL_REFUSAL, &ordinary, &over_messages);
    verdict_counts_add(second, JOURNAL_REFUSAL, &other, &over_messages);
    verdict_counts_add(second, JOURNAL_REFUSAL, &ordinary, &over_messages);
    verdict_counts_add(second, JOURNAL_REFUSAL, &ordinary, &shadow);
    verdict_counts_add(second, JOURNAL_REFUSAL, NULL, &direct);
    verdict_counts_add(second, JOURNAL_SESSION, &ordinary, &passed);
    static struct told refusals, ends;
    assert_int_equal(verdict_counts_each(all, 2, JOURNAL_REFUSAL, tell, &refusals), 0);
    assert_int_equal(verdict_counts_each(all, 2, JOURNAL_SESSION, tell, &ends), 0);
    assert_int_equal(refusals.count, 4);
    assert_true(was_told(&refusals, "ordinary defer messages 2"));
    assert_true(was_told(&refusals, "probation defer messages 1"));
    assert_true(was_told(&refusals, "ordinary shadow messages 1"));
    assert_true(was_told(&refusals, " refuse direct 1"));
    assert_int_equal(ends.count, 1);
    assert_true(was_told(&ends, "ordinary forward none 1"));
    verdict_counts_free(all, 2);
}

/* Reloads may name any number of classes; memory does not grow with them, and nothing is lost. */
static void test_classes_beyond_the_room_count_together(void **state)
{
    (void)state;
    struct verdict_counts *all = verdict_counts_new(1);
    static struct told told;
    assert_non_null(all);
    for (unsigned i = 0; i < VERDICT_CLASSES + 10; i++) {
        struct conf_class class = {0};
        (void)snprintf(class.name, sizeof class.name, "class-%u", i);
        verdict_counts_add(all, JOURNAL_REFUSAL, &class, &over_messages);
    }
    assert_int_equal(verdict_counts_each(all, 1, JOURNAL_REFUSAL, tell, &told), 0);
    assert_int_equal(told.count, VERDICT_CLASSES + 1);
    assert_true(was_told(&told, "class-0 defer messages 1"));
    assert_true(was_told(&told, "(others) defer messages 10"));
    verdict_counts_free(all, 1);
}

static void test_page(void **state)
{
    (void)state;
    static const char *const wanted[] = {
        "# TYPE gate25_workers gauge\ngate25_workers 2\n",
        "gate25_workers_running 1\n",
        "# TYPE gate25_sessions_total counter\ngate25_sessions_total 3\n",
        "# TYPE gate25_sessions_open gauge\n",
        "gate25_worker_sessions_open{worker=\"1\"} 2\n",
        "gate25_mirror_age_seconds 1.500\n",
        "gate25_uptime_seconds 8.000\n",
        "# TYPE gate25_verdict_seconds histogram\n",
        "gate25_verdict_seconds_bucket{le=\"0.0001\"} 1\n"
        "gate25_verdict_seconds_bucket{le=\"0.00025\"} 1\n"
        "gate25_verdict_seconds_bucket{le=\"0.0005\"} 2\n",
        "gate25_verdict_seconds_bucket{le=\"+Inf\"} 3\n"
        "gate25_verdict_seconds_sum 60.000400\ngate25_verdict_seconds_count 3\n",
        "gate25_refusals_total{class=\"ordinary\",verdict=\"defer\",rule=\"messages\"} 1\n",
        "gate25_reload_failed 1\n",
        "gate25_workers_silent 1\n",
        "# TYPE gate25_worker_deaths_total counter\ngate25_worker_deaths_total 7\n",
        "gate25_drained 1\n",
    };
    struct metrics *metrics = metrics_new(2);
    struct verdict_counts *verdicts = verdict_counts_new(2);
    static const struct conf_class ordinary = {.name = "ordinary"};
    assert_non_null(metrics);
    assert_non_null(verdicts);
    metrics_add(&metrics[0], METRIC_SESSIONS_TOTAL, 1);
    metrics_add(&metrics[1], METRIC_SESSIONS_TOTAL, 2);
    metrics_set(&metrics[1], METRIC_SESSIONS_OPEN, 2);
    metrics_set(&metrics[0], METRIC_MIRROR_SEEN, 9000);
    metrics_set(&metrics[1], METRIC_MIRROR_SEEN, 8500);
    metrics_time(&metrics[0], LATENCY_VERDICT, 100);
    metrics_time(&metrics[1], LATENCY_VERDICT, 300);
    metrics_time(&metrics[1], LATENCY_VERDICT, 60000000);
    verdict_counts_add(verdicts, JOURNAL_REFUSAL, &ordinary, &over_messages);
    struct metrics_page page = {
        .metrics = metrics,
        .verdicts = verdicts,
        .workers = 2,
        .running = 1,
        .now_ms = 10000,
        .started_ms = 2000,
        .reload_failed = true,
        .silent = 1,
        .deaths = 7,
        .drained = true,
    };
    struct buf out = BUF_INIT;
    assert_int_equal(metrics_page_write(&page, &out), 0);
    assert_int_equal(buf_append(&out, (struct span){"", 1}), 0);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (!strstr(buf_span(&out).at, wanted[i])) {
            fail_msg("not on the page: %s\n%s", wanted[i], buf_span(&out).at);
        }
    }
    assert_null(strstr(buf_span(&out).at, "mirror_seen_ms"));
    assert_null(strstr(buf_span(&out).at, "store_missed_ms"));
    buf_clear(&out);
    metrics_free(metrics, 2);
    verdict_counts_free(verdicts, 2);
}

static void test_only_workers_that_hang_are_ended(void **state)
{
    (void)state;
    static const struct {
        struct worker_facts facts;
        bool ends;
    } rows[] = {
        {{0, 'S', 0}, false},        {{29, 'T', 0}, false},   {{30, 'T', 0}, true},
        {{30, 'S', 3}, true}, /* waits for something that does not come */
        {{30, 0, 0}, true},          {{9999, 'D', 0}, false}, /* the disk; nothing ends it anyway */
        {{9999, 't', 0}, false},                              /* a debugger */
        {{9999, 'R', 14999}, false},                          /* would run, but others do */
        {{30, 'R', 15000}, true},                             /* turns round and round */
        {{29, 'R', 29000}, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(worker_is_to_end(&rows[i].facts), rows[i].ends);
    }
}

static const struct health_facts good = {
    .workers = 2, .running = 2, .listening = true, .with_store = 2};

static void test_health(void **state)
{
    (void)state;
    struct health_facts facts[10];
    for (size_t i = 0; i < 10; i++) {
        facts[i] = good;
    }
    facts[1].stopping = true;
    facts[2].listening = false;
    facts[3].running = facts[3].with_store = 0;
    facts[4].running = facts[4].with_store = 1;
    facts[5].with_store = 1;
    facts[5].mirror_age_ms = HEALTH_MIRROR_MOST_MS + 1;
    facts[6].spf_wanted = true;
    facts[7].stopping = facts[7].reload_failed = true;
    facts[8].store_missed = true;
    facts[9].silent = "1, 3";
    facts[9].reload_failed = true;
    static const struct {
        enum health health;
        const char *reasons;
    } rows[] = {
        {HEALTH_GOOD, ""},
        {HEALTH_BAD, "it is being stopped"},
        {HEALTH_BAD, "it does not listen yet"},
        {HEALTH_BAD, "no worker runs"},
        {HEALTH_IMPAIRED, "a worker is missing"},
        {HEALTH_IMPAIRED,
         "Redis does not answer; the standings have not been followed for over 10 seconds"},
        {HEALTH_IMPAIRED, "gate25-spfd does not run"},
        {HEALTH_BAD, "it is being stopped; the configuration's file is bad, an older one is used"},
        {HEALTH_IMPAIRED, "within the last minute metered questions were answered without Redis"},
        {HEALTH_IMPAIRED,
         "workers that do not answer: 1, 3; the configuration's file is bad, an older one is used"},
    };
    for (size_t i = 0; i < 10; i++) {
        char array[512];
        struct text reasons;
        text_init(&reasons, array, sizeof array);
        assert_int_equal(health_judge(&facts[i], &reasons), rows[i].health);
        assert_string_equal(array, rows[i].reasons);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histogram_bounds_are_inclusive),
        cmocka_unit_test(test_verdicts_are_summed_over_workers),
        cmocka_unit_test(test_classes_beyond_the_room_count_together),
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_only_workers_that_hang_are_ended),
        cmocka_unit_test(test_health),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
