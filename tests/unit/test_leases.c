#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/account.h"
#include "core/store_keys.h"
#include "svc/lease_feed.h"
#include "svc/lease_map.h"
#include "svc/meter.h"
#include "unit/real_redis.h"

#define KEYS "3 g25:{leases} g25:{leases}:changes g25:{leases}:accounts "

struct place {
    struct real_redis server;
    struct event_base *base;
    struct redis *redis;
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof(*p));

    *state = p;
    return real_redis_open(&p->server, &p->base, &p->redis, meter_functions) ? 0 : -1;
}

static int tear_down(void **state)
{
    struct place *p = *state;

    real_redis_close(&p->server, p->base, p->redis);
    free(p);
    return 0;
}

/* --- names --- */

static const struct {
    const char *text, *account; /* NULL: none */
} names[] = {
    {"alice", "alice"},
    {"Alice@ISP.example", "alice@isp.example"},
    {"4711", "4711"},
    {"a", "a"},
    {"olt1/0/3:100#b+c=d_e-f", "olt1/0/3:100#b+c=d_e-f"},
    {"00:1B:44:11:3a:b7", "00:1b:44:11:3a:b7"},
    {"001b.4411.3ab7", "001b.4411.3ab7"},
    {"0010.4411.3007", "0010.4411.3007"},
    {"00-1b-44-11-3a-b7", "00-1b-44-11-3a-b7"},
    {"abcd/24", "abcd/24"},
    {"123456789012345678901234567890123456789012345678901234567890123",
     "123456789012345678901234567890123456789012345678901234567890123"},
    {"1234567890123456789012345678901234567890123456789012345678901234", NULL},
    {"", NULL},
    {"-x", NULL},
    {".x", NULL},
    {"@isp", NULL},
    {"two\twords", NULL},
    {"x\n", NULL},
    {"x\"y", NULL},
    {"x'y", NULL},
    {"x{y}", NULL},
    {"%{User-Name}", NULL},
    {"x%sy", NULL},
    {"x\\y", NULL},
    {"x$y", NULL},
    {"x;y", NULL},
    {"x*", NULL},
    {"m\xc3\xbcller", NULL},
    {"\x1b[2J", NULL},
    {"10.20.0.7", NULL},
    {"10.20.0.7/32", NULL},
    {"10.20.0.0/", NULL},
    {"10.20.0", NULL},
    {"1.2", NULL},
    {"999.1.1.1", NULL},
    {"0010.4411.30070", NULL},
    {"2001:db8::1", NULL},
    {"2001:db8:20:100::/56", NULL},
    {"2001:db8", NULL},
    {"00:11:22:33:44:55:66:77", NULL},
    {"1::ffff:192.0.2.1", NULL},
    {"a:b", NULL},
};

static void reads_names(void **state)
{
    char out[ACCOUNT_TEXT];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        bool good = account_parse(span_of(names[i].text), out);

        if (good != (names[i].account != NULL) || (good && strcmp(out, names[i].account) != 0)) {
            fail_msg("\"%s\" became %s", names[i].text, good ? out : "none");
        }
    }
    assert_false(account_parse((struct span){"a\0b", 3}, out));
}

/* --- functions --- */

static const char *ask(struct place *p, struct real_answer *a, const char *line)
{
    return real_redis_ask(p->base, p->redis, a, "%s", line);
}

static const char *call(struct place *p, struct real_answer *a, const char *word, const char *rest)
{
    return real_redis_ask(p->base, p->redis, a, "FCALL gate25_lease_%s " KEYS "%s", word, rest);
}

/* The same by words, so that they may hold anything. */
static const char *start_lease(
    struct place *p, struct real_answer *a, struct span account, struct span session,
    struct span unit)
{
    const struct span words[] = {
        SPAN_LITERAL("FCALL"),
        SPAN_LITERAL("gate25_lease_start"),
        SPAN_LITERAL("3"),
        SPAN_LITERAL("g25:{leases}"),
        SPAN_LITERAL("g25:{leases}:changes"),
        SPAN_LITERAL("g25:{leases}:accounts"),
        account,
        session,
        SPAN_LITERAL("600"),
        SPAN_LITERAL("0"),
        unit};

    *a = (struct real_answer){0};
    if (redis_call(
            p->redis, words, sizeof(words) / sizeof(*words), REAL_REDIS_PATIENCE_MS,
            real_answer_take, a, 0) != 0 ||
        !real_redis_until(p->base, real_answer_came, a)) {
        real_redis_die("no answer");
    }
    return a->text;
}

/* Who holds it: "" for nobody. */
static const char *holder(struct place *p, struct real_answer *a, const char *unit)
{
    real_redis_ask(p->base, p->redis, a, "HGET g25:{leases} %s", unit);
    const char *blank = strrchr(a->text, ' ');
    return blank ? blank + 1 : a->text;
}

#define HOLDS(unit, account)     assert_string_equal(holder(p, &a, unit), account)
#define CALL(word, rest, answer) assert_string_equal(call(p, &a, word, rest), answer)

/* Redis takes for an account what C takes for one, and in the same spelling. */
static void redis_reads_names_alike(void **state)
{
    struct place *p = *state;
    struct real_answer a;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char session[16];

        snprintf(session, sizeof(session), "s%zu", i);
        start_lease(p, &a, span_of(names[i].text), span_of(session), SPAN_LITERAL("192.0.2.7"));
        if (strcmp(a.text, names[i].account ? "1" : "-1") != 0) {
            fail_msg("\"%s\": %s", names[i].text, a.text);
        }
        HOLDS("192.0.2.7", names[i].account ? names[i].account : "");
    }
    start_lease(p, &a, (struct span){"a\0b", 3}, SPAN_LITERAL("s"), SPAN_LITERAL("192.0.2.7"));
    assert_string_equal(a.text, "-1");
}

static const struct {
    const char *text, *unit; /* NULL: none */
} units[] = {
    {"192.0.2.7", "192.0.2.7"},
    {"192.0.2.7/32", "192.0.2.7"},
    {"192.0.2.0/24", NULL},
    {"192.0.2.256", NULL},
    {"192.0.2.07", NULL},
    {"192.0.2", NULL},
    {"0x7f.1.1.1", NULL},
    {"2001:db8:20:0100::/56", "2001:db8:20:100::/56"},
    {"2001:DB8:20:1ff:1:2:3:4/56", "2001:db8:20:100::/56"},
    {"2001:db8::/32", "2001:db8::/32"},
    {"2001:db8:0:1::/64", "2001:db8:0:1::/64"},
    {"2001:db8:1:0:0:1:0:0", "2001:db8:1::1:0:0"},
    {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
    {"2001:db8::1", "2001:db8::1"},
    {"2001:db8::1/128", "2001:db8::1"},
    {"2001:db8::/129", NULL},
    {"2001:db8::/0", NULL},
    {"2001:db8:::1", NULL},
    {"2001:db8::1::2", NULL},
    {"2001:db8:1:2:3:4:5:6:7", NULL},
    {"2001:db8:1:2:3:4:5", NULL},
    {"2001:db8::12345", NULL},
    {"::1", NULL},
    {"::ffff:192.0.2.7", NULL},
    {"fe80::1%eth0", NULL},
    {"x", NULL},
};

static void redis_reads_units(void **state)
{
    struct place *p = *state;
    struct real_answer a;

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        ask(p, &a, "DEL g25:{leases}");
        start_lease(p, &a, SPAN_LITERAL("alice"), SPAN_LITERAL("s"), span_of(units[i].text));
        if (strcmp(a.text, units[i].unit ? "1" : "0") != 0) {
            fail_msg("%s: %s", units[i].text, a.text);
        }
        if (units[i].unit) {
            HOLDS(units[i].unit, "alice");
        }
    }
    start_lease(
        p, &a, SPAN_LITERAL("bob"), SPAN_LITERAL("t"),
        SPAN_LITERAL("192.0.2.9,,2001:db8::/56,junk, 192.0.2.9"));
    assert_string_equal(a.text, "2");
    HOLDS("192.0.2.9", "bob");
    HOLDS("2001:db8::/56", "bob");
}

/* The name that Redis gives to a prefix is the one that C gives. */
static void redis_writes_units_alike(void **state)
{
    struct place *p = *state;
    struct real_answer a;
    uint64_t seed = 25;

    for (unsigned i = 0; i < 2000; i++) {
        struct prefix prefix = {.addr.family = ADDR_IPV6};
        char text[ADDR_TEXT], given[ADDR_TEXT + 8], wanted[PREFIX_TEXT];
        unsigned len;

        for (unsigned j = 0; j < 16; j += 2) {
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            bool zero = (seed >> 60) < 7;
            prefix.addr.bytes[j] = zero ? 0 : (uint8_t)(seed >> 40);
            prefix.addr.bytes[j + 1] = zero ? 0 : (uint8_t)(seed >> 48);
        }
        prefix.addr.bytes[0] = 0x20;
        len = 16 + (unsigned)(seed >> 33) % 113;
        addr_format(&prefix.addr, text);
        snprintf(given, sizeof(given), "%s/%u", text, len);
        prefix = prefix_of(&prefix.addr, len);
        prefix_format(&prefix, wanted);
        start_lease(p, &a, SPAN_LITERAL("alice"), SPAN_LITERAL("s"), span_of(given));
        assert_string_equal(a.text, "1");
        if (strcmp(holder(p, &a, wanted), "alice") != 0) {
            fail_msg("%s is not %s", given, wanted);
        }
    }
}

static void one_after_the_other(void **state)
{
    struct place *p = *state;
    struct real_answer a;

    CALL("start", "alice s1 600 0 192.0.2.7 2001:db8:0:100::/56", "2");
    CALL("renew", "alice s1 600 300 192.0.2.7", "1");
    HOLDS("192.0.2.7", "alice");
    assert_string_equal(
        ask(p, &a, "HGET g25:{leases}:accounts alice"), "192.0.2.7 2001:db8:0:100::/56");
    CALL("stop", "alice s1 600 400 192.0.2.7", "2"); /* the prefix too, though it was not named */
    HOLDS("192.0.2.7", "");
    HOLDS("2001:db8:0:100::/56", "");
    assert_string_equal(ask(p, &a, "HGET g25:{leases}:accounts alice"), "nil");
    CALL("start", "bob s2 600 0 192.0.2.7", "1");
    HOLDS("192.0.2.7", "bob");
    /* A Stop that was lost: the next Start says it all. */
    CALL("start", "carol s3 600 0 192.0.2.7", "1");
    HOLDS("192.0.2.7", "carol");
    assert_string_equal(ask(p, &a, "HGET g25:{leases}:accounts bob"), "nil");
    assert_string_equal(ask(p, &a, "HGET g25:{leases}:accounts carol"), "192.0.2.7");
}

/* Late, lost, doubled, in another order. */
static void in_any_order(void **state)
{
    struct place *p = *state;
    struct real_answer a;

    CALL("start", "alice s1 600 1000 192.0.2.7", "1");
    CALL("start", "bob s2 600 10 192.0.2.7", "1");
    CALL("stop", "alice s1 600 1010 192.0.2.7", "0"); /* late */
    HOLDS("192.0.2.7", "bob");
    CALL("renew", "alice s1 600 1011 192.0.2.7", "0");
    CALL("renew", "alice s1 600 '' 192.0.2.7", "0"); /* nobody knows when that one began */
    CALL("start", "alice s1 600 1012 192.0.2.7", "0");
    HOLDS("192.0.2.7", "bob");
    CALL("stop", "bob s2 600 20 192.0.2.7", "1");
    CALL("renew", "bob s2 600 21 192.0.2.7", "0"); /* behind its Stop */
    CALL("start", "bob s2 600 22 192.0.2.7", "0");
    CALL("stop", "bob s2 600 23 192.0.2.7", "0");
    CALL("start", "alice s1 600 1020 192.0.2.7", "0"); /* an older one than the one that ended */
    HOLDS("192.0.2.7", "");
    /* Ages are whole seconds: a Start may seem to be a little older than it is. */
    CALL("start", "grace s7 600 3 192.0.2.9", "1");
    CALL("start", "heidi s8 600 4 192.0.2.9", "1");
    HOLDS("192.0.2.9", "heidi");
    /* The Start of a session is lost, its Interim comes. */
    CALL("start", "carol s3 600 5 192.0.2.7", "1");
    CALL("renew", "dave s4 600 1 192.0.2.7", "1");
    HOLDS("192.0.2.7", "dave");
    /* A Stop before its Start. */
    CALL("stop", "erin s5 600 0 192.0.2.8", "0");
    CALL("start", "erin s5 600 3 192.0.2.8", "0");
    HOLDS("192.0.2.8", "");
    CALL("start", "frank s6 600 0 192.0.2.8", "1");
    HOLDS("192.0.2.8", "frank");
}

/* The counter of an access server that restarts begins anew, and so do its sessions' names. */
static void a_name_of_a_session_that_comes_again(void **state)
{
    struct place *p = *state;
    struct real_answer a;

    CALL("start", "alice 0001 600 1000 192.0.2.7 2001:db8:0:100::/56", "2");
    CALL("start", "bob 0001 600 10 192.0.2.7", "1");
    CALL("stop", "alice 0001 600 1010 192.0.2.7", "1"); /* of her prefix */
    HOLDS("192.0.2.7", "bob");
    HOLDS("2001:db8:0:100::/56", "");
    CALL("renew", "alice 0001 600 1011 192.0.2.7", "0");
    HOLDS("192.0.2.7", "bob");
    CALL("renew", "Bob 0001 600 12 192.0.2.7", "1");
    CALL("stop", "bob 0001 600 13 192.0.2.7", "1");
    /* What has ended is the other one's, too. */
    CALL("start", "carol 0001 600 0 192.0.2.7", "1");
    HOLDS("192.0.2.7", "carol");
    CALL("renew", "- 0001 600 1 192.0.2.7", "-1");
    HOLDS("192.0.2.7", "carol");
    CALL("stop", "- 0001 600 1 192.0.2.7", "1"); /* some Stops name nobody */
    HOLDS("192.0.2.7", "");
    CALL("renew", "carol 0001 600 2 192.0.2.7", "0");
    HOLDS("192.0.2.7", "");
}

/* The counter of a device that does not know the time. */
static void an_age_that_cannot_be(void **state)
{
    struct place *p = *state;
    struct real_answer a;

    CALL("start", "bob s1 600 10 192.0.2.7", "1");
    CALL("start", "alice s2 600 4294967295 192.0.2.7", "0");
    CALL("renew", "alice s2 600 4294967295 192.0.2.7", "0");
    HOLDS("192.0.2.7", "bob");
    CALL("start", "alice s2 600 4294967295 192.0.2.8", "1");
    HOLDS("192.0.2.8", "alice");
    CALL("start", "carol s3 600 100 192.0.2.8", "1");
    HOLDS("192.0.2.8", "carol");
}

/* Who is not known does not get what the one before him had. */
static void an_impossible_name_ends_the_lease_before(void **state)
{
    struct place *p = *state;
    struct real_answer a;

    CALL("start", "alice s1 600 10 192.0.2.7", "1");
    CALL("start", "10.0.0.1 s2 600 0 192.0.2.7", "-1");
    HOLDS("192.0.2.7", "");
    CALL("renew", "alice s1 600 20 192.0.2.7", "0");
    HOLDS("192.0.2.7", "");
    assert_string_equal(ask(p, &a, "HLEN g25:{leases}:accounts"), "0");
}

static void refuses_nonsense(void **state)
{
    static const char *const rows[] = {
        "alice s1 0 0 192.0.2.7", "alice s1 x 0 192.0.2.7", "alice s1 99999999 0 192.0.2.7",
        "alice s1 600", "alice"};
    struct place *p = *state;
    struct real_answer a;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(call(p, &a, "start", rows[i])[0], '-');
    }
    assert_string_equal(ask(p, &a, "EXISTS g25:{leases}"), "0");
    CALL("start", "alice s1 600 -5 192.0.2.7", "1");
    CALL("renew", "alice s1 600 nan 192.0.2.7", "1");
    CALL("renew", "alice s1 600 1e300 192.0.2.7", "1");
    HOLDS("192.0.2.7", "alice");
}

static void forgets_what_has_ended(void **state)
{
    struct place *p = *state;
    struct real_answer a;

    for (unsigned i = 0; i < 50; i++) {
        char line[64];

        snprintf(line, sizeof(line), "lost%u s%u 1 0 192.0.2.%u", i, i, i);
        CALL("start", line, "1");
    }
    /* Each call looks at a few. */
    for (unsigned i = 0; i < 100000; i++) {
        CALL("start", "alice s 600 0 198.51.100.7", "1");
        if (strcmp(ask(p, &a, "HLEN g25:{leases}"), "1") == 0) {
            break;
        }
    }
    assert_string_equal(ask(p, &a, "HLEN g25:{leases}"), "1");
    assert_string_equal(ask(p, &a, "HLEN g25:{leases}:accounts"), "1");
}

/* --- the map --- */

static struct prefix prefix_named(const char *text)
{
    struct prefix p;

    assert_int_equal(prefix_parse(span_of(text), &p), PREFIX_OK);
    return p;
}

static const char *found(const struct lease_map *m, const char *address, int64_t now)
{
    struct addr a;
    const char *account;

    assert_true(addr_parse(span_of(address), &a));
    account = lease_map_find(m, &a, now);
    return account ? account : "";
}

static void put(
    struct lease_map *m, const char *unit, const char *account, int64_t began, int64_t until)
{
    struct prefix p = prefix_named(unit);

    assert_int_equal(lease_map_put(m, &p, span_of(account), began, until), 0);
}

static void the_last_session_holds(void **state)
{
    struct lease_map m = {0};
    size_t next = 0;
    struct prefix p = prefix_named("2001:db8:0:100::/56");

    (void)state;
    assert_string_equal(found(&m, "192.0.2.7", 0), "");
    put(&m, "192.0.2.7", "alice", 1, 100);
    put(&m, "192.0.2.7", "bob", 2, 200);
    assert_string_equal(found(&m, "192.0.2.7", 199), "bob");
    assert_string_equal(found(&m, "192.0.2.7", 200), "");
    put(&m, "2001:db8::/48", "carol", 5, 300);
    put(&m, "2001:db8:0:100::/56", "dave", 4, 400);
    assert_string_equal(found(&m, "2001:db8:0:100::1", 10), "carol");
    assert_string_equal(found(&m, "2001:db8:0:100::1", 300), "dave");
    put(&m, "2001:db8:0:100::/56", "dave", 6, 400);
    assert_string_equal(found(&m, "2001:db8:0:100::1", 10), "dave");
    lease_map_remove(&m, &p);
    lease_map_remove(&m, &p);
    assert_string_equal(found(&m, "2001:db8:0:100::1", 10), "carol");
    assert_int_equal(lease_map_sweep(&m, 250, 64, &next), 1);
    assert_int_equal(lease_map_count(&m), 1);
    assert_int_equal(lease_map_sweep(&m, 300, 128, &next), 1);
    assert_int_equal(lease_map_sweep(&m, 300, 128, &next), 0);
    assert_int_equal(lease_map_count(&m), 0);
    put(&m, "192.0.2.7", "erin", 1, 1000);
    assert_string_equal(found(&m, "192.0.2.7", 10), "erin");
    lease_map_fini(&m);
    lease_map_fini(&m);
}

static void grows_and_shrinks(void **state)
{
    struct lease_map m = {0};
    size_t next = 0;

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        char unit[32], account[32];

        snprintf(unit, sizeof(unit), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
        snprintf(account, sizeof(account), "account%u", i);
        put(&m, unit, account, 1, 100 + i % 2);
        if (i % 3 == 0) {
            struct prefix p = prefix_named(unit);
            lease_map_remove(&m, &p);
        }
    }
    assert_string_equal(found(&m, "10.1.0.1", 10), "account65537");
    assert_string_equal(found(&m, "10.1.0.3", 10), "account65539");
    assert_string_equal(found(&m, "10.0.0.3", 10), "");
    size_t swept = 0, before = lease_map_count(&m);
    while (lease_map_count(&m) > 33333) {
        swept += lease_map_sweep(&m, 100, 1000, &next);
    }
    assert_int_equal(swept, before - 33333);
    assert_string_equal(found(&m, "10.1.0.3", 100), "account65539");
    lease_map_expect(&m, 500000);
    assert_string_equal(found(&m, "10.1.0.3", 100), "account65539");
    lease_map_fini(&m);
}

/* --- what comes in place of news --- */

struct news {
    bool come;
    enum lease_news what;
};

static void take_nothing(void *context, const struct lease_entry *entry, int64_t then_s)
{
    (void)context;
    (void)entry;
    (void)then_s;
    fail();
}

static void on_news(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct news *n = context;
    char position[FEED_POSITION] = "0-0";

    (void)ticket;
    n->what = lease_changes(reply, position, take_nothing, NULL);
    n->come = true;
    assert_string_equal(position, "0-0");
}

static bool news_has_come(const void *context)
{
    return ((const struct news *)context)->come;
}

/* As when Redis goes while XREAD waits there, or does not let it be asked. */
static void no_news(void **state)
{
    struct place *p = *state;
    struct news refused = {0}, lost = {0};
    const struct span wrong[] = {SPAN_LITERAL("XREAD"), SPAN_LITERAL("BLOCK")};
    const struct feed_request waits = {p->redis, 0, on_news, &lost, 0};

    assert_int_equal(redis_call(p->redis, wrong, 2, 3000, on_news, &refused, 0), 0);
    assert_true(real_redis_until(p->base, news_has_come, &refused));
    assert_int_equal(refused.what, LEASE_NEWS_BAD);

    assert_int_equal(feed_ask_changes(waits, STORE_LEASE_CHANGES, "0-0", 60000), 0);
    real_redis_kill(&p->server);
    assert_true(real_redis_until(p->base, news_has_come, &lost));
    assert_int_equal(lost.what, LEASE_NEWS_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_names),
        cmocka_unit_test_setup_teardown(redis_reads_names_alike, set_up, tear_down),
        cmocka_unit_test_setup_teardown(redis_reads_units, set_up, tear_down),
        cmocka_unit_test_setup_teardown(redis_writes_units_alike, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_after_the_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(in_any_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_of_a_session_that_comes_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_age_that_cannot_be, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            an_impossible_name_ends_the_lease_before, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_nonsense, set_up, tear_down),
        cmocka_unit_test_setup_teardown(forgets_what_has_ended, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_news, set_up, tear_down),
        cmocka_unit_test(the_last_session_holds),
        cmocka_unit_test(grows_and_shrinks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
