/* Sessions bridged to submission, in core/dialog: what they hold of the meter's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/dialog_rig.h"

#define FIVE_MINUTES_MS 300000

static bool asks(const struct rig *r, enum question_kind kind)
{
    const struct dialog_action *a = find(r, DIALOG_ASK);
    return a && a->question.kind == kind;
}

static bool connects(const struct rig *r)
{
    const struct dialog_action *a = find(r, DIALOG_CONNECT);
    return a && a->target == TARGET_SUBMISSION;
}

static void begin(struct rig *r, enum class_action action, unsigned concurrent)
{
    *r = (struct rig){.now_ms = 1000};
    r->class =
        (struct conf_class){.name = "c", .action = action, .over = OVER_SUBMIT, .enforce = true};
    if (concurrent > 0) {
        r->class.limit[LIMIT_CONCURRENT] =
            (struct limit){.windows = 1, .window = {{concurrent, 1}}};
    }
    r->conf.timeouts = (struct conf_timeouts){30000,  300000, 300000, 300000,  120000, 180000,
                                              600000, 600000, 30000,  3600000, 3000};
    rig_start(r);
    step(r, (struct dialog_event){.kind = DIALOG_START});
}

static void answer(struct rig *r, enum meter_state state, enum limit_kind limit)
{
    step(
        r,
        (struct dialog_event){
            .kind = DIALOG_ANSWER, .answer = {.state = state, .limit = limit, .retry_us = 60e6}});
}

static void test_without_a_limit_nothing_is_asked(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, ACTION_SUBMIT, 0);
    assert_true(connects(&r) && !find(&r, DIALOG_ASK));
    step(&r, (struct dialog_event){.kind = DIALOG_CONNECTED});
    assert_non_null(find(&r, DIALOG_OPAQUE));
    r.now_ms += FIVE_MINUTES_MS;
    step(&r, (struct dialog_event){.kind = DIALOG_TICK});
    assert_int_equal(r.actions.count, 0);
}

static void test_a_slot_is_taken_first_and_kept(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, ACTION_SUBMIT, 2);
    assert_true(asks(&r, QUESTION_BRIDGE) && !find(&r, DIALOG_CONNECT));
    answer(&r, METER_WITHIN, 0);
    assert_true(connects(&r) && !find(&r, DIALOG_ASK));
    step(&r, (struct dialog_event){.kind = DIALOG_CONNECTED});
    for (int i = 0; i < 3; i++) { /* longer than a slot lives without a word */
        r.now_ms += FIVE_MINUTES_MS;
        step(&r, (struct dialog_event){.kind = DIALOG_TICK});
        assert_true(asks(&r, QUESTION_CHECKPOINT));
        answer(&r, METER_WITHIN, 0);
        assert_int_equal(r.actions.count, 0);
    }
}

static void test_over_it_is_deferred_with_the_reason(void **state)
{
    (void)state;
    static const enum class_action actions[] = {ACTION_SUBMIT, ACTION_METER};
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        struct rig r;
        begin(&r, actions[i], 2);
        if (actions[i] == ACTION_METER) {
            assert_true(asks(&r, QUESTION_SESSION));
            answer(&r, METER_OVER, LIMIT_CONCURRENT);
        }
        assert_true(asks(&r, QUESTION_BRIDGE));
        answer(&r, METER_OVER, LIMIT_CONCURRENT);
        const struct dialog_action *said = find(&r, DIALOG_SEND);
        assert_non_null(said);
        assert_true(
            said &&
            span_starts_nocase(
                said->text, SPAN_LITERAL("421 4.7.0 10.20.0.7 has reached its limit of 2 "
                                         "sessions at once (one that was broken off may count for "
                                         "15 minutes more); retry in 60 seconds")));
        assert_non_null(find(&r, DIALOG_RECORD));
        assert_non_null(find(&r, DIALOG_CLOSE));
        assert_null(find(&r, DIALOG_CONNECT));
    }
}

static void test_without_redis(void **state)
{
    (void)state;
    static const struct {
        enum when_down when_down;
        bool connects;
    } rows[] = {{WHEN_DOWN_PASS, true}, {WHEN_DOWN_REFUSE, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        begin(&r, ACTION_SUBMIT, 2);
        r.conf.redis.when_down = rows[i].when_down;
        answer(&r, METER_UNKNOWN, 0);
        assert_int_equal(connects(&r), rows[i].connects);
        assert_int_equal(find(&r, DIALOG_CLOSE) == NULL, rows[i].connects);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_limit_nothing_is_asked),
        cmocka_unit_test(test_a_slot_is_taken_first_and_kept),
        cmocka_unit_test(test_over_it_is_deferred_with_the_reason),
        cmocka_unit_test(test_without_redis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
