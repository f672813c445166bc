/* Programs of several releases at one Redis: whose functions stay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "svc/meter.h"
#include "unit/real_redis.h"

#define LIBRARY(version)                                                                           \
    "#!lua name=gate25\n"                                                                          \
    "local LIBRARY_VERSION = " version "\n"                                                        \
    "redis.register_function{function_name = 'gate25_version',\n"                                  \
    "    callback = function() return LIBRARY_VERSION end, flags = {'no-writes'}}\n"               \
    "redis.register_function{function_name = 'gate25_other',\n"                                    \
    "    callback = function() return 'other' end, flags = {'no-writes'}}\n"

/* From before libraries had a version. */
static const char without_version[] =
    "#!lua name=gate25\n"
    "redis.register_function{function_name = 'gate25_other',\n"
    "    callback = function() return 'other' end, flags = {'no-writes'}}\n";

#define PROGRAMS 4 /* of each of two releases */

struct place {
    struct real_redis server;
    struct event_base *base;
    struct redis *redis;
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof(*p));

    real_redis_start(&p->server);
    p->base = event_base_new();
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;

    if (p->redis) {
        redis_free(p->redis);
    }
    event_base_free(p->base);
    real_redis_end(&p->server);
    free(p);
    return 0;
}

/* A program with that library, or none, in place of the one before. */
static void connect_with(struct place *p, const char *functions)
{
    const struct redis_options options = {.where = &p->server.where, .functions = functions};

    if (p->redis) {
        redis_free(p->redis);
    }
    p->redis = redis_new(p->base, &options);
    assert_true(real_redis_until(p->base, real_redis_is_up, p->redis));
}

static const char *ask(struct place *p, struct real_answer *a, const char *line)
{
    return real_redis_ask(p->base, p->redis, a, "%s", line);
}

#define OTHER "FCALL_RO gate25_other 0"
#define PEEK  "FCALL_RO gate25_peek 1 g25:meter:{x} messages 10 60000000"

static void a_newer_one_stays(void **state)
{
    struct place *p = *state;
    struct real_answer a;

    connect_with(p, LIBRARY("4000000000"));
    connect_with(p, meter_functions);
    assert_string_equal(ask(p, &a, OTHER), "other");
    /* Nor does a call that finds nothing put the older one there. */
    assert_non_null(strstr(ask(p, &a, PEEK), "Function not found"));
    assert_non_null(strstr(ask(p, &a, PEEK), "Function not found"));
    assert_string_equal(ask(p, &a, OTHER), "other");
    /* Once it is gone there is no reason to wait. */
    assert_string_equal(ask(p, &a, "FUNCTION DELETE gate25"), "OK");
    (void)ask(p, &a, PEEK);
    assert_string_equal(ask(p, &a, "PING"), "PONG");
    assert_null(strstr(ask(p, &a, PEEK), "Function not found"));
}

static void an_older_one_is_replaced(void **state)
{
    static const char *const older[] = {LIBRARY("0"), without_version};
    struct place *p = *state;
    struct real_answer a;

    for (size_t i = 0; i < sizeof(older) / sizeof(older[0]); i++) {
        connect_with(p, older[i]);
        assert_string_equal(ask(p, &a, OTHER), "other");
        connect_with(p, meter_functions);
        assert_non_null(strstr(ask(p, &a, OTHER), "Function not found"));
        assert_null(strstr(ask(p, &a, PEEK), "Function not found"));
    }
}

/* With any change the version grows: there is nothing to gain, and a race to lose against a newer
 * program that is about to replace it. */
static void one_of_the_same_version_stays(void **state)
{
    struct place *p = *state;
    struct real_answer a;

    connect_with(p, LIBRARY("1"));
    connect_with(
        p, LIBRARY("1") "redis.register_function('gate25_more', function() return 1 end)\n");
    assert_non_null(strstr(ask(p, &a, "FCALL gate25_more 0"), "Function not found"));
    assert_string_equal(ask(p, &a, OTHER), "other");
}

struct several {
    struct redis *redis[2 * PROGRAMS];
};

static bool are_up(const void *context)
{
    const struct several *s = context;

    for (size_t i = 0; i < 2 * PROGRAMS; i++) {
        if (!redis_is_up(s->redis[i])) {
            return false;
        }
    }
    return true;
}

static bool are_down(const void *context)
{
    const struct several *s = context;

    for (size_t i = 0; i < 2 * PROGRAMS; i++) {
        if (redis_is_up(s->redis[i])) {
            return false;
        }
    }
    return true;
}

/* Redis begins anew without functions, and older and newer programs come back at once: the newer
 * one's are there in the end, whoever was first. */
static void the_newest_stays_after_a_restart(void **state)
{
    static const char *const libraries[] = {LIBRARY("1"), LIBRARY("2")};
    struct place *p = *state;
    struct several s;
    struct real_answer a;

    for (size_t i = 0; i < 2 * PROGRAMS; i++) {
        const struct redis_options options = {
            .where = &p->server.where, .functions = libraries[i % 2]};

        s.redis[i] = redis_new(p->base, &options);
    }
    for (int round = 0; round < 10; round++) {
        assert_true(real_redis_until(p->base, are_up, &s));
        for (size_t i = 0; i < 2 * PROGRAMS; i++) {
            real_redis_ask(p->base, s.redis[i], &a, "FCALL_RO gate25_version 0");
            assert_string_equal(a.text, "2");
        }
        real_redis_kill(&p->server);
        assert_true(real_redis_until(p->base, are_down, &s));
        real_redis_run(&p->server);
    }
    for (size_t i = 0; i < 2 * PROGRAMS; i++) {
        redis_free(s.redis[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_newer_one_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_older_one_is_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_of_the_same_version_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_newest_stays_after_a_restart, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
