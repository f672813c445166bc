/* core/smtp_path.h: which senders all servers read alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/smtp_path.h"

static const char *const plain[] = {
    "FROM:<>",
    "from:<u@a.example>",
    "FROM: <u@a.example>",
    "FROM :\t<u@a.example>",
    "FROM:<u@a.example> SIZE=1000 BODY=8BITMIME",
    "FROM:<u@a.example>\tAUTH=<>",
    "FROM:<> ",
    "FROM:< u@a.example >",
    "FROM:<u@a.example.>",
    "FROM:<u.v+w=x%y!z@a_b.c-d.example>",
    "FROM:<.u..v.@a.example>",
    "FROM:<\"u v\"@a.example>",
    "FROM:<\"u@b.example\"@a.example>",
    "FROM:<\"u\\\"@b.example\"@a.example>",
    "FROM:<\">\"@a.example>",
    "FROM:<\"(\"@a.example>",
    "FROM:<@r.example,@s.example:u@a.example>",
    "FROM:<u@[192.0.2.7]>",
    "FROM:<u@[IPv6:2001:db8::7]>",
    "FROM:<u@localhost>",
    "FROM:<root>",
    "FROM:root",
    "FROM:u@a.example",
    "FROM: u@a.example SIZE=10",
    "FROM:<\303\274@b\303\274cher.example> SMTPUTF8",
};

static const char *const odd[] = {
    "",
    "FROM",
    "FROM:",
    "FROM: ",
    "FROM <u@a.example>",
    "FRM:<u@a.example>",
    ":<u@a.example>",
    /* comments, groups, phrases, two of them */
    "FROM:(<x@b.example>)<u@a.example>",
    "FROM:<u@a.example(<x@b.example>)>",
    "FROM:<u(c)@a.example>",
    "FROM:<u@(c)a.example>",
    "FROM:<group:u@a.example;>",
    "FROM:group:u@a.example;",
    "FROM:\"<x@b.example>\"<u@a.example>",
    "FROM:\"x\" <u@a.example>",
    "FROM:x <u@a.example>",
    "FROM:<x@b.example><u@a.example>",
    "FROM:<x@b.example> <u@a.example>",
    "FROM:<x@b.example> (c) <u@a.example>",
    "FROM:<x@b.example>u@a.example",
    "FROM:<x@b.example>SIZE=10",
    "FROM:<<x@b.example>u@a.example>",
    "FROM:u@a.example <x@b.example>",
    "FROM:u@a.example AUTH=<x@b.example>",
    "FROM:<x@b.example,u@a.example>",
    "FROM:<x@b.example u@a.example>",
    /* brackets and quotes that do not match */
    "FROM:u@a.example>",
    "FROM:<u@a.example",
    "FROM:<",
    "FROM:<\">",
    "FROM:<\"u@a.example>",
    "FROM:<u\"@a.example>",
    "FROM:<u@\"a.example\">",
    "FROM:<u\"v\"@a.example>",
    "FROM:<\"u\"v@a.example>",
    "FROM:<\"u\".\"v\"@a.example>",
    "FROM:<\"u\">",
    "FROM:\"u\"@a.example",
    "FROM:\"u v\"@a.example",
    "FROM:\\<x@b.example\\><u@a.example>",
    "FROM:<u@a.example\\>",
    "FROM:<u\\@x@a.example>",
    "FROM:<u@a\\.example>",
    /* several at signs, or none where it counts */
    "FROM:<u@b.example@a.example>",
    "FROM:<@a.example>",
    "FROM:<u@>",
    "FROM:<u%a.example>",
    "FROM:<a.example!u>",
    "FROM:u%a.example",
    /* routes that are none */
    "FROM:<@b.example:>",
    "FROM:<@b.example,:u@a.example>",
    "FROM:<@b.example,s.example:u@a.example>",
    "FROM:<@:u@a.example>",
    "FROM:<:u@a.example>",
    "FROM:<@b(c).example:u@a.example>",
    "FROM:@b.example:u@a.example",
    /* blanks and control characters */
    "FROM:<u @a.example>",
    "FROM:<u@a. example>",
    "FROM:<u@a.\texample>",
    "FROM:<u@a.example\v>",
    "FROM:\v<u@a.example>",
    "FROM:<u@a.example>\vSIZE=1",
    "FROM:<\"u\x01\"@a.example>",
    "FROM:<u@a.example\177>",
    /* names that are none */
    "FROM:<u@.a.example>",
    "FROM:<u@a..example>",
    "FROM:<u@a.example..>",
    "FROM:<u@a/b.example>",
    "FROM:<u@[a>",
    "FROM:<u@[]>",
    "FROM:<u@[a]b>",
};

static bool is_plain(struct span argument)
{
    /* At the edge of its memory, where the sanitizers see who reads on. */
    char *copy = malloc(argument.len + 1);
    assert_non_null(copy);
    char *edge = copy + 1;
    memcpy(edge, argument.at, argument.len);
    bool result = smtp_path_is_plain_mail((struct span){edge, argument.len});
    free(copy);
    return result;
}

static void test_plain(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (!is_plain(span_of(plain[i]))) {
            fail_msg("\"%s\" is plain", plain[i]);
        }
    }
}

static void test_odd(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        if (is_plain(span_of(odd[i]))) {
            fail_msg("\"%s\" is not plain", odd[i]);
        }
    }
    assert_false(is_plain(SPAN_LITERAL("FROM:<u@a.example\0@b.example>")));
    assert_false(is_plain(SPAN_LITERAL("FROM:\0<x@b.example><u@a.example>")));
    assert_false(is_plain(SPAN_LITERAL("FROM:<\"u\0\"@a.example>")));
    assert_false(is_plain(SPAN_LITERAL("FROM:<u@a.example> A\0<x@b.example>")));
}

/* What is cut off a plain one, at any place, is never taken for the whole. */
static void test_prefixes(void **state)
{
    (void)state;
    struct span whole = SPAN_LITERAL("FROM:<@r.example:\"u>\\\"\"@a.example>");
    for (size_t len = 0; len <= whole.len; len++) {
        assert_int_equal(is_plain((struct span){whole.at, len}), len == whole.len);
    }
}

static void test_path(void **state)
{
    (void)state;
    assert_true(smtp_path_is_plain(SPAN_LITERAL("")));
    assert_true(smtp_path_is_plain(SPAN_LITERAL("\"a b\"@x.example")));
    assert_false(smtp_path_is_plain(SPAN_LITERAL("a b@x.example")));
    assert_false(smtp_path_is_plain(SPAN_LITERAL("a@x.example> <b@y.example")));
    assert_false(smtp_path_is_plain(SPAN_LITERAL("<a@x.example>")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_odd),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
