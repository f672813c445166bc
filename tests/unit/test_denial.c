/* Remembered denials against the meter itself, in a world of random questions: none is given that
 * the meter would not give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/denial.h"
#include "core/rate.h"
#include "svc/meter_local.h"
#include "svc/meter_notes.h"

#define SECOND  1e6
#define WORKERS 3

static uint64_t seed = 25;

static uint64_t random_below(uint64_t n) /* xorshift64* */
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (seed * 2685821657736338717u >> 11) % n;
}

static struct rate some_rate(uint64_t most)
{
    return (struct rate){1 + random_below(most), 1000000 * (1 + random_below(40))};
}

static struct conf_class some_class(void)
{
    static const uint64_t most[LIMIT_KINDS] = {6, 6, 8, 3000, 4, 3};
    struct conf_class c = {.name = "x", .action = ACTION_METER, .enforce = true};

    for (unsigned kind = 0; kind < LIMIT_KINDS; kind++) {
        struct limit *l = &c.limit[kind];
        l->windows = (unsigned)random_below(kind == LIMIT_CONCURRENT ? 2 : 4);
        for (unsigned i = 0; i < l->windows; i++) {
            l->window[i] = some_rate(most[kind]);
            l->window[i].period_us += i * 50000000; /* no two of the same period */
        }
    }
    return c;
}

static struct question some_question(void)
{
    struct question q = {.kind = (enum question_kind)random_below(4), .bytes = random_below(300)};

    switch (q.kind) {
    case QUESTION_ENVELOPE:
        q.messages = (uint32_t)random_below(4);
        q.recipients = (uint32_t)random_below(5) + (q.messages == 0);
        break;
    case QUESTION_CHECKPOINT:
        q.messages = random_below(4) == 0;
        break;
    case QUESTION_CONTENT:
        q.messages = 1;
        break;
    default:
        break;
    }
    return q;
}

static void learn(
    struct denial *d, const struct conf_class *class, const struct question *question,
    const struct addr *destination, double asked_us, const struct answer *answer)
{
    const struct limit *limit = &class->limit[answer->limit];
    const struct rate *rate =
        answer->window < limit->windows ? &limit->window[answer->window] : NULL;

    denial_learn(d, rate, question, destination, asked_us, answer);
}

/* A world: the meter, and workers who remember. `drift` is how much faster its clock runs. */
struct world {
    struct conf_class class;
    struct meter_local *meter;
    struct denial denial[WORKERS];
    double now_us, drift, offset;
};

static void ask(
    struct world *w, const struct question *q, const struct addr *to, const char *slot,
    struct answer *out)
{
    struct meter_windows windows;

    meter_windows_of(&w->class, meter_kinds(q), &windows);
    if (windows.count == 0) {
        *out = (struct answer){.state = METER_WITHIN, .recipients = q->recipients};
        return;
    }
    double clock_us = (double)(int64_t)(w->offset + w->now_us * (1 + w->drift));
    meter_local_ask(w->meter, "a", slot, to, q, &windows, clock_us, out);
}

/* The meter must refuse the same; it takes nothing then, so asking it changes nothing. */
static void check_held(
    struct world *w, const struct question *q, const struct addr *to, const char *slot,
    const struct answer *held)
{
    struct question bare = *q;
    struct answer real;

    bare.bytes = 0;
    ask(w, &bare, to, slot, &real);
    assert_int_equal(real.state, METER_OVER);
    assert_int_equal(held->state, METER_OVER);
    assert_true(held->uncharged && !held->stand_in && held->recipients == 0);
    assert_true(held->retry_us > 0);
    /* Whoever comes back at that time has not waited for nothing, nor longer than he must. */
    assert_true(held->retry_us <= real.retry_us * 1.001 + 2);
}

static unsigned walk(struct world *w, unsigned steps, unsigned *again)
{
    unsigned held = 0;

    for (unsigned i = 0; i < steps; i++) {
        struct denial *d = &w->denial[random_below(WORKERS)];
        struct question q = some_question();
        struct addr to = {ADDR_IPV4, {192, 0, 2, (uint8_t)random_below(6)}};
        double asked_us = w->now_us;
        char slot[8];
        struct answer a;

        snprintf(slot, sizeof slot, "s%u", (unsigned)random_below(6));
        if (denial_holds(d, &w->class, &q, &to, w->now_us, &a)) {
            held++;
            check_held(w, &q, &to, slot, &a);
        } else {
            w->now_us += (double)random_below(20000); /* until the meter is reached */
            ask(w, &q, &to, slot, &a);
            w->now_us += (double)random_below(20000);
            learn(d, &w->class, &q, &to, asked_us, &a);
            *again += a.state == METER_OVER && denial_holds(d, &w->class, &q, &to, w->now_us, &a);
        }
        w->now_us += (double)random_below(random_below(4) == 0 ? 5000000 : 50000);
    }
    return held;
}

static void never_without_reason(void **state)
{
    unsigned held = 0, again = 0;

    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        struct world w = {
            .class = some_class(),
            .meter = meter_local_new(4),
            .now_us = 1e9,
            .drift = ((double)random_below(1000) - 500) * 1e-6,
            .offset = (double)random_below(1000000000),
        };
        held += walk(&w, 1000, &again);
        meter_local_free(w.meter);
    }
    /* They are no rarity either. */
    assert_true(held > 200000);
    assert_true(again > 50000);
}

/* --- one by one --- */

static const struct addr somewhere = {ADDR_IPV4, {192, 0, 2, 1}};

static struct conf_class class_of(enum limit_kind kind, uint64_t count, uint64_t seconds)
{
    struct conf_class c = {.name = "x"};

    c.limit[kind] = (struct limit){1, {{count, seconds * 1000000}}};
    return c;
}

static bool holds(
    const struct denial *d, const struct conf_class *c, struct question q, double now_us,
    double *retry_us)
{
    struct answer a = {.retry_us = -1};
    bool held = denial_holds(d, c, &q, &somewhere, now_us, &a);

    *retry_us = a.retry_us;
    return held;
}

static void counts_down(void **state)
{
    struct conf_class c = class_of(LIMIT_SESSIONS, 10, 60);
    struct question q = {.kind = QUESTION_SESSION};
    struct answer a = {.state = METER_OVER, .limit = LIMIT_SESSIONS, .retry_us = 6 * SECOND};
    struct denial d = {0};
    double us;

    (void)state;
    learn(&d, &c, &q, &somewhere, 100 * SECOND, &a);
    assert_true(holds(&d, &c, q, 100 * SECOND, &us));
    assert_in_range((int64_t)us, 5999998, 6000000);
    assert_true(holds(&d, &c, q, 104 * SECOND, &us));
    assert_in_range((int64_t)us, 1990000, 2000000);
    assert_false(holds(&d, &c, q, 106 * SECOND, &us));
    /* Another limit, another question: nothing is known. */
    struct conf_class wider = class_of(LIMIT_SESSIONS, 11, 60);
    assert_false(holds(&d, &wider, q, 101 * SECOND, &us));
    assert_false(
        holds(&d, &c, (struct question){QUESTION_ENVELOPE, 1, 1, 0, false}, 101 * SECOND, &us));
    assert_false(
        holds(&d, &c, (struct question){QUESTION_CONTENT, 1, 0, 0, false}, 101 * SECOND, &us));
}

/* Ten that are not there do not deny one. */
static void by_cost(void **state)
{
    struct conf_class c = class_of(LIMIT_MESSAGES, 20, 20);
    struct question ten = {QUESTION_ENVELOPE, 10, 0, 0, false};
    struct question one = {QUESTION_ENVELOPE, 1, 0, 0, false};
    struct question twelve = {QUESTION_ENVELOPE, 12, 0, 0, false};
    struct answer a = {.state = METER_OVER, .limit = LIMIT_MESSAGES, .retry_us = 6 * SECOND};
    struct denial d = {0};
    double us;

    (void)state;
    learn(&d, &c, &ten, &somewhere, 0, &a); /* so four are there */
    assert_false(holds(&d, &c, one, 0, &us));
    assert_true(holds(&d, &c, ten, 0, &us));
    assert_true(holds(&d, &c, twelve, 0, &us));
    assert_in_range((int64_t)us, 7999998, 8000000);
    assert_false(holds(&d, &c, (struct question){QUESTION_SESSION, 0, 0, 0, false}, 0, &us));
}

/* A mail whose recipients are all refused is granted all the same, and takes its token. */
static void recipients(void **state)
{
    struct conf_class c = class_of(LIMIT_RECIPIENTS, 10, 10);
    struct question mail = {QUESTION_ENVELOPE, 1, 5, 0, false};
    struct question more = {QUESTION_ENVELOPE, 0, 2, 0, false};
    struct answer a = {
        .state = METER_WITHIN, .recipients = 2, .limit = LIMIT_RECIPIENTS, .retry_us = 3 * SECOND};
    struct denial d = {0};
    double us;

    (void)state;
    learn(&d, &c, &mail, &somewhere, 0, &a);
    assert_false(holds(&d, &c, mail, 0, &us));
    assert_true(holds(&d, &c, more, 0, &us));
    assert_in_range((int64_t)us, 1999998, 2000000);
    assert_false(holds(&d, &c, more, 1 * SECOND, &us)); /* one of the two may be there */
}

static void only_that_destination(void **state)
{
    struct conf_class c = class_of(LIMIT_SPREAD, 2, 60);
    struct question q = {.kind = QUESTION_SESSION};
    struct answer a = {.state = METER_OVER, .limit = LIMIT_SPREAD, .retry_us = 30 * SECOND};
    struct addr elsewhere = {ADDR_IPV4, {192, 0, 2, 2}};
    struct denial d = {0};
    double us;

    (void)state;
    learn(&d, &c, &q, &elsewhere, 0, &a);
    assert_false(holds(&d, &c, q, 0, &us));
    learn(&d, &c, &q, &somewhere, 0, &a);
    assert_true(holds(&d, &c, q, 29 * SECOND, &us));
    assert_false(holds(&d, &c, q, 30 * SECOND, &us));
}

/* Behind STARTTLS nobody can be told but in the place of a banner: so his sessions are refused. */
static void a_content_that_was_refused(void **state)
{
    struct conf_class c = class_of(LIMIT_MESSAGES, 10, 60);
    struct question content = {QUESTION_CONTENT, 1, 0, 0, false};
    struct question session = {.kind = QUESTION_SESSION};
    struct answer a = {.state = METER_OVER, .limit = LIMIT_MESSAGES, .retry_us = 6 * SECOND};
    struct denial d = {0};
    double us;

    (void)state;
    /* A session that is refused may be refused for a debt, or for such a content that was charged
     * elsewhere since: then its time says nothing. */
    learn(&d, &c, &session, &somewhere, 0, &a);
    assert_false(holds(&d, &c, session, 0, &us));
    learn(&d, &c, &content, &somewhere, 0, &a);
    assert_true(holds(&d, &c, session, 0, &us));
    assert_in_range((int64_t)us, 5999998, 6000000);
    assert_false(holds(&d, &c, session, 6 * SECOND, &us));
    assert_true(holds(&d, &c, (struct question){QUESTION_ENVELOPE, 1, 0, 0, false}, 0, &us));
    assert_false(holds(&d, &c, content, 0, &us)); /* it would leave word in the meter */
    a.state = METER_WITHIN;
    a.retry_us = 0;
    d.count = 0;
    learn(&d, &c, &content, &somewhere, 0, &a);
    assert_int_equal(d.count, 0);
}

static void what_is_not_remembered(void **state)
{
    struct conf_class c = class_of(LIMIT_SESSIONS, 1, 86400);
    struct question q = {.kind = QUESTION_SESSION};
    struct answer a = {.state = METER_OVER, .limit = LIMIT_SESSIONS, .retry_us = 80000 * SECOND};
    struct denial d = {0};
    double us;

    (void)state;
    a.stand_in = true; /* of this process alone */
    learn(&d, &c, &q, &somewhere, 0, &a);
    assert_int_equal(d.count, 0);
    a.stand_in = false;
    a.limit = LIMIT_CONCURRENT;
    learn(&d, &c, &q, &somewhere, 0, &a);
    assert_int_equal(d.count, 0);
    /* Nothing for longer than a minute. */
    a.limit = LIMIT_SESSIONS;
    learn(&d, &c, &q, &somewhere, 0, &a);
    assert_true(holds(&d, &c, q, DENIAL_MOST_US, &us));
    assert_false(holds(&d, &c, q, DENIAL_MOST_US + 1, &us));
}

static void the_last_ones(void **state)
{
    struct conf_class c = class_of(LIMIT_SPREAD, 2, 60);
    struct question q = {.kind = QUESTION_SESSION};
    struct answer a = {.state = METER_OVER, .limit = LIMIT_SPREAD, .retry_us = 30 * SECOND};
    struct denial d = {0};

    (void)state;
    for (unsigned i = 0; i < 2 * DENIAL_ENTRIES; i++) {
        struct addr to = {ADDR_IPV4, {192, 0, 2, (uint8_t)i}};
        learn(&d, &c, &q, &to, 0, &a);
        learn(&d, &c, &q, &to, 0, &a);
    }
    assert_int_equal(d.count, DENIAL_ENTRIES);
    for (unsigned i = 0; i < 2 * DENIAL_ENTRIES; i++) {
        struct addr to = {ADDR_IPV4, {192, 0, 2, (uint8_t)i}};
        struct answer held;
        assert_int_equal(denial_holds(&d, &c, &q, &to, 0, &held), i >= DENIAL_ENTRIES);
    }
}

/* --- the notes --- */

static void notes_are_bounded(void **state)
{
    struct meter_notes *n = meter_notes_new(3);
    struct conf_class c = class_of(LIMIT_SESSIONS, 1, 60);

    (void)state;
    for (char id[] = "a"; id[0] < 'f'; id[0]++) {
        meter_notes_take(n, id, meter_notes_class(&c))->denial.count = (unsigned)id[0];
        if (id[0] > 'a') {
            assert_non_null(
                meter_notes_find(n, "b", meter_notes_class(&c))); /* heard of again and again */
        }
    }
    assert_int_equal(meter_notes_count(n), 3);
    assert_null(meter_notes_find(n, "a", meter_notes_class(&c)));
    assert_null(meter_notes_find(n, "c", meter_notes_class(&c)));
    assert_int_equal(meter_notes_find(n, "b", meter_notes_class(&c))->denial.count, 'b');
    assert_int_equal(meter_notes_take(n, "e", meter_notes_class(&c))->denial.count, 'e');
    unsigned epoch = meter_notes_epoch(n);
    meter_notes_forget(n);
    assert_int_equal(meter_notes_count(n), 0);
    assert_int_not_equal(meter_notes_epoch(n), epoch);
    assert_null(meter_notes_find(n, "b", meter_notes_class(&c)));
    meter_notes_free(n);
}

static void another_class_knows_nothing(void **state)
{
    struct conf_class c = class_of(LIMIT_SESSIONS, 1, 60), named = c;
    struct conf_class limited = class_of(LIMIT_SESSIONS, 2, 60);

    (void)state;
    strcpy(named.name, "probation");
    for (int i = 0; i < 2; i++) {
        struct meter_notes *n = meter_notes_new(3);
        assert_non_null(meter_notes_take(n, "a", meter_notes_class(&c)));
        assert_null(meter_notes_find(n, "a", meter_notes_class(i ? &named : &limited)));
        assert_null(meter_notes_find(n, "a", meter_notes_class(&c)));
        meter_notes_free(n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_without_reason),
        cmocka_unit_test(counts_down),
        cmocka_unit_test(by_cost),
        cmocka_unit_test(recipients),
        cmocka_unit_test(only_that_destination),
        cmocka_unit_test(a_content_that_was_refused),
        cmocka_unit_test(what_is_not_remembered),
        cmocka_unit_test(the_last_ones),
        cmocka_unit_test(notes_are_bounded),
        cmocka_unit_test(another_class_knows_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
