#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/conf.h"
#include "core/conf_digest.h"

#define UNTOUCHED 0xdeadbeef
#define BAD       UINT64_MAX

static void test_durations(void **state)
{
    static const struct {
        const char *in;
        uint64_t us; /* BAD: refused */
    } rows[] = {
        {"500ms", 500000},
        {"10s", 10000000},
        {"5m", 300000000},
        {"1h", 3600000000},
        {"30d", 2592000000000},
        {"0s", 0},
        {"", BAD},
        {"10", BAD},
        {"s", BAD},
        {"-1s", BAD},
        {"1 s", BAD},
        {" 1s", BAD},
        {"1S", BAD},
        {"1.5h", BAD},
        {"1w", BAD},
        {"1m30s", BAD},
        {"1sx", BAD},
        {"99999999999d", BAD},
        {"99999999999999999999s", BAD},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t us = UNTOUCHED;

        assert_int_equal(conf_parse_duration(span_of(rows[i].in), &us), rows[i].us != BAD);
        assert_int_equal(us, rows[i].us == BAD ? UNTOUCHED : rows[i].us);
    }
}

static void test_sizes(void **state)
{
    static const struct {
        const char *in;
        uint64_t size;
    } rows[] = {
        {"100", 100},
        {"0", 0},
        {"64k", 64000},
        {"64K", 64000},
        {"100M", 100000000},
        {"2G", 2000000000},
        {"1T", 1000000000000},
        {"9007199254740992", 1ull << 53},
        {"9007199254740993", BAD},
        {"9008T", BAD},
        {"", BAD},
        {"k", BAD},
        {"1m", BAD},
        {"1kB", BAD},
        {"-1", BAD},
        {"1e3", BAD},
        {"0x10", BAD},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t size = UNTOUCHED;

        assert_int_equal(conf_parse_size(span_of(rows[i].in), &size), rows[i].size != BAD);
        assert_int_equal(size, rows[i].size == BAD ? UNTOUCHED : rows[i].size);
    }
}

static void test_rates(void **state)
{
    static const struct {
        const char *in;
        struct rate rate; /* count 0: refused */
    } rows[] = {
        {"30/1m", {30, 60000000}},
        {"100M/1h", {100000000, 3600000000}},
        {"500/1d", {500, 86400000000}},
        {"30", {0, 0}},
        {"30/", {0, 0}},
        {"/1m", {0, 0}},
        {"0/1m", {0, 0}},
        {"30/0s", {0, 0}},
        {"30/m", {0, 0}},
        {"30/1m/1m", {0, 0}},
        {"30 / 1m", {0, 0}},
        {"", {0, 0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rate rate = {UNTOUCHED, UNTOUCHED};
        bool good = rows[i].rate.count != 0;

        assert_int_equal(conf_parse_rate(span_of(rows[i].in), &rate), good);
        assert_int_equal(rate.count, good ? rows[i].rate.count : UNTOUCHED);
        assert_int_equal(rate.period_us, good ? rows[i].rate.period_us : UNTOUCHED);
    }
}

static void test_durations_written(void **state)
{
    static const struct {
        uint64_t us;
        const char *text, *words;
    } rows[] = {
        {60000000, "1m", "1 minute"},          {90000000, "90s", "90 seconds"},
        {43200000000, "12h", "12 hours"},      {86400000000, "1d", "1 day"},
        {2592000000000, "30d", "30 days"},     {1000000, "1s", "1 second"},
        {250000, "250ms", "250 milliseconds"}, {1500, "2ms", "2 milliseconds"},
        {1, "1ms", "1 millisecond"},           {0, "0ms", "0 milliseconds"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char array[64];
        struct text text;
        uint64_t us;

        text_init(&text, array, sizeof(array));
        conf_duration_words(rows[i].us, &text);
        assert_string_equal(array, rows[i].words);
        text_init(&text, array, sizeof(array));
        conf_duration_text(rows[i].us, &text);
        assert_string_equal(array, rows[i].text);
        if (rows[i].us % 1000 == 0) {
            assert_true(conf_parse_duration(text_span(&text), &us));
            assert_int_equal(us, rows[i].us);
        }
    }
}

static void test_amount_words(void **state)
{
    static const struct {
        enum limit_kind kind;
        uint64_t n;
        const char *words;
    } rows[] = {
        {LIMIT_BYTES, 0, "0 B"},
        {LIMIT_BYTES, 999, "999 B"},
        {LIMIT_BYTES, 1000, "1 kB"},
        {LIMIT_BYTES, 3500, "3.5 kB"},
        {LIMIT_BYTES, 100000000, "100 MB"},
        {LIMIT_BYTES, 12345678900, "12.35 GB"},
        {LIMIT_MESSAGES, 5000, "5000"},
        {LIMIT_CONCURRENT, UINT64_MAX, "18446744073709551615"},
    };
    char array[32];
    struct text text;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        text_init(&text, array, sizeof array);
        limit_amount_words(rows[i].kind, rows[i].n, &text);
        assert_string_equal(array, rows[i].words);
    }
    assert_true(limit_kind_counts_up(LIMIT_SPREAD) && limit_kind_counts_up(LIMIT_CONCURRENT));
    assert_false(limit_kind_counts_up(LIMIT_SESSIONS) || limit_kind_counts_up(LIMIT_BYTES));
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(limit_kind_name(LIMIT_SESSIONS), "sessions");
    assert_string_equal(limit_kind_name(LIMIT_MESSAGES), "messages");
    assert_string_equal(limit_kind_name(LIMIT_RECIPIENTS), "recipients");
    assert_string_equal(limit_kind_name(LIMIT_BYTES), "bytes");
    assert_string_equal(limit_kind_name(LIMIT_SPREAD), "spread");
    assert_string_equal(limit_kind_name(LIMIT_CONCURRENT), "concurrent");
    assert_string_equal(class_action_name(ACTION_PASS), "pass");
    assert_string_equal(class_action_name(ACTION_METER), "meter");
    assert_string_equal(class_action_name(ACTION_REFUSE), "refuse");
}

static void test_class_named(void **state)
{
    struct conf_class classes[] = {{.name = "ordinary"}, {.name = "registered"}};
    struct conf conf = {.classes = classes, .class_count = 2};

    (void)state;
    assert_ptr_equal(conf_class_named(&conf, span_of("registered")), &classes[1]);
    assert_ptr_equal(conf_class_named(&conf, (struct span){"ordinaryX", 8}), &classes[0]);
    assert_null(conf_class_named(&conf, span_of("ordinar")));
    assert_null(conf_class_named(&conf, span_of("Ordinary")));
    assert_null(conf_class_named(&conf, span_of("")));
}

/* Whatever the policy page tells changes the digest; the order of the classes does not. */
static void test_policy_digest(void **state)
{
    struct conf_class one[2] = {
        {.name = "ordinary", .action = ACTION_METER, .enforce = true}, {.name = "registered"}};
    struct conf_class two[2] = {one[1], one[0]};
    struct conf c = {.classes = one, .class_count = 2, .ipv6_unit = 56, .journal_keep_s = 10};
    char first[CONF_DIGEST], then[CONF_DIGEST];

    (void)state;
    conf_policy_digest(&c, first);
    c.classes = two;
    c.default_class = 1;
    conf_policy_digest(&c, then);
    assert_string_equal(first, then);
    for (int change = 0; change < 9; change++) {
        struct conf_class changed[2] = {one[0], one[1]};
        struct conf d = c;
        d.classes = changed;
        d.default_class = change == 0;
        d.class_count -= change == 1;
        d.ipv6_unit += change == 2;
        d.journal_keep_s += change == 3;
        d.spf.use = change == 4 ? SPF_USE_METER : SPF_USE_OFF;
        changed[0].enforce = change != 5;
        changed[0].name[0] = change == 6 ? 'x' : 'o';
        changed[0].limit[LIMIT_MESSAGES].windows = change == 7;
        changed[0].limit[LIMIT_MESSAGES].window[0] = (struct rate){1, 1};
        changed[0].action = change == 8 ? ACTION_PASS : ACTION_METER;
        conf_policy_digest(&d, then);
        assert_string_not_equal(first, then);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),    cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_rates),        cmocka_unit_test(test_durations_written),
        cmocka_unit_test(test_amount_words), cmocka_unit_test(test_names),
        cmocka_unit_test(test_class_named),  cmocka_unit_test(test_policy_digest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
