#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/admission.h"
#include "core/passage.h"

static struct endpoint at(const char *text)
{
    struct endpoint e;
    assert_true(endpoint_parse(span_of(text), &e));
    return e;
}

static struct addr address(const char *text)
{
    struct addr a;
    assert_true(addr_parse(span_of(text), &a));
    return a;
}

static const struct row {
    const char *client, *server; /* server NULL: not known */
    enum intercept_mode mode;
    bool returned;
    enum verdict_action action;
    enum rule rule;
} rows[] = {
    {"192.0.2.5:4000", "198.51.100.7:25", INTERCEPT_TPROXY, false, VERDICT_FORWARD, RULE_NONE},
    {"192.0.2.5:4000", "198.51.100.7:25", INTERCEPT_REDIRECT, false, VERDICT_FORWARD, RULE_NONE},
    {"[2001:db8:1::5]:4000", "[2001:db8:9::1]:25", INTERCEPT_TPROXY, false, VERDICT_FORWARD,
     RULE_NONE},
    /* private destinations are an ISP's own business */
    {"192.0.2.5:4000", "10.1.2.3:25", INTERCEPT_TPROXY, false, VERDICT_FORWARD, RULE_NONE},

    {"192.0.2.5:4000", "127.0.0.1:2525", INTERCEPT_TPROXY, false, VERDICT_REFUSE, RULE_DIRECT},
    {"192.0.2.5:4000", "203.0.113.1:2525", INTERCEPT_TPROXY, false, VERDICT_REFUSE, RULE_DIRECT},
    {"10.0.0.1:4000", "203.0.113.1:2525", INTERCEPT_TPROXY, false, VERDICT_REFUSE, RULE_DIRECT},
    {"192.0.2.5:4000", NULL, INTERCEPT_REDIRECT, false, VERDICT_REFUSE, RULE_DIRECT},

    {"192.0.3.5:4000", "198.51.100.7:25", INTERCEPT_TPROXY, false, VERDICT_REFUSE, RULE_SOURCE},
    {"10.0.0.1:4000", "198.51.100.7:25", INTERCEPT_TPROXY, false, VERDICT_REFUSE, RULE_SOURCE},
    {"[2001:db8:2::5]:4000", "[2001:db8:9::1]:25", INTERCEPT_TPROXY, false, VERDICT_REFUSE,
     RULE_SOURCE},
    /* a prefix that covers it changes nothing */
    {"[::ffff:192.0.2.5]:4000", "[2001:db8:9::1]:25", INTERCEPT_TPROXY, false, VERDICT_REFUSE,
     RULE_SOURCE},
    {"192.0.3.5:4000", "203.0.113.1:25", INTERCEPT_TPROXY, false, VERDICT_REFUSE, RULE_SOURCE},

    {"192.0.2.5:4000", "0.0.0.0:25", INTERCEPT_TPROXY, false, VERDICT_REFUSE, RULE_DESTINATION},
    {"192.0.2.5:4000", "127.1.2.3:25", INTERCEPT_TPROXY, false, VERDICT_REFUSE, RULE_DESTINATION},
    {"192.0.2.5:4000", "169.254.9.9:25", INTERCEPT_TPROXY, false, VERDICT_REFUSE, RULE_DESTINATION},
    {"192.0.2.5:4000", "224.0.0.5:25", INTERCEPT_TPROXY, false, VERDICT_REFUSE, RULE_DESTINATION},
    {"192.0.2.5:4000", "255.255.255.255:25", INTERCEPT_TPROXY, false, VERDICT_REFUSE,
     RULE_DESTINATION},
    {"192.0.2.5:4000", "223.255.255.255:25", INTERCEPT_TPROXY, false, VERDICT_FORWARD, RULE_NONE},
    {"[2001:db8:1::5]:4000", "[::]:25", INTERCEPT_TPROXY, false, VERDICT_REFUSE, RULE_DESTINATION},
    {"[2001:db8:1::5]:4000", "[::1]:25", INTERCEPT_TPROXY, false, VERDICT_REFUSE, RULE_DESTINATION},
    {"[2001:db8:1::5]:4000", "[::2]:25", INTERCEPT_TPROXY, false, VERDICT_FORWARD, RULE_NONE},
    {"[2001:db8:1::5]:4000", "[fe80::1]:25", INTERCEPT_TPROXY, false, VERDICT_REFUSE,
     RULE_DESTINATION},
    {"[2001:db8:1::5]:4000", "[ff02::1]:25", INTERCEPT_TPROXY, false, VERDICT_REFUSE,
     RULE_DESTINATION},
    {"[2001:db8:1::5]:4000", "[::ffff:198.51.100.7]:25", INTERCEPT_TPROXY, false, VERDICT_REFUSE,
     RULE_DESTINATION},

    {"192.0.2.5:4000", "203.0.113.1:25", INTERCEPT_TPROXY, false, VERDICT_REFUSE, RULE_LOOP},
    {"192.0.2.5:4000", "203.0.113.1:25", INTERCEPT_REDIRECT, false, VERDICT_REFUSE, RULE_LOOP},
    {"[2001:db8:1::5]:4000", "[2001:db8:1::ff]:25", INTERCEPT_TPROXY, false, VERDICT_REFUSE,
     RULE_LOOP},
    /* the gate's own address as the source is a loop only where upstream connections carry it */
    {"203.0.113.1:4000", "198.51.100.7:25", INTERCEPT_REDIRECT, false, VERDICT_REFUSE, RULE_LOOP},
    {"203.0.113.1:4000", "198.51.100.7:25", INTERCEPT_TPROXY, false, VERDICT_REFUSE, RULE_SOURCE},
    {"192.0.2.5:4000", "198.51.100.7:25", INTERCEPT_TPROXY, true, VERDICT_DEFER, RULE_LOOP},
};

static void test_table(void **state)
{
    (void)state;
    struct prefix prefixes[3];
    assert_int_equal(prefix_parse(span_of("192.0.2.0/24"), &prefixes[0]), PREFIX_OK);
    assert_int_equal(prefix_parse(span_of("2001:db8:1::/48"), &prefixes[1]), PREFIX_OK);
    assert_int_equal(prefix_parse(span_of("::ffff:0:0/96"), &prefixes[2]), PREFIX_OK);
    const struct conf conf = {.prefixes = prefixes, .prefix_count = 3};
    const struct endpoint listen[] = {at("127.0.0.1:2525"), at("[::1]:2525")};
    const struct addr own[] = {address("203.0.113.1"), address("2001:db8:1::ff")};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        struct admission_facts facts = {
            .client = at(row->client),
            .server_known = row->server != NULL,
            .listen = listen,
            .listen_count = 2,
            .own = own,
            .own_count = 2,
            .mode = row->mode,
            .returned = row->returned,
        };
        if (row->server) {
            facts.server = at(row->server);
        }
        struct verdict v = admission_check(&conf, &facts);
        if (v.action != row->action || v.rule != row->rule) {
            fail_msg(
                "%s -> %s: %s by %s", row->client, row->server ? row->server : "?",
                verdict_action_name(v.action), verdict_rule_name(v.rule));
        }
    }
}

/* Each gate's TTL is one that no system begins with, seen through up to 19 routers. */
static void test_passages(void **state)
{
    (void)state;
    static const unsigned systems[] = {32, 60, 64, 128, 255};
    for (size_t i = 0; i < sizeof systems / sizeof *systems; i++) {
        for (unsigned hops = 0; hops < 20; hops++) {
            assert_int_equal(passages_of_ttl(systems[i] - hops), 0);
        }
    }
    for (int before = PASSAGES_UNKNOWN; before <= PASSAGES_MOST; before++) {
        int after = before > 0 ? before + 1 : 1;
        for (unsigned hops = 0; hops < 20; hops++) {
            assert_int_equal(
                passages_of_ttl((unsigned)passages_to_ttl(before) - hops),
                after < PASSAGES_MOST ? after : PASSAGES_MOST);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table), cmocka_unit_test(test_passages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
