/* The form of a registration, and what DNS says of a mail server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "core/signup_checks.h"
#include "unit/page_edge.h"

#define GOOD_REASON "My own mail server at home"
#define A63         "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

static const struct {
    enum signup_field field;
    const char *text;
    enum signup_fault fault;
    const char *becomes; /* where it is good */
} fields[] = {
    {SIGNUP_FIELD_CONTACT, "owner@customer.example", SIGNUP_OK, "owner@customer.example"},
    {SIGNUP_FIELD_CONTACT, " Owner+x@Customer.EXAMPLE. ", SIGNUP_OK, "Owner+x@customer.example"},
    {SIGNUP_FIELD_CONTACT, "o'neil.b@customer.example", SIGNUP_OK, "o'neil.b@customer.example"},
    {SIGNUP_FIELD_CONTACT, "", SIGNUP_MISSING, NULL},
    {SIGNUP_FIELD_CONTACT, " \r\n ", SIGNUP_MISSING, NULL},
    {SIGNUP_FIELD_CONTACT, "owner", SIGNUP_NO_ADDRESS, NULL},
    {SIGNUP_FIELD_CONTACT, "@customer.example", SIGNUP_NO_ADDRESS, NULL},
    {SIGNUP_FIELD_CONTACT, "owner@", SIGNUP_BAD_DOMAIN, NULL},
    {SIGNUP_FIELD_CONTACT, "owner@localhost", SIGNUP_BAD_DOMAIN, NULL},
    {SIGNUP_FIELD_CONTACT, "owner@192.0.2.1", SIGNUP_BAD_DOMAIN, NULL},
    {SIGNUP_FIELD_CONTACT, "owner@[192.0.2.1]", SIGNUP_BAD_DOMAIN, NULL},
    {SIGNUP_FIELD_CONTACT, "a@b@customer.example", SIGNUP_BAD_LOCAL, NULL},
    {SIGNUP_FIELD_CONTACT, "\"a b\"@customer.example", SIGNUP_BAD_LOCAL, NULL},
    {SIGNUP_FIELD_CONTACT, "a b@customer.example", SIGNUP_BAD_LOCAL, NULL},
    {SIGNUP_FIELD_CONTACT, ".a@customer.example", SIGNUP_BAD_LOCAL, NULL},
    {SIGNUP_FIELD_CONTACT, "a.@customer.example", SIGNUP_BAD_LOCAL, NULL},
    {SIGNUP_FIELD_CONTACT, "a..b@customer.example", SIGNUP_BAD_LOCAL, NULL},
    {SIGNUP_FIELD_CONTACT, "m\xc3\xbcller@customer.example", SIGNUP_BAD_LOCAL, NULL},
    {SIGNUP_FIELD_CONTACT, "ab" A63 "@customer.example", SIGNUP_BAD_LOCAL, NULL},
    {SIGNUP_FIELD_CONTACT, "<owner@customer.example>", SIGNUP_BAD_LOCAL, NULL},
    {SIGNUP_FIELD_CONTACT, "a@customer.example,b@customer.example", SIGNUP_BAD_LOCAL, NULL},
    {SIGNUP_FIELD_CONTACT, "a@customer.example\r\nBcc: b@customer.example", SIGNUP_CONTROL, NULL},
    {SIGNUP_FIELD_CONTACT, "a@customer.example\nx", SIGNUP_CONTROL, NULL},
    {SIGNUP_FIELD_CONTACT, "a\rb@customer.example", SIGNUP_CONTROL, NULL},
    {SIGNUP_FIELD_DOMAIN, "Customer.example", SIGNUP_OK, "customer.example"},
    {SIGNUP_FIELD_DOMAIN, "xn--mller-kva.example.", SIGNUP_OK, "xn--mller-kva.example"},
    {SIGNUP_FIELD_DOMAIN, A63 ".example", SIGNUP_OK, A63 ".example"},
    {SIGNUP_FIELD_DOMAIN, A63 "h.example", SIGNUP_BAD_DOMAIN, NULL},
    {SIGNUP_FIELD_DOMAIN, A63 "." A63 "." A63 "." A63, SIGNUP_TOO_LONG, NULL},
    {SIGNUP_FIELD_DOMAIN, "", SIGNUP_MISSING, NULL},
    {SIGNUP_FIELD_DOMAIN, ".", SIGNUP_MISSING, NULL},
    {SIGNUP_FIELD_DOMAIN, "example", SIGNUP_BAD_DOMAIN, NULL},
    {SIGNUP_FIELD_DOMAIN, "a..example", SIGNUP_BAD_DOMAIN, NULL},
    {SIGNUP_FIELD_DOMAIN, ".a.example", SIGNUP_BAD_DOMAIN, NULL},
    {SIGNUP_FIELD_DOMAIN, "-a.example", SIGNUP_BAD_DOMAIN, NULL},
    {SIGNUP_FIELD_DOMAIN, "a-.example", SIGNUP_BAD_DOMAIN, NULL},
    {SIGNUP_FIELD_DOMAIN, "a_b.example", SIGNUP_BAD_DOMAIN, NULL},
    {SIGNUP_FIELD_DOMAIN, "m\xc3\xbcller.example", SIGNUP_BAD_DOMAIN, NULL},
    {SIGNUP_FIELD_DOMAIN, "https://a.example", SIGNUP_BAD_DOMAIN, NULL},
    {SIGNUP_FIELD_DOMAIN, "a.example\r\nX: y", SIGNUP_CONTROL, NULL},
    {SIGNUP_FIELD_HOST, "mail.customer.example", SIGNUP_OK, "mail.customer.example"},
    {SIGNUP_FIELD_HOST, "192.0.2.1", SIGNUP_BAD_DOMAIN, NULL},
    {SIGNUP_FIELD_HOST, "mail", SIGNUP_BAD_DOMAIN, NULL},
    {SIGNUP_FIELD_HOST, "mail.a.example\r\nX: y", SIGNUP_CONTROL, NULL},
    {SIGNUP_FIELD_REASON, GOOD_REASON, SIGNUP_OK, GOOD_REASON},
    {SIGNUP_FIELD_REASON, "F\xc3\xbcr den Verein, \xe2\x82\xac 0", SIGNUP_OK,
     "F\xc3\xbcr den Verein, \xe2\x82\xac 0"},
    {SIGNUP_FIELD_REASON, "one\r\nBcc: x@y.example\r\n\r\ntwo\tthree", SIGNUP_OK,
     "one Bcc: x@y.example two three"},
    {SIGNUP_FIELD_REASON, "", SIGNUP_MISSING, NULL},
    {SIGNUP_FIELD_REASON, "because", SIGNUP_TOO_SHORT, NULL},
    {SIGNUP_FIELD_REASON, "a\r\n\r\n\r\n\r\n\r\nb", SIGNUP_TOO_SHORT, NULL},
    {SIGNUP_FIELD_REASON, "colour \033[31m red", SIGNUP_CONTROL, NULL},
    {SIGNUP_FIELD_REASON, "not UTF-8: \xff\xfe", SIGNUP_NOT_UTF8, NULL},
    {SIGNUP_FIELD_REASON, "overlong: \xc0\xaf....", SIGNUP_NOT_UTF8, NULL},
    {SIGNUP_FIELD_REASON, "surrogate: \xed\xa0\x80", SIGNUP_NOT_UTF8, NULL},
    {SIGNUP_FIELD_REASON, "cut short: \xe2\x82", SIGNUP_NOT_UTF8, NULL},
    {SIGNUP_FIELD_REASON, "turned \xe2\x80\xae around", SIGNUP_CONTROL, NULL},
    {SIGNUP_FIELD_REASON, "a line by another name \xe2\x80\xa8 X: y", SIGNUP_CONTROL, NULL},
    {SIGNUP_FIELD_REASON, "NEL \xc2\x85 NEL NEL", SIGNUP_CONTROL, NULL},
};

static struct span *field_of(struct signup_form *form, enum signup_field f)
{
    struct span *all[] = {&form->contact, &form->domain, &form->host, &form->reason};
    return all[f];
}

static const char *become(const struct signup_request *r, enum signup_field f)
{
    const char *all[] = {r->contact, r->domain, r->host, r->reason};
    return all[f];
}

static void test_fields(void **state)
{
    struct page_edge edge;

    (void)state;
    page_edge_init(&edge);
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        struct signup_form form = {
            SPAN_LITERAL("owner@customer.example"), SPAN_LITERAL("customer.example"),
            SPAN_LITERAL("mail.customer.example"), SPAN_LITERAL(GOOD_REASON)};
        struct signup_request request;
        enum signup_fault faults[SIGNUP_FIELDS];
        *field_of(&form, fields[i].field) = page_edge_copy(&edge, span_of(fields[i].text));

        bool good = signup_form_check(&form, &request, faults);
        if (faults[fields[i].field] != fields[i].fault) {
            fail_msg(
                "%s \"%s\": %s, not %s", signup_field_name(fields[i].field), fields[i].text,
                signup_fault_name(faults[fields[i].field]), signup_fault_name(fields[i].fault));
        }
        assert_int_equal(good, fields[i].fault == SIGNUP_OK);
        for (unsigned f = 0; f < SIGNUP_FIELDS; f++) {
            assert_true(f == fields[i].field || faults[f] == SIGNUP_OK);
        }
        if (good) {
            assert_string_equal(become(&request, fields[i].field), fields[i].becomes);
        }
    }
    page_edge_fini(&edge);
}

static void test_lengths(void **state)
{
    char text[SIGNUP_REASON + 10];
    struct signup_form form = {
        SPAN_LITERAL("o@c.example"), SPAN_LITERAL("c.example"), SPAN_LITERAL("m.c.example"), {0}};
    struct signup_request request;
    enum signup_fault faults[SIGNUP_FIELDS];

    (void)state;
    memset(text, 'x', sizeof(text));
    form.reason = (struct span){text, SIGNUP_REASON - 1};
    assert_true(signup_form_check(&form, &request, faults));
    form.reason.len++;
    assert_false(signup_form_check(&form, &request, faults));
    assert_int_equal(faults[SIGNUP_FIELD_REASON], SIGNUP_TOO_LONG);
    /* All at once: every field says what is wrong with it. */
    form = (struct signup_form){0};
    assert_false(signup_form_check(&form, &request, faults));
    for (unsigned f = 0; f < SIGNUP_FIELDS; f++) {
        assert_int_equal(faults[f], SIGNUP_MISSING);
    }
    /* A NUL is a control character. */
    form.domain = (struct span){"a\0b.example", 11};
    assert_false(signup_form_check(&form, &request, faults));
    assert_int_equal(faults[SIGNUP_FIELD_DOMAIN], SIGNUP_CONTROL);
}

static void test_contact_key(void **state)
{
    static const char *const rows[][2] = {
        {"Owner@Customer.example", "owner@customer.example"},
        {"owner+1@customer.example", "owner@customer.example"},
        {"owner+1+2@customer.example", "owner@customer.example"},
        {"+1@customer.example", "+1@customer.example"},
        {"owner@a+b.example", "owner@a+b.example"},
        {"", ""},
    };
    char key[SIGNUP_CONTACT];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        signup_contact_key(span_of(rows[i][0]), key);
        assert_string_equal(key, rows[i][1]);
    }
}

static struct addr address(const char *text)
{
    struct addr a;
    assert_true(addr_parse(span_of(text), &a));
    return a;
}

static struct signup_addresses addresses(const char *list, bool failed)
{
    struct signup_addresses found = {.failed = failed};
    char copy[256], *rest = copy;

    snprintf(copy, sizeof(copy), "%s", list);
    for (char *word = strsep(&rest, " "); word && *word; word = strsep(&rest, " ")) {
        struct addr a = address(word);
        signup_addresses_add(&found, (struct span){(const char *)a.bytes, addr_bits(a.family) / 8});
    }
    return found;
}

static const struct {
    const char *found, *visitor;
    bool failed;
    enum signup_result result;
    const char *server;
} hosts[] = {
    {"10.20.7.7", "10.20.7.7", false, SIGNUP_RESULT_GOOD, "10.20.7.7"},
    {"198.51.100.9 10.20.7.7", "10.20.7.7", false, SIGNUP_RESULT_GOOD, "10.20.7.7"},
    {"198.51.100.9 10.20.7.8", "10.20.7.7", false, SIGNUP_RESULT_BAD, "10.20.7.7"},
    {"", "10.20.7.7", false, SIGNUP_RESULT_NONE, "10.20.7.7"},
    {"", "10.20.7.7", true, SIGNUP_RESULT_UNKNOWN, "10.20.7.7"},
    {"10.20.7.7", "10.20.7.7", true, SIGNUP_RESULT_GOOD, "10.20.7.7"},
    {"198.51.100.9", "10.20.7.7", true, SIGNUP_RESULT_UNKNOWN, "10.20.7.7"},
    /* A line of IPv6 is a prefix: the server is not the computer that fills in the form. */
    {"2001:db8:20:2500::25", "2001:db8:20:2500::abcd", false, SIGNUP_RESULT_GOOD,
     "2001:db8:20:2500::25"},
    {"2001:db8:20:25ff::25 2001:db8:20:2500::abcd", "2001:db8:20:2500::abcd", false,
     SIGNUP_RESULT_GOOD, "2001:db8:20:2500::abcd"},
    {"2001:db8:20:2600::25", "2001:db8:20:2500::abcd", false, SIGNUP_RESULT_BAD,
     "2001:db8:20:2500::abcd"},
};

static void test_host(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(*hosts); i++) {
        struct signup_addresses found = addresses(hosts[i].found, hosts[i].failed);
        struct addr visitor = address(hosts[i].visitor), wanted = address(hosts[i].server), server;
        struct prefix unit = prefix_unit(&visitor, 56);

        assert_int_equal(signup_judge_host(&found, &unit, &visitor, &server), hosts[i].result);
        assert_true(addr_equal(&server, &wanted));
    }
}

static void test_reverse(void **state)
{
    struct addr server = address("10.20.7.7");
    struct signup_addresses here = addresses("192.0.2.1 10.20.7.7", false);
    struct signup_addresses there = addresses("192.0.2.1", false);
    struct signup_addresses lost = addresses("192.0.2.1", true);

    (void)state;
    assert_int_equal(signup_judge_reverse(false, 1, &here, &server), SIGNUP_RESULT_GOOD);
    assert_int_equal(signup_judge_reverse(true, 1, &here, &server), SIGNUP_RESULT_GOOD);
    assert_int_equal(signup_judge_reverse(false, 1, &there, &server), SIGNUP_RESULT_BAD);
    assert_int_equal(signup_judge_reverse(false, 1, &lost, &server), SIGNUP_RESULT_UNKNOWN);
    assert_int_equal(signup_judge_reverse(false, 0, &there, &server), SIGNUP_RESULT_NONE);
    assert_int_equal(signup_judge_reverse(true, 0, &there, &server), SIGNUP_RESULT_UNKNOWN);
}

static void test_names(void **state)
{
    struct addr four = address("10.20.7.7"), six = address("2001:db8::25");
    char name[SIGNUP_REVERSE_NAME], taken[SIGNUP_DOMAIN], long_name[300];

    (void)state;
    signup_reverse_name(&four, name);
    assert_string_equal(name, "7.7.20.10.in-addr.arpa");
    signup_reverse_name(&six, name);
    assert_string_equal(
        name, "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
    assert_true(signup_reverse_take(SPAN_LITERAL("Mail_1.Customer.example."), taken));
    assert_string_equal(taken, "mail_1.customer.example");
    assert_false(signup_reverse_take(SPAN_LITERAL("<b>.example"), taken));
    assert_string_equal(taken, "");
    assert_false(signup_reverse_take(SPAN_LITERAL(""), taken));
    assert_false(signup_reverse_take((struct span){"a\0b", 3}, taken));
    memset(long_name, 'a', sizeof(long_name));
    assert_false(signup_reverse_take((struct span){long_name, SIGNUP_DOMAIN}, taken));
}

static void test_many_addresses(void **state)
{
    struct signup_addresses a = {0};

    (void)state;
    for (int i = 0; i < 100; i++) {
        signup_addresses_add(&a, (struct span){"\1\2\3\4", 4});
    }
    assert_int_equal(a.count, SIGNUP_ADDRESSES);
    a.count = 0;
    signup_addresses_add(&a, (struct span){"\1\2\3", 3});
    assert_int_equal(a.count, 0);
}

static void test_hold(void **state)
{
    struct signup_checks c = {
        .result = {SIGNUP_RESULT_GOOD, SIGNUP_RESULT_GOOD, SIGNUP_RESULT_NONE}};

    (void)state;
    assert_true(signup_checks_hold(&c, 0));
    assert_true(signup_checks_hold(&c, 1u << SIGNUP_CHECK_HOST | 1u << SIGNUP_CHECK_REVERSE));
    assert_false(signup_checks_hold(&c, 1u << SIGNUP_CHECK_SPF));
    for (unsigned r = 0; r < SPF_RESULTS; r++) {
        assert_int_equal(signup_judge_spf(r) == SIGNUP_RESULT_GOOD, r == SPF_PASS);
    }
    for (unsigned r = 0; r < SIGNUP_RESULTS; r++) {
        enum signup_result back;
        assert_true(signup_result_named(span_of(signup_result_name(r)), &back));
        assert_int_equal(back, r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),         cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_contact_key),    cmocka_unit_test(test_host),
        cmocka_unit_test(test_reverse),        cmocka_unit_test(test_names),
        cmocka_unit_test(test_many_addresses), cmocka_unit_test(test_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
