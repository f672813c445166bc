/* Opaque sessions in core/dialog: checkpoints, and how byte debt slows them down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/dialog_rig.h"

static const struct dialog_action *must_find(const struct rig *r, enum dialog_action_kind kind)
{
    static const struct dialog_action none;
    const struct dialog_action *found = find(r, kind);
    assert_non_null(found);
    return found ? found : &none;
}

/* A metered session that has just become opaque. */
static void begin(struct rig *r, const char *bytes)
{
    *r = (struct rig){.now_ms = 1000, .active_ms = 1000};
    r->class = (struct conf_class){.name = "c", .action = ACTION_METER, .enforce = true};
    assert_true(conf_parse_rate(span_of(bytes), &r->class.limit[LIMIT_BYTES].window[0]));
    r->class.limit[LIMIT_BYTES].windows = 1;
    assert_true(conf_parse_rate(span_of("5/1h"), &r->class.limit[LIMIT_MESSAGES].window[0]));
    r->class.limit[LIMIT_MESSAGES].windows = 1;
    r->conf.timeouts = (struct conf_timeouts){30000,  300000, 300000, 300000,  120000, 180000,
                                              600000, 600000, 30000,  3600000, 3000};
    rig_start(r);
    step(r, (struct dialog_event){.kind = DIALOG_START});
    step(r, (struct dialog_event){.kind = DIALOG_CONNECTED});
    step(r, (struct dialog_event){.kind = DIALOG_ANSWER, .answer = {.state = METER_WITHIN}});
    step(r, (struct dialog_event){.kind = DIALOG_BYTES, .server = SPAN_LITERAL("220 mx\r\n")});
    step(r, (struct dialog_event){.kind = DIALOG_BYTES, .client = SPAN_LITERAL("STARTTLS\r\n")});
    step(r, (struct dialog_event){.kind = DIALOG_BYTES, .server = SPAN_LITERAL("220 go\r\n")});
    step(r, (struct dialog_event){.kind = DIALOG_BYTES, .client = SPAN_LITERAL("\x16\x03")});
    assert_non_null(find(r, DIALOG_OPAQUE));
}

static void checkpoint(struct rig *r, uint64_t bytes, bool over)
{
    r->bytes_up += bytes;
    step(r, (struct dialog_event){.kind = DIALOG_TICK});
    assert_non_null(find(r, DIALOG_ASK));
    step(
        r, (struct dialog_event){
               .kind = DIALOG_ANSWER,
               .answer = {.state = METER_WITHIN, .bytes_over = over, .retry_us = 3600e6}});
}

static void test_checkpoints_suit_the_bucket(void **state)
{
    (void)state;
    static const struct {
        const char *limit;
        size_t bytes;
    } rows[] = {{"100M/1h", 262144}, {"800k/1h", 100000}, {"20k/1m", 8192}, {"1/1d", 8192}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        begin(&r, rows[i].limit);
        assert_int_equal(must_find(&r, DIALOG_OPAQUE)->count, rows[i].bytes);
    }
}

static void test_debt_slows_to_the_rate_of_the_bucket(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, "100k/10s"); /* 10,000 bytes a second */
    checkpoint(&r, 50000, false);
    assert_null(find(&r, DIALOG_PAUSE));

    checkpoint(&r, 60000, true);
    assert_non_null(find(&r, DIALOG_PAUSE));
    assert_int_equal(dialog_deadline(&r.dialog), r.now_ms + 6000);

    /* Too early, nothing; in time, a little goes through, and is looked at. */
    step(&r, (struct dialog_event){.kind = DIALOG_TICK});
    assert_int_equal(r.actions.count, 0);
    r.now_ms += 6000;
    step(&r, (struct dialog_event){.kind = DIALOG_TICK});
    assert_int_equal(must_find(&r, DIALOG_RESUME)->count, 1000); /* those of 100 ms */
    checkpoint(&r, 20000, true);
    assert_int_equal(dialog_deadline(&r.dialog), r.now_ms + 2000);
    assert_null(find(&r, DIALOG_CLOSE));
}

static void test_no_silence_is_longer_than_a_server_waits(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, "20k/1d");
    for (int i = 0; i < 100; i++) {
        checkpoint(&r, 65536, true);
        assert_int_equal(dialog_deadline(&r.dialog), r.now_ms + 30000);
        r.now_ms += 30000;
        step(&r, (struct dialog_event){.kind = DIALOG_TICK});
        assert_int_equal(must_find(&r, DIALOG_RESUME)->count, 1);
        r.active_ms = r.now_ms;
    }
}

static void test_silence_of_its_own_ends_it(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, "100M/1h");
    r.now_ms += 300000; /* a checkpoint keeps the slot in `concurrent` alive */
    step(&r, (struct dialog_event){.kind = DIALOG_TICK});
    assert_non_null(find(&r, DIALOG_ASK));
    assert_null(find(&r, DIALOG_CLOSE));
    step(&r, (struct dialog_event){.kind = DIALOG_ANSWER, .answer = {.state = METER_WITHIN}});
    assert_int_equal(dialog_deadline(&r.dialog), r.active_ms + 600000);
    r.now_ms = r.active_ms + 600000;
    step(&r, (struct dialog_event){.kind = DIALOG_TICK});
    assert_int_equal(must_find(&r, DIALOG_CLOSE)->verdict.rule, RULE_TIMEOUT);
}

static void test_shadow_and_no_answer_slow_nobody(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, "20k/1m");
    r.class.enforce = false;
    checkpoint(&r, 65536, true);
    assert_null(find(&r, DIALOG_PAUSE));
    r.class.enforce = true;
    step(&r, (struct dialog_event){.kind = DIALOG_TICK});
    step(
        &r, (struct dialog_event){
                .kind = DIALOG_ANSWER, .answer = {.state = METER_UNKNOWN, .bytes_over = true}});
    assert_null(find(&r, DIALOG_PAUSE));
}

/* False: it is held. */
static bool client_record(struct rig *r, size_t text)
{
    static char bytes[20000] = {23, 3, 3};
    size_t size = text + 17, done = 0;
    bytes[3] = (char)(size >> 8);
    bytes[4] = (char)size;
    do {
        done += turns_client(&r->dialog.turns, (struct span){bytes + done, size + 5 - done});
        if (r->dialog.turns.held != TURNS_FREE) {
            step(r, (struct dialog_event){.kind = DIALOG_TURN});
        }
        if (r->dialog.turns.held != TURNS_FREE) {
            r->left = size + 5 - done;
            return false;
        }
    } while (done < size + 5);
    return true;
}

/* Lets on what was held. False: it still is. */
static bool client_goes_on(struct rig *r)
{
    static const char rest[20000];
    step(r, (struct dialog_event){.kind = DIALOG_TURN});
    if (r->dialog.turns.held != TURNS_FREE || r->dialog.ended) {
        return false;
    }
    assert_int_equal(turns_client(&r->dialog.turns, (struct span){rest, r->left}), r->left);
    return true;
}

static void server_record(struct rig *r, size_t text)
{
    static char bytes[2000] = {23, 3, 3};
    size_t size = text + 17;
    bytes[3] = (char)(size >> 8);
    bytes[4] = (char)size;
    turns_server(&r->dialog.turns, (struct span){bytes, size + 5});
}

static void answer_messages(struct rig *r, enum meter_state state)
{
    step(
        r, (struct dialog_event){
               .kind = DIALOG_ANSWER, .answer = {.state = state, .limit = LIMIT_MESSAGES}});
}

static void begin_tls(struct rig *r)
{
    begin(r, "1G/1s");
    server_record(r, 1000);
    assert_true(client_record(r, 36));
    assert_true(client_record(r, 20));
    server_record(r, 100);
}

/* An envelope, and the start of content of `size`. */
static void offer_message(struct rig *r, size_t size)
{
    assert_true(client_record(r, 90));
    server_record(r, 65);
    assert_false(client_record(r, size));
}

static void assert_ended(const struct rig *r)
{
    assert_int_equal(must_find(r, DIALOG_RECORD)->verdict.limit, LIMIT_MESSAGES);
    assert_int_equal(must_find(r, DIALOG_CLOSE)->verdict.action, VERDICT_DEFER);
}

static void test_content_is_paid_before_it_goes_on(void **state)
{
    (void)state;
    struct rig r;
    begin_tls(&r);
    for (int message = 0; message < 3; message++) {
        offer_message(&r, 2000);
        const struct dialog_action *ask = must_find(&r, DIALOG_ASK);
        assert_int_equal(ask->question.kind, QUESTION_CONTENT);
        assert_int_equal(ask->question.messages, 1);
        step(&r, (struct dialog_event){.kind = DIALOG_TURN}); /* not before the answer */
        assert_int_equal(r.dialog.turns.held, TURNS_CONTENT);
        answer_messages(&r, METER_WITHIN);
        assert_true(client_goes_on(&r));
        server_record(&r, 37);
    }
    assert_true(client_record(&r, 6));
    assert_int_equal(r.dialog.turns.least, 3);
    assert_int_equal(dialog_messages_due(&r.dialog), 0);
}

static void test_content_over_the_limit_never_goes_on(void **state)
{
    (void)state;
    struct rig r;
    begin_tls(&r);
    offer_message(&r, 2000);
    answer_messages(&r, METER_OVER);
    assert_null(find(&r, DIALOG_CLOSE));
    assert_false(client_goes_on(&r));
    assert_ended(&r);
    assert_int_equal(dialog_messages_due(&r.dialog), 0);
}

/* A large envelope may be content as well: its token is that of the message. */
static void test_a_token_for_commands_serves_the_content(void **state)
{
    (void)state;
    struct rig r;
    begin_tls(&r);
    assert_false(client_record(&r, 1200));
    answer_messages(&r, METER_WITHIN);
    assert_true(client_goes_on(&r));
    server_record(&r, 600); /* some forty replies: no content */
    assert_true(client_record(&r, 3000));
    server_record(&r, 37);
    assert_true(client_record(&r, 6));
    assert_int_equal(r.dialog.turns.least, 1);
    assert_int_equal(r.dialog.messages_charged, 1);
}

/* More of the same message needs no token. */
static void test_chunks_cost_one(void **state)
{
    (void)state;
    struct rig r;
    begin_tls(&r);
    offer_message(&r, 9000);
    answer_messages(&r, METER_WITHIN);
    assert_true(client_goes_on(&r));
    for (int chunk = 0; chunk < 100; chunk++) {
        server_record(&r, 27);
        assert_true(client_record(&r, 9000));
    }
    server_record(&r, 27);
    assert_true(client_record(&r, 900));
    server_record(&r, 37);
    assert_true(client_record(&r, 6));
    assert_int_equal(r.dialog.turns.least, 1);
}

/* What could not be told before it had gone by is paid then, and may leave a debt. */
static void test_small_messages_in_a_row(void **state)
{
    (void)state;
    struct rig r;
    begin_tls(&r);
    assert_false(client_record(&r, 1300)); /* MAIL, RCPT, BDAT, content */
    answer_messages(&r, METER_WITHIN);
    assert_true(client_goes_on(&r));
    server_record(&r, 55);
    assert_true(client_record(&r, 1300)); /* it may be the rest of that message */
    server_record(&r, 55);
    assert_false(client_record(&r, 1300));
    const struct dialog_action *ask = must_find(&r, DIALOG_ASK);
    assert_int_equal(ask->question.kind, QUESTION_CHECKPOINT);
    assert_int_equal(ask->question.messages, 1);
    answer_messages(&r, METER_OVER);
    assert_false(client_goes_on(&r));
    assert_ended(&r);
}

static void test_shadow_mode_asks_once_a_message(void **state)
{
    (void)state;
    struct rig r;
    begin_tls(&r);
    r.class.enforce = false;
    for (int message = 0; message < 3; message++) {
        offer_message(&r, 2000);
        answer_messages(&r, METER_OVER);
        assert_true(must_find(&r, DIALOG_RECORD)->verdict.shadow);
        assert_true(client_goes_on(&r));
        server_record(&r, 37);
    }
    assert_true(client_record(&r, 6));
    assert_int_equal(dialog_messages_due(&r.dialog), 0);
}

static void test_when_the_meter_is_silent(void **state)
{
    (void)state;
    struct rig r;
    begin_tls(&r);
    r.conf.redis.when_down = WHEN_DOWN_PASS;
    offer_message(&r, 2000);
    answer_messages(&r, METER_UNKNOWN);
    assert_true(client_goes_on(&r));

    begin_tls(&r);
    r.conf.redis.when_down = WHEN_DOWN_REFUSE;
    offer_message(&r, 2000);
    answer_messages(&r, METER_UNKNOWN);
    assert_false(client_goes_on(&r));
    assert_int_equal(must_find(&r, DIALOG_CLOSE)->verdict.rule, RULE_STORE_DOWN);
}

/* Byte debt slows, it does not end. */
static void test_content_pays_its_bytes(void **state)
{
    (void)state;
    struct rig r;
    begin_tls(&r);
    r.bytes_up = 5000;
    offer_message(&r, 2000);
    assert_int_equal(must_find(&r, DIALOG_ASK)->question.bytes, 5000);
    step(
        &r, (struct dialog_event){
                .kind = DIALOG_ANSWER, .answer = {.state = METER_WITHIN, .bytes_over = true}});
    assert_non_null(find(&r, DIALOG_PAUSE));
    assert_null(find(&r, DIALOG_CLOSE));
    assert_true(client_goes_on(&r));
}

static void test_opaque_messages_off(void **state)
{
    (void)state;
    for (int without_limit = 0; without_limit < 2; without_limit++) {
        struct rig r;
        begin_tls(&r);
        if (without_limit) {
            r.class.limit[LIMIT_MESSAGES].windows = 0;
        } else {
            r.class.opaque_messages = OPAQUE_OFF;
        }
        assert_true(client_record(&r, 90));
        server_record(&r, 65);
        assert_true(client_record(&r, 2000));
        server_record(&r, 37);
        assert_true(client_record(&r, 90));
        assert_int_equal(r.dialog.turns.least, 1);
        assert_int_equal(dialog_messages_due(&r.dialog), 0);
        assert_null(find(&r, DIALOG_ASK));
    }
}

/* Its standing may no longer be what it was: at once, and however far STARTTLS has come. */
static void test_another_standing_ends_it(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, "100M/1h");
    step(&r, (struct dialog_event){.kind = DIALOG_STANDING});
    assert_int_equal(must_find(&r, DIALOG_CLOSE)->verdict.rule, RULE_STANDING);
    assert_false(has(&r, DIALOG_SEND));

    begin(&r, "100M/1h");
    dialog_init(&r.dialog, &r.setup);
    step(&r, (struct dialog_event){.kind = DIALOG_START});
    step(&r, (struct dialog_event){.kind = DIALOG_CONNECTED});
    step(&r, (struct dialog_event){.kind = DIALOG_ANSWER, .answer = {.state = METER_WITHIN}});
    step(&r, (struct dialog_event){.kind = DIALOG_BYTES, .server = SPAN_LITERAL("220 mx\r\n")});
    step(&r, (struct dialog_event){.kind = DIALOG_BYTES, .client = SPAN_LITERAL("STARTTLS\r\n")});
    step(&r, (struct dialog_event){.kind = DIALOG_STANDING});
    assert_false(has(&r, DIALOG_CLOSE));
    step(&r, (struct dialog_event){.kind = DIALOG_BYTES, .server = SPAN_LITERAL("220 go\r\n")});
    step(&r, (struct dialog_event){.kind = DIALOG_BYTES, .client = SPAN_LITERAL("\x16\x03")});
    assert_int_equal(must_find(&r, DIALOG_CLOSE)->verdict.rule, RULE_STANDING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content_is_paid_before_it_goes_on),
        cmocka_unit_test(test_content_over_the_limit_never_goes_on),
        cmocka_unit_test(test_a_token_for_commands_serves_the_content),
        cmocka_unit_test(test_chunks_cost_one),
        cmocka_unit_test(test_small_messages_in_a_row),
        cmocka_unit_test(test_shadow_mode_asks_once_a_message),
        cmocka_unit_test(test_when_the_meter_is_silent),
        cmocka_unit_test(test_content_pays_its_bytes),
        cmocka_unit_test(test_opaque_messages_off),
        cmocka_unit_test(test_checkpoints_suit_the_bucket),
        cmocka_unit_test(test_debt_slows_to_the_rate_of_the_bucket),
        cmocka_unit_test(test_no_silence_is_longer_than_a_server_waits),
        cmocka_unit_test(test_silence_of_its_own_ends_it),
        cmocka_unit_test(test_shadow_and_no_answer_slow_nobody),
        cmocka_unit_test(test_another_standing_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
