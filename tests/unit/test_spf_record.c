/* core/spf_record.h: the grammar of RFC 7208, and what libspf2 is shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/spf_record.h"

/* Both NULL: permerror. */
static const struct {
    const char *record, *four, *six; /* `six` NULL: the same as `four` */
} rows[] = {
    {"v=spf1", "v=spf1", NULL},
    {"V=sPf1   -all  ", "v=spf1 -all", NULL},
    {"v=spf1 include: -all", NULL, NULL},
    {"v=spf1 include -all", NULL, NULL},
    {"v=spf1 exists:", NULL, NULL},
    {"v=spf1 exists", NULL, NULL},
    {"v=spf1 a: -all", NULL, NULL},
    {"v=spf1 mx: -all", NULL, NULL},
    {"v=spf1 ptr: -all", NULL, NULL},
    {"v=spf1 redirect=", NULL, NULL},
    {"v=spf1 redirect:x.example", NULL, NULL},
    {"v=spf1 exp= -all", NULL, NULL},
    {"v=spf1 a:/24", NULL, NULL},
    /* Modifiers stand behind, where they mean something. */
    {"v=spf1 redirect=f.example ip4:10.20.0.7 ~all", "v=spf1 ip4:10.20.0.7 ~all", "v=spf1 ~all"},
    {"v=spf1 redirect=f.example a", "v=spf1 a redirect=f.example", NULL},
    {"v=spf1 exp=why.example redirect=f.example -a", "v=spf1 -a exp=why.example redirect=f.example",
     NULL},
    {"v=spf1 -all exp=why.example", "v=spf1 -all exp=why.example", NULL},
    {"v=spf1 redirect=a.example redirect=b.example", NULL, NULL},
    {"v=spf1 redirect=a.example Redirect=a.example -all", NULL, NULL},
    {"v=spf1 exp=a.example exp=a.example -all", NULL, NULL},
    {"v=spf1 moo.cow=y a", "v=spf1 a", NULL},
    {"v=spf1 moo.cow-far_out=man:dog/cat a", "v=spf1 a", NULL},
    {"v=spf1 moo= a", "v=spf1 a", NULL},
    {"v=spf1 all=all a", "v=spf1 a", NULL},
    {"v=spf1 moo=%{r} a", "v=spf1 a", NULL},
    {"v=spf1 moo=% a", NULL, NULL},
    {"v=spf1 1moo=y a", NULL, NULL},
    {"v=spf1 -moo=y a", NULL, NULL},
    {"v=spf1 =y a", NULL, NULL},
    {"v=spf1 exp=%{r}.example -all", NULL, NULL}, /* explanations alone */
    /* Mechanisms */
    {"v=spf1 +A -MX ~pTr ?ALL", "v=spf1 +A -MX ~pTr ?ALL", NULL},
    {"v=spf1 --all", NULL, NULL},
    {"v=spf1 -", NULL, NULL},
    {"v=spf1 all:", NULL, NULL},
    {"v=spf1 all.", NULL, NULL},
    {"v=spf1 all/8", NULL, NULL},
    {"v=spf1 alls", NULL, NULL},
    {"v=spf1 nonsense:x.example", NULL, NULL},
    {"v=spf1 a:x.example", "v=spf1 a:x.example", NULL},
    {"v=spf1 a:x.example.", "v=spf1 a:x.example.", NULL},
    {"v=spf1 a:foo:8080.x.example", "v=spf1 a:foo:8080.x.example", NULL},
    {"v=spf1 a:museum", NULL, NULL},
    {"v=spf1 a:museum.", NULL, NULL},
    {"v=spf1 a:111.222.33.44", NULL, NULL},
    {"v=spf1 a:x.-example", NULL, NULL},
    {"v=spf1 a:x.example-", NULL, NULL},
    {"v=spf1 a:x.example..", NULL, NULL},
    {"v=spf1 a:x.ex_mple", NULL, NULL},
    {"v=spf1 a:.", NULL, NULL},
    {"v=spf1 a:..", NULL, NULL},
    {"v=spf1 a:x.example:8080", NULL, NULL},
    {"v=spf1 exists:x.example/24", NULL, NULL},
    {"v=spf1 include:x.example/24", NULL, NULL},
    {"v=spf1 ptr/24", NULL, NULL},
    {"v=spf1 a\r\n-all", NULL, NULL},
    {"v=spf1 a\t-all", NULL, NULL},
    {"v=spf1 a:\303\274.example", NULL, NULL},
    {"v=spf1 a:x\177.example", NULL, NULL},
    /* Macros */
    {"v=spf1 exists:%{ir}.%{l1r+-.,/_=}.%{D2}", "v=spf1 exists:%{ir}.%{l1r+-.,/_=}.%{D2}", NULL},
    {"v=spf1 exists:%%.%_.%-.%{p}", "v=spf1 exists:%%.%_.%-.%{p}", NULL},
    {"v=spf1 exists:%{d}.example", "v=spf1 exists:%{d}.example", NULL},
    {"v=spf1 exists:%{d}", "v=spf1 exists:%{d}", NULL},
    {"v=spf1 exists:%{d0}", NULL, NULL},
    {"v=spf1 exists:%{d010}", "v=spf1 exists:%{d010}", NULL},
    {"v=spf1 exists:%{d}example", NULL, NULL},
    {"v=spf1 exists:%{d", NULL, NULL},
    {"v=spf1 exists:%{}", NULL, NULL},
    {"v=spf1 exists:%", NULL, NULL},
    {"v=spf1 exists:%x.example", NULL, NULL},
    {"v=spf1 exists:x.example%", NULL, NULL},
    {"v=spf1 exists:%(ir).example", NULL, NULL},
    {"v=spf1 exists:%{z}.example", NULL, NULL},
    {"v=spf1 exists:%{c}.example", NULL, NULL},
    {"v=spf1 exists:%{irr}.example", NULL, NULL},
    /* Lengths, and networks of the family alone */
    {"v=spf1 a/24", "v=spf1 a/24", "v=spf1 a"},
    {"v=spf1 a//64", "v=spf1 a", "v=spf1 a//64"},
    {"v=spf1 -mx:x.example/24//64", "v=spf1 -mx:x.example/24", "v=spf1 -mx:x.example//64"},
    {"v=spf1 a:%{d}/8", "v=spf1 a:%{d}/8", "v=spf1 a:%{d}"},
    {"v=spf1 a/024", NULL, NULL},
    {"v=spf1 a/00", NULL, NULL},
    {"v=spf1 a/33", NULL, NULL},
    {"v=spf1 a//129", NULL, NULL},
    {"v=spf1 a/", NULL, NULL},
    {"v=spf1 a//", NULL, NULL},
    {"v=spf1 a///64", NULL, NULL},
    {"v=spf1 a/24/64", NULL, NULL},
    {"v=spf1 a//64/24", NULL, NULL},
    {"v=spf1 a/-1", NULL, NULL},
    {"v=spf1 a/99999999999999999999", NULL, NULL},
    {"v=spf1 ip4:1.2.3.4 ip6:1::2", "v=spf1 ip4:1.2.3.4", "v=spf1 ip6:1::2"},
    {"v=spf1 ip4:1.2.3.4/32 ip6:1::2/128", "v=spf1 ip4:1.2.3.4/32", "v=spf1 ip6:1::2/128"},
    {"v=spf1 -ip4:1.2.3.4/0 ~ip6:::/0", "v=spf1 -all", "v=spf1 ~all"},
    {"v=spf1 ip6:::ffff:1.2.3.4/96", "v=spf1", "v=spf1 ip6:::ffff:1.2.3.4/96"},
    {"v=spf1 ip4:1.2.3.4/032", NULL, NULL},
    {"v=spf1 ip4:1.2.3.4/33", NULL, NULL},
    {"v=spf1 ip4:1.2.3.4//32", NULL, NULL},
    {"v=spf1 ip4:01.2.3.4", NULL, NULL},
    {"v=spf1 ip4:1.2.3", NULL, NULL},
    {"v=spf1 ip4:1.2.3.4:8080", NULL, NULL},
    {"v=spf1 ip4:1::2", NULL, NULL},
    {"v=spf1 ip4", NULL, NULL},
    {"v=spf1 ip4:", NULL, NULL},
    {"v=spf1 ip6:1.2.3.4", NULL, NULL},
    {"v=spf1 ip6:1::2//64", NULL, NULL},
    {"v=spf1 ip6:1::2/064", NULL, NULL},
    {"v=spf1 ip6:1::2/129", NULL, NULL},
    {"v=spf1 ip6:", NULL, NULL},
};

static unsigned differs(const char *record, enum addr_family family, const char *wanted)
{
    char array[SPF_RECORD_MOST + 1];
    struct text out;
    /* At the edge of its memory, where the sanitizers see who reads on. */
    size_t len = strlen(record);
    char *copy = malloc(len);
    assert_non_null(copy);
    memcpy(copy, record, len);
    struct span text = {copy, len};
    text_init(&out, array, sizeof array);
    assert_true(spf_record_is(text));
    const char *wrong = spf_record_rewrite(text, family, &out);
    free(copy);
    if (wrong ? wanted == NULL : wanted && strcmp(array, wanted) == 0) {
        return 0;
    }
    print_error(
        "\"%s\": %s, not %s\n", record, wrong ? wrong : array, wanted ? wanted : "permerror");
    return 1;
}

static void test_rewrite(void **state)
{
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        wrong += differs(rows[i].record, ADDR_IPV4, rows[i].four);
        wrong += differs(rows[i].record, ADDR_IPV6, rows[i].six ? rows[i].six : rows[i].four);
    }
    assert_int_equal(wrong, 0);
}

static void test_nul(void **state)
{
    char array[SPF_RECORD_MOST + 1];
    struct text out;
    (void)state;
    text_init(&out, array, sizeof array);
    assert_non_null(spf_record_rewrite(SPAN_LITERAL("v=spf1 a:x.example\0"), ADDR_IPV4, &out));
    text_init(&out, array, sizeof array);
    assert_non_null(spf_record_rewrite(SPAN_LITERAL("v=spf1 \0all"), ADDR_IPV4, &out));
}

static void test_length(void **state)
{
    char record[SPF_RECORD_MOST + 1], array[SPF_RECORD_MOST + 1];
    struct text out;
    (void)state;
    memcpy(record, "v=spf1 ", 7);
    memset(record + 7, ' ', sizeof record - 7);
    memcpy(record + SPF_RECORD_MOST - 4, "-all", 4);
    text_init(&out, array, sizeof array);
    assert_null(spf_record_rewrite((struct span){record, SPF_RECORD_MOST}, ADDR_IPV4, &out));
    assert_string_equal(array, "v=spf1 -all");
    text_init(&out, array, sizeof array);
    assert_non_null(
        spf_record_rewrite((struct span){record, SPF_RECORD_MOST + 1}, ADDR_IPV4, &out));
}

static void test_is(void **state)
{
    (void)state;
    assert_true(spf_record_is(SPAN_LITERAL("v=spf1")));
    assert_true(spf_record_is(SPAN_LITERAL("V=SPF1 x")));
    assert_false(spf_record_is(SPAN_LITERAL("v=spf10")));
    assert_false(spf_record_is(SPAN_LITERAL("v=spf1\t-all")));
    assert_false(spf_record_is(SPAN_LITERAL("v=spf")));
    assert_false(spf_record_is(SPAN_LITERAL("")));
    assert_false(spf_record_is(SPAN_LITERAL(" v=spf1")));
}

static void test_explains(void **state)
{
    (void)state;
    assert_true(spf_record_explains(SPAN_LITERAL("")));
    assert_true(
        spf_record_explains(SPAN_LITERAL("see http://x.example/?%{S}&%{c}&%{r}&%{t} %%%_")));
    assert_false(spf_record_explains(SPAN_LITERAL("100% wrong")));
    assert_false(spf_record_explains(SPAN_LITERAL("%{x}")));
    assert_false(spf_record_explains(SPAN_LITERAL("%{d")));
    assert_false(spf_record_explains(SPAN_LITERAL("a\tb")));
    assert_false(spf_record_explains(SPAN_LITERAL("\303\274")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rewrite),  cmocka_unit_test(test_nul),
        cmocka_unit_test(test_length),   cmocka_unit_test(test_is),
        cmocka_unit_test(test_explains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
