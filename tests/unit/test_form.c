/* core/form: forms, cookies, X-Forwarded-For, Accept-Language, plain text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "core/form.h"

static void expect(struct span s, const char *text)
{
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.at, text, s.len);
}

static void test_form(void **state)
{
    (void)state;
    static const struct {
        const char *encoded, *a, *b;
    } rows[] = {
        {"a=1&b=2", "1", "2"},
        {"a=%41%20+x&b=%C3%A4", "A  x", "\xC3\xA4"},
        {"a=1&a=2&b=", "1", ""},
        {"&&a=1&&b=2&", "1", "2"},
        {"a&b", "", ""},
        {"%61=1&b==2", "1", "=2"},
        {"a=+1+&b=%261", "1", "&1"},
        {"", "", ""},
    };
    char room[128];
    struct form f;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(form_decode(span_of(rows[i].encoded), room, sizeof(room), &f));
        expect(form_value(&f, "a"), rows[i].a);
        expect(form_value(&f, "b"), rows[i].b);
    }
    assert_true(form_decode(span_of("x"), room, sizeof(room), &f));
    assert_true(form_has(&f, "x"));
    assert_false(form_has(&f, "a"));
}

static void test_bad_forms(void **state)
{
    (void)state;
    static const char *const rows[] = {"a=%",   "a=%4",  "a=%4g",  "a=%zz",
                                       "a=%00", "%00=a", "a=1&b=%"};
    char room[128], many[FORM_FIELDS * 4 + 8] = "";
    struct form f;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_false(form_decode(span_of(rows[i]), room, sizeof(room), &f));
        assert_int_equal(f.count, 0);
    }
    assert_false(form_decode(span_of("a=1234567"), room, 4, &f));
    for (size_t i = 0; i <= FORM_FIELDS; i++) {
        strcat(many, "a=1&");
    }
    char wide[sizeof(many)];
    assert_false(form_decode(span_of(many), wide, sizeof(wide), &f));
}

static void test_cookies(void **state)
{
    (void)state;
    static const struct {
        const char *header, *value;
    } rows[] = {
        {"__Host-g25=abc", "abc"},
        {"a=b; __Host-g25=abc; c=d", "abc"},
        {"a=b;__Host-g25=abc", "abc"},
        {"x__Host-g25=no; __Host-g25=abc; __Host-g25=later", "abc"},
        {"__Host-g25=", ""},
        {"__Host-g25x=abc", NULL},
        {"__Host-g25", ""},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct span value;
        bool found = cookie_find(span_of(rows[i].header), "__Host-g25", &value);
        assert_int_equal(found, rows[i].value != NULL);
        if (found) {
            expect(value, rows[i].value);
        }
    }
}

static void test_forwarded(void **state)
{
    (void)state;
    static const struct {
        const char *peer, *forwarded, *client;
    } rows[] = {
        /* Who is no proxy speaks for himself alone. */
        {"10.20.1.1", "192.0.2.1", "10.20.1.1"},
        {"10.20.1.1", "", "10.20.1.1"},
        {"127.0.0.1", "10.20.1.1", "10.20.1.1"},
        {"127.0.0.1", " 2001:db8::1 ", "2001:db8::1"},
        /* What the client itself sent stands in front, and does not count. */
        {"127.0.0.1", "10.20.9.9, 10.20.1.1", "10.20.1.1"},
        {"127.0.0.1", "10.20.9.9,10.20.1.1,127.0.0.2", "10.20.1.1"},
        {"127.0.0.1", "nonsense, 10.20.1.1", "10.20.1.1"},
        {"127.0.0.1", "10.20.1.1, nonsense", NULL},
        {"127.0.0.1", "10.20.1.1,", NULL},
        {"127.0.0.1", "", NULL},
        {"127.0.0.1", "127.0.0.3", NULL},
        {"127.0.0.1", "10.20.1.1:1234", NULL},
    };
    struct prefix trusted;
    assert_int_equal(prefix_parse(span_of("127.0.0.0/8"), &trusted), PREFIX_OK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct addr peer, client, expected;
        assert_true(addr_parse(span_of(rows[i].peer), &peer));
        bool known = forwarded_client(&peer, span_of(rows[i].forwarded), &trusted, 1, &client);
        assert_int_equal(known, rows[i].client != NULL);
        if (known) {
            assert_true(addr_parse(span_of(rows[i].client), &expected));
            assert_true(addr_equal(&client, &expected));
        }
    }
}

static void test_languages(void **state)
{
    (void)state;
    static const char known[][8] = {"en", "de"};
    static const struct {
        const char *accept;
        int chosen;
    } rows[] = {
        {"", -1},
        {"de", 1},
        {"de-AT,en;q=0.9", 1},
        {"en;q=0.5,de;q=0.8", 1},
        {"fr", -1},
        {"fr, de;q=0.1", 1},
        {"DE", 1},
        {"de;q=0, en;q=0.1", 0},
        {"de;q=x,en", 0},
        {"en,de", 0},
        {"de;q=1.0,en;q=0.999", 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(language_choose(span_of(rows[i].accept), known, 2), rows[i].chosen);
    }
}

static void test_plain(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool line, lines;
    } rows[] = {
        {"", true, true},
        {"plain \xC3\xA4\xE2\x82\xAC\xF0\x9F\x93\xA7", true, true},
        {"two\r\nlines\t", false, true},
        {"\x1b[31m", false, false},
        {"\x7f", false, false},
        {"\xC2\x85", false, false},         /* NEL */
        {"\xE2\x80\xA8", false, false},     /* LINE SEPARATOR */
        {"\xE2\x80\xAE", false, false},     /* RIGHT-TO-LEFT OVERRIDE */
        {"\xE2\x81\xA6", false, false},     /* LEFT-TO-RIGHT ISOLATE */
        {"\xC0\xAF", false, false},         /* overlong */
        {"\xED\xA0\x80", false, false},     /* a surrogate */
        {"\xF4\x90\x80\x80", false, false}, /* beyond Unicode */
        {"\xC3", false, false},
        {"\xFF", false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(text_is_plain(span_of(rows[i].text), false), rows[i].line);
        assert_int_equal(text_is_plain(span_of(rows[i].text), true), rows[i].lines);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form),      cmocka_unit_test(test_bad_forms),
        cmocka_unit_test(test_cookies),   cmocka_unit_test(test_forwarded),
        cmocka_unit_test(test_languages), cmocka_unit_test(test_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
