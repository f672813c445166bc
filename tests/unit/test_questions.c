/* What core/dialog asks the meter, and what it does not: recipients' tokens that come with the
 * mail's, and slots that are renewed seldom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "unit/dialog_rig.h"

#define MINUTE_MS 60000

/* The client says `line`: is the meter asked? */
static bool asks(struct rig *r, const char *line)
{
    step(r, (struct dialog_event){.kind = DIALOG_BYTES, .client = span_of(line)});
    return has(r, DIALOG_ASK);
}

static void check_question(const struct rig *r, uint32_t messages, uint32_t recipients)
{
    const struct question *q = &r->dialog.question;
    assert_true(r->dialog.asking);
    assert_int_equal(q->kind, QUESTION_ENVELOPE);
    assert_int_equal(q->messages, messages);
    assert_int_equal(q->recipients, recipients);
}

static void give(struct rig *r, const char *line, struct answer a)
{
    step(r, (struct dialog_event){.kind = DIALOG_ANSWER, .client = span_of(line), .answer = a});
}

static const struct answer granted_one = {.state = METER_WITHIN, .recipients = 1};

static void server_says(struct rig *r, const char *line)
{
    step(r, (struct dialog_event){.kind = DIALOG_BYTES, .server = span_of(line)});
}

static void set_up(struct rig *r)
{
    static const struct limit any = {1, {{100, 3600000000}}};
    *r = (struct rig){.now_ms = 1000};
    r->class = (struct conf_class){.name = "ordinary", .action = ACTION_METER, .enforce = true};
    r->class.limit[LIMIT_MESSAGES] = any;
    r->class.limit[LIMIT_RECIPIENTS] = any;
    r->class.limit[LIMIT_CONCURRENT] = any;
    memset(&r->conf.timeouts, 0x3f, sizeof r->conf.timeouts);
    rig_start(r);
}

/* A session whose client has been greeted. */
static void begin(struct rig *r)
{
    set_up(r);
    step(r, (struct dialog_event){.kind = DIALOG_START});
    assert_int_equal(r->dialog.question.kind, QUESTION_SESSION);
    assert_true(r->dialog.question.slot);
    step(r, (struct dialog_event){.kind = DIALOG_CONNECTED});
    step(r, (struct dialog_event){.kind = DIALOG_ANSWER, .answer = {.state = METER_WITHIN}});
    server_says(r, "220 mx\r\n");
}

#define MAIL "MAIL FROM:<a@b>\r\n"
#define RCPT "RCPT TO:<c@d>\r\n"

static void mail(struct rig *r, uint32_t recipients, const struct answer *a)
{
    assert_true(asks(r, MAIL));
    check_question(r, 1, recipients);
    give(r, MAIL, *a);
    assert_true(has(r, DIALOG_FORWARD));
    server_says(r, "250 ok\r\n");
}

static void reset(struct rig *r)
{
    assert_false(asks(r, "RSET\r\n"));
    server_says(r, "250 ok\r\n");
}

static void test_one_question_a_mail(void **state)
{
    (void)state;
    struct rig r;
    begin(&r);
    mail(&r, 1, &granted_one);
    assert_false(asks(&r, RCPT));
    server_says(&r, "250 ok\r\n");
    assert_true(asks(&r, RCPT));
    check_question(&r, 0, 1);
    give(&r, RCPT, granted_one);
    server_says(&r, "250 ok\r\n");
    reset(&r);
    mail(&r, 1, &granted_one);
}

static void test_what_is_not_used_is_kept(void **state)
{
    (void)state;
    struct rig r;
    begin(&r);
    mail(&r, 1, &granted_one);
    reset(&r);
    for (int i = 0; i < 3; i++) {
        mail(&r, 0, &(struct answer){.state = METER_WITHIN});
        reset(&r);
    }
    /* Of three that are pipelined one is paid. */
    assert_true(asks(&r, MAIL RCPT RCPT RCPT));
    check_question(&r, 1, 2);
    give(&r, MAIL RCPT RCPT RCPT, (struct answer){.state = METER_WITHIN, .recipients = 2});
    assert_false(r.dialog.asking);
    assert_int_equal(r.dialog.granted, 0);
    server_says(&r, "250 a\r\n250 b\r\n250 c\r\n250 d\r\n");
    reset(&r);
    mail(&r, 1, &granted_one);
}

/* A MAIL that is over its own limit leaves what is in hand. */
static void test_a_refused_mail_keeps_it_too(void **state)
{
    (void)state;
    struct rig r;
    begin(&r);
    mail(&r, 1, &granted_one);
    reset(&r);
    assert_true(asks(&r, MAIL));
    check_question(&r, 1, 0);
    give(&r, MAIL, (struct answer){.state = METER_OVER, .limit = LIMIT_MESSAGES, .retry_us = 1e6});
    assert_true(has(&r, DIALOG_SEND));
    mail(&r, 0, &(struct answer){.state = METER_WITHIN});
    assert_false(asks(&r, RCPT));
}

static const struct answer no_recipient = {
    .state = METER_WITHIN, .limit = LIMIT_RECIPIENTS, .retry_us = 60e6};
static const struct answer over_recipients = {
    .state = METER_OVER, .limit = LIMIT_RECIPIENTS, .retry_us = 59e6};

static void test_no_token_for_the_recipient(void **state)
{
    (void)state;
    struct rig r;
    begin(&r);
    mail(&r, 1, &no_recipient);
    assert_true(asks(&r, RCPT));
    check_question(&r, 0, 1);
    give(&r, RCPT, over_recipients);
    assert_true(has(&r, DIALOG_SEND) && has(&r, DIALOG_RECORD) && !has(&r, DIALOG_FORWARD));
    assert_true(asks(&r, RCPT));
    give(&r, RCPT, granted_one);
    assert_true(has(&r, DIALOG_FORWARD));
}

/* What is only watched: nothing is told of a recipient that nobody has named. */
static void test_shadow(void **state)
{
    (void)state;
    struct rig r;
    begin(&r);
    r.class.enforce = false;
    assert_true(asks(&r, MAIL));
    give(&r, MAIL, no_recipient);
    assert_true(has(&r, DIALOG_FORWARD) && !has(&r, DIALOG_RECORD));
    server_says(&r, "250 ok\r\n");
    assert_true(asks(&r, RCPT));
    give(&r, RCPT, over_recipients);
    assert_true(has(&r, DIALOG_FORWARD) && has(&r, DIALOG_RECORD));
    server_says(&r, "250 ok\r\n");
    reset(&r);
    /* Over the messages: it has paid for no recipient. */
    assert_true(asks(&r, MAIL));
    give(&r, MAIL, (struct answer){.state = METER_OVER, .limit = LIMIT_MESSAGES, .retry_us = 1e6});
    assert_true(has(&r, DIALOG_FORWARD) && has(&r, DIALOG_RECORD));
    server_says(&r, "250 ok\r\n");
    assert_true(asks(&r, RCPT));
    check_question(&r, 0, 1);
}

/* Without an answer all is let through, and charged later (svc/meter.c). */
static void test_unknown(void **state)
{
    (void)state;
    struct rig r;
    begin(&r);
    r.conf.redis.when_down = WHEN_DOWN_PASS;
    mail(&r, 1, &(struct answer){.state = METER_UNKNOWN, .stand_in = true});
    assert_false(asks(&r, RCPT));
}

/* A mail that SPF may yet refuse asks for one recipient, however many it names. */
static void test_spf(void **state)
{
    (void)state;
    struct rig r;
    begin(&r);
    r.conf.spf.use = SPF_USE_REFUSE;
    for (int i = 0; i < 2; i++) {
        assert_true(asks(&r, MAIL RCPT RCPT));
        check_question(&r, 1, i == 0);
        give(&r, MAIL RCPT RCPT, i == 0 ? granted_one : (struct answer){.state = METER_WITHIN});
        assert_int_equal(r.dialog.question.kind, QUESTION_SPF);
        step(
            &r,
            (struct dialog_event){
                .kind = DIALOG_ANSWER, .client = SPAN_LITERAL(MAIL), .spf = {.sender = SPF_FAIL}});
        assert_true(has(&r, DIALOG_SEND));
        assert_int_equal(r.dialog.granted, 1);
    }
}

/* At first, and again after five minutes, or after an answer that was not Redis's. */
static void test_slots_are_renewed_seldom(void **state)
{
    (void)state;
    static const struct answer within = {.state = METER_WITHIN, .recipients = 1};
    static const struct answer known = {.state = METER_WITHIN, .recipients = 1, .uncharged = true};
    static const struct answer local = {.state = METER_WITHIN, .recipients = 1, .stand_in = true};
    static const struct {
        int minutes; /* since the session began */
        bool renews;
        const struct answer *answer;
    } mails[] = {
        {0, false, &within}, {4, false, &known},  {5, true, &within},  {9, false, &within},
        {10, true, &known},  {10, true, &within}, {11, false, &local}, {11, true, &local},
        {12, true, &within}, {16, false, &known}, {17, true, &within},
    };
    struct rig r;
    begin(&r);
    for (size_t i = 0; i < sizeof mails / sizeof mails[0]; i++) {
        r.now_ms = 1000 + mails[i].minutes * MINUTE_MS;
        r.dialog.granted = 0;
        assert_true(asks(&r, MAIL));
        assert_int_equal(r.dialog.question.slot, mails[i].renews);
        give(&r, MAIL, *mails[i].answer);
        server_says(&r, "250 ok\r\n");
        reset(&r);
    }
    /* Where nobody counts them there is none. */
    r.class.limit[LIMIT_CONCURRENT].windows = 0;
    r.now_ms += 60 * MINUTE_MS;
    r.dialog.granted = 0;
    assert_true(asks(&r, MAIL));
    assert_false(r.dialog.question.slot);
}

/* A session over its limit gets none, and is open all the same where that is only watched. */
static void test_a_slot_that_was_not_given(void **state)
{
    (void)state;
    struct rig r;
    set_up(&r);
    r.class.enforce = false;
    step(&r, (struct dialog_event){.kind = DIALOG_START});
    give(&r, "", (struct answer){.state = METER_OVER, .limit = LIMIT_CONCURRENT, .retry_us = 1e6});
    step(&r, (struct dialog_event){.kind = DIALOG_CONNECTED});
    server_says(&r, "220 mx\r\n");
    for (int i = 0; i < 2; i++) {
        assert_true(asks(&r, MAIL));
        assert_int_equal(r.dialog.question.slot, i == 0);
        give(
            &r, MAIL,
            (struct answer){.state = METER_OVER, .limit = LIMIT_MESSAGES, .retry_us = 1e6});
        server_says(&r, "250 ok\r\n");
        reset(&r);
    }
}

/* Who is known to be over his limit is asked for first; should he not be, nothing is lost. */
static void test_no_server_for_who_is_over(void **state)
{
    (void)state;
    static const enum meter_state states[] = {METER_OVER, METER_WITHIN};
    for (unsigned i = 0; i < 2; i++) {
        struct rig r;
        set_up(&r);
        step(&r, (struct dialog_event){.kind = DIALOG_START, .likely_over = true});
        assert_true(has(&r, DIALOG_ASK) && !has(&r, DIALOG_CONNECT));
        give(&r, "", (struct answer){.state = states[i], .limit = LIMIT_SESSIONS});
        assert_int_equal(has(&r, DIALOG_CONNECT), states[i] == METER_WITHIN);
        assert_int_equal(has(&r, DIALOG_CLOSE), states[i] == METER_OVER);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_question_a_mail),
        cmocka_unit_test(test_what_is_not_used_is_kept),
        cmocka_unit_test(test_a_refused_mail_keeps_it_too),
        cmocka_unit_test(test_no_token_for_the_recipient),
        cmocka_unit_test(test_shadow),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_spf),
        cmocka_unit_test(test_slots_are_renewed_seldom),
        cmocka_unit_test(test_a_slot_that_was_not_given),
        cmocka_unit_test(test_no_server_for_who_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
