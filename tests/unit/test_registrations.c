/* Registrations in a real Redis: written whole, by one at a time, and repaired after a crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "svc/registration_codec.h"
#include "svc/registrations.h"
#include "unit/real_redis.h"

extern const char site_functions[]; /* src/web/registrations.lua among them */

#define ID  "10.20.7.7"
#define NOW 1795887775

struct bench {
    struct real_redis server;
    struct event_base *base;
    struct redis *redis;
    struct real_answer a;
    /* What the last call said. */
    bool came, ok;
    struct registration_seen seen;
    enum registrations_written written;
    char ids[256];
};

static int start(void **state)
{
    struct bench *b = calloc(1, sizeof *b);

    *state = b;
    return real_redis_open(&b->server, &b->base, &b->redis, site_functions) ? 0 : -1;
}

static int stop(void **state)
{
    struct bench *b = *state;

    real_redis_close(&b->server, b->base, b->redis);
    free(b);
    return 0;
}

static int wipe(void **state)
{
    struct bench *b = *state;
    assert_string_equal(real_redis_ask(b->base, b->redis, &b->a, "FLUSHALL"), "OK");
    return 0;
}

#define ASK(...) real_redis_ask(b->base, b->redis, &b->a, __VA_ARGS__)

static bool came(const void *context)
{
    return ((const struct bench *)context)->came;
}

static void on_seen(void *context, const struct registration_seen *seen)
{
    struct bench *b = context;
    b->came = true;
    b->ok = seen != NULL;
    b->seen = seen ? *seen : (struct registration_seen){0};
}

static void on_written(void *context, enum registrations_written result)
{
    struct bench *b = context;
    b->came = true;
    b->written = result;
}

static void on_list(void *context, const struct span *ids, size_t count, bool ok)
{
    struct bench *b = context;
    struct text t;
    text_init(&t, b->ids, sizeof(b->ids));
    for (size_t i = 0; i < count; i++) {
        text_addf(&t, "%s%.*s", i ? " " : "", (int)ids[i].len, ids[i].at);
    }
    b->came = true;
    b->ok = ok;
}

static const struct registration_seen *read_one(struct bench *b, const char *id)
{
    b->came = false;
    registrations_read(b->redis, span_of(id), on_seen, b);
    assert_true(real_redis_until(b->base, came, b));
    assert_true(b->ok);
    return &b->seen;
}

static enum registrations_written write_one(
    struct bench *b, const char *id, const struct registration_seen *seen,
    const struct registration *now, enum registration_standing standing, int64_t due_s)
{
    struct registration_effects effects = {.standing = standing, .verb = "register"};
    struct registration_change change = {span_of(id), seen, now, &effects, due_s, NOW};

    b->came = false;
    registrations_write(b->redis, &change, on_written, b);
    assert_true(real_redis_until(b->base, came, b));
    return b->written;
}

static const char *due(struct bench *b, int64_t now_s)
{
    b->came = false;
    registrations_list_due(b->redis, now_s, 100, on_list, b);
    assert_true(real_redis_until(b->base, came, b) && b->ok);
    return b->ids;
}

static const char *pending(struct bench *b)
{
    b->came = false;
    registrations_list_pending(b->redis, 0, 100, on_list, b);
    assert_true(real_redis_until(b->base, came, b) && b->ok);
    return b->ids;
}

static struct registration example(enum registration_state state)
{
    struct registration r = {
        .state = state,
        .request = {"o@c.example", "c.example", "mail.c.example", "My own server"},
        .checks =
            {.result = {SIGNUP_RESULT_GOOD, SIGNUP_RESULT_BAD, SIGNUP_RESULT_NONE},
             .reverse = "x.isp.example",
             .spf = SPF_NEUTRAL},
        .language = "de",
        .confirmed_s = NOW,
        .decided_s = NOW + 1,
        .probation_until_s = NOW + 2,
        .until_s = 4102444800, /* in 2100: ahead of the clock of who runs this */
        .reminded_s = NOW + 4,
        .class = "probation",
        .by = "rules",
        .why = "because"};
    assert_true(addr_parse(SPAN_LITERAL(ID), &r.checks.server));
    return r;
}

static void test_round_trip(void **state)
{
    struct bench *b = *state;
    struct registration r = example(REGISTRATION_PROBATION);

    assert_false(read_one(b, ID)->found);
    assert_string_equal(b->seen.class, "");
    struct registration_seen none = b->seen;
    ASK("HSET g25:meter:{" ID "} messages:3600 9999999999999999");
    assert_int_equal(write_one(b, ID, &none, &r, STANDING_GIVEN, NOW + 2), REGISTRATIONS_WRITTEN);
    assert_string_equal(ASK("EXISTS g25:meter:{" ID "}"), "0");
    assert_true(read_one(b, ID)->found);
    r.version = 1;
    assert_int_equal(b->seen.registration.version, 1);
    assert_int_equal(b->seen.registration.state, REGISTRATION_PROBATION);
    assert_memory_equal(&b->seen.registration.request, &r.request, sizeof(r.request));
    assert_memory_equal(
        b->seen.registration.checks.result, r.checks.result, sizeof(r.checks.result));
    assert_string_equal(b->seen.registration.checks.reverse, "x.isp.example");
    assert_int_equal(b->seen.registration.checks.spf, SPF_NEUTRAL);
    assert_true(addr_equal(&b->seen.registration.checks.server, &r.checks.server));
    assert_string_equal(b->seen.registration.language, "de");
    assert_true(
        b->seen.registration.confirmed_s == NOW && b->seen.registration.decided_s == NOW + 1);
    assert_true(b->seen.registration.probation_until_s == NOW + 2);
    assert_true(b->seen.registration.until_s == r.until_s);
    assert_true(b->seen.registration.reminded_s == NOW + 4);
    assert_string_equal(b->seen.registration.class, "probation");
    assert_string_equal(b->seen.registration.by, "rules");
    assert_string_equal(b->seen.registration.why, "because");
    /* The standing, the gates' list, the trail. */
    assert_string_equal(b->seen.class, "probation");
    assert_string_equal(ASK("HGET g25:standings " ID), "probation 4102444800");
    assert_string_equal(
        ASK("HMGET g25:standing:{" ID "} class by contact domain until"),
        "[probation rules o@c.example c.example 4102444800]");
    assert_string_equal(ASK("XLEN g25:changes"), "1");
    assert_non_null(strstr(ASK("XRANGE g25:changes - +"), "verb register by rules"));
    assert_string_equal(due(b, NOW + 1), "");
    assert_string_equal(due(b, NOW + 2), ID);
    assert_string_equal(pending(b), "");
    assert_string_equal(ASK("TTL g25:registration:{" ID "}"), "-1");
}

static void test_pending_and_ended(void **state)
{
    struct bench *b = *state;
    struct registration r = example(REGISTRATION_PENDING);
    struct registration_seen none = {.found = false}, seen;

    r.class[0] = '\0';
    assert_int_equal(write_one(b, ID, &none, &r, STANDING_STAYS, 0), REGISTRATIONS_WRITTEN);
    r.confirmed_s = NOW - 5;
    assert_int_equal(
        write_one(b, "10.20.7.8", &none, &r, STANDING_STAYS, 0), REGISTRATIONS_WRITTEN);
    assert_string_equal(pending(b), "10.20.7.8 " ID);
    assert_string_equal(due(b, INT64_C(9999999999)), "");
    assert_string_equal(ASK("EXISTS g25:changes g25:standings"), "0");
    seen = *read_one(b, ID);
    r = seen.registration;
    r.state = REGISTRATION_REFUSED;
    assert_int_equal(write_one(b, ID, &seen, &r, STANDING_STAYS, 0), REGISTRATIONS_WRITTEN);
    assert_string_equal(pending(b), "10.20.7.8");
    assert_true(atoi(ASK("TTL g25:registration:{" ID "}")) > 80 * 86400);
}

/* Of two who have read the same, one writes. */
static void test_one_writer(void **state)
{
    struct bench *b = *state;
    struct registration r = example(REGISTRATION_PROBATION);
    struct registration_seen none = {.found = false};

    assert_int_equal(write_one(b, ID, &none, &r, STANDING_GIVEN, 0), REGISTRATIONS_WRITTEN);
    assert_int_equal(write_one(b, ID, &none, &r, STANDING_GIVEN, 0), REGISTRATIONS_CHANGED);
    assert_string_equal(ASK("XLEN g25:changes"), "1");
    assert_int_equal(read_one(b, ID)->registration.version, 1);
}

/* A quarantine that came between reading and writing is not written over. */
static void test_quarantined_between(void **state)
{
    struct bench *b = *state;
    struct registration r = example(REGISTRATION_PROBATION);
    struct registration_seen none = {.found = false};

    assert_string_equal(ASK("HSET g25:standing:{" ID "} class quarantined"), "1");
    assert_int_equal(write_one(b, ID, &none, &r, STANDING_GIVEN, 0), REGISTRATIONS_CHANGED);
    assert_string_equal(ASK("HGET g25:standing:{" ID "} class"), "quarantined");
    assert_string_equal(ASK("EXISTS g25:standings g25:changes"), "0");
    assert_string_equal(read_one(b, ID)->class, "quarantined");
    /* One that has ended is none. */
    assert_string_equal(ASK("HSET g25:standing:{" ID "} until 1000"), "1");
    assert_string_equal(read_one(b, ID)->class, "");
    assert_int_equal(write_one(b, ID, &none, &r, STANDING_GIVEN, 0), REGISTRATIONS_WRITTEN);
}

static void test_withdrawn(void **state)
{
    struct bench *b = *state;
    struct registration r = example(REGISTRATION_PROBATION);
    struct registration_seen none = {.found = false}, seen;

    assert_int_equal(write_one(b, ID, &none, &r, STANDING_GIVEN, NOW), REGISTRATIONS_WRITTEN);
    seen = *read_one(b, ID);
    r = seen.registration;
    r.state = REGISTRATION_WITHDRAWN;
    assert_int_equal(write_one(b, ID, &seen, &r, STANDING_TAKEN, 0), REGISTRATIONS_WRITTEN);
    assert_string_equal(ASK("EXISTS g25:standing:{" ID "} g25:standings"), "0");
    assert_string_equal(ASK("XLEN g25:changes"), "2");
    assert_string_equal(due(b, INT64_C(9999999999)), "");
    assert_string_equal(read_one(b, ID)->class, "");
}

static void repair(struct bench *b)
{
    struct registration_seen seen = *read_one(b, ID);

    registrations_repair(b->redis, SPAN_LITERAL(ID), &seen, NOW + 2, NOW);
    /* Its requests are pipelined: those of the next reading come behind them, twice over. */
    for (int i = 0; i < 3; i++) {
        read_one(b, ID);
    }
}

/* What a crash behind the first write leaves: the lists know nothing, but the id is due. */
static void test_repair(void **state)
{
    struct bench *b = *state;
    struct registration r = example(REGISTRATION_PROBATION);
    struct registration_seen none = {.found = false};

    assert_int_equal(write_one(b, ID, &none, &r, STANDING_GIVEN, NOW + 2), REGISTRATIONS_WRITTEN);
    ASK("DEL g25:standings g25:changes");
    ASK("ZADD g25:registrations %d " ID, NOW);
    assert_string_equal(due(b, NOW), ID);
    repair(b);
    assert_string_equal(ASK("HGET g25:standings " ID), "probation 4102444800");
    assert_string_equal(ASK("XLEN g25:changes"), "1");
    assert_string_equal(due(b, NOW), "");
    assert_string_equal(due(b, NOW + 2), ID);
    /* Where nothing is missing, nobody is told anything. */
    repair(b);
    assert_string_equal(ASK("XLEN g25:changes"), "1");
    /* The standing is gone, the list is not. */
    ASK("DEL g25:standing:{" ID "}");
    repair(b);
    assert_string_equal(ASK("EXISTS g25:standings"), "0");
    assert_string_equal(ASK("XLEN g25:changes"), "2");
    /* What somebody else has written there is left alone. */
    ASK("EVAL return(redis.call('HSET',KEYS[1],ARGV[1],'quarantined'..string.char(32)..'0')) 1 "
        "g25:standings " ID);
    repair(b);
    assert_string_equal(ASK("HEXISTS g25:standings " ID), "1");
}

static void test_tokens(void **state)
{
    struct bench *b = *state;

    assert_string_equal(
        ASK("FCALL gate25_signup_put 1 g25:signup:{h} 100 id " ID " purpose confirm x y"), "1");
    assert_true(atoi(ASK("TTL g25:signup:{h}")) > 50);
    /* Another subscriber, another purpose, another token: nothing, and it still is there. */
    for (int i = 0; i < 2; i++) {
        const char *call = i == 0 ? "FCALL_RO gate25_signup_look" : "FCALL gate25_signup_use";
        const char *none = i == 0 ? "[]" : "0";
        assert_string_equal(ASK("%s 1 g25:signup:{h} 10.20.7.8 confirm", call), none);
        assert_string_equal(ASK("%s 1 g25:signup:{h} " ID " renew", call), none);
        assert_string_equal(ASK("%s 1 g25:signup:{i} " ID " confirm", call), none);
    }
    assert_non_null(
        strstr(ASK("FCALL_RO gate25_signup_look 1 g25:signup:{h} " ID " confirm"), "x y"));
    /* Used, it says only that, and for no longer than it would have been good. */
    assert_string_equal(ASK("FCALL gate25_signup_use 1 g25:signup:{h} " ID " confirm"), "1");
    assert_string_equal(ASK("FCALL gate25_signup_use 1 g25:signup:{h} " ID " confirm"), "0");
    assert_non_null(
        strstr(ASK("FCALL_RO gate25_signup_look 1 g25:signup:{h} " ID " confirm"), "used 1"));
    assert_string_equal(
        ASK("FCALL gate25_signup_put 1 g25:signup:{h} 100 id " ID " purpose confirm x y"), "0");
    assert_string_equal(ASK("HEXISTS g25:signup:{h} x"), "0");
    assert_string_equal(
        ASK("FCALL_RO gate25_signup_look 1 g25:signup:{h} 10.20.7.8 confirm"), "[]");
    int left = atoi(ASK("TTL g25:signup:{h}"));
    assert_true(left > 0 && left <= 100);
}

/* One mail to an address in a period; whoever asks after it has the link of that one. */
static void test_mails(void **state)
{
    struct bench *b = *state;
    unsigned wait, good;

    assert_string_equal(ASK("FCALL gate25_signup_mail 1 g25:contact:{c} one 500 3600"), "[0  0]");
    for (int i = 0; i < 2; i++) {
        const char *last = ASK("FCALL gate25_signup_mail 1 g25:contact:{c} two 500 3600");
        assert_int_equal(sscanf(last, "[%u one %u]", &wait, &good), 2);
        assert_true(wait > 3000 && wait <= 3600 && good > 300 && good <= 500);
    }
    /* Only the mail that counts can be taken back. */
    ASK("FCALL gate25_signup_unmail 1 g25:contact:{c} two");
    assert_string_equal(ASK("HGET g25:contact:{c} token"), "one");
    ASK("FCALL gate25_signup_unmail 1 g25:contact:{c} one");
    assert_string_equal(ASK("FCALL gate25_signup_mail 1 g25:contact:{c} two 0 3600"), "[0  0]");
    assert_int_equal(
        sscanf(
            ASK("FCALL gate25_signup_mail 1 g25:contact:{c} x 1 1"), "[%u two %u]", &wait, &good),
        2);
    assert_int_equal(good, 0);
    /* A line is told of the mail that it waits for, and of no other. */
    ASK("FCALL gate25_signup_put 1 g25:asked:{" ID "} 100 token two mail queued");
    assert_string_equal(ASK("FCALL gate25_signup_tell 1 g25:asked:{" ID "} one failed"), "0");
    assert_string_equal(ASK("HGET g25:asked:{" ID "} mail"), "queued");
    assert_string_equal(ASK("FCALL gate25_signup_tell 1 g25:asked:{" ID "} two sent"), "1");
    assert_string_equal(ASK("HGET g25:asked:{" ID "} mail"), "sent");
    assert_string_equal(ASK("FCALL gate25_signup_tell 1 g25:asked:{other} two sent"), "0");
    assert_string_equal(ASK("EXISTS g25:asked:{other}"), "0");
}

static void test_allow(void **state)
{
    struct bench *b = *state;

    for (int i = 0; i < 3; i++) {
        assert_string_equal(ASK("FCALL gate25_signup_allow 1 g25:mailed:{h} 3 3600"), "0");
    }
    for (int i = 0; i < 3; i++) {
        int wait = atoi(ASK("FCALL gate25_signup_allow 1 g25:mailed:{h} 3 3600"));
        assert_true(wait > 3000 && wait <= 3600);
    }
    assert_true(atoi(ASK("TTL g25:mailed:{h}")) > 3000);
}

/* Texts of any length and kind are read as far as there is room. */
static void test_decode_odd(void **state)
{
    struct bench *b = *state;
    char big[1500];

    memset(big, 'x', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    ASK("HSET g25:registration:{" ID "} state odd contact %s until -5 decided x server y "
        "check-spf z spf good version 7",
        big);
    assert_true(read_one(b, ID)->found);
    assert_int_equal(b->seen.registration.state, REGISTRATION_NONE);
    assert_int_equal(strlen(b->seen.registration.request.contact), SIGNUP_CONTACT - 1);
    assert_true(b->seen.registration.until_s == 0);
    assert_int_equal(b->seen.registration.version, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_round_trip, wipe),
        cmocka_unit_test_setup(test_pending_and_ended, wipe),
        cmocka_unit_test_setup(test_one_writer, wipe),
        cmocka_unit_test_setup(test_quarantined_between, wipe),
        cmocka_unit_test_setup(test_withdrawn, wipe),
        cmocka_unit_test_setup(test_repair, wipe),
        cmocka_unit_test_setup(test_tokens, wipe),
        cmocka_unit_test_setup(test_mails, wipe),
        cmocka_unit_test_setup(test_allow, wipe),
        cmocka_unit_test_setup(test_decode_odd, wipe),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
