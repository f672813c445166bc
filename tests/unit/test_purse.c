/* Tokens taken ahead by several processes from one bucket: how much more a subscriber can get
 * within a time than the limit allows, and that it is nothing where each token is taken when it is
 * needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/purse.h"
#include "core/rate.h"

#define SECOND    1e6
#define PROCESSES 4 /* two gates of two workers */
#define GRANTS    4096
#define ROUNDING  0.1 /* of tokens: each comes back to the microsecond, and there are thousands */

static uint64_t seed = 25;

static uint64_t random_below(uint64_t n) /* xorshift64* */
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (seed * 2685821657736338717u >> 11) % n;
}

static const struct question mail = {QUESTION_ENVELOPE, 1, 0, 0, false};

static struct conf_class class_of(enum limit_kind kind, struct rate rate)
{
    struct conf_class c = {.name = "x"};

    c.limit[kind] = (struct limit){1, {rate}};
    return c;
}

/* One bucket and those who take from it, as meter.lua does. */
struct world {
    struct conf_class class;
    struct rate rate;
    double tat_us, now_us;
    uint32_t most;
    struct purse purse[PROCESSES];
    unsigned asked, paid, grants;
    double granted_us[GRANTS];
};

static void grant(struct world *w)
{
    if (w->grants < GRANTS) {
        w->granted_us[w->grants++] = w->now_us;
    }
}

static void send_mail(struct world *w, struct purse *p)
{
    struct answer a;
    struct purse_tokens come = {0};

    if (purse_pays(p, &w->class, &mail, w->now_us, &a)) {
        assert_true(a.state == METER_WITHIN && a.uncharged);
        w->paid++;
        grant(w);
        return;
    }
    w->asked++;
    uint32_t wanted = purse_wants(p, &w->class, &mail, w->most, w->now_us);
    if (rate_available(&w->rate, w->tat_us, w->now_us, 1) == 1) {
        w->tat_us = rate_take(&w->rate, w->tat_us, w->now_us, 1);
        uint64_t ahead = rate_available(&w->rate, w->tat_us, w->now_us, 2 * (uint64_t)wanted) / 2;
        w->tat_us = rate_take(&w->rate, w->tat_us, w->now_us, ahead);
        come.messages = (uint32_t)ahead;
        grant(w);
    }
    purse_fill(p, wanted, &come, w->most, w->now_us, w->now_us);
    assert_in_range(p->held.messages, 0, w->most - 1);
}

/* The most that was granted within any time, beyond what the limit allows within it. */
static double overrun(const struct world *w)
{
    double most = -1e9;

    for (unsigned i = 0; i < w->grants; i++) {
        for (unsigned j = i; j < w->grants; j++) {
            double back = (w->granted_us[j] - w->granted_us[i]) * (double)w->rate.count /
                          (double)w->rate.period_us;
            double over = (double)(j - i + 1) - (double)w->rate.count - back;
            most = over > most ? over : most;
        }
    }
    return most;
}

static double walk(uint32_t most, struct rate rate, unsigned *asked, unsigned *paid)
{
    static struct world w;

    w = (struct world){
        .class = class_of(LIMIT_MESSAGES, rate), .rate = rate, .now_us = 1e9, .most = most};
    for (unsigned i = 0; i < 3000; i++) {
        /* Bursts, now here, now there, and rests in which the bucket fills. */
        unsigned burst = 1 + (unsigned)random_below(30);
        unsigned who = (unsigned)random_below(PROCESSES);
        for (unsigned k = 0; k < burst && i < 3000; k++, i++) {
            send_mail(&w, &w.purse[random_below(8) == 0 ? random_below(PROCESSES) : who]);
            w.now_us += (double)random_below(1 + rate.period_us / rate.count / 4);
        }
        w.now_us += (double)random_below(random_below(4) == 0 ? rate.period_us : 300000);
    }
    *asked += w.asked;
    *paid += w.paid;
    return overrun(&w);
}

static void the_bound_holds(void **state)
{
    static const uint32_t ahead[] = {1, 2, 4, 16};
    double seen[4] = {-1e9, -1e9, -1e9, -1e9};

    (void)state;
    for (unsigned a = 0; a < 4; a++) {
        unsigned asked = 0, paid = 0;

        for (unsigned round = 0; round < 40; round++) {
            struct rate rate = {2 + random_below(40), 1000000 * (1 + random_below(6))};
            double over = walk(ahead[a], rate, &asked, &paid);

            seen[a] = over > seen[a] ? over : seen[a];
        }
        assert_true(seen[a] <= PROCESSES * (ahead[a] - 1) + ROUNDING);
        if (ahead[a] == 1) {
            assert_int_equal(paid, 0);
        } else {
            assert_true(paid > 500);
        }
    }
    /* The bound is no idle one: with more than one it is overrun. */
    assert_true(seen[0] <= ROUNDING && seen[3] > 1);
}

/* A single mail takes nothing ahead; a burst asks for more and more, up to what was allowed. */
static void a_burst_grows(void **state)
{
    static const uint32_t wanted[] = {0, 1, 3, 7, 7, 7};
    struct conf_class c = class_of(LIMIT_MESSAGES, (struct rate){1000, 60000000});
    struct purse p = {0};
    struct answer a;
    double now = 100 * SECOND;

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(purse_wants(&p, &c, &mail, 8, now), wanted[i]);
        struct purse_tokens come = {.messages = wanted[i]};
        purse_fill(&p, wanted[i], &come, 8, now, now);
        for (uint32_t k = 0; k < wanted[i]; k++) {
            assert_true(purse_pays(&p, &c, &mail, now, &a));
        }
        assert_false(purse_pays(&p, &c, &mail, now, &a));
        now += SECOND / 2;
    }
    assert_int_equal(purse_wants(&p, &c, &mail, 8, now + PURSE_LIFE_US), 0);
    assert_int_equal(purse_wants(&p, &c, &mail, 1, now + PURSE_LIFE_US), 0);
}

static void never_more_at_once(void **state)
{
    struct conf_class c = class_of(LIMIT_MESSAGES, (struct rate){1000, 60000000});
    struct purse p = {0};
    uint32_t wanted = 0;

    (void)state;
    /* Many questions under way at once. */
    for (unsigned i = 0; i < 20; i++) {
        wanted += purse_wants(&p, &c, &mail, 8, 100 * SECOND);
    }
    assert_int_equal(wanted, 7);
    struct purse_tokens come = {.messages = 100};
    purse_fill(&p, 4, &come, 8, 100 * SECOND, 100 * SECOND);
    assert_int_equal(p.held.messages, 7);
    assert_int_equal(purse_wants(&p, &c, &mail, 8, 100 * SECOND), 0);
}

static void they_do_not_last(void **state)
{
    struct conf_class c = class_of(LIMIT_MESSAGES, (struct rate){1000, 60000000});
    struct purse_tokens come = {.messages = 3};
    struct purse p = {0};
    struct answer a;

    (void)state;
    purse_fill(&p, 3, &come, 8, 100 * SECOND, 101 * SECOND);
    assert_true(purse_pays(&p, &c, &mail, 101 * SECOND, &a));
    assert_true(purse_pays(&p, &c, &mail, 100 * SECOND + PURSE_LIFE_US - 1, &a));
    assert_false(purse_pays(&p, &c, &mail, 100 * SECOND + PURSE_LIFE_US, &a));
    /* An answer that came too late brings nothing. */
    purse_fill(&p, 3, &come, 8, 100 * SECOND, 100 * SECOND + PURSE_LIFE_US);
    assert_int_equal(p.held.messages, 0);
}

static void what_is_paid(void **state)
{
    struct rate rate = {1000, 60000000};
    struct purse full = {.held = {5, 5, 5}, .until_us = 1e12};
    struct conf_class c = class_of(LIMIT_MESSAGES, rate);
    struct conf_class sessions = class_of(LIMIT_SESSIONS, rate);
    struct question session = {.kind = QUESTION_SESSION};
    struct question many = {QUESTION_ENVELOPE, 1, 9, 0, false};
    struct question dear = {QUESTION_ENVELOPE, 6, 0, 0, false};
    struct question content = {QUESTION_CONTENT, 1, 0, 0, false};
    struct question large = {QUESTION_ENVELOPE, 1, 0, PURSE_BYTES_MOST + 1, false};
    struct answer a;
    struct purse p = full;

    (void)state;
    /* Of a kind that nobody limits as many as are wanted. */
    assert_true(purse_pays(&p, &c, &many, 1, &a));
    assert_int_equal(a.recipients, 9);
    assert_true(p.held.messages == 4 && p.held.recipients == 5);
    assert_true(purse_pays(&p, &c, &large, 1, &a));
    c.limit[LIMIT_RECIPIENTS] = c.limit[LIMIT_MESSAGES];
    assert_false(purse_pays(&p, &c, &many, 1, &a));
    assert_false(purse_pays(&p, &c, &dear, 1, &a));
    assert_false(purse_pays(&p, &c, &content, 1, &a));
    assert_false(purse_pays(&p, &c, &session, 1, &a));
    assert_true(purse_pays(&p, &sessions, &session, 1, &a));
    /* What only Redis knows. */
    for (int i = 0; i < 2; i++) {
        struct conf_class other = sessions;
        other.limit[i ? LIMIT_SPREAD : LIMIT_CONCURRENT] = other.limit[LIMIT_SESSIONS];
        assert_false(purse_pays(&p, &other, &session, 1, &a));
        assert_int_equal(purse_wants(&p, &other, &session, 8, 1), 0);
    }
    c = class_of(LIMIT_MESSAGES, rate);
    c.limit[LIMIT_BYTES] = c.limit[LIMIT_MESSAGES];
    assert_false(purse_pays(&p, &c, &large, 1, &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bound_holds),    cmocka_unit_test(a_burst_grows),
        cmocka_unit_test(never_more_at_once), cmocka_unit_test(they_do_not_last),
        cmocka_unit_test(what_is_paid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
