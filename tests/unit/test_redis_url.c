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
        {"redis://h", NULL, {.places = 1, .place = {{"h", 6379}}}},
        {"redis://h/", NULL, {.places = 1, .place = {{"h", 6379}}}},
        {"redis://10.0.0.1:1/2", NULL, {.places = 1, .place = {{"10.0.0.1", 1}}, .database = 2}},
        {"redis://:p@h", NULL, {.places = 1, .place = {{"h", 6379}}, .password = "p"}},
        {"redis://u%3a:a%2Fb%25@h",
         NULL,
         {.places = 1, .place = {{"h", 6379}}, .user = "u:", .password = "a/b%"}},
        {"redis://[::1]", NULL, {.places = 1, .place = {{"::1", 6379}}}},
        {"REDIS://[::1]:7", NULL, {.places = 1, .place = {{"::1", 7}}}},
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
        {"rediss://u:p@h:1/2",
         NULL,
         {.tls = true,
          .places = 1,
          .place = {{"h", 1}},
          .user = "u",
          .password = "p",
          .database = 2}},
        {"redis-sentinel://h/main",
         NULL,
         {.kind = REDIS_SENTINEL, .places = 1, .place = {{"h", 26379}}, .master = "main"}},
        {"rediss-sentinel://u:a/b@h:1,[::1]:2,k/m-1/7",
         NULL,
         {.kind = REDIS_SENTINEL,
          .tls = true,
          .places = 3,
          .place = {{"h", 1}, {"::1", 2}, {"k", 26379}},
          .user = "u",
          .password = "a/b",
          .master = "m-1",
          .database = 7}},
        {"redis-cluster://h", NULL, {.kind = REDIS_CLUSTER, .places = 1, .place = {{"h", 6379}}}},
        {"rediss-cluster://:p@h:7001,k:7002/",
         NULL,
         {.kind = REDIS_CLUSTER,
          .tls = true,
          .places = 2,
          .place = {{"h", 7001}, {"k", 7002}},
          .password = "p"}},
        {"redis-sentinel://h", "does not name the master", {.path = ""}},
        {"redis-sentinel://h/", "does not name the master", {.path = ""}},
        {"redis-sentinel://h/a b", "does not name the master", {.path = ""}},
        {"redis-sentinel://h/m/x", "bad database", {.path = ""}},
        {"redis-sentinel:///m", "bad host", {.path = ""}},
        {"redis-sentinel://h,/m", "bad host", {.path = ""}},
        {"redis-sentinel://h,h,h,h,h,h,h,h,h/m", "more than 8 hosts", {.path = ""}},
        {"redis-cluster://h/1", "one database", {.path = ""}},
        {"redis-cluster://h:0", "bad port", {.path = ""}},
        {"redis-cluster://p@h", "bad user or password", {.path = ""}},
        {"tcp://h", "unknown scheme", {.path = ""}},
        {"", "unknown scheme", {.path = ""}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct conf_redis where = {.place = {{"before", 1}}, .deadline_ms = 5, .tls_ca = "/ca"};
        const char *fault = redis_url_parse(span_of(rows[i].url), &where);

        if (rows[i].fault) {
            assert_non_null(fault);
            assert_non_null(strstr(fault, rows[i].fault));
            assert_string_equal(where.place[0].host, "before");
            continue;
        }
        assert_null(fault);
        assert_string_equal(where.path, rows[i].where.path);
        assert_int_equal(where.kind, rows[i].where.kind);
        assert_int_equal(where.tls, rows[i].where.tls);
        assert_int_equal(where.places, rows[i].where.places);
        for (unsigned p = 0; p < where.places; p++) {
            assert_string_equal(where.place[p].host, rows[i].where.place[p].host);
            assert_int_equal(where.place[p].port, rows[i].where.place[p].port);
        }
        assert_string_equal(where.master, rows[i].where.master);
        assert_string_equal(where.user, rows[i].where.user);
        assert_string_equal(where.password, rows[i].where.password);
        assert_int_equal(where.database, rows[i].where.database);
        assert_int_equal(where.deadline_ms, 5);
        assert_string_equal(where.tls_ca, "/ca");
    }
}

static void test_redis_names(void **state)
{
    static const struct {
        const char *url, *name;
    } rows[] = {
        {"unix:/run/r.sock", "/run/r.sock"},
        {"redis://u:p@h", "h:6379"},
        {"rediss://[::1]:7", "[::1]:7"},
        {"redis-sentinel://a,b:1/main", "main of a:26379, b:1"},
        {"redis-cluster://a,b:1", "a:6379, b:1"},
    };
    char name[200];
    struct text t;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct conf_redis where = {.path = ""};

        assert_null(redis_url_parse(span_of(rows[i].url), &where));
        text_init(&t, name, sizeof(name));
        redis_url_name(&where, &t);
        assert_string_equal(name, rows[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redis_names),
        cmocka_unit_test(test_redis_urls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
