#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "svc/redis_url.h"

static void test_redis_urls(void **state)
{
    static const struct {
        const char *url, *fault; /* NULL: good */
        struct conf_redis where;
    } rows[] = {
        {"unix:/run/r.sock", NULL, {.path = "/run/r.sock"}},
        {"unix:/run/r.sock?db=15", NULL, {.path = "/run/r.sock", .database = 15}},
        {"redis://h", NULL, {.host = "h", .port = 6379}},
        {"redis://h/", NULL, {.host = "h", .port = 6379}},
        {"redis://10.0.0.1:1/2", NULL, {.host = "10.0.0.1", .port = 1, .database = 2}},
        {"redis://:p@h", NULL, {.host = "h", .port = 6379, .password = "p"}},
        {"redis://u%3a:a%2Fb%25@h",
         NULL,
         {.host = "h", .port = 6379, .user = "u:", .password = "a/b%"}},
        {"redis://[::1]", NULL, {.host = "::1", .port = 6379}},
        {"REDIS://[::1]:7", NULL, {.host = "::1", .port = 7}},
        {"unix:run/r.sock", "absolute path", {.path = ""}},
        {"unix:", "absolute path", {.path = ""}},
        {"unix:?db=1", "absolute path", {.path = ""}},
        {"unix:/r?db=x", "?db=N", {.path = ""}},
        {"unix:/r?x=1", "?db=N", {.path = ""}},
        {"redis://", "bad host", {.path = ""}},
        {"redis://u:p@", "bad host", {.path = ""}},
        {"redis://a b", "bad host", {.path = ""}},
        {"redis://[::1", "bad host", {.path = ""}},
        {"redis://[::1]x", "bad host", {.path = ""}},
        {"redis://h:", "bad port", {.path = ""}},
        {"redis://h:0", "bad port", {.path = ""}},
        {"redis://h:65536", "bad port", {.path = ""}},
        {"redis://h/x", "bad database", {.path = ""}},
        {"redis://h/65536", "bad database", {.path = ""}},
        {"redis://p@h", "bad user or password", {.path = ""}},
        {"redis://u:%@h", "bad user or password", {.path = ""}},
        {"redis://u:%2@h", "bad user or password", {.path = ""}},
        {"redis://u:%zz@h", "bad user or password", {.path = ""}},
        {"redis://u:%00@h", "bad user or password", {.path = ""}},
        {"rediss://h", "not supported", {.path = ""}},
        {"tcp://h", "unknown scheme", {.path = ""}},
        {"", "unknown scheme", {.path = ""}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct conf_redis where = {.host = "before", .deadline_ms = 5};
        const char *fault = redis_url_parse(span_of(rows[i].url), &where);

        if (rows[i].fault) {
            assert_non_null(fault);
            assert_non_null(strstr(fault, rows[i].fault));
            assert_string_equal(where.host, "before");
            continue;
        }
        assert_null(fault);
        assert_string_equal(where.path, rows[i].where.path);
        assert_string_equal(where.host, rows[i].where.host);
        assert_int_equal(where.port, rows[i].where.port);
        assert_string_equal(where.user, rows[i].where.user);
        assert_string_equal(where.password, rows[i].where.password);
        assert_int_equal(where.database, rows[i].where.database);
        assert_int_equal(where.deadline_ms, 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redis_urls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
