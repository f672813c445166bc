#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/real_redis.h"

#define TURNS 7 /* of the loop: connecting, the greeting, and the first questions */

/* Who asks by himself has questions out at one moment or another: what their ends set in motion
 * must not outlive him. */
static void test_ended_at_any_moment(void **state)
{
    static const enum redis_kind kinds[] = {REDIS_CLUSTER, REDIS_SENTINEL};
    struct real_redis server;

    (void)state;
    real_redis_start_at(&server, real_redis_port());
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct conf_redis where = {.kind = kinds[i], .places = 1, .master = "m"};
        snprintf(where.place[0].host, sizeof where.place[0].host, "127.0.0.1");
        where.place[0].port = (uint16_t)server.cluster_port;
        for (int turns = 0; turns < TURNS; turns++) {
            struct event_base *base = event_base_new();
            struct redis_options options = {.where = &where};
            struct redis *redis = redis_new(base, &options);
            for (int turn = 0; turn < turns; turn++) {
                event_base_loop(base, EVLOOP_ONCE);
            }
            redis_free(redis);
            assert_int_equal(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
            assert_int_equal(event_base_get_num_events(base, EVENT_BASE_COUNT_ACTIVE), 0);
            event_base_free(base);
        }
    }
    real_redis_end(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ended_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
