/* What gate25ctl reads (subscribers, times) and writes (foreign text, log lines). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/ctl_log_line.h"
#include "ctl/ctl_subject.h"
#include "ctl/ctl_text.h"
#include "ctl/ctl_time.h"

static void reads_subscribers(void **state)
{
    static const struct {
        const char *text, *id; /* NULL: refused */
        const char *error;
    } rows[] = {
        {"192.0.2.7", "192.0.2.7", ""},
        {"192.0.2.7/32", "192.0.2.7", ""},
        {"192.0.2.0/25", "192.0.2.0/25", ""},
        {"192.0.2.0/24", "192.0.2.0/24", ""},
        {"2001:db8:1:2ff::1", "2001:db8:1:200::/56", ""},
        {"2001:db8:1:2ff::/64", "2001:db8:1:2ff::/64", ""},
        {"192.0.2.0/23", NULL,
         "192.0.2.0/23 is not within the subscribers' prefixes, which are: "
         "192.0.2.0/24, 2001:db8:1::/48"},
        {"192.0.3.1", NULL, "192.0.3.1 is not within"},
        {"192.0.2.7/24", NULL,
         "192.0.2.7/24 has bits set behind its length: the prefix is 192.0.2.0/24"},
        {"192.0.2.0/33", NULL, "192.0.2.0/33: the length of a prefix is 0 to 32"},
        {"x/24", NULL, "x/24: what stands before"},
        {"customer", NULL, "\"customer\" is neither an address nor a prefix"},
        {"", NULL, "\"\" is neither"},
    };
    struct prefix prefixes[2];
    struct conf conf = {.prefixes = prefixes, .prefix_count = 2, .ipv6_unit = 56};

    (void)state;
    assert_int_equal(prefix_parse(SPAN_LITERAL("192.0.2.0/24"), &prefixes[0]), PREFIX_OK);
    assert_int_equal(prefix_parse(SPAN_LITERAL("2001:db8:1::/48"), &prefixes[1]), PREFIX_OK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ctl_subject who;
        char why[400];
        struct text error;
        bool ok;

        text_init(&error, why, sizeof(why));
        ok = ctl_subject_parse(&conf, span_of(rows[i].text), &who, &error);
        assert_int_equal(ok, rows[i].id != NULL);
        if (ok) {
            assert_string_equal(who.id, rows[i].id);
        }
        why[strlen(rows[i].error)] = '\0';
        assert_string_equal(why, rows[i].error);
    }
}

static void names_what_it_reads_back(void **state)
{
    static const struct {
        const char *id, *name;
    } rows[] = {
        {"192.0.2.7", "192.0.2.7"},
        {"192.0.2.0/24", "192.0.2.0/24"},
        {"2001:db8:1:200::/56", "2001:db8:1:200::/56"},
        {"2001:db8:1:200::1", "2001:db8:1:200::1/128"},
        {"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/128"},
        {"alice", "alice"},
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char room[CTL_ID];

        assert_string_equal(ctl_name(rows[i].id, room), rows[i].name);
    }
}

static void reads_ends(void **state)
{
    static const struct {
        const char *text;
        int64_t until_s; /* 0: refused */
        const char *error;
    } rows[] = {
        {"30d", 1000 + 30 * 86400, ""},
        {"12h", 1000 + 12 * 3600, ""},
        {"1970-01-02", 86400, ""},
        {"1970-01-02T00:00:01Z", 86401, ""},
        {"2026-12-31T18:00:00Z", 1798740000, ""},
        {"1970-01-01", 0, "\"1970-01-01\" is not in the future"},
        {"500ms", 0, "\"500ms\" is not in the future"},
        {"2026-02-31", 0, "\"2026-02-31\" is no end that is understood: 30d, 12h,"},
        {"2026-12-31 18:00", 0, "\"2026-12-31 18:00\" is no end"},
        {"2026-12-31T25:00:00Z", 0, "\"2026-12-31T25:00:00Z\" is no end"},
        {"tomorrow", 0, "\"tomorrow\" is no end"},
        {"", 0, "\"\" is no end"},
        {"104249d", 1000 + INT64_C(104249) * 86400, ""},
        {"104250d", 0, "\"104250d\" is too far in the future: 104249d at most, or a date up to"},
        {"999999d", 0, "\"999999d\" is too far"},
        {"99999999999999999999999h", 0, "\"99999999999999999999999h\" is too far"},
        {"999999999999999999999999x", 0, "\"999999999999999999999999x\" is no end"},
        {"999999dd", 0, "\"999999dd\" is no end"},
        {"d", 0, "\"d\" is no end"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t until_s = 0;
        char why[400];
        struct text error;

        text_init(&error, why, sizeof(why));
        assert_int_equal(
            ctl_until_parse(span_of(rows[i].text), 1000, &until_s, &error), rows[i].until_s != 0);
        assert_int_equal(until_s, rows[i].until_s);
        why[strlen(rows[i].error)] = '\0';
        assert_string_equal(why, rows[i].error);
    }
}

static void writes_times(void **state)
{
    char text[CTL_TIME_TEXT];

    (void)state;
    ctl_time_format(1798740000, text);
    assert_string_equal(text, "2026-12-31T18:00:00Z");
}

static void lets_only_text_through(void **state)
{
    static const struct {
        const char *raw, *escaped;
    } rows[] = {
        {"plain", "plain"},
        {"Kanzlei M\xc3\xbcller \xe2\x82\xac \xf0\x9f\x93\xa7",
         "Kanzlei M\xc3\xbcller \xe2\x82\xac \xf0\x9f\x93\xa7"},
        {"\x1b[31m\r\n\t\x7f", "\\x1b[31m\\x0d\\x0a\\x09\\x7f"},
        {"a\\b", "a\\\\b"},
        {"\xc2\x9b", "\\xc2\\x9b"},                   /* CSI as a C1 control */
        {"\xe2\x80\xae", "\\xe2\\x80\\xae"},          /* turns the writing direction */
        {"\xc0\xaf", "\\xc0\\xaf"},                   /* overlong */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},          /* a surrogate */
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* behind Unicode's end */
        {"M\xfcller", "M\\xfcller"},
        {"cut \xe2\x82", "cut \\xe2\\x82"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[200];
        struct text t;

        text_init(&t, out, sizeof(out));
        ctl_text_escape(span_of(rows[i].raw), &t);
        assert_string_equal(out, rows[i].escaped);
    }
}

static void gives_json_only_utf8(void **state)
{
    static const struct {
        const char *raw, *value;
    } rows[] = {
        {"M\xc3\xbcller\n", "M\xc3\xbcller\n"},
        {"M\xfcller \\", "M\\xfcller \\"},
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *value = ctl_text_json(span_of(rows[i].raw));

        assert_string_equal(json_string_value(value), rows[i].value);
        json_decref(value);
    }
}

static void tells_log_lines_in_words(void **state)
{
    static const struct {
        const char *line, *words;
    } rows[] = {
        {"{\"time\":\"2026-11-21T23:40:00.000Z\",\"event\":\"refusal\",\"case\":\"7K2M9QWXTB\","
         "\"client\":\"192.0.2.9:40000\",\"server\":\"198.51.100.25:25\",\"class\":\"ordinary\","
         "\"verdict\":\"defer\",\"rule\":\"messages:10/1m\",\"retry_after_s\":6,\"helo\":\"pc\","
         "\"from\":\"a@b.example\",\"messages\":1,\"recipients\":2,\"bytes_up\":0,\"tls\":false}",
         "2026-11-21T23:40:00.000Z  refusal  deferred: messages:10/1m, again in 6 seconds  "
         "192.0.2.9:40000 -> 198.51.100.25:25, class ordinary, helo pc, from a@b.example, "
         "1 message, 2 recipients, case 7K2M9QWXTB"},
        {"{\"time\":\"t\",\"event\":\"session\",\"verdict\":\"refuse\",\"rule\":\"class\","
         "\"retry_after_s\":null,\"helo\":null,\"tls\":true,\"shadow\":true}",
         "t  session  would refuse: its class may not send mail (class), TLS"},
        {"{\"time\":\"t\",\"event\":\"refusal\",\"verdict\":\"defer\",\"rule\":\"recipients:2/1m\","
         "\"shadow\":true}",
         "t  refusal  would defer: recipients:2/1m"},
        {"{\"time\":\"t\",\"event\":\"session\",\"verdict\":\"defer\",\"rule\":\"connect\"}",
         "t  session  deferred: the mail server could not be connected to (connect)"},
        {"{\"time\":\"t\",\"event\":\"session\",\"verdict\":\"forward\",\"rule\":null}",
         "t  session  forwarded"},
        {"{\"time\":\"t\",\"event\":\"session\",\"verdict\":\"\\u001b\",\"rule\":\"\\u001b\"}",
         "t  session  \\x1b: \\x1b"},
        {"{\"time\":\"t\",\"event\":\"session\",\"tls\":true,\"turns\":9,\"messages_least\":3,"
         "\"messages_most\":5}",
         "t  session, TLS, 3 to 5 messages in 9 turns"},
        {"{\"time\":\"t\",\"event\":\"refusal\",\"verdict\":\"defer\",\"rule\":\"sessions:3/1h\","
         "\"case\":\"C\",\"times\":57,\"since\":\"s\",\"cases\":[\"A\",\"B\",\"C\"]}",
         "t  refusal  deferred: sessions:3/1h, 57 times since s, case C and 2 others"},
        {"{\"time\":\"t\",\"event\":\"session\",\"case\":\"C\",\"times\":2,\"since\":\"\\u001b\","
         "\"cases\":[\"B\",\"C\"]}",
         "t  session, 2 times since \\x1b, case C and 1 other"},
        {"{\"time\":\"t\",\"event\":\"refusal\",\"case\":\"C\",\"times\":9,\"since\":\"s\","
         "\"cases\":[\"C\"]}",
         "t  refusal, 9 times since s, case C"},
        {"{\"time\":\"t\",\"event\":\"refusal\",\"case\":\"C\",\"times\":9,\"since\":\"s\","
         "\"client\":\"a\",\"server\":\"b\",\"cases\":[\"C\"],\"servers\":[\"a\",\"b\"]}",
         "t  refusal, 9 times since s, to 2 servers  a -> b, case C"},
        {"{\"time\":\"t\",\"event\":\"refusal\",\"case\":\"C\",\"servers\":[\"a\"]}",
         "t  refusal, case C"},
        {"{\"time\":\"t\",\"event\":\"session\",\"case\":\"C\",\"times\":\"x\",\"cases\":{\"a\":1}"
         "}",
         "t  session, case C"},
        {"{\"time\":\"\\u001b[2J\"}", "\\x1b[2J"},
        {"not JSON \x1b", "not JSON \\x1b"},
        {"[1]", "[1]"},
        {"{}", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[600];
        struct text t;

        text_init(&t, out, sizeof(out));
        ctl_log_line(span_of(rows[i].line), &t);
        assert_string_equal(out, rows[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_subscribers),
        cmocka_unit_test(reads_ends),
        cmocka_unit_test(writes_times),
        cmocka_unit_test(lets_only_text_through),
        cmocka_unit_test(gives_json_only_utf8),
        cmocka_unit_test(tells_log_lines_in_words),
        cmocka_unit_test(names_what_it_reads_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
