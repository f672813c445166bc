/* core/policy and core/verdict: every combination of facts, and what is said about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/policy.h"

static struct conf_class make_class(enum class_over over, bool enforce)
{
    struct conf_class class = {
        .name = "ordinary", .action = ACTION_METER, .over = over, .enforce = enforce};
    for (unsigned k = 0; k < LIMIT_KINDS; k++) {
        class.limit[k].windows = 1;
        class.limit[k].window[0] = (struct rate){10, 60000000};
    }
    return class;
}

static void test_admission(void **state)
{
    (void)state;
    static const struct {
        enum class_action action;
        bool enforce;
        enum verdict_action want;
        bool shadow;
    } rows[] = {
        {ACTION_PASS, true, VERDICT_FORWARD, false},   {ACTION_METER, true, VERDICT_FORWARD, false},
        {ACTION_REFUSE, true, VERDICT_REFUSE, false},  {ACTION_PASS, false, VERDICT_FORWARD, false},
        {ACTION_REFUSE, false, VERDICT_FORWARD, true}, {ACTION_SUBMIT, true, VERDICT_SUBMIT, false},
        {ACTION_SUBMIT, false, VERDICT_FORWARD, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct conf_class class = make_class(OVER_DEFER, rows[i].enforce);
        class.action = rows[i].action;
        struct verdict v = policy_admit(&class);
        assert_int_equal(v.action, rows[i].want);
        assert_int_equal(v.shadow, rows[i].shadow);
    }
}

static void test_starttls(void **state)
{
    (void)state;
    struct conf_class class = make_class(OVER_DEFER, true);
    assert_int_equal(policy_starttls(&class).action, VERDICT_FORWARD);
    class.starttls = STARTTLS_REFUSE;
    assert_int_equal(policy_starttls(&class).action, VERDICT_REFUSE);
    assert_int_equal(policy_starttls(&class).rule, RULE_NO_STARTTLS);
    class.enforce = false;
    assert_int_equal(policy_starttls(&class).action, VERDICT_FORWARD);
    assert_true(policy_starttls(&class).shadow);
}

static void test_answers(void **state)
{
    (void)state;
    static const struct {
        enum question_kind kind;
        enum meter_state state;
        enum class_over over;
        enum when_down when_down;
        bool enforce;
        enum verdict_action want;
        enum rule rule;
        bool shadow;
    } rows[] = {
        {QUESTION_SESSION, METER_WITHIN, OVER_DEFER, WHEN_DOWN_LOCAL, true, VERDICT_FORWARD,
         RULE_NONE, false},
        {QUESTION_SESSION, METER_OVER, OVER_DEFER, WHEN_DOWN_LOCAL, true, VERDICT_DEFER, RULE_LIMIT,
         false},
        {QUESTION_ENVELOPE, METER_OVER, OVER_REFUSE, WHEN_DOWN_LOCAL, true, VERDICT_REFUSE,
         RULE_LIMIT, false},
        {QUESTION_ENVELOPE, METER_OVER, OVER_REFUSE, WHEN_DOWN_PASS, false, VERDICT_FORWARD,
         RULE_LIMIT, true},
        {QUESTION_ENVELOPE, METER_UNKNOWN, OVER_DEFER, WHEN_DOWN_PASS, true, VERDICT_FORWARD,
         RULE_NONE, false},
        {QUESTION_ENVELOPE, METER_UNKNOWN, OVER_DEFER, WHEN_DOWN_LOCAL, true, VERDICT_FORWARD,
         RULE_NONE, false},
        {QUESTION_ENVELOPE, METER_UNKNOWN, OVER_REFUSE, WHEN_DOWN_REFUSE, true, VERDICT_DEFER,
         RULE_STORE_DOWN, false},
        {QUESTION_SESSION, METER_UNKNOWN, OVER_DEFER, WHEN_DOWN_REFUSE, false, VERDICT_FORWARD,
         RULE_STORE_DOWN, true},
        /* Only what has not begun can be bridged. */
        {QUESTION_SESSION, METER_OVER, OVER_SUBMIT, WHEN_DOWN_LOCAL, true, VERDICT_SUBMIT,
         RULE_LIMIT, false},
        {QUESTION_SESSION, METER_OVER, OVER_SUBMIT, WHEN_DOWN_LOCAL, false, VERDICT_FORWARD,
         RULE_LIMIT, true},
        {QUESTION_ENVELOPE, METER_OVER, OVER_SUBMIT, WHEN_DOWN_LOCAL, true, VERDICT_DEFER,
         RULE_LIMIT, false},
        {QUESTION_SESSION, METER_UNKNOWN, OVER_SUBMIT, WHEN_DOWN_REFUSE, true, VERDICT_DEFER,
         RULE_STORE_DOWN, false},
        /* What is over `concurrent` is not bridged either. */
        {QUESTION_BRIDGE, METER_OVER, OVER_SUBMIT, WHEN_DOWN_LOCAL, true, VERDICT_DEFER, RULE_LIMIT,
         false},
        {QUESTION_BRIDGE, METER_OVER, OVER_DEFER, WHEN_DOWN_LOCAL, true, VERDICT_DEFER, RULE_LIMIT,
         false},
        {QUESTION_BRIDGE, METER_UNKNOWN, OVER_SUBMIT, WHEN_DOWN_PASS, true, VERDICT_FORWARD,
         RULE_NONE, false},
        /* A checkpoint is over when messages have left a debt; not knowing ends nothing. */
        {QUESTION_CHECKPOINT, METER_OVER, OVER_DEFER, WHEN_DOWN_REFUSE, true, VERDICT_DEFER,
         RULE_LIMIT, false},
        {QUESTION_CHECKPOINT, METER_WITHIN, OVER_REFUSE, WHEN_DOWN_REFUSE, true, VERDICT_FORWARD,
         RULE_NONE, false},
        {QUESTION_CHECKPOINT, METER_UNKNOWN, OVER_REFUSE, WHEN_DOWN_REFUSE, true, VERDICT_FORWARD,
         RULE_NONE, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct conf_class class = make_class(rows[i].over, rows[i].enforce);
        struct question question = {.kind = rows[i].kind};
        struct answer answer = {
            .state = rows[i].state, .limit = LIMIT_MESSAGES, .retry_us = 41000001};
        struct verdict v = policy_meter(&class, rows[i].when_down, &question, &answer);
        assert_int_equal(v.action, rows[i].want);
        assert_int_equal(v.rule, rows[i].rule);
        assert_int_equal(v.shadow, rows[i].shadow);
        if (v.rule == RULE_LIMIT) {
            assert_int_equal(v.retry_after_s, 42);
            assert_int_equal(
                v.advise, rows[i].over == OVER_SUBMIT && rows[i].kind != QUESTION_BRIDGE);
        }
    }
}

static void test_waiting_time_is_never_zero(void **state)
{
    (void)state;
    struct conf_class class = make_class(OVER_DEFER, true);
    struct answer answer = {.state = METER_OVER, .retry_us = 0};
    assert_int_equal(policy_recipients(&class, &answer).retry_after_s, 1);
    answer.retry_us = 1e30;
    assert_int_equal(policy_recipients(&class, &answer).retry_after_s, UINT32_MAX);
    answer.retry_us = -5;
    assert_int_equal(policy_recipients(&class, &answer).retry_after_s, 1);
}

static void test_bridging(void **state)
{
    (void)state;
    static const enum class_over overs[] = {OVER_DEFER, OVER_REFUSE, OVER_SUBMIT};
    for (size_t i = 0; i < sizeof overs / sizeof *overs; i++) {
        struct conf_class class = make_class(overs[i], true);
        assert_int_equal(policy_may_bridge(&class), overs[i] == OVER_SUBMIT);
        class.enforce = false;
        assert_false(policy_may_bridge(&class));
        class = make_class(overs[i], true);
        class.action = ACTION_PASS;
        assert_false(policy_may_bridge(&class));
    }
    struct verdict v = {.action = VERDICT_SUBMIT, .rule = RULE_CLASS, .advise = true};
    assert_int_equal(policy_unbridged(&v).action, VERDICT_REFUSE);
    v = (struct verdict){
        .action = VERDICT_SUBMIT, .rule = RULE_LIMIT, .advise = true, .retry_after_s = 7};
    assert_int_equal(policy_unbridged(&v).action, VERDICT_DEFER);
    assert_int_equal(policy_unbridged(&v).retry_after_s, 7);
    assert_true(policy_unbridged(&v).advise);
}

static void reply_of(
    struct verdict v, enum verdict_place place, const struct verdict_context *context, char *out)
{
    struct text t;
    text_init(&t, out, VERDICT_REPLY);
    verdict_reply(&v, place, context, &t);
    assert_false(t.cut);
    assert_true(t.len <= 512);
    assert_string_equal(out + t.len - 2, "\r\n");
    assert_null(memchr(out, '\r', t.len - 2));
    assert_null(memchr(out, '\n', t.len - 2));
}

static void test_codes(void **state)
{
    (void)state;
    static const struct {
        enum rule rule;
        enum verdict_action action;
        enum verdict_place place;
        const char *start;
    } rows[] = {
        {RULE_LIMIT, VERDICT_DEFER, PLACE_GREETING, "421 4.7.0 "},
        {RULE_LIMIT, VERDICT_DEFER, PLACE_MAIL, "450 4.7.1 "},
        {RULE_LIMIT, VERDICT_DEFER, PLACE_RCPT, "452 4.5.3 "},
        {RULE_LIMIT, VERDICT_DEFER, PLACE_DATA, "450 4.7.1 "},
        {RULE_LIMIT, VERDICT_REFUSE, PLACE_GREETING, "554 5.7.1 "},
        {RULE_LIMIT, VERDICT_REFUSE, PLACE_MAIL, "550 5.7.1 "},
        {RULE_LIMIT, VERDICT_REFUSE, PLACE_RCPT, "550 5.7.1 "},
        {RULE_CLASS, VERDICT_REFUSE, PLACE_GREETING, "554 5.7.1 "},
        {RULE_STORE_DOWN, VERDICT_DEFER, PLACE_GREETING, "421 4.3.2 "},
        {RULE_STORE_DOWN, VERDICT_DEFER, PLACE_MAIL, "450 4.3.2 "},
        {RULE_CONNECT, VERDICT_DEFER, PLACE_GREETING, "421 4.4.1 "},
        {RULE_TIMEOUT, VERDICT_DEFER, PLACE_SESSION, "421 4.4.2 "},
        {RULE_SHUTDOWN, VERDICT_DEFER, PLACE_SESSION, "421 4.3.2 "},
        {RULE_DIRECT, VERDICT_REFUSE, PLACE_GREETING, "554 5.7.1 "},
        {RULE_LOOP, VERDICT_REFUSE, PLACE_GREETING, "554 5.4.6 "},
        {RULE_LOOP, VERDICT_DEFER, PLACE_GREETING, "421 4.4.6 "},
        {RULE_SOURCE, VERDICT_REFUSE, PLACE_GREETING, "554 5.7.1 "},
        {RULE_NO_STARTTLS, VERDICT_REFUSE, PLACE_SESSION, "554 5.7.1 "},
        {RULE_LINE, VERDICT_REFUSE, PLACE_SESSION, "500 5.5.2 "},
    };
    struct conf_class class = make_class(OVER_DEFER, true);
    struct verdict_context context = {&class, "10.20.0.7", "https://h/", "CASE000000", NULL, NULL};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char reply[VERDICT_REPLY];
        struct verdict v = {.action = rows[i].action, .rule = rows[i].rule};
        reply_of(v, rows[i].place, &context, reply);
        assert_memory_equal(reply, rows[i].start, strlen(rows[i].start));
        assert_non_null(strstr(reply, "https://h/"));
        assert_non_null(strstr(reply, "(case CASE000000)"));
    }
}

static void test_limits_in_words(void **state)
{
    (void)state;
    static const struct {
        enum limit_kind kind;
        const char *words;
        const char *rule;
    } rows[] = {
        {LIMIT_SESSIONS, "limit of 10 sessions in 1 minute; retry in 42 seconds", "sessions:10/1m"},
        {LIMIT_MESSAGES, "limit of 10 messages in 1 minute;", "messages:10/1m"},
        {LIMIT_RECIPIENTS, "limit of 10 recipients in 1 minute;", "recipients:10/1m"},
        {LIMIT_BYTES, "limit of 10 bytes in 1 minute;", "bytes:10/1m"},
        {LIMIT_SPREAD, "limit of 10 destinations in 1 minute;", "spread:10/1m"},
        {LIMIT_CONCURRENT,
         "limit of 10 sessions at once (one that was broken off may count for 15 minutes more);",
         "concurrent:10"},
    };
    struct conf_class class = make_class(OVER_DEFER, true);
    struct verdict_context context = {&class, "10.20.0.7", "https://h/", "CASE000000", NULL, NULL};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char reply[VERDICT_REPLY];
        char rule[64];
        struct text t;
        struct verdict v = {
            .action = VERDICT_DEFER,
            .rule = RULE_LIMIT,
            .limit = rows[i].kind,
            .retry_after_s = 42};
        reply_of(v, PLACE_MAIL, &context, reply);
        assert_non_null(strstr(reply, rows[i].words));
        text_init(&t, rule, sizeof rule);
        verdict_rule_text(&v, &class, &t);
        assert_string_equal(rule, rows[i].rule);
    }
}

/* However long the parts are, the reply is one line within the limit, and its end is whole. */
static void test_long_parts(void **state)
{
    (void)state;
    char url[256];
    char id[300];
    char detail[1000];
    memset(url, 'u', sizeof url - 1);
    memset(id, 'i', sizeof id - 1);
    memset(detail, 'd', sizeof detail - 1);
    url[sizeof url - 1] = id[sizeof id - 1] = detail[sizeof detail - 1] = '\0';
    struct conf_class class = make_class(OVER_DEFER, true);
    struct verdict_context context = {&class, id, url, "CASE000000", detail, NULL};
    for (unsigned rule = RULE_LIMIT; rule < RULE_COUNT; rule++) {
        char reply[VERDICT_REPLY];
        struct verdict v = {
            .action = VERDICT_DEFER, .rule = rule, .retry_after_s = UINT32_MAX, .window = 9};
        reply_of(v, PLACE_GREETING, &context, reply);
        assert_non_null(strstr(reply, "(case CASE000000)\r\n"));
        assert_non_null(strstr(reply, url));
    }
}

static void test_detail_cannot_end_the_reply(void **state)
{
    (void)state;
    struct conf_class class = make_class(OVER_DEFER, true);
    struct verdict_context context = {
        &class, "10.20.0.7", "https://h/", "CASE000000", "spam\r\n250 ok \x1b \xc3\xbc", NULL};
    char reply[VERDICT_REPLY];
    reply_of(
        (struct verdict){.action = VERDICT_REFUSE, .rule = RULE_CLASS}, PLACE_GREETING, &context,
        reply);
    assert_non_null(strstr(reply, "(ordinary): spam??250 ok ? ??; see https://h/"));
}

static void test_advice(void **state)
{
    (void)state;
    static const struct verdict told[] = {
        {.action = VERDICT_REFUSE, .rule = RULE_CLASS, .advise = true},
        {.action = VERDICT_DEFER, .rule = RULE_LIMIT, .advise = true, .retry_after_s = 9}};
    struct conf_class class = make_class(OVER_SUBMIT, true);
    struct conf_submission submission = {.port = 2587};
    struct verdict_context context = {
        &class, "10.20.0.7", "https://h/", "CASE000000", "192.0.2.1 port 587: x", &submission};
    char reply[VERDICT_REPLY];
    reply_of(told[0], PLACE_GREETING, &context, reply);
    assert_string_equal(
        reply, "554 5.7.1 10.20.0.7 may not send mail on port 25 (ordinary); use your mail "
               "provider's server port 587 with STARTTLS or port 465 with TLS - 192.0.2.1 port "
               "587: x; see https://h/ (case CASE000000)\r\n");
    strcpy(submission.host, "smtp.isp.example");
    context.detail = NULL;
    reply_of(told[1], PLACE_MAIL, &context, reply);
    assert_string_equal(
        reply, "450 4.7.1 10.20.0.7 has reached its limit of 10 sessions in 1 minute; use "
               "smtp.isp.example port 2587 with STARTTLS or port 465 with TLS; retry in 9 seconds; "
               "see https://h/ (case CASE000000)\r\n");
    /* There is no STARTTLS at a port that begins with TLS. */
    submission.port = 465;
    reply_of(told[0], PLACE_GREETING, &context, reply);
    assert_non_null(strstr(reply, "; use smtp.isp.example port 465 with TLS; "));
    /* Never too long, however long its parts are. */
    memset(submission.host, 'h', sizeof submission.host - 1);
    context.detail = "a detail that is of some length, and longer than what there is room for";
    reply_of(told[0], PLACE_GREETING, &context, reply);
}

static void test_case_ids(void **state)
{
    (void)state;
    char a[CASE_TEXT];
    char b[CASE_TEXT];
    case_format(0, a);
    assert_string_equal(a, "0000000000");
    case_format(UINT64_MAX, a);
    assert_string_equal(a, "ZZZZZZZZZZ");
    case_format(1, a);
    case_format(2, b);
    assert_string_not_equal(a, b);
}

/* Nothing but a fail is ever refused, or costs more than one message: of the sender's, or of the
 * HELO name's where the sender's domain does not vouch for the client. */
static void check_spf(
    const struct conf_class *class, enum spf_use use, enum spf_result sender, enum spf_result helo)
{
    struct conf_spf spf = {.use = use, .fail_cost = 4};
    struct spf_answer answer = {.sender = sender, .helo = helo};
    enum rule rule = RULE_NONE;
    if (sender == SPF_FAIL) {
        rule = RULE_SPF;
    } else if (helo == SPF_FAIL && sender != SPF_PASS) {
        rule = RULE_SPF_HELO;
    }
    bool refused = use == SPF_USE_REFUSE && rule != RULE_NONE;
    bool dear = use == SPF_USE_METER && rule != RULE_NONE;
    struct verdict v = policy_spf(class, use, &answer);
    assert_int_equal(v.action, refused ? VERDICT_REFUSE : VERDICT_FORWARD);
    assert_int_equal(v.rule, refused ? rule : RULE_NONE);
    assert_int_equal(policy_message_cost(class, &spf, sender, helo), dear ? 4 : 1);
}

static void test_spf(void **state)
{
    (void)state;
    struct conf_class class = make_class(OVER_DEFER, true);
    for (enum spf_use use = SPF_USE_OFF; use <= SPF_USE_REFUSE; use++) {
        for (enum spf_result sender = SPF_NOT_ASKED; sender < SPF_RESULTS; sender++) {
            for (enum spf_result helo = SPF_NOT_ASKED; helo < SPF_RESULTS; helo++) {
                check_spf(&class, use, sender, helo);
            }
        }
    }
    struct conf_spf spf = {.use = SPF_USE_METER, .fail_cost = 11}; /* the bucket holds 10 */
    assert_int_equal(policy_message_cost(&class, &spf, SPF_FAIL, SPF_NONE), 10);
    class.limit[LIMIT_MESSAGES].windows = 0;
    assert_int_equal(policy_message_cost(&class, &spf, SPF_FAIL, SPF_NONE), 11);
    class.enforce = false;
    struct spf_answer fail = {.sender = SPF_FAIL, .helo = SPF_PASS};
    struct verdict v = policy_spf(&class, SPF_USE_REFUSE, &fail);
    assert_int_equal(v.action, VERDICT_FORWARD);
    assert_true(v.shadow && v.would == VERDICT_REFUSE && v.rule == RULE_SPF);
}

/* Where SPF decides the sender has to be one that all servers read alike. */
static void test_sender(void **state)
{
    (void)state;
    struct conf_class class = make_class(OVER_DEFER, true);
    for (enum spf_use use = SPF_USE_OFF; use <= SPF_USE_REFUSE; use++) {
        bool decides = use == SPF_USE_METER || use == SPF_USE_REFUSE;
        struct verdict v = policy_sender(&class, use, false);
        assert_int_equal(v.action, decides ? VERDICT_REFUSE : VERDICT_FORWARD);
        assert_int_equal(v.rule, decides ? RULE_SENDER : RULE_NONE);
        assert_int_equal(policy_sender(&class, use, true).action, VERDICT_FORWARD);
    }
    class.enforce = false;
    struct verdict v = policy_sender(&class, SPF_USE_REFUSE, false);
    assert_int_equal(v.action, VERDICT_FORWARD);
    assert_true(v.shadow && v.would == VERDICT_REFUSE && v.rule == RULE_SENDER);
}

/* What a mail costs beyond its first message, which is lost with it: the time that is told is long
 * enough for both. */
static void test_rest_of_a_price(void **state)
{
    (void)state;
    struct conf_class class = make_class(OVER_DEFER, true); /* messages 10/1m */
    struct question rest = {.kind = QUESTION_ENVELOPE, .messages = 3};
    struct answer over = {.state = METER_OVER, .limit = LIMIT_MESSAGES, .retry_us = 18e6};
    struct verdict v = policy_meter(&class, WHEN_DOWN_LOCAL, &rest, &over);
    assert_int_equal(v.retry_after_s, 18);
    v = policy_price(&class, 4, 1, &over, &v);
    assert_int_equal(v.action, VERDICT_DEFER);
    assert_int_equal(v.retry_after_s, 24);
    assert_int_equal(v.cost, 4);
    over.limit = LIMIT_RECIPIENTS;
    v = policy_meter(&class, WHEN_DOWN_LOCAL, &rest, &over);
    v = policy_price(&class, 4, 1, &over, &v);
    assert_int_equal(v.retry_after_s, 18);
    assert_int_equal(v.cost, 0);
    over.state = METER_WITHIN;
    v = policy_meter(&class, WHEN_DOWN_LOCAL, &rest, &over);
    v = policy_price(&class, 4, 1, &over, &v);
    assert_int_equal(v.action, VERDICT_FORWARD);
    assert_int_equal(v.cost, 0);
}

/* What a change of the line's class means to a session that is open. */
static void test_what_ends_a_session(void **state)
{
    (void)state;
    static const struct {
        enum class_action was, now;
        bool enforce, ends;
    } rows[] = {
        {ACTION_METER, ACTION_REFUSE, true, true},  {ACTION_PASS, ACTION_REFUSE, true, true},
        {ACTION_SUBMIT, ACTION_REFUSE, true, true}, {ACTION_METER, ACTION_REFUSE, false, false},
        {ACTION_PASS, ACTION_REFUSE, false, true},  {ACTION_PASS, ACTION_METER, true, true},
        {ACTION_PASS, ACTION_PASS, true, false},    {ACTION_METER, ACTION_PASS, true, false},
        {ACTION_METER, ACTION_SUBMIT, true, false}, {ACTION_METER, ACTION_METER, true, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct conf_class was = make_class(OVER_DEFER, true);
        struct conf_class now = make_class(OVER_DEFER, rows[i].enforce);
        was.action = rows[i].was;
        now.action = rows[i].now;
        assert_int_equal(policy_ends(&was, &now), rows[i].ends);
        assert_false(policy_ends(&was, &was));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_admission),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_bridging),
        cmocka_unit_test(test_starttls),
        cmocka_unit_test(test_waiting_time_is_never_zero),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_limits_in_words),
        cmocka_unit_test(test_long_parts),
        cmocka_unit_test(test_detail_cannot_end_the_reply),
        cmocka_unit_test(test_advice),
        cmocka_unit_test(test_case_ids),
        cmocka_unit_test(test_spf),
        cmocka_unit_test(test_sender),
        cmocka_unit_test(test_rest_of_a_price),
        cmocka_unit_test(test_what_ends_a_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
