/* spf/spf_sender.h: what stands in MAIL and HELO, as RFC 7208 wants it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "page_edge.h"
#include "spf/spf_sender.h"

#define UMLAUT   "b\303\274cher.example"
#define LABEL63  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LOCAL240 LABEL63 LABEL63 LABEL63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
    const char *path;
    const char *mailbox; /* NULL: there is nobody to ask about */
} senders[] = {
    {"", ""},
    {"  ", ""},
    {"(nobody)", ""},
    {"a@b.example", "a@b.example"},
    {"a@B.Example.", "a@B.Example"},
    {" a @ b.example ", "a@b.example"},
    {"a\t@b . example", "a@b.example"},
    {"a@b.example (home)", "a@b.example"},
    {"(\\() a((x)y)@(z)b.example", "a@b.example"},
    {"@r.example,@s.example:a@b.example", "a@b.example"},
    {"@r.example: a@b.example", "a@b.example"},
    {"\"a b\"@b.example", "a b@b.example"},
    {"\"a@x.example\"@b.example", "a@x.example@b.example"},
    {"\"a\\\"(b\"@b.example", "a\"(b@b.example"},
    {"a.\"b\".c@b.example", "a.b.c@b.example"},
    {"\"\"@b.example", "postmaster@b.example"},
    {"@b.example", "postmaster@b.example"},
    {"a\\@x@b.example", "a@x@b.example"},
    {"a@x.example@b.example", "a@x.example@b.example"},
    {"a%x.example@b.example", "a%x.example@b.example"},
    {"a=b+c@b_1.example", "a=b+c@b_1.example"},
    {"\303\244@b.example", "\303\244@b.example"},
    {"a@" UMLAUT, "a@xn--bcher-kva.example"},
    {"a@B\303\234CHER.example", "a@xn--bcher-kva.example"},
    {"a@xn--bcher-kva.example", "a@xn--bcher-kva.example"},
    {LOCAL240 "@b.example", LOCAL240 "@b.example"},
    {"a@" LABEL63 ".example", "a@" LABEL63 ".example"},
    /* What has no end, as it may if it was cut in front: the domain alone. */
    {"cut\"@b.example", "postmaster@b.example"},
    {"(cut a@b.example", "postmaster@b.example"},
    /* No domain that SPF could be asked of */
    {"a", NULL},
    {"\"\"", NULL},
    {"a@", NULL},
    {"@", NULL},
    {"a@b", NULL},
    {"a@b.", NULL},
    {"a@.example", NULL},
    {"a@b..example", NULL},
    {"a@b.example..", NULL},
    {"a@[192.0.2.7]", NULL},
    {"a@[IPv6:2001:db8::7]", NULL},
    {"a@b.example>", NULL},
    {"a@b\\.example,", NULL},
    {"a@\"b.example\"", NULL},
    {"a@" LABEL63 "a.example", NULL},
    {"a@\303.example", NULL},
    {"a@b\377c.example", NULL},
    {"\"a", NULL},
    {"(a", NULL},
};

static const struct {
    const char *argument, *name;
} helos[] = {
    {"pc.example", "pc.example"},
    {"pc.example. and more", "pc.example"},
    {" pc.example\tx", "pc.example"},
    {UMLAUT, "xn--bcher-kva.example"},
    {"", NULL},
    {"pc", NULL},
    {"[192.0.2.7]", NULL},
    {"a@pc.example", NULL},
    {"pc..example", NULL},
    {"192.0.2.7", "192.0.2.7"},
};

static void compare(bool good, const struct text *got, const char *expected, const char *of)
{
    if (good != (expected != NULL) || (good && strcmp(got->at, expected) != 0)) {
        fail_msg("%s: %s, not %s", of, good ? got->at : "nobody", expected ? expected : "nobody");
    }
}

static void test_senders(void **state)
{
    (void)state;
    struct page_edge edge;
    page_edge_init(&edge);
    for (size_t i = 0; i < sizeof senders / sizeof *senders; i++) {
        char array[640];
        struct text t;
        text_init(&t, array, sizeof array);
        bool good = spf_sender_read(page_edge_copy(&edge, span_of(senders[i].path)), &t);
        compare(good, &t, senders[i].mailbox, senders[i].path);
    }
    page_edge_fini(&edge);
}

static void test_helos(void **state)
{
    (void)state;
    struct page_edge edge;
    page_edge_init(&edge);
    for (size_t i = 0; i < sizeof helos / sizeof *helos; i++) {
        char array[256];
        struct text t;
        text_init(&t, array, sizeof array);
        bool good = spf_sender_read_helo(page_edge_copy(&edge, span_of(helos[i].argument)), &t);
        compare(good, &t, helos[i].name, helos[i].argument);
    }
    page_edge_fini(&edge);
}

/* Every path of a few bytes that mean something: none of them is read beyond its end. */
static void test_short_paths(void **state)
{
    (void)state;
    static const char bytes[] = "a.@\"\\(): ";
    const size_t kinds = sizeof bytes - 1;
    struct page_edge edge;
    page_edge_init(&edge);
    for (unsigned n = 0; n < 9 * 9 * 9 * 9 * 9; n++) {
        char path[5], array[640];
        struct text t;
        for (size_t i = 0, rest = n; i < sizeof path; i++, rest /= kinds) {
            path[i] = bytes[rest % kinds];
        }
        text_init(&t, array, sizeof array);
        if (spf_sender_read(page_edge_copy(&edge, (struct span){path, sizeof path}), &t)) {
            assert_true(t.len == 0 || strchr(array, '@') != NULL);
        }
    }
    page_edge_fini(&edge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_senders),
        cmocka_unit_test(test_helos),
        cmocka_unit_test(test_short_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
