#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/real_redis.h"
#include "web/standing_change.h"

extern const char site_functions[]; /* src/web/site_internal.h */

struct bench {
    struct real_redis server;
    struct event_base *base;
    struct redis *redis;
    struct real_answer answer;
    bool came;
    bool good;
    enum standing_outcome outcome;
    char error[128], class[32], reason[64], digest[STANDING_DIGEST];
    int64_t since_s, until_s;
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

static const char *ask(struct bench *b, const char *command)
{
    return real_redis_ask(b->base, b->redis, &b->answer, "%s", command);
}

static bool it_came(const void *context)
{
    return ((const struct bench *)context)->came;
}

static void on_look(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct bench *b = context;
    struct standing s;

    (void)ticket;
    b->came = true;
    b->good = reply != NULL && standing_seen(reply, &s, b->digest);
    if (b->good) {
        snprintf(b->class, sizeof b->class, "%.*s", (int)s.class.len, s.class.at);
        snprintf(b->reason, sizeof b->reason, "%.*s", (int)s.reason.len, s.reason.at);
        b->since_s = s.since_s;
        b->until_s = s.until_s;
    }
}

static void look(struct bench *b)
{
    b->came = false;
    assert_int_equal(
        standing_look(b->redis, SPAN_LITERAL("10.20.0.7"), REAL_REDIS_PATIENCE_MS, on_look, b, 0),
        0);
    assert_true(real_redis_until(b->base, it_came, b));
}

static void on_changed(void *context, enum standing_outcome outcome, struct span error)
{
    struct bench *b = context;

    b->came = true;
    b->outcome = outcome;
    snprintf(b->error, sizeof b->error, "%.*s", (int)error.len, error.at);
}

static enum standing_outcome change(struct bench *b, const char *class, const char *reason)
{
    struct standing s = {
        .id = SPAN_LITERAL("10.20.0.7"),
        .class = span_of(class),
        .since_s = 1000,
        .until_s = class[0] ? 2000 : 0,
        .by = SPAN_LITERAL("eve"),
        .reason = span_of(reason),
        .verb = SPAN_LITERAL("quarantine"),
    };

    b->came = false;
    standing_change(b->redis, &s, span_of(b->digest), REAL_REDIS_PATIENCE_MS, on_changed, b);
    assert_true(real_redis_until(b->base, it_came, b));
    return b->outcome;
}

static void test_what_was_seen_may_be_changed(void **state)
{
    struct bench *b = *state;

    look(b);
    assert_true(b->good);
    assert_string_equal(b->class, "");
    assert_int_equal(change(b, "quarantined", "sends spam"), STANDING_DONE);
    assert_string_equal(ask(b, "HGET g25:standings 10.20.0.7"), "quarantined 2000");
    assert_string_equal(ask(b, "XLEN g25:changes"), "1");
    look(b);
    assert_string_equal(b->class, "quarantined");
    assert_string_equal(b->reason, "sends spam");
    assert_int_equal(b->since_s, 1000);
    assert_int_equal(b->until_s, 2000);
    assert_int_equal(change(b, "", "clean again"), STANDING_DONE);
    assert_string_equal(ask(b, "EXISTS g25:standing:{10.20.0.7}"), "0");
    assert_string_equal(ask(b, "HEXISTS g25:standings 10.20.0.7"), "0");
    assert_string_equal(ask(b, "XLEN g25:changes"), "2");
}

/* Whatever has changed since - a reason alone is enough -, nothing of ours is done. */
static void test_what_has_changed_stays(void **state)
{
    struct bench *b = *state;

    look(b);
    ask(b, "HSET g25:standing:{10.20.0.7} class registered since 5");
    ask(b, "HSET g25:standings 10.20.0.7 registered");
    assert_int_equal(change(b, "quarantined", "x"), STANDING_MEANWHILE);
    assert_string_equal(ask(b, "HGET g25:standings 10.20.0.7"), "registered");
    assert_string_equal(ask(b, "XLEN g25:changes"), "0");
    look(b);
    ask(b, "HSET g25:standing:{10.20.0.7} reason other");
    assert_int_equal(change(b, "", ""), STANDING_MEANWHILE);
    look(b);
    ask(b, "DEL g25:standing:{10.20.0.7}");
    assert_int_equal(change(b, "quarantined", "x"), STANDING_MEANWHILE);
    look(b);
    assert_int_equal(change(b, "quarantined", "x"), STANDING_DONE);
}

/* The digest does not depend on the order in which fields were written, and joins no two. */
static void test_the_digest_tells_apart(void **state)
{
    struct bench *b = *state;
    char first[STANDING_DIGEST];

    ask(b, "HSET g25:standing:{10.20.0.7} class a by bc");
    look(b);
    memcpy(first, b->digest, sizeof first);
    ask(b, "DEL g25:standing:{10.20.0.7}");
    ask(b, "HSET g25:standing:{10.20.0.7} by bc class a");
    look(b);
    assert_string_equal(first, b->digest);
    ask(b, "HSET g25:standing:{10.20.0.7} by b class ac");
    look(b);
    assert_string_not_equal(first, b->digest);
}

static void test_errors_are_told(void **state)
{
    struct bench *b = *state;

    look(b);
    ask(b, "SET g25:standing:{10.20.0.7} nonsense");
    assert_int_equal(change(b, "quarantined", "x"), STANDING_FAILED);
    assert_non_null(strstr(b->error, "WRONGTYPE"));
    look(b);
    assert_false(b->good);
    real_redis_kill(&b->server);
    assert_true(real_redis_until(b->base, real_redis_is_down, b->redis));
    assert_int_equal(change(b, "quarantined", "x"), STANDING_FAILED);
    assert_string_equal(b->error, "not connected to Redis");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_was_seen_may_be_changed, start, stop),
        cmocka_unit_test_setup_teardown(test_what_has_changed_stays, start, stop),
        cmocka_unit_test_setup_teardown(test_the_digest_tells_apart, start, stop),
        cmocka_unit_test_setup_teardown(test_errors_are_told, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
