/* spf/spf_check.h over a zone in memory: results and limits of RFC 7208. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spf/spf_check.h"

static char smash[6000], long_record[2060], longest_record[2049], many60[2049], many66[2049];

struct zone_row {
    const char *name;
    uint16_t type;
    const char *data; /* NULL: the server fails */
};

/* What the limits are tried with is too long to be written down. */
static struct zone_row generated[4000];
static size_t generated_count;

static void __attribute__((format(printf, 2, 3))) add_row(uint16_t type, const char *format, ...)
{
    struct zone_row *z = &generated[generated_count++];
    char *line = NULL;
    va_list arguments;
    assert_true(generated_count <= sizeof generated / sizeof *generated);
    va_start(arguments, format);
    assert_true(vasprintf(&line, format, arguments) > 0);
    va_end(arguments);
    *z = (struct zone_row){.name = strsep(&line, " "), .type = type, .data = line};
}

static const struct zone_row zone[] = {
    {"xn--bcher-kva.example", ns_t_txt, "v=spf1 ip4:192.0.2.7 -all"},
    {"pass.example", ns_t_txt, "v=spf1 ip4:192.0.2.7 ip6:2001:db8::/32 -all"},
    {"fail.example", ns_t_txt, "unrelated"},
    {"fail.example", ns_t_txt, "v=spf1 -all exp=why.%{d}"},
    {"why.fail.example", ns_t_txt, "%{i} is no sender of %{d}"},
    {"bare.example", ns_t_txt, "v=spf1 -all"},
    {"soft.example", ns_t_txt, "v=spf1 ~all"},
    {"neutral.example", ns_t_txt, "v=spf1 ?all"},
    {"empty.example", ns_t_txt, "v=spf1"},
    {"none.example", ns_t_txt, "no record of that kind"},
    {"v10.example", ns_t_txt, "v=spf10 -all"},
    {"two.example", ns_t_txt, "v=spf1 -all"},
    {"two.example", ns_t_txt, "v=spf1 +all"},
    {"bad.example", ns_t_txt, "v=spf1 nonsense:x -all"},
    {"badip.example", ns_t_txt, "v=spf1 ip4:300.1.2.3 -all"},
    {"down.example", ns_t_txt, NULL},
    {"downa.example", ns_t_txt, "v=spf1 a:down-host.example -all"},
    {"down-host.example", ns_t_a, NULL},
    {"a.example", ns_t_txt, "v=spf1 a -all"},
    {"a.example", ns_t_a, "192.0.2.7"},
    {"a.example", ns_t_aaaa, "2001:db8::7"},
    {"mx.example", ns_t_txt, "v=spf1 mx -all"},
    {"mx.example", ns_t_mx, "mx1.example"},
    {"mx.example", ns_t_mx, "mx2.example"},
    {"mx1.example", ns_t_a, "192.0.2.99"},
    {"mx2.example", ns_t_a, "192.0.2.7"},
    {"ptr.example", ns_t_txt, "v=spf1 ptr -all"},
    {"7.2.0.192.in-addr.arpa", ns_t_ptr, "host.ptr.example"},
    {"host.ptr.example", ns_t_a, "192.0.2.7"},
    {"exists.example", ns_t_txt, "v=spf1 exists:%{ir}.%{l}.%{d} -all"},
    {"7.2.0.192.user.exists.example", ns_t_a, "127.0.0.2"},
    {"include.example", ns_t_txt, "v=spf1 include:pass.example -all"},
    {"nothing.example", ns_t_txt, "v=spf1 include:nowhere.example -all"},
    {"redirect.example", ns_t_txt, "v=spf1 redirect=soft.example"},
    {"loop.example", ns_t_txt, "v=spf1 include:loop.example -all"},
    {"voids2.example", ns_t_txt, "v=spf1 a:v1.example a:v2.example -all"},
    {"voids3.example", ns_t_txt, "v=spf1 a:v1.example a:v2.example a:v3.example -all"},
    {"terms10.example", ns_t_txt,
     "v=spf1 a:t.example a:t.example a:t.example a:t.example a:t.example a:t.example a:t.example "
     "a:t.example a:t.example a:t.example -all exp=why.fail.example"},
    {"terms11.example", ns_t_txt,
     "v=spf1 a:t.example a:t.example a:t.example a:t.example a:t.example a:t.example a:t.example "
     "a:t.example a:t.example a:t.example a:t.example -all"},
    {"t.example", ns_t_a, "192.0.2.99"},
    {"long.example", ns_t_txt, long_record},
    {"longest.example", ns_t_txt, longest_record},
    {"many60.example", ns_t_txt, many60},
    {"many66.example", ns_t_txt, many66},
    {"smash.example", ns_t_txt, smash},
    {"smashexp.example", ns_t_txt, "v=spf1 -all exp=smash.example"},
    {"includesmash.example", ns_t_txt, "v=spf1 include:smash.example -all"},
    {"noinclude.example", ns_t_txt, "v=spf1 include: -all"},
    {"noexists.example", ns_t_txt, "v=spf1 mx exists: -all"},
    {"noredirect.example", ns_t_txt, "v=spf1 redirect="},
    {"redirects.example", ns_t_txt, "v=spf1 redirect: -all"},
    {"innocent.example", ns_t_txt, "v=spf1 include:noinclude.example +all"},
    {"first.example", ns_t_txt, "v=spf1 redirect=fail.example ip4:192.0.2.7 ~all"},
    {"ignored.example", ns_t_txt, "v=spf1 redirect=pass.example -all"},
    {"ahead.example", ns_t_txt, "v=spf1 redirect=soft.example ip4:192.0.2.7"},
    {"odd.example", ns_t_txt, "v=spf1 moo.cow-far_out=man:dog/cat ip4:192.0.2.7 moo=%{c} -all"},
    {"every.example", ns_t_txt, "v=spf1 ?ip6:::/0 ip4:0.0.0.0/0 -all"},
    {"six.example", ns_t_txt, "v=spf1 a//0 ip6:::/0 -all"},
    {"control.example", ns_t_txt, "v=spf1 a:ctrl.example\tptr -all"},
    {"badexp.example", ns_t_txt, "v=spf1 -all exp=badwhy.example"},
    {"badwhy.example", ns_t_txt, "100% bad"},
};

static void give(struct spf_check *c, size_t i)
{
    const size_t written = sizeof zone / sizeof *zone;
    enum spf_dns_state state = SPF_DNS_EMPTY;
    for (size_t k = 0; k < written + generated_count; k++) {
        const struct zone_row *z = k < written ? &zone[k] : &generated[k - written];
        if (strcasecmp(z->name, spf_check_name(c, i)) != 0 || z->type != spf_check_type(c, i)) {
            continue;
        }
        if (!z->data) {
            spf_check_answer(c, i, SPF_DNS_FAILED);
            return;
        }
        struct span record = span_of(z->data);
        char bytes[16];
        if (z->type == ns_t_a || z->type == ns_t_aaaa) {
            assert_int_equal(inet_pton(z->type == ns_t_a ? AF_INET : AF_INET6, z->data, bytes), 1);
            record = (struct span){bytes, z->type == ns_t_a ? 4 : 16};
        }
        spf_check_add(c, i, record);
        state = SPF_DNS_FOUND;
    }
    int number = 0;
    /* A chain of includes without end: i1.example, i2.example, ... */
    if (sscanf(spf_check_name(c, i), "i%d.example", &number) == 1 &&
        spf_check_type(c, i) == ns_t_txt) {
        char record[64];
        snprintf(record, sizeof record, "v=spf1 include:i%d.example -all", number + 1);
        spf_check_add(c, i, span_of(record));
        state = SPF_DNS_FOUND;
    }
    spf_check_answer(c, i, state);
}

static size_t asked;

static enum spf_result check(const char *client, const char *sender, const char *helo, char *words)
{
    struct addr address;
    assert_true(addr_parse(span_of(client), &address));
    struct spf_check *c = spf_check_new(&address, span_of(helo), span_of(sender));
    assert_non_null(c);
    while (!spf_check_run(c)) {
        size_t given = 0;
        for (size_t i = 0; i < spf_check_count(c); i++) {
            if (spf_check_state(c, i) == SPF_DNS_WANTED) {
                give(c, i);
                given++;
            }
        }
        assert_true(given > 0);
    }
    asked = spf_check_count(c);
    enum spf_result result = spf_check_result(c);
    struct span why = spf_check_explanation(c);
    snprintf(words, SPF_EXPLANATION, "%.*s", (int)why.len, why.at);
    spf_check_free(c);
    return result;
}

static const struct {
    const char *client, *sender, *helo;
    enum spf_result result;
    const char *words; /* a part; NULL: any */
} rows[] = {
    {"192.0.2.7", "user@pass.example", "x", SPF_PASS, NULL},
    {"2001:db8::7", "user@pass.example", "x", SPF_PASS, NULL},
    {"192.0.2.8", "user@pass.example", "x", SPF_FAIL, NULL},
    {"192.0.2.7", "user@fail.example", "x", SPF_FAIL, "192.0.2.7 is no sender of fail.example"},
    {"192.0.2.7", "user@bare.example", "x", SPF_FAIL,
     "bare.example does not name 192.0.2.7 among its senders"},
    {"192.0.2.7", "user@soft.example", "x", SPF_SOFTFAIL, NULL},
    {"192.0.2.7", "user@neutral.example", "x", SPF_NEUTRAL, NULL},
    {"192.0.2.7", "user@empty.example", "x", SPF_NEUTRAL, NULL},
    {"192.0.2.7", "user@none.example", "x", SPF_NONE, NULL},
    {"192.0.2.7", "user@v10.example", "x", SPF_NONE, NULL},
    {"192.0.2.7", "user@nowhere.example", "x", SPF_NONE, NULL},
    {"192.0.2.7", "user@two.example", "x", SPF_PERMERROR, "ultiple"},
    {"192.0.2.7", "user@bad.example", "x", SPF_PERMERROR, NULL},
    {"192.0.2.7", "user@badip.example", "x", SPF_PERMERROR, NULL},
    {"192.0.2.7", "user@down.example", "x", SPF_TEMPERROR, NULL},
    {"192.0.2.7", "user@downa.example", "x", SPF_TEMPERROR, NULL},
    {"192.0.2.7", "user@a.example", "x", SPF_PASS, NULL},
    {"2001:db8::7", "user@a.example", "x", SPF_PASS, NULL},
    {"192.0.2.8", "user@a.example", "x", SPF_FAIL, NULL},
    {"192.0.2.7", "user@mx.example", "x", SPF_PASS, NULL},
    {"192.0.2.8", "user@mx.example", "x", SPF_FAIL, NULL},
    {"192.0.2.7", "user@ptr.example", "x", SPF_PASS, NULL},
    {"192.0.2.8", "user@ptr.example", "x", SPF_FAIL, NULL},
    {"192.0.2.7", "user@exists.example", "x", SPF_PASS, NULL},
    {"192.0.2.7", "other@exists.example", "x", SPF_FAIL, NULL},
    {"192.0.2.7", "user@include.example", "x", SPF_PASS, NULL},
    {"192.0.2.8", "user@include.example", "x", SPF_FAIL, NULL},
    {"192.0.2.7", "user@nothing.example", "x", SPF_PERMERROR, NULL},
    {"192.0.2.7", "user@redirect.example", "x", SPF_SOFTFAIL, NULL},
    {"192.0.2.7", "user@loop.example", "x", SPF_PERMERROR, NULL},
    {"192.0.2.7", "user@i1.example", "x", SPF_PERMERROR, "10 terms"},
    {"192.0.2.7", "user@terms10.example", "x", SPF_FAIL, "is no sender of terms10.example"},
    {"192.0.2.7", "user@terms11.example", "x", SPF_PERMERROR, "10 terms"},
    {"192.0.2.7", "user@voids2.example", "x", SPF_FAIL, NULL},
    {"192.0.2.7", "user@voids3.example", "x", SPF_PERMERROR, "2 lookups"},
    {"192.0.2.7", "user@long.example", "x", SPF_PERMERROR, "2048"},
    {"192.0.2.7", "user@many60.example", "x", SPF_FAIL, NULL},
    {"192.0.2.7", "user@many66.example", "x", SPF_PERMERROR, "terms"},
    {"192.0.2.7", "user@smash.example", "x", SPF_PERMERROR, "2048"},
    {"192.0.2.7", "user@includesmash.example", "x", SPF_PERMERROR, "2048"},
    {"192.0.2.7", "user@smashexp.example", "x", SPF_FAIL, "does not name"},
    /* What libspf2 does not survive, or reads in a way of its own (core/spf_record.h) */
    {"192.0.2.7", "user@noinclude.example", "x", SPF_PERMERROR, "mechanism"},
    {"192.0.2.7", "user@noexists.example", "x", SPF_PERMERROR, "mechanism"},
    {"192.0.2.7", "user@noredirect.example", "x", SPF_PERMERROR, "without a domain"},
    {"192.0.2.7", "user@redirects.example", "x", SPF_PERMERROR, "mechanism"},
    {"192.0.2.7", "user@innocent.example", "x", SPF_PERMERROR, "mechanism"},
    {"192.0.2.7", "user@first.example", "x", SPF_PASS, NULL},
    {"192.0.2.8", "user@first.example", "x", SPF_SOFTFAIL, NULL},
    {"192.0.2.7", "user@ignored.example", "x", SPF_FAIL, NULL},
    {"192.0.2.7", "user@ahead.example", "x", SPF_PASS, NULL},
    {"192.0.2.8", "user@ahead.example", "x", SPF_SOFTFAIL, NULL},
    {"192.0.2.7", "user@odd.example", "x", SPF_PASS, NULL},
    {"192.0.2.8", "user@odd.example", "x", SPF_FAIL, NULL},
    {"192.0.2.8", "user@every.example", "x", SPF_PASS, NULL},
    {"2001:db8::7", "user@every.example", "x", SPF_NEUTRAL, NULL},
    {"192.0.2.8", "user@six.example", "x", SPF_FAIL, NULL},
    {"192.0.2.7", "user@control.example", "x", SPF_PERMERROR, NULL},
    {"192.0.2.7", "user@badexp.example", "x", SPF_FAIL, "does not name"},
    {"::ffff:192.0.2.7", "user@pass.example", "x", SPF_PASS, NULL},
    /* The HELO name where there is no sender; no domain, no answer */
    {"192.0.2.7", "", "pass.example", SPF_PASS, NULL},
    {"192.0.2.8", "", "pass.example extra words", SPF_FAIL, NULL},
    {"192.0.2.7", "", "[192.0.2.7]", SPF_NONE, NULL},
    {"192.0.2.7", "", "", SPF_NONE, NULL},
    {"192.0.2.7", "user", "pass.example", SPF_NONE, NULL},
    {"192.0.2.7", "user@", "pass.example", SPF_NONE, NULL},
    {"192.0.2.7", "user@example", "x", SPF_NONE, NULL},
    {"192.0.2.7", "user@a..example", "x", SPF_NONE, NULL},
    {"192.0.2.7", "user@[192.0.2.7]", "x", SPF_NONE, NULL},
    {"192.0.2.7", "@a.test,@b.test:user@pass.example", "x", SPF_PASS, NULL},
    {"192.0.2.7", "user@PASS.Example.", "x", SPF_PASS, NULL},
    {"192.0.2.7", "us er (me) @ pass.example", "x", SPF_PASS, NULL},
    {"192.0.2.7", "\"us\\er\"@exists.example", "x", SPF_PASS, NULL},
    {"192.0.2.7", "()", "pass.example", SPF_PASS, NULL},
    {"192.0.2.7", "user@b\303\274cher.example", "x", SPF_PASS, NULL},
    {"192.0.2.7", "", "b\303\274cher.example", SPF_PASS, NULL},
    /* At, and over, each limit (add_limits) */
    {"192.0.2.7", "user@mx10.example", "x", SPF_FAIL, NULL},
    {"192.0.2.7", "user@mx11.example", "x", SPF_PERMERROR, NULL},
    {"192.0.2.7", "user@mx11m.example", "x", SPF_PERMERROR, "10 names"},
    {"192.0.2.7", "user@mx10twice.example", "x", SPF_FAIL, NULL},
    {"192.0.2.10", "user@ptr10.example", "x", SPF_PASS, NULL},
    {"192.0.2.11", "user@ptr11.example", "x", SPF_FAIL, NULL},
    {"192.0.2.12", "user@ptrdown.example", "x", SPF_PASS, NULL},
    {"192.0.2.13", "user@ptrdown.example", "x", SPF_FAIL, NULL},
    {"192.0.2.7", "user@own10.example", "x", SPF_FAIL, NULL},
    {"192.0.2.7", "user@own11.example", "x", SPF_PERMERROR, "10 terms"},
    {"192.0.2.7", "user@early10.example", "x", SPF_FAIL, NULL},
    {"192.0.2.7", "user@early11.example", "x", SPF_PERMERROR, "10 terms"},
    {"192.0.2.14", "user@p10.example", "x", SPF_FAIL, NULL},
    {"192.0.2.14", "user@p11.example", "x", SPF_PERMERROR, "10 terms"},
    {"192.0.2.10", "user@pexp.example", "x", SPF_FAIL, "it is n1.ptr10.example"},
    {"192.0.2.7", "user@nested10.example", "x", SPF_FAIL, NULL},
    {"192.0.2.7", "user@nested11.example", "x", SPF_PERMERROR, "10 terms"},
    {"192.0.2.7", "user@same11.example", "x", SPF_PERMERROR, "10 terms"},
    {"192.0.2.7", "user@r1.example", "x", SPF_FAIL, NULL},
    {"192.0.2.7", "user@r0.example", "x", SPF_PERMERROR, "10 terms"},
    {"192.0.2.7", "user@void2.example", "x", SPF_FAIL, NULL},
    {"192.0.2.7", "user@void3.example", "x", SPF_PERMERROR, "2 lookups"},
    {"192.0.2.7", "user@voidsame.example", "x", SPF_PERMERROR, "2 lookups"},
    {"2001:db8::9", "user@mx10.example", "x", SPF_FAIL, NULL}, /* ten hosts of IPv4 alone */
    {"192.0.2.7", "user@host100.example", "x", SPF_PASS, NULL},
    {"192.0.2.7", "user@flood.example", "x", SPF_TEMPERROR, NULL},
    {"192.0.2.7", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@label.example",
     "x", SPF_FAIL, NULL},
};

/* "v=spf1", `count` times `term`, "-all" as the record of `name`. */
static void add_terms(const char *name, const char *before, const char *term, unsigned count)
{
    char record[SPF_CHECK_RECORD + 1];
    struct text t;
    text_init(&t, record, sizeof record);
    text_addf(&t, "v=spf1%s", before);
    for (unsigned i = 0; i < count; i++) {
        text_addf(&t, " %s", term);
    }
    text_addf(&t, " -all");
    add_row(ns_t_txt, "%s %s", name, record);
}

static void add_names(void)
{
    for (unsigned i = 1; i <= 11; i++) {
        if (i < 11) {
            add_row(ns_t_mx, "mx10.example n%u.mx.example", i);
            add_row(ns_t_mx, "mxe.example n%u.mxe.example", i);
        }
        add_row(ns_t_mx, "mx11.example n%u.mx.example", i);
        add_row(ns_t_mx, "mx11m.example %s", i == 10 ? "mx2.example" : "n1.mx.example");
        add_row(ns_t_a, "n%u.mx.example 192.0.2.99", i);
        add_row(ns_t_a, "n%u.mxe.example 192.0.2.%s", i, i == 1 ? "7" : "99");
        add_row(ns_t_ptr, "10.2.0.192.in-addr.arpa n%u.ptr10.example", i);
        add_row(ns_t_a, "n%u.ptr10.example 192.0.2.%s", i, i == 1 || i == 10 ? "10" : "99");
        add_row(ns_t_ptr, "11.2.0.192.in-addr.arpa n%u.ptr11.example", i);
        add_row(ns_t_a, "n%u.ptr11.example 192.0.2.%s", i, i == 11 ? "11" : "99");
    }
    add_row(ns_t_ptr, "12.2.0.192.in-addr.arpa down-host.example");
    add_row(ns_t_ptr, "12.2.0.192.in-addr.arpa host.ptrdown.example");
    add_row(ns_t_a, "host.ptrdown.example 192.0.2.12");
    add_row(ns_t_ptr, "13.2.0.192.in-addr.arpa"); /* fails */
    add_row(ns_t_ptr, "14.2.0.192.in-addr.arpa host.p.example");
    add_row(ns_t_ptr, "14.2.0.192.in-addr.arpa gone.p.example");
    add_row(ns_t_a, "host.p.example 192.0.2.14");
    for (unsigned i = 1; i <= 100; i++) {
        add_row(ns_t_a, "host100.example 192.0.2.%u", i == 100 ? 7 : 100 + i);
    }
}

static void add_limits(void)
{
    add_names();
    add_terms("mx10.example", "", "mx", 1);
    add_terms("mx11.example", "", "mx", 1);
    add_terms("mx11m.example", "", "mx", 1);
    add_terms("mx10twice.example", "", "mx:mx10.example", 2);
    add_terms("ptr10.example", "", "ptr", 1);
    add_terms("ptr11.example", "", "ptr", 1);
    add_terms("ptrdown.example", "", "ptr", 1);
    /* The hosts of an mx as terms of their own; and behind an mx that was left half-way. */
    add_terms("own10.example", " mx:mx10.example", "a:n1.mx.example", 9);
    add_terms("own11.example", " mx:mx10.example", "a:n1.mx.example", 10);
    add_row(ns_t_txt, "early.example v=spf1 -mx:mxe.example");
    add_terms(
        "early10.example", " include:early.example a:n2.mxe.example a:n3.mxe.example",
        "a:n4.mxe.example", 6);
    add_terms(
        "early11.example", " include:early.example a:n2.mxe.example a:n3.mxe.example",
        "a:n4.mxe.example", 7);
    /* %{p} is one term, and its second name as a term of its own another. */
    add_terms("p10.example", " exists:%{p}.no.example exists:gone.p.example", "a:t.example", 7);
    add_terms("p11.example", " exists:%{p}.no.example exists:gone.p.example", "a:t.example", 8);
    add_row(
        ns_t_txt, "pexp.example v=spf1%s -all exp=p.why.example",
        " a:t.example a:t.example a:t.example a:t.example a:t.example a:t.example a:t.example"
        " a:t.example a:t.example a:t.example");
    add_row(ns_t_txt, "p.why.example it is %%{p}");
    add_terms("four.example", "", "a:t.example", 4);
    add_terms("five.example", "", "a:t.example", 5);
    add_terms("nested10.example", "", "include:four.example", 2);
    add_terms("nested11.example", " include:four.example", "include:five.example", 1);
    add_terms("same11.example", "", "include:bare2.example", 11);
    add_terms("bare2.example", "", "ip4:192.0.2.99", 1);
    for (unsigned i = 0; i < 11; i++) {
        add_row(ns_t_txt, "r%u.example v=spf1 redirect=r%u.example", i, i + 1);
    }
    add_row(ns_t_txt, "r11.example v=spf1 -all");
    add_terms("void1.example", "", "a:v1.example", 1);
    add_terms("void2.example", " a:v1.example", "include:void1.example", 1);
    add_terms("void3.example", " a:v1.example a:v2.example", "include:void1.example", 1);
    add_terms("voidsame.example", "", "a:v1.example", 3);
    add_terms("host100.example", "", "a", 1);
    add_terms("flood.example", "", "a", 1);
    for (unsigned i = 0; i < 140; i++) {
        add_row(ns_t_txt, "flood.example %0*u", 2000, i);
    }
    add_terms("label.example", "", "exists:%{l}x.label.example", 1);
}

static void test_results(void **state)
{
    (void)state;
    char words[SPF_EXPLANATION];
    unsigned wrong = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum spf_result got = check(rows[i].client, rows[i].sender, rows[i].helo, words);
        if (got != rows[i].result || (rows[i].words && !strstr(words, rows[i].words))) {
            print_error(
                "%s <%s> %s: %s (%s), not %s (%s)\n", rows[i].client, rows[i].sender, rows[i].helo,
                spf_result_name(got), words, spf_result_name(rows[i].result),
                rows[i].words ? rows[i].words : "");
            wrong++;
        }
        assert_true(asked <= 40);
    }
    assert_int_equal(wrong, 0);
}

/* The longest record that is looked at, of the kind that hurts most. */
static void test_longest_record(void **state)
{
    (void)state;
    char words[SPF_EXPLANATION];
    enum spf_result got = check("192.0.2.7", "user@longest.example", "x", words);
    assert_true(got == SPF_PERMERROR || got == SPF_FAIL || got == SPF_TEMPERROR);
}

static void fill(char *out, size_t len, const char *start, const char *piece, unsigned pieces)
{
    struct text t;
    text_init(&t, out, len + 1);
    text_addf(&t, "%s", start);
    for (unsigned i = 0; i < pieces && t.len + strlen(piece) <= len; i++) {
        text_addf(&t, "%s", piece);
    }
    while (t.len < len) {
        text_addf(&t, "x");
    }
}

static void add_many(char out[SPF_CHECK_RECORD + 1], unsigned networks)
{
    struct text t;
    text_init(&t, out, SPF_CHECK_RECORD + 1);
    text_addf(&t, "v=spf1");
    for (unsigned i = 0; i < networks; i++) {
        text_addf(&t, " ip4:198.51.100.%u", i);
    }
    text_addf(&t, " -all");
    assert_false(t.cut);
}

int main(void)
{
    fill(smash, 4 + 127 * 4 + 3700, "v=spf1 exists:", "%{d}", 127);
    fill(long_record, 2049, "v=spf1 -all ip4:192.0.2.7 ", "", 0);
    fill(longest_record, 2048, "v=spf1 exists:", "%{d}", 127);
    add_limits();
    add_many(many60, 60);
    add_many(many66, 66);
    spf_check_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_longest_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
