#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "core/prefix.h"

static struct addr addr(const char *text)
{
    struct addr a;

    assert_true(addr_parse(span_of(text), &a));
    return a;
}

static struct prefix prefix(const char *text)
{
    struct prefix p;

    assert_int_equal(prefix_parse(span_of(text), &p), PREFIX_OK);
    return p;
}

static void test_addresses(void **state)
{
    static const struct {
        const char *in, *out; /* out NULL: not an address */
        enum addr_family family;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1", ADDR_IPV4},
        {"255.255.255.255", "255.255.255.255", ADDR_IPV4},
        {"2001:DB8:0:0:0:0:0:1", "2001:db8::1", ADDR_IPV6},
        {"::", "::", ADDR_IPV6},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1", ADDR_IPV6},
        {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
         ADDR_IPV6},
        {"", NULL, ADDR_NONE},
        {" 192.0.2.1", NULL, ADDR_NONE},
        {"192.0.2", NULL, ADDR_NONE},
        {"192.0.2.256", NULL, ADDR_NONE},
        {"192.0.2.01", NULL, ADDR_NONE},
        {"192.0.2.1.1", NULL, ADDR_NONE},
        {"[2001:db8::1]", NULL, ADDR_NONE},
        {"fe80::1%eth0", NULL, ADDR_NONE},
        {"2001:db8::1::1", NULL, ADDR_NONE},
        {"localhost", NULL, ADDR_NONE},
        {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555", NULL, ADDR_NONE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct addr a = {.family = 99};
        char text[ADDR_TEXT];

        assert_int_equal(addr_parse(span_of(rows[i].in), &a), rows[i].out != NULL);
        if (!rows[i].out) {
            assert_int_equal(a.family, 99);
            continue;
        }
        addr_format(&a, text);
        assert_string_equal(text, rows[i].out);
        assert_int_equal(a.family, rows[i].family);
    }
}

/* Each value of each octet, as the C library writes it. */
static void test_ipv4_is_written_as_inet_ntop_does(void **state)
{
    (void)state;
    for (unsigned value = 0; value < 4 * 256; value++) {
        struct addr a = {.family = ADDR_IPV4, .bytes = {192, 0, 2, 1}};
        char text[ADDR_TEXT], expected[INET_ADDRSTRLEN];

        a.bytes[value / 256] = (uint8_t)value;
        addr_format(&a, text);
        assert_non_null(inet_ntop(AF_INET, a.bytes, expected, sizeof(expected)));
        assert_string_equal(text, expected);
    }
}

static void test_address_is_a_span(void **state)
{
    struct addr a;

    (void)state;
    assert_true(addr_parse((struct span){"192.0.2.17", 9}, &a));
    assert_int_equal(a.bytes[3], 1);
    assert_false(addr_parse((struct span){"192.0.2.1\0", 10}, &a));
    assert_false(addr_parse((struct span){NULL, 0}, &a));
}

static void test_families(void **state)
{
    struct addr none = {0}, four = addr("192.0.2.1"), mapped = addr("::ffff:192.0.2.1");
    char text[ADDR_TEXT];

    (void)state;
    assert_int_equal(addr_bits(ADDR_IPV4), 32);
    assert_int_equal(addr_bits(ADDR_IPV6), 128);
    assert_int_equal(addr_bits(ADDR_NONE), 0);
    assert_false(addr_is_v4_mapped(&four));
    assert_true(addr_is_v4_mapped(&mapped));
    assert_false(addr_equal(&four, &mapped));
    addr_format(&none, text);
    assert_string_equal(text, "-");
}

static void test_endpoints(void **state)
{
    static const struct {
        const char *in;
        bool good;
    } rows[] = {
        {"127.0.0.1:2525", true},
        {"[::1]:2525", true},
        {"[2001:db8::1]:65535", true},
        {"127.0.0.1:0", true},
        {"127.0.0.1", false},
        {"127.0.0.1:", false},
        {"127.0.0.1:65536", false},
        {"127.0.0.1:25x", false},
        {"127.0.0.1:+25", false},
        {"::1:25", false},
        {"[127.0.0.1]:25", false},
        {"[::1]", false},
        {"[]:25", false},
        {":25", false},
        {"", false},
        {"mail.example.org:25", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct endpoint e;
        char text[ENDPOINT_TEXT];

        assert_int_equal(endpoint_parse(span_of(rows[i].in), &e), rows[i].good);
        if (rows[i].good) {
            endpoint_format(&e, text);
            assert_string_equal(text, rows[i].in);
        }
    }
}

static void test_endpoint_equal(void **state)
{
    struct endpoint a, b;

    (void)state;
    assert_true(endpoint_parse(span_of("[::1]:25"), &a));
    assert_true(endpoint_parse(span_of("[0::1]:25"), &b));
    assert_true(endpoint_equal(&a, &b));
    b.port = 26;
    assert_false(endpoint_equal(&a, &b));
}

static void test_longest_endpoint_fits(void **state)
{
    struct endpoint e = {.port = 65535, .addr.family = ADDR_IPV6};
    char text[ENDPOINT_TEXT];

    (void)state;
    memset(e.addr.bytes, 0xff, sizeof(e.addr.bytes));
    endpoint_format(&e, text);
    assert_string_equal(text, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

static void test_prefixes(void **state)
{
    static const struct {
        const char *in;
        enum prefix_error error;
        const char *out; /* where one is set */
    } rows[] = {
        {"192.0.2.0/24", PREFIX_OK, "192.0.2.0/24"},
        {"192.0.2.1", PREFIX_OK, "192.0.2.1"},
        {"192.0.2.1/32", PREFIX_OK, "192.0.2.1"},
        {"0.0.0.0/0", PREFIX_OK, "0.0.0.0/0"},
        {"2001:db8:1::/48", PREFIX_OK, "2001:db8:1::/48"},
        {"2001:db8::1/128", PREFIX_OK, "2001:db8::1"},
        {"192.0.2.1/24", PREFIX_HOST_BITS, "192.0.2.0/24"},
        {"192.0.3.0/23", PREFIX_HOST_BITS, "192.0.2.0/23"},
        {"2001:db8:1:1::/56", PREFIX_HOST_BITS, "2001:db8:1::/56"},
        {"192.0.2.0/33", PREFIX_BAD_LENGTH, NULL},
        {"2001:db8::/129", PREFIX_BAD_LENGTH, NULL},
        {"192.0.2.0/", PREFIX_BAD_LENGTH, NULL},
        {"192.0.2.0/-1", PREFIX_BAD_LENGTH, NULL},
        {"192.0.2.0/24/24", PREFIX_BAD_LENGTH, NULL},
        {"192.0.2/24", PREFIX_BAD_ADDRESS, NULL},
        {"/24", PREFIX_BAD_ADDRESS, NULL},
        {"", PREFIX_BAD_ADDRESS, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct prefix p;
        char text[PREFIX_TEXT];

        assert_int_equal(prefix_parse(span_of(rows[i].in), &p), rows[i].error);
        if (rows[i].out) {
            prefix_format(&p, text);
            assert_string_equal(text, rows[i].out);
        }
    }
}

static void test_contains(void **state)
{
    static const struct {
        const char *prefix, *addr;
        bool in;
    } rows[] = {
        {"192.0.2.0/24", "192.0.2.0", true},
        {"192.0.2.0/24", "192.0.2.255", true},
        {"192.0.2.0/24", "192.0.3.0", false},
        {"192.0.2.0/24", "192.0.1.255", false},
        {"192.0.2.4/31", "192.0.2.5", true},
        {"192.0.2.4/31", "192.0.2.6", false},
        {"192.0.2.4", "192.0.2.4", true},
        {"192.0.2.4", "192.0.2.5", false},
        {"0.0.0.0/0", "255.255.255.255", true},
        {"0.0.0.0/0", "::", false},
        {"::/0", "192.0.2.4", false},
        {"2001:db8::/33", "2001:db8:7fff::", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct prefix p = prefix(rows[i].prefix);
        struct addr a = addr(rows[i].addr);

        assert_int_equal(prefix_contains(&p, &a), rows[i].in);
    }
}

static void test_overlaps(void **state)
{
    static const struct {
        const char *a, *b;
        bool overlap;
    } rows[] = {
        {"192.0.2.0/24", "192.0.2.128/25", true},   {"192.0.2.0/25", "192.0.2.128/25", false},
        {"192.0.2.0/24", "192.0.2.0/24", true},     {"0.0.0.0/0", "::/0", false},
        {"2001:db8::/32", "2001:db8:1::/48", true}, {"2001:db8::/48", "2001:db8:1::/48", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct prefix a = prefix(rows[i].a), b = prefix(rows[i].b);

        assert_int_equal(prefix_overlaps(&a, &b), rows[i].overlap);
        assert_int_equal(prefix_overlaps(&b, &a), rows[i].overlap);
    }
}

static void test_prefix_equal(void **state)
{
    struct prefix a = prefix("192.0.2.0/24"), b = prefix("192.0.2.0/25"),
                  c = prefix("192.0.2.0/24");

    (void)state;
    assert_true(prefix_equal(&a, &c));
    assert_false(prefix_equal(&a, &b));
}

static void test_units(void **state)
{
    static const struct {
        const char *addr;
        unsigned unit;
        const char *out;
    } rows[] = {
        {"192.0.2.77", 56, "192.0.2.77"},
        {"2001:db8:1:23ff::7", 56, "2001:db8:1:2300::/56"},
        {"2001:db8:1:23ff::7", 64, "2001:db8:1:23ff::/64"},
        {"2001:db8:1:23ff::7", 48, "2001:db8:1::/48"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct addr a = addr(rows[i].addr);
        struct prefix unit = prefix_unit(&a, rows[i].unit);
        char text[PREFIX_TEXT];

        prefix_format(&unit, text);
        assert_string_equal(text, rows[i].out);
        assert_true(prefix_contains(&unit, &a));
    }
}

static void test_prefix_of_caps(void **state)
{
    struct addr a = addr("192.0.2.77");
    struct prefix p = prefix_of(&a, 200);

    (void)state;
    assert_int_equal(p.len, 32);
    assert_true(addr_equal(&p.addr, &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_address_is_a_span),
        cmocka_unit_test(test_ipv4_is_written_as_inet_ntop_does),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_endpoint_equal),
        cmocka_unit_test(test_longest_endpoint_fits),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_contains),
        cmocka_unit_test(test_overlaps),
        cmocka_unit_test(test_prefix_equal),
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_prefix_of_caps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
