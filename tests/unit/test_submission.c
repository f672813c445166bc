/* core/submission and core/proxy_v2; and when the dialog bridges a session. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "core/proxy_v2.h"
#include "core/submission.h"
#include "unit/dialog_rig.h"

static struct endpoint endpoint_at(const char *text)
{
    struct endpoint e;
    assert_true(endpoint_parse(span_of(text), &e));
    return e;
}

static struct prefix prefix_at(const char *text)
{
    struct prefix p;
    assert_int_equal(prefix_parse(span_of(text), &p), PREFIX_OK);
    return p;
}

static void test_targets(void **state)
{
    (void)state;
    static const struct {
        const char *wanted, *target;
        bool header;
    } rows[] = {
        {"198.51.100.10:25", "198.51.100.20:2587", true},
        {"[2001:db8:ffff::10]:25", "[2001:db8:ffff::20]:2587", true},
        /* Everybody else's servers: the same host, and nobody is told anything. */
        {"198.51.100.11:25", "198.51.100.11:587", false},
        {"[2001:db8:fffe::10]:25", "[2001:db8:fffe::10]:587", false},
        /* The service itself is as good as any. */
        {"198.51.100.20:25", "198.51.100.20:587", false},
    };
    struct prefix own[] = {prefix_at("198.51.100.10"), prefix_at("2001:db8:ffff::/48")};
    struct addr service[] = {
        endpoint_at("198.51.100.20:1").addr, endpoint_at("[2001:db8:ffff::20]:1").addr};
    struct conf_submission conf = {
        .port = 2587,
        .own = own,
        .own_count = 2,
        .service = service,
        .service_count = 2,
        .proxy_protocol = true};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct endpoint wanted = endpoint_at(rows[i].wanted);
        struct submission_target target;
        char text[ENDPOINT_TEXT];
        submission_target(&conf, &wanted, &target);
        endpoint_format(&target.server, text);
        assert_string_equal(text, rows[i].target);
        assert_int_equal(target.proxy_header, rows[i].header);
    }
    struct endpoint wanted = endpoint_at("198.51.100.10:25");
    struct submission_target target;
    conf.proxy_protocol = false;
    submission_target(&conf, &wanted, &target);
    assert_false(target.proxy_header);
    /* Without a list nobody is led anywhere else. */
    conf.own_count = 0;
    submission_target(&conf, &wanted, &target);
    assert_true(addr_equal(&target.server.addr, &wanted.addr));
}

/* The bytes as the specification gives them, section 2.2. */
static void test_proxy_header(void **state)
{
    (void)state;
    static const uint8_t v4[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49,
                                 0x54, 0x0a, 0x21, 0x11, 0x00, 0x0c, 10,   20,   0,    7,
                                 198,  51,   100,  10,   0xfd, 0xe8, 0x00, 0x19};
    static const uint8_t v6[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54,
                                 0x0a, 0x21, 0x21, 0x00, 0x24, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x20,
                                 0x01, 0x00, 0,    0,    0,    0,    0,    0,    0,    7,    0x20,
                                 0x01, 0x0d, 0xb8, 0xff, 0xff, 0,    0,    0,    0,    0,    0,
                                 0,    0,    0,    0x10, 0x04, 0x01, 0x00, 0x19};
    uint8_t out[PROXY_V2_MOST];
    struct endpoint from = endpoint_at("10.20.0.7:65000"), to = endpoint_at("198.51.100.10:25");
    assert_int_equal(proxy_v2_encode(&from, &to, out), sizeof v4);
    assert_memory_equal(out, v4, sizeof v4);
    from = endpoint_at("[2001:db8:20:100::7]:1025");
    to = endpoint_at("[2001:db8:ffff::10]:25");
    assert_int_equal(proxy_v2_encode(&from, &to, out), sizeof v6);
    assert_int_equal(sizeof v6, PROXY_V2_MOST);
    assert_memory_equal(out, v6, sizeof v6);
}

static void begin(struct rig *t, enum class_action action, bool enforce)
{
    *t = (struct rig){
        .conf = {.timeouts = {.connect_ms = 30000, .submission_ms = 3000, .opaque_ms = 600000}},
        .class = {.name = "c", .action = action, .over = OVER_SUBMIT, .enforce = enforce},
        .now_ms = 1000};
    t->class.limit[LIMIT_SESSIONS] = (struct limit){1, {{3, 3600000000}}};
    rig_start(t);
}

/* `kinds` ends with -1 and is all that the dialog has to do. */
static void expect(struct rig *t, struct dialog_event event, const int *kinds)
{
    step(t, event);
    for (unsigned i = 0; i < t->actions.count; i++) {
        assert_int_equal((int)t->actions.action[i].kind, kinds[i]);
    }
    assert_int_equal(kinds[t->actions.count], -1);
    assert_false(t->actions.more);
}

#define EXPECT(t, event, ...)                                                                      \
    expect(t, (struct dialog_event)event, (const int[]){__VA_ARGS__ __VA_OPT__(, ) - 1})
#define EVENT(...)                                                                                 \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static const struct answer over = {
    .state = METER_OVER, .limit = LIMIT_SESSIONS, .retry_us = 60000000};

/* No server hears of a session before it is known which one it goes to. */
static void test_over_waits_for_the_answer(void **state)
{
    (void)state;
    static struct rig t;
    begin(&t, ACTION_METER, true);
    EXPECT(&t, EVENT(.kind = DIALOG_START), DIALOG_ASK);
    t.now_ms += 40;
    EXPECT(&t, EVENT(.kind = DIALOG_ANSWER, .answer = {.state = METER_WITHIN}), DIALOG_CONNECT);
    assert_int_equal(t.actions.action[0].target, TARGET_ORIGINAL);
    assert_int_equal(dialog_deadline(&t.dialog), t.now_ms + 30000);

    begin(&t, ACTION_METER, true);
    EXPECT(&t, EVENT(.kind = DIALOG_START), DIALOG_ASK);
    t.now_ms += 40;
    EXPECT(&t, EVENT(.kind = DIALOG_ANSWER, .answer = over), DIALOG_CONNECT);
    assert_int_equal(t.actions.action[0].target, TARGET_SUBMISSION);
    assert_int_equal(dialog_deadline(&t.dialog), t.now_ms + 3000);
    EXPECT(&t, EVENT(.kind = DIALOG_CONNECTED), DIALOG_OPAQUE);
    assert_int_equal(t.dialog.admitted.action, VERDICT_SUBMIT);
    assert_int_equal(t.dialog.admitted.rule, RULE_LIMIT);
    /* What is submitted is not metered: no question is asked any more. */
    t.now_ms += 1000;
    EXPECT(&t, EVENT(.kind = DIALOG_TICK), );
}

static void test_shadow_bridges_nobody(void **state)
{
    (void)state;
    static struct rig t;
    begin(&t, ACTION_METER, false);
    EXPECT(&t, EVENT(.kind = DIALOG_START), DIALOG_CONNECT, DIALOG_ASK);
    EXPECT(&t, EVENT(.kind = DIALOG_ANSWER, .answer = over), DIALOG_RECORD);
    assert_int_equal(t.actions.action[0].verdict.would, VERDICT_SUBMIT);
    begin(&t, ACTION_SUBMIT, false);
    EXPECT(&t, EVENT(.kind = DIALOG_START), DIALOG_RECORD, DIALOG_CONNECT);
    assert_int_equal(t.actions.action[1].target, TARGET_ORIGINAL);
}

/* The class never gets further on port 25; a limit passes. */
static void test_nobody_answers(void **state)
{
    (void)state;
    static struct rig t;
    begin(&t, ACTION_SUBMIT, true);
    EXPECT(&t, EVENT(.kind = DIALOG_START), DIALOG_CONNECT);
    assert_int_equal(t.actions.action[0].target, TARGET_SUBMISSION);
    t.now_ms += 2999;
    EXPECT(&t, EVENT(.kind = DIALOG_TICK), );
    t.now_ms += 1;
    EXPECT(&t, EVENT(.kind = DIALOG_TICK), DIALOG_SEND, DIALOG_RECORD, DIALOG_CLOSE);
    assert_memory_equal(t.actions.reply, "554 5.7.1 ", 10);
    assert_non_null(strstr(t.actions.reply, " port 587 with STARTTLS or port 465 with TLS"));

    begin(&t, ACTION_METER, true);
    EXPECT(&t, EVENT(.kind = DIALOG_START), DIALOG_ASK);
    EXPECT(&t, EVENT(.kind = DIALOG_ANSWER, .answer = over), DIALOG_CONNECT);
    EXPECT(
        &t, EVENT(.kind = DIALOG_CONNECT_FAILED, .detail = "x"), DIALOG_SEND, DIALOG_RECORD,
        DIALOG_CLOSE);
    assert_memory_equal(t.actions.reply, "421 4.7.0 ", 10);
    assert_non_null(strstr(t.actions.reply, " port 587 with STARTTLS or port 465 with TLS"));
    assert_non_null(strstr(t.actions.reply, "; retry in 60 seconds"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_proxy_header),
        cmocka_unit_test(test_over_waits_for_the_answer),
        cmocka_unit_test(test_shadow_bridges_nobody),
        cmocka_unit_test(test_nobody_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
