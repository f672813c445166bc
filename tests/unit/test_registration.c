/* A registration's states: what each event makes of each, what is told, what is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "core/registration.h"

#define DAY 86400
#define NOW (20000ll * DAY)

static const struct registration_rules usual = {
    .required = 1u << SIGNUP_CHECK_REVERSE | 1u << SIGNUP_CHECK_SPF,
    .term_s = 365ull * DAY,
    .reminder_s = 30ull * DAY,
    .probation_s = 14ull * DAY,
    .probation_class = "probation",
};

/* One event in a course of a registration. */
struct move {
    int64_t day; /* since NOW */
    enum registration_event event;
    const char *checks; /* of a confirmation: host, reverse, spf: g(ood) b(ad) n(one) u(nknown) */
    const char *line;   /* class of the line's own standing before; "!": ... that refuses */
    enum registration_answer answer;
    enum registration_state state; /* then */
    enum registration_standing standing;
    const char *class;
    enum registration_mail mail;
    int64_t due; /* in days since NOW; 0: never */
};

#define CONFIRM  REGISTRATION_CONFIRM
#define APPROVE  REGISTRATION_APPROVE
#define REFUSE   REGISTRATION_REFUSE
#define RENEW    REGISTRATION_RENEW
#define WITHDRAW REGISTRATION_WITHDRAW
#define TICK     REGISTRATION_TICK
#define DONE     REGISTRATION_DONE
#define NOTHING  REGISTRATION_NOTHING
#define MOST     10

static const struct course {
    const char *name;
    bool desk_only, no_probation;
    struct move move[MOST]; /* ends with an empty class */
} courses[] = {
    {"good checks: at once, on probation; then registered; reminded, renewed, and in the end not",
     false,
     false,
     {{0, CONFIRM, "bgg", "", DONE, REGISTRATION_PROBATION, STANDING_GIVEN, "probation",
       REGISTRATION_MAIL_APPROVED, 14},
      {1, TICK, NULL, "probation", NOTHING, REGISTRATION_PROBATION, STANDING_STAYS, "probation",
       REGISTRATION_MAIL_NONE, 14},
      {14, TICK, NULL, "probation", DONE, REGISTRATION_REGISTERED, STANDING_GIVEN, "registered",
       REGISTRATION_MAIL_NONE, 335},
      {334, RENEW, NULL, "registered", REGISTRATION_TOO_EARLY, REGISTRATION_REGISTERED,
       STANDING_STAYS, "registered", REGISTRATION_MAIL_NONE, 335},
      {335, TICK, NULL, "registered", DONE, REGISTRATION_REGISTERED, STANDING_STAYS, "registered",
       REGISTRATION_MAIL_REMINDER, 365},
      {336, TICK, NULL, "registered", NOTHING, REGISTRATION_REGISTERED, STANDING_STAYS,
       "registered", REGISTRATION_MAIL_NONE, 365},
      {350, RENEW, NULL, "registered", DONE, REGISTRATION_REGISTERED, STANDING_GIVEN, "registered",
       REGISTRATION_MAIL_RENEWED, 685},
      {715, TICK, NULL, "", DONE, REGISTRATION_EXPIRED, STANDING_TAKEN, "registered",
       REGISTRATION_MAIL_EXPIRED, 0}}},
    {"a check that is not good: the desk, which approves",
     false,
     false,
     {{0, CONFIRM, "ggb", "", DONE, REGISTRATION_PENDING, STANDING_STAYS, "",
       REGISTRATION_MAIL_NONE, 0}}},
    {"approved by the desk",
     true,
     false,
     {{0, CONFIRM, "ggg", "", DONE, REGISTRATION_PENDING, STANDING_STAYS, "-",
       REGISTRATION_MAIL_NONE, 0},
      {1, RENEW, NULL, "", REGISTRATION_NOT_THERE, REGISTRATION_PENDING, STANDING_STAYS, "-",
       REGISTRATION_MAIL_NONE, 0},
      {2, APPROVE, NULL, "", DONE, REGISTRATION_PROBATION, STANDING_GIVEN, "probation",
       REGISTRATION_MAIL_APPROVED, 16},
      {2, APPROVE, NULL, "probation", REGISTRATION_NOT_PENDING, REGISTRATION_PROBATION,
       STANDING_STAYS, "probation", REGISTRATION_MAIL_NONE, 16},
      {3, CONFIRM, "ggg", "probation", REGISTRATION_ALREADY, REGISTRATION_PROBATION, STANDING_STAYS,
       "probation", REGISTRATION_MAIL_NONE, 16},
      {4, WITHDRAW, NULL, "probation", DONE, REGISTRATION_WITHDRAWN, STANDING_TAKEN, "probation",
       REGISTRATION_MAIL_WITHDRAWN, 0},
      {4, WITHDRAW, NULL, "", REGISTRATION_NOT_THERE, REGISTRATION_WITHDRAWN, STANDING_STAYS,
       "probation", REGISTRATION_MAIL_NONE, 0}}},
    {"whom the desk has refused, the desk alone lets in",
     false,
     false,
     {{0, CONFIRM, "uuu", "", DONE, REGISTRATION_PENDING, STANDING_STAYS, "-",
       REGISTRATION_MAIL_NONE, 0},
      {1, REFUSE, NULL, "", DONE, REGISTRATION_REFUSED, STANDING_STAYS, "-",
       REGISTRATION_MAIL_REFUSED, 0},
      {1, REFUSE, NULL, "", REGISTRATION_NOT_PENDING, REGISTRATION_REFUSED, STANDING_STAYS, "-",
       REGISTRATION_MAIL_NONE, 0},
      {2, CONFIRM, "ggg", "", DONE, REGISTRATION_PENDING, STANDING_STAYS, "-",
       REGISTRATION_MAIL_NONE, 0},
      {3, WITHDRAW, NULL, "", DONE, REGISTRATION_WITHDRAWN, STANDING_STAYS, "-",
       REGISTRATION_MAIL_WITHDRAWN, 0},
      {4, CONFIRM, "ggg", "", DONE, REGISTRATION_PROBATION, STANDING_GIVEN, "probation",
       REGISTRATION_MAIL_APPROVED, 18}}},
    {"nobody out of a quarantine",
     false,
     false,
     {{0, CONFIRM, "ggg", "!quarantined", REGISTRATION_QUARANTINED, REGISTRATION_NONE,
       STANDING_STAYS, "-", REGISTRATION_MAIL_NONE, 0},
      {1, CONFIRM, "bbb", "", DONE, REGISTRATION_PENDING, STANDING_STAYS, "-",
       REGISTRATION_MAIL_NONE, 0},
      {2, APPROVE, NULL, "!quarantined", REGISTRATION_QUARANTINED, REGISTRATION_PENDING,
       STANDING_STAYS, "-", REGISTRATION_MAIL_NONE, 0},
      {3, APPROVE, NULL, "", DONE, REGISTRATION_PROBATION, STANDING_GIVEN, "probation",
       REGISTRATION_MAIL_APPROVED, 17},
      {4, RENEW, NULL, "!quarantined", REGISTRATION_QUARANTINED, REGISTRATION_PROBATION,
       STANDING_STAYS, "probation", REGISTRATION_MAIL_NONE, 17},
      {17, TICK, NULL, "!quarantined", DONE, REGISTRATION_ENDED, STANDING_STAYS, "probation",
       REGISTRATION_MAIL_NONE, 0}}},
    {"a quarantine outlasts the registration beneath it",
     false,
     false,
     {{0, CONFIRM, "ggg", "", DONE, REGISTRATION_PROBATION, STANDING_GIVEN, "probation",
       REGISTRATION_MAIL_APPROVED, 14},
      {400, TICK, NULL, "!quarantined", DONE, REGISTRATION_EXPIRED, STANDING_STAYS, "probation",
       REGISTRATION_MAIL_EXPIRED, 0}}},
    {"what an operator took or gave stays so",
     false,
     true,
     {{0, CONFIRM, "ggg", "", DONE, REGISTRATION_REGISTERED, STANDING_GIVEN, "registered",
       REGISTRATION_MAIL_APPROVED, 335},
      {1, RENEW, NULL, "", REGISTRATION_NOT_THERE, REGISTRATION_REGISTERED, STANDING_STAYS,
       "registered", REGISTRATION_MAIL_NONE, 335},
      {2, WITHDRAW, NULL, "business", REGISTRATION_NOT_THERE, REGISTRATION_REGISTERED,
       STANDING_STAYS, "registered", REGISTRATION_MAIL_NONE, 335},
      {3, CONFIRM, "ggg", "business", DONE, REGISTRATION_PENDING, STANDING_STAYS, "-",
       REGISTRATION_MAIL_NONE, 0},
      {4, CONFIRM, "ggg", "registered", REGISTRATION_ALREADY, REGISTRATION_PENDING, STANDING_STAYS,
       "-", REGISTRATION_MAIL_NONE, 0},
      {5, CONFIRM, "ggg", "", DONE, REGISTRATION_REGISTERED, STANDING_GIVEN, "registered",
       REGISTRATION_MAIL_APPROVED, 340},
      {340, TICK, NULL, "", DONE, REGISTRATION_ENDED, STANDING_STAYS, "registered",
       REGISTRATION_MAIL_NONE, 0}}},
};

static enum signup_result result_of(char c)
{
    return c == 'g'   ? SIGNUP_RESULT_GOOD
           : c == 'b' ? SIGNUP_RESULT_BAD
           : c == 'n' ? SIGNUP_RESULT_NONE
                      : SIGNUP_RESULT_UNKNOWN;
}

static void play(
    const struct course *c, const struct move *m, struct registration *r,
    const struct registration_rules *rules)
{
    struct registration fresh = {
        .request = {.contact = "owner@customer.example", .domain = "customer.example"},
        .language = "de"};
    struct registration_input in = {
        .event = m->event,
        .now_s = NOW + m->day * DAY,
        .line = {.class = m->line + (m->line[0] == '!'), .refused = m->line[0] == '!'},
        .fresh = &fresh,
        .by = "somebody",
        .why = "because"};
    struct registration_effects effects;
    struct registration before = *r;

    for (unsigned i = 0; m->checks && i < SIGNUP_CHECKS; i++) {
        fresh.checks.result[i] = result_of(m->checks[i]);
    }
    enum registration_answer answer = registration_step(r, rules, &in, &effects);
    int64_t due = registration_due(r, rules);
    const char *class = m->class[0] == '-' ? "" : m->class;
    if (answer != m->answer || r->state != m->state || effects.standing != m->standing ||
        effects.mail != m->mail || strcmp(r->class, class) != 0 ||
        due != (m->due ? NOW + m->due * DAY : 0)) {
        fail_msg(
            "%s, day %d: answer %d, state %s, standing %d, class \"%s\", mail %s, due on day %d",
            c->name, (int)m->day, answer, registration_state_name(r->state), effects.standing,
            r->class, registration_mail_name(effects.mail), due ? (int)((due - NOW) / DAY) : 0);
    }
    if (answer != DONE) {
        assert_memory_equal(&before, r, sizeof(before));
    }
    if (effects.standing != STANDING_STAYS) {
        assert_true(effects.verb[0] != '\0');
    }
    if (m->event == CONFIRM && answer == DONE) {
        assert_string_equal(r->request.domain, "customer.example");
        assert_string_equal(r->language, "de");
        assert_true(r->confirmed_s == in.now_s);
    }
    if (answer == DONE && (m->event == APPROVE || m->event == REFUSE)) {
        assert_string_equal(r->by, "somebody");
        assert_string_equal(r->why, "because");
        assert_true(r->decided_s == in.now_s);
    }
}

static void test_courses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(courses) / sizeof(*courses); i++) {
        struct registration r = {0};
        struct registration_rules rules = usual;

        rules.desk_only = courses[i].desk_only;
        rules.probation_s = courses[i].no_probation ? 0 : rules.probation_s;
        for (const struct move *m = courses[i].move; m < courses[i].move + MOST && m->line; m++) {
            play(&courses[i], m, &r, &rules);
        }
    }
}

/* Whatever comes in whatever order: a class only while active, and never out of a quarantine. */
static void test_every_order(void **state)
{
    uint32_t seed = 1;
    struct registration r = {0};
    unsigned given = 0;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        static const char *const lines[] = {
            "", "probation", "registered", "quarantined", "business"};
        seed = seed * 1664525u + 1013904223u;
        unsigned line = seed >> 8 & 7;
        const char *class = line < 3 ? r.class : lines[line % 5];
        struct registration fresh = {
            .checks = {.result = {seed >> 12 & 3, seed >> 14 & 3, seed >> 16 & 3}}};
        struct registration_input in = {
            .event = (seed >> 18) % 6,
            .now_s = NOW + (int64_t)i * DAY / 4,
            .line = {class, strcmp(class, "quarantined") == 0},
            .fresh = &fresh,
            .by = "",
            .why = ""};
        struct registration_effects effects;
        enum registration_answer answer = registration_step(&r, &usual, &in, &effects);

        if (effects.standing == STANDING_GIVEN) {
            assert_int_equal(answer, DONE);
            assert_false(in.line.refused);
            given++;
        }
        assert_true(!registration_is_active(r.state) || r.class[0] != '\0');
        assert_true(!registration_is_active(r.state) || r.until_s > 0);
        if (registration_is_active(r.state)) {
            assert_true(registration_due(&r, &usual) > 0);
        }
    }
    assert_true(given > 1000);
}

static void test_now(void **state)
{
    struct registration r = {
        .state = REGISTRATION_PROBATION, .class = "probation", .until_s = NOW + 1};
    struct registration_line ours = {"probation", false}, none = {"", false};

    (void)state;
    assert_int_equal(registration_now(&r, &ours, NOW), REGISTRATION_PROBATION);
    assert_int_equal(registration_now(&r, &none, NOW), REGISTRATION_ENDED);
    assert_int_equal(registration_now(&r, &none, NOW + 1), REGISTRATION_EXPIRED);
    r.state = REGISTRATION_REFUSED;
    assert_int_equal(registration_now(&r, &none, NOW), REGISTRATION_REFUSED);
}

static void test_names(void **state)
{
    (void)state;
    for (unsigned s = 0; s < REGISTRATION_STATES; s++) {
        enum registration_state back;
        assert_true(registration_state_named(span_of(registration_state_name(s)), &back));
        assert_int_equal(back, s);
    }
    for (unsigned m = 0; m < REGISTRATION_MAILS; m++) {
        assert_non_null(registration_mail_name(m));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_courses),
        cmocka_unit_test(test_every_order),
        cmocka_unit_test(test_now),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
