/* gate25-bypassd's pure part: from standings to the sets, from sets to commands, counting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bypass/bypass_change.h"
#include "bypass/bypass_counts.h"
#include "bypass/bypass_rules.h"
#include "bypass/bypass_wanted.h"

#define NOW   1000000 /* Unix seconds */
#define CLOCK 500     /* monotonic */
#define UNIT6 56

static struct prefix prefix(const char *text)
{
    struct prefix p;

    assert_int_equal(prefix_parse(span_of(text), &p), PREFIX_OK);
    return p;
}

static struct addr addr(const char *text)
{
    struct addr a;

    assert_true(addr_parse(span_of(text), &a));
    return a;
}

static struct conf_class classes[] = {
    {.name = "ordinary", .action = ACTION_METER},
    {.name = "registered", .action = ACTION_PASS},
    {.name = "quarantined", .action = ACTION_REFUSE},
};

/* --- standings to sets --- */

struct standing {
    const char *prefix;
    char class;      /* r q o; ?: unknown to the configuration */
    int64_t until_s; /* from NOW; 0: no end */
};

static const struct conf_class *class_of(char letter)
{
    return letter == 'r'   ? &classes[1]
           : letter == 'q' ? &classes[2]
           : letter == 'o' ? &classes[0]
                           : NULL;
}

/* The sets as text: units and ranges in order, "+N" behind those that end in N seconds. */
static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void describe(const struct bypass_sets *s, char *out, size_t cap)
{
    char *lines[64], first[PREFIX_TEXT], last[ADDR_TEXT], end[32];
    size_t count = 0;
    struct text t;

    text_init(&t, out, cap);
    for (size_t i = 0; i < s->units.capacity; i++) {
        struct prefix p = prefix_map_prefix(&s->units.slots[i]);

        if (s->units.slots[i].family != ADDR_NONE) {
            int64_t end_s = s->units.slots[i].until_s;

            prefix_format(&p, first);
            snprintf(end, sizeof(end), "+%d", (int)(end_s - CLOCK));
            assert_true(asprintf(&lines[count++], "%s%s", first, end_s == 0 ? "" : end) > 0);
        }
    }
    qsort(lines, count, sizeof(*lines), compare_lines);
    for (size_t i = 0; i < count; i++) {
        text_addf(&t, "%s%s", t.len > 0 ? " " : "", lines[i]);
        free(lines[i]);
    }
    for (size_t i = 0; i < s->range_count; i++) {
        const struct bypass_range *r = &s->ranges[i];

        addr_format(&r->first, first);
        addr_format(&r->last, last);
        snprintf(end, sizeof(end), "+%d", (int)(r->end_s - CLOCK));
        text_addf(&t, "%s%s-%s%s", t.len > 0 ? " " : "", first, last, r->end_s == 0 ? "" : end);
    }
    assert_false(t.cut);
}

static void gather(const struct standing *standings, const char *only, struct bypass_wanted *w)
{
    static struct prefix subscribers[3];
    static struct conf conf;

    subscribers[0] = prefix("10.20.0.0/16");
    subscribers[1] = prefix("2001:db8:20::/48");
    subscribers[2] = prefix("10.21.0.0/16");
    conf = (struct conf){
        .prefixes = subscribers,
        .prefix_count = 3,
        .ipv6_unit = UNIT6,
        .classes = classes,
        .class_count = 3,
    };
    classes[0].action = only != NULL ? ACTION_PASS : ACTION_METER;
    *w = (struct bypass_wanted){.conf = &conf, .unix_s = NOW, .clock_s = CLOCK};
    for (size_t i = 0; standings[i].prefix != NULL; i++) {
        struct prefix p = prefix(standings[i].prefix);
        int64_t until_s = standings[i].until_s;

        bypass_wanted_add(w, &p, class_of(standings[i].class), until_s == 0 ? 0 : NOW + until_s);
    }
    assert_int_equal(bypass_wanted_finish(w), 0);
}

static void standings_become_sets(void **state)
{
    static const struct {
        struct standing standings[8];
        const char *sets, *everybody; /* everybody: the class of those without a standing passes */
    } rows[] = {
        {{{0}}, "", NULL},
        {{{"10.20.0.1", 'r', 0}, {"10.20.0.2", 'q', 0}, {"10.20.0.3", 'o', 0}}, "10.20.0.1", NULL},
        {{{"2001:db8:20:100::/56", 'r', 0}}, "2001:db8:20:100::/56", NULL},
        {{{"10.20.0.1", 'r', 60}, {"10.20.0.2", 'r', -1}}, "10.20.0.1+60", NULL},
        {{{"10.20.0.1", '?', 0}}, "", NULL},
        /* not the subscribers' */
        {{{"192.0.2.1", 'r', 0}, {"192.0.2.0/24", 'r', 0}, {"2001:db8:21::/56", 'r', 0}}, "", NULL},
        {{{"10.20.1.0/24", 'r', 0}}, "10.20.1.0-10.20.1.255", NULL},
        {{{"10.20.1.0/24", 'r', 9}}, "10.20.1.0-10.20.1.255+9", NULL},
        /* holes, at the ends and in the middle */
        {{{"10.20.1.0/30", 'r', 0}, {"10.20.1.0", 'q', 0}, {"10.20.1.3", 'q', 0}},
         "10.20.1.1-10.20.1.2",
         NULL},
        {{{"10.20.1.0/30", 'r', 0}, {"10.20.1.1", 'q', 0}},
         "10.20.1.0-10.20.1.0 10.20.1.2-10.20.1.3",
         NULL},
        /* a standing that has ended, or of a class that nobody knows, makes no hole */
        {{{"10.20.1.0/30", 'r', 0}, {"10.20.1.1", 'q', -1}, {"10.20.1.2", '?', 0}},
         "10.20.1.0-10.20.1.3",
         NULL},
        /* nested, thrice; the innermost holds */
        {{{"10.20.0.0/16", 'r', 0},
          {"10.20.4.0/22", 'q', 0},
          {"10.20.5.0/24", 'r', 7},
          {"10.20.5.9", 'r', 0}},
         "10.20.5.9 10.20.0.0-10.20.3.255 10.20.5.0-10.20.5.255+7 10.20.8.0-10.20.255.255",
         NULL},
        {{{"10.20.4.0/22", 'q', 0}, {"10.20.5.5", 'r', 0}}, "10.20.5.5", NULL},
        /* side by side, they are one */
        {{{"10.20.1.0/25", 'r', 0}, {"10.20.1.128/25", 'r', 0}}, "10.20.1.0-10.20.1.255", NULL},
        {{{"10.20.1.0/25", 'r', 0}, {"10.20.1.128/25", 'r', 5}},
         "10.20.1.0-10.20.1.127 10.20.1.128-10.20.1.255+5",
         NULL},
        /* wider than the subscribers' space: cut */
        {{{"10.0.0.0/8", 'r', 3}, {"10.20.0.0/17", 'q', 0}}, "10.20.128.0-10.21.255.255+3", NULL},
        {{{"10.0.0.0/8", 'r', 0}, {"10.20.0.0/15", 'q', 0}}, "", NULL},
        {{{"10.20.0.0/16", 'r', 0}, {"10.20.255.255", 'q', 0}, {"10.20.0.0", 'q', 0}},
         "10.20.0.1-10.20.255.254",
         NULL},
        /* a part of a unit has a standing of its own */
        {{{"2001:db8:20:100::/56", 'r', 4}, {"2001:db8:20:180::/64", 'q', 0}},
         "2001:db8:20:100::-2001:db8:20:17f:ffff:ffff:ffff:ffff+4 "
         "2001:db8:20:181::-2001:db8:20:1ff:ffff:ffff:ffff:ffff+4",
         NULL},
        {{{"2001:db8:20:100::/56", 'q', 0}, {"2001:db8:20:180::7", 'r', 0}},
         "2001:db8:20:180::7-2001:db8:20:180::7",
         NULL},
        {{{"2001:db8:20::/48", 'r', 0}, {"2001:db8:20:ff00::/56", 'q', 0}},
         "2001:db8:20::-2001:db8:20:feff:ffff:ffff:ffff:ffff",
         NULL},
        /* everybody passes, but ... */
        {{{"10.20.0.0", 'q', 0}, {"10.21.0.0/16", 'q', 0}},
         "10.20.0.1-10.20.255.255 2001:db8:20::-2001:db8:20:ffff:ffff:ffff:ffff:ffff",
         "all"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct bypass_wanted w;
        char text[2048];

        gather(rows[i].standings, rows[i].everybody, &w);
        describe(&w.sets, text, sizeof(text));
        assert_string_equal(text, rows[i].sets);
        free(w.odd.at);
        bypass_sets_fini(&w.sets);
    }
}

/* Who holds an address that is handed out by lease, no standing of it tells. */
static void what_is_leased_is_left_out(void **state)
{
    static const char *const standings[] = {
        "10.20.0.1", "10.20.8.1", "10.20.0.0/16", "10.20.9.0/24", "2001:db8:20:100::/56"};
    struct prefix subscribers[] = {prefix("10.20.0.0/16"), prefix("2001:db8:20::/48")};
    struct prefix leased[] = {prefix("10.20.8.0/21"), prefix("2001:db8:20::/48")};
    const struct conf conf = {
        .prefixes = subscribers,
        .prefix_count = 2,
        .leased = {.at = leased, .count = 2},
        .ipv6_unit = UNIT6,
        .classes = classes,
        .class_count = 3,
    };
    struct bypass_wanted w = {.conf = &conf, .unix_s = NOW, .clock_s = CLOCK};
    char text[2048];

    (void)state;
    classes[0].action = ACTION_METER;
    for (size_t i = 0; i < sizeof(standings) / sizeof(standings[0]); i++) {
        struct prefix p = prefix(standings[i]);

        bypass_wanted_add(&w, &p, class_of('r'), 0);
    }
    assert_int_equal(bypass_wanted_finish(&w), 0);
    describe(&w.sets, text, sizeof(text));
    assert_string_equal(text, "10.20.0.1 10.20.0.0-10.20.7.255 10.20.16.0-10.20.255.255");
    struct prefix inside = prefix("10.20.8.1");
    assert_false(bypass_is_plain(&conf, &w.odd, &inside));
    free(w.odd.at);
    bypass_sets_fini(&w.sets);
}

static void the_next_end_is_known(void **state)
{
    static const struct standing standings[] = {{"10.20.0.1", 'r', 60}, {"10.20.0.2", 'q', 30},
                                                {"10.20.0.3", 'r', -5}, {"10.20.0.4", 'r', 0},
                                                {"192.0.2.1", 'r', 1},  {NULL, 0, 0}};
    struct bypass_wanted w;

    (void)state;
    gather(standings, NULL, &w);
    assert_int_equal(w.next_end_s, NOW + 30);
    free(w.odd.at);
    bypass_sets_fini(&w.sets);
}

/* The ranges agree with the longest standing over every address, whatever the standings. */
static void ranges_agree_with_the_longest_prefix(void **state)
{
    (void)state;
    srandom(7);
    for (unsigned round = 0; round < 300; round++) {
        struct standing standings[24] = {{0}};
        char texts[23][PREFIX_TEXT];
        struct bypass_wanted w;

        for (unsigned i = 0; i < 23; i++) {
            struct addr a = addr("10.20.0.0");
            a.bytes[3] = (uint8_t)(random() & 0x3f);
            struct prefix p = prefix_of(&a, 26 + (unsigned)random() % 7);

            prefix_format(&p, texts[i]);
            standings[i] = (struct standing){texts[i], "rq"[random() & 1], 0};
            for (unsigned j = 0; j < i; j++) {
                if (strcmp(texts[i], texts[j]) == 0) {
                    standings[i].class = standings[j].class;
                }
            }
        }
        gather(standings, NULL, &w);
        for (unsigned n = 0; n < 80; n++) {
            struct addr a = addr("10.20.0.0");
            int longest = -1;
            bool pass = false;

            a.bytes[3] = (uint8_t)n;
            for (unsigned i = 0; i < 23; i++) {
                struct prefix p = prefix(texts[i]);

                if (prefix_contains(&p, &a) && (int)p.len > longest) {
                    longest = p.len;
                    pass = standings[i].class == 'r';
                }
            }
            assert_int_equal(bypass_sets_cover(&w.sets, &a, UNIT6), pass);
        }
        free(w.odd.at);
        bypass_sets_fini(&w.sets);
    }
}

static void units_that_nothing_else_concerns_are_plain(void **state)
{
    static const struct standing standings[] = {
        {"10.20.1.0/24", 'r', 0},         {"10.20.2.0/24", 'q', 0}, {"10.20.3.0/24", 'r', -1},
        {"2001:db8:20:180::/64", 'q', 0}, {"10.20.4.4", 'r', 0},    {NULL, 0, 0}};
    static const struct {
        const char *prefix;
        bool plain;
    } rows[] = {
        {"10.20.0.1", true},
        {"10.20.4.4", true},
        {"10.20.1.1", false},
        {"10.20.2.1", false},
        {"10.20.3.1", true},
        {"10.20.5.0/24", false},
        {"2001:db8:20:100::/56", false},
        {"2001:db8:20:200::/56", true},
        {"2001:db8:20:200::/64", false},
    };
    struct bypass_wanted w;

    (void)state;
    gather(standings, NULL, &w);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct prefix p = prefix(rows[i].prefix);

        assert_int_equal(bypass_is_plain(w.conf, &w.odd, &p), rows[i].plain);
        classes[0].action = ACTION_PASS;
        assert_false(bypass_is_plain(w.conf, &w.odd, &p));
        classes[0].action = ACTION_METER;
    }
    free(w.odd.at);
    bypass_sets_fini(&w.sets);
}

static void add_text(void *context, const struct prefix *unit, int64_t end_s)
{
    char text[PREFIX_TEXT];

    prefix_format(unit, text);
    text_addf(context, "%s+%d ", text, (int)end_s);
}

static void units_of_ranges(void **state)
{
    static const struct {
        const char *first, *last;
        size_t most;
        const char *units;
    } rows[] = {
        {"10.20.0.7", "10.20.0.7", 9, "10.20.0.7+5 "},
        {"10.20.0.254", "10.20.1.1", 4, "10.20.0.254+5 10.20.0.255+5 10.20.1.0+5 10.20.1.1+5 "},
        {"10.20.0.254", "10.20.1.1", 3, ""},
        {"255.255.255.254", "255.255.255.255", 2, "255.255.255.254+5 255.255.255.255+5 "},
        {"0.0.0.0", "255.255.255.255", 1000, ""},
        /* IPv6: whole units of 56 bits */
        {"2001:db8::", "2001:db8:0:ff:ffff:ffff:ffff:ffff", 9, "2001:db8::/56+5 "},
        {"2001:db8::", "2001:db8:0:ff:ffff:ffff:ffff:fffe", 9, ""},
        {"2001:db8::1", "2001:db8:0:1ff:ffff:ffff:ffff:ffff", 9, "2001:db8:0:100::/56+5 "},
        {"2001:db8:0:80::", "2001:db8:0:2ff:ffff:ffff:ffff:fff0", 9, "2001:db8:0:100::/56+5 "},
        {"2001:db8:0:ff::", "2001:db8:0:100::", 9, ""},
        {"2001:db8::7", "2001:db8::7", 9, ""},
        {"ffff:ffff:ffff:ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 9,
         "ffff:ffff:ffff:ff00::/56+5 "},
        {"::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1000, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct bypass_range r = {addr(rows[i].first), addr(rows[i].last), 5};
        char said[512];
        struct text t;

        text_init(&t, said, sizeof(said));
        bypass_range_units(&r, UNIT6, rows[i].most, add_text, &t);
        assert_string_equal(said, rows[i].units);
    }
}

/* --- sets to commands --- */

static void put(struct bypass_sets *s, const char *what, int64_t end_s)
{
    char first[ADDR_TEXT];
    const char *dash = strchr(what, '-');

    if (dash == NULL) {
        struct prefix p = prefix(what);

        assert_int_equal(bypass_sets_put(s, &p, end_s), 0);
        return;
    }
    snprintf(first, sizeof(first), "%.*s", (int)(dash - what), what);
    struct bypass_range r = {addr(first), addr(dash + 1), end_s};
    assert_int_equal(bypass_sets_add(s, &r), 0);
}

static void put_all(struct bypass_sets *s, const char *words)
{
    char *copy = strdup(words), *save;

    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        char *plus = strchr(word, '+');
        int64_t end_s = plus != NULL ? CLOCK + atoi(plus + 1) : 0;

        if (plus != NULL) {
            *plus = '\0';
        }
        put(s, word, end_s);
    }
    free(copy);
    bypass_sets_sort(s);
}

#define E "element inet gate25_bypass "

static void changes_become_commands(void **state)
{
    static const struct {
        const char *held, *wanted, *commands;
    } rows[] = {
        {"", "", ""},
        {"10.20.0.1 10.20.1.0-10.20.1.9", "10.20.0.1 10.20.1.0-10.20.1.9", ""},
        {"", "10.20.0.1", "add " E "units4_1 {10.20.0.1}\n"},
        {"", "10.20.0.1+60", "add " E "units4_1 {10.20.0.1 timeout 63s}\n"},
        {"", "2001:db8:20:100::/56", "add " E "units6_1 {2001:db8:20:100::}\n"},
        {"10.20.0.1", "",
         "delete " E "units4_1 {10.20.0.1}\nadd " E "ended4 {10.20.0.1 timeout 600s}\n"},
        /* ends: nearly the same, another, none any more */
        {"10.20.0.1+60", "10.20.0.1+61", ""},
        {"10.20.0.1+60", "10.20.0.1+90",
         "delete " E "units4_1 {10.20.0.1}\nadd " E "units4_1 {10.20.0.1 timeout 93s}\n"},
        {"10.20.0.1+60", "10.20.0.1",
         "delete " E "units4_1 {10.20.0.1}\nadd " E "units4_1 {10.20.0.1}\n"},
        /* ranges: what overlaps goes and comes in one step */
        {"", "10.20.1.0-10.20.1.9+5 10.20.2.7-10.20.2.7",
         "add " E "ranges4 {10.20.1.0-10.20.1.9 timeout 8s,10.20.2.7}\n"},
        {"10.20.1.0-10.20.1.9 10.20.3.0-10.20.3.9",
         "10.20.1.0-10.20.1.4 10.20.1.6-10.20.1.9 10.20.3.0-10.20.3.9",
         "delete " E "ranges4 {10.20.1.0-10.20.1.9}\n"
         "add " E "ranges4 {10.20.1.0-10.20.1.4,10.20.1.6-10.20.1.9}\n"
         "flush set inet gate25_bypass ended_ranges4\n"
         "add " E "ended_ranges4 {10.20.1.0-10.20.1.9 timeout 600s}\n"},
        {"10.20.1.0-10.20.1.9", "2001:db8:20::-2001:db8:20:ff::",
         "delete " E "ranges4 {10.20.1.0-10.20.1.9}\n"
         "add " E "ranges6 {2001:db8:20::-2001:db8:20:ff::}\n"
         "flush set inet gate25_bypass ended_ranges4\n"
         "add " E "ended_ranges4 {10.20.1.0-10.20.1.9 timeout 600s}\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct bypass_sets held = {0}, wanted = {0}, gone = {0};
        struct buf out = BUF_INIT;
        int failed;

        put_all(&held, rows[i].held);
        put_all(&wanted, rows[i].wanted);
        struct bypass_change c = {.held = &held, .wanted = &wanted, .clock_s = CLOCK};
        while (bypass_change_next(&c, 1000, &out, &gone, &failed)) {
            assert_int_equal(failed, 0);
        }
        assert_int_equal(buf_append(&out, (struct span){"", 1}), 0);
        assert_string_equal(buf_span(&out).at, rows[i].commands);
        buf_clear(&out);
        bypass_sets_fini(&held);
        bypass_sets_fini(&wanted);
        bypass_sets_fini(&gone);
    }
}

static void tell_unit(void *context, const struct prefix *unit, int64_t end_s, bool comes)
{
    char text[PREFIX_TEXT];

    prefix_format(unit, text);
    text_addf(context, "%s%s", comes ? "+" : "-", text);
    if (end_s != 0) {
        text_addf(context, "+%d", (int)(end_s - CLOCK));
    }
    text_addf(context, " ");
}

static void tell_range(void *context, const struct bypass_range *range, bool comes)
{
    char first[ADDR_TEXT], last[ADDR_TEXT];

    addr_format(&range->first, first);
    addr_format(&range->last, last);
    text_addf(context, "%s%s-%s ", comes ? "+" : "-", first, last);
}

/* Who else keeps the sets is told of what comes or goes, and of nothing else. */
static void changes_are_told(void **state)
{
    static const struct {
        const char *held, *wanted, *told;
    } rows[] = {
        {"10.20.0.1", "10.20.0.1", ""},
        {"10.20.0.1", "", "-10.20.0.1 "},
        {"", "10.20.0.1+60", "+10.20.0.1+60 "},
        {"10.20.0.1+60", "10.20.0.1+61", ""},
        {"10.20.0.1+60", "10.20.0.1+90", "+10.20.0.1+90 "},
        {"10.20.0.1", "10.20.0.2 2001:db8:20:100::/56", NULL}, /* in no order */
        {"10.20.1.0-10.20.1.9", "10.20.1.0-10.20.1.9", ""},
        {"10.20.1.0-10.20.1.9", "10.20.1.0-10.20.1.4",
         "-10.20.1.0-10.20.1.9 +10.20.1.0-10.20.1.4 "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct bypass_sets held = {0}, wanted = {0}, gone = {0};
        struct buf out = BUF_INIT;
        char told[256];
        struct text t;
        int failed;

        const struct bypass_listener listener = {tell_unit, tell_range, &t};

        text_init(&t, told, sizeof(told));
        put_all(&held, rows[i].held);
        put_all(&wanted, rows[i].wanted);
        struct bypass_change c = {
            .held = &held,
            .wanted = &wanted,
            .clock_s = CLOCK,
            .listener = &listener,
        };
        while (bypass_change_next(&c, 1, &out, &gone, &failed)) {
            assert_int_equal(failed, 0);
        }
        if (rows[i].told != NULL) {
            assert_string_equal(told, rows[i].told);
        } else {
            assert_non_null(strstr(told, "-10.20.0.1 "));
            assert_non_null(strstr(told, "+10.20.0.2 "));
            assert_non_null(strstr(told, "+2001:db8:20:100::/56 "));
        }
        buf_clear(&out);
        bypass_sets_fini(&held);
        bypass_sets_fini(&wanted);
        bypass_sets_fini(&gone);
    }
}

static size_t occurrences(struct span s, const char *what)
{
    size_t count = 0;

    for (const char *at = s.at; (at = memmem(at, s.len - (size_t)(at - s.at), what, strlen(what)));
         at++) {
        count++;
    }
    return count;
}

static void batches_are_bounded_and_complete(void **state)
{
    struct bypass_sets held = {0}, wanted = {0}, gone = {0};
    size_t batches = 0, added = 0, ended = 0;
    struct buf out = BUF_INIT;
    char text[64];
    int failed;

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(text, sizeof(text), "10.20.%u.%u", i >> 8, i & 255);
        put(i % 3 == 0 ? &held : &wanted, text, 0);
        snprintf(text, sizeof(text), "10.21.%u.0-10.21.%u.9", i % 256, i % 256);
        if (i < 256) {
            put(i % 2 == 0 ? &held : &wanted, text, 0);
        }
    }
    bypass_sets_sort(&held);
    bypass_sets_sort(&wanted);
    struct bypass_change c = {.held = &held, .wanted = &wanted, .clock_s = CLOCK};
    while (bypass_change_next(&c, 100, &out, &gone, &failed)) {
        size_t in_batch = occurrences(buf_span(&out), "10.2");

        assert_int_equal(failed, 0);
        assert_true(in_batch <= 4 * 101); /* a range that goes is named twice, by two addresses */
        ended += occurrences(buf_span(&out), "timeout 600s");
        added += in_batch;
        batches++;
        buf_clear(&out);
    }
    assert_true(batches >= 12);
    assert_int_equal(c.removed, 334 + 128);
    assert_int_equal(c.added, 666 + 128);
    assert_int_equal(ended, 334 + 128);
    assert_int_equal(bypass_sets_count(&gone), 334 + 128);
    /* each that goes is named twice; a range by two addresses */
    assert_int_equal(added, 2 * 334 + 666 + 2 * 2 * 128 + 2 * 128);
    bypass_sets_fini(&held);
    bypass_sets_fini(&wanted);
    bypass_sets_fini(&gone);
}

/* --- the table --- */

static void the_form_tells_what_the_rules_depend_on(void **state)
{
    const struct conf conf = {.ipv6_unit = 56, .bypass = {.mark_bit = 28}};
    const struct {
        struct conf conf;
        enum intercept_mode mode;
    } others[] = {
        {conf, INTERCEPT_REDIRECT},
        {{.ipv6_unit = 60, .bypass = {.mark_bit = 28}}, INTERCEPT_TPROXY},
        {{.ipv6_unit = 56, .bypass = {.mark_bit = 27}}, INTERCEPT_TPROXY},
    };
    char form[BYPASS_FORM], other[BYPASS_FORM];
    struct buf out = BUF_INIT;

    (void)state;
    bypass_form(&conf, INTERCEPT_TPROXY, form);
    for (size_t i = 0; i < 3; i++) {
        bypass_form(&others[i].conf, others[i].mode, other);
        assert_string_not_equal(form, other);
    }
    assert_int_equal(bypass_rules_write(&conf, INTERCEPT_TPROXY, false, &out), 0);
    assert_int_equal(occurrences(buf_span(&out), form), 1);
    assert_int_equal(occurrences(buf_span(&out), "delete table"), 0);
    assert_int_equal(occurrences(buf_span(&out), "<"), 0);
    assert_true(occurrences(buf_span(&out), "ffff:ffff:ffff:ff00::") > 4);
    assert_int_equal(occurrences(buf_span(&out), "mark set meta mark | 0x10000000"), 7);
    assert_int_equal(occurrences(buf_span(&out), "ct status"), 0);
    buf_clear(&out);
    assert_int_equal(bypass_rules_write(&conf, INTERCEPT_REDIRECT, true, &out), 0);
    assert_int_equal(occurrences(buf_span(&out), "delete table inet gate25_bypass\n"), 1);
    assert_int_equal(occurrences(buf_span(&out), "ct status"), 7);
    assert_int_equal(occurrences(buf_span(&out), "socket"), 0);
    buf_clear(&out);
}

/* To packets that are under way in the rules when these are replaced it would be empty. */
static void no_rule_has_a_map_of_its_own(void **state)
{
    const struct conf conf = {.ipv6_unit = UNIT6, .bypass = {.mark_bit = 28}};
    struct buf out = BUF_INIT;

    (void)state;
    assert_int_equal(bypass_rules_write(&conf, INTERCEPT_TPROXY, false, &out), 0);
    assert_int_equal(occurrences(buf_span(&out), "map @"), 4);
    assert_int_equal(occurrences(buf_span(&out), "map {"), 0);
    assert_int_equal(occurrences(buf_span(&out), "flush map"), 0);
    assert_int_equal(occurrences(buf_span(&out), "delete map"), 0);
    buf_clear(&out);
}

/* --- counting --- */

static void take(
    struct bypass_counts *c, const char *unit, uint64_t value, const char *subscriber,
    uint64_t expected)
{
    struct prefix u = prefix(unit), s = prefix(subscriber);

    assert_int_equal(bypass_counts_take(c, READING_UP, &u, value, &s), expected);
}

static uint64_t counted(const struct bypass_counts *c, const char *subscriber)
{
    struct prefix s = prefix(subscriber);
    const struct bypass_figures *f = bypass_counts_of(c, &s);

    return f == NULL ? 0 : f->count[BYPASS_UP];
}

static void what_is_new_counts(void **state)
{
    struct bypass_counts c = {0};

    (void)state;
    bypass_counts_begin(&c);
    take(&c, "10.20.0.1", 1000, "10.20.0.1", 0); /* another process has counted that */
    bypass_counts_end(&c);
    assert_int_equal(counted(&c, "10.20.0.1"), 0);
    bypass_counts_begin(&c);
    take(&c, "10.20.0.1", 1500, "10.20.0.1", 500);
    take(&c, "10.20.8.1", 70, "10.20.8.0/24", 70);
    take(&c, "10.20.8.2", 30, "10.20.8.0/24", 30);
    bypass_counts_end(&c);
    bypass_counts_begin(&c);
    take(&c, "10.20.0.1", 1500, "10.20.0.1", 0);
    take(&c, "10.20.8.1", 20, "10.20.8.0/24", 20); /* the kernel had begun anew */
    bypass_counts_end(&c);
    bypass_counts_begin(&c);
    bypass_counts_end(&c); /* nobody sends: the kernel forgets them */
    bypass_counts_begin(&c);
    take(&c, "10.20.0.1", 1600, "10.20.0.1", 1600);
    bypass_counts_end(&c);
    assert_int_equal(counted(&c, "10.20.0.1"), 2100);
    assert_int_equal(counted(&c, "10.20.8.0/24"), 120);
    assert_int_equal(counted(&c, "10.20.0.2"), 0);
    bypass_counts_fini(&c);
}

/* What the table and the fast path count of one unit adds up. */
static void readings_add_up(void **state)
{
    static const struct {
        enum bypass_reading reading;
        uint64_t value, more;
    } rows[] = {
        {READING_UP, 100, 100},    {READING_FAST_UP, 40, 40}, {READING_UP, 110, 10},
        {READING_FAST_UP, 90, 50}, {READING_FAST_DOWN, 7, 7}, {READING_FAST_OPENED, 2, 2},
        {READING_OPENED, 1, 1},    {READING_FAST_UP, 90, 0},
    };
    const struct prefix unit = prefix("10.20.0.1"), other = prefix("10.20.0.2");
    struct bypass_counts c = {0};
    const struct bypass_figures *f;

    (void)state;
    bypass_counts_begin(&c);
    bypass_counts_end(&c);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bypass_counts_begin(&c);
        assert_int_equal(
            bypass_counts_take(&c, rows[i].reading, &unit, rows[i].value, &unit), rows[i].more);
    }
    f = bypass_counts_of(&c, &unit);
    assert_int_equal(f->count[BYPASS_OPENED], 3);
    assert_int_equal(f->count[BYPASS_UP], 200);
    assert_int_equal(f->count[BYPASS_DOWN], 7);
    assert_true(bypass_counts_hear(&c, &unit));
    assert_false(bypass_counts_hear(&c, &unit));
    assert_int_equal(bypass_counts_take(&c, READING_DOWN, &unit, 1, &unit), 1);
    assert_true(bypass_counts_hear(&c, &unit));
    assert_false(bypass_counts_hear(&c, &other));
    /* Counters that are gone begin anew, though they may say more than before. */
    bypass_counts_forget(&c, READING_FAST_UP, &other);
    assert_int_equal(bypass_counts_take(&c, READING_FAST_UP, &unit, 95, &unit), 5);
    bypass_counts_forget(&c, READING_FAST_UP, &unit);
    bypass_counts_forget(&c, READING_FAST_UP, &unit);
    assert_int_equal(bypass_counts_take(&c, READING_FAST_UP, &unit, 96, &unit), 96);
    bypass_counts_forget(&c, READING_FAST_UP, NULL);
    assert_int_equal(bypass_counts_take(&c, READING_FAST_UP, &unit, 97, &unit), 97);
    assert_int_equal(bypass_counts_take(&c, READING_UP, &unit, 110, &unit), 0);
    bypass_counts_fini(&c);
}

static void the_busiest_come_first(void **state)
{
    const struct bypass_figures *top[10];
    struct bypass_counts c = {0};
    char text[32];

    (void)state;
    bypass_counts_begin(&c);
    bypass_counts_end(&c);
    assert_int_equal(bypass_counts_top(&c, top, 10), 0);
    bypass_counts_begin(&c);
    for (unsigned i = 0; i < 500; i++) {
        snprintf(text, sizeof(text), "10.20.1.%u", i % 256);
        if (i < 256) {
            take(&c, text, 1 + (i * 37) % 256, text, 1 + (i * 37) % 256);
        }
    }
    bypass_counts_end(&c);
    assert_int_equal(bypass_counts_top(&c, top, 10), 10);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(top[i]->count[BYPASS_UP], 256 - i);
    }
    assert_int_equal(bypass_counts_top(&c, top, 1), 1);
    assert_int_equal(top[0]->count[BYPASS_UP], 256);
    bypass_counts_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(standings_become_sets),
        cmocka_unit_test(what_is_leased_is_left_out),
        cmocka_unit_test(the_next_end_is_known),
        cmocka_unit_test(ranges_agree_with_the_longest_prefix),
        cmocka_unit_test(units_that_nothing_else_concerns_are_plain),
        cmocka_unit_test(units_of_ranges),
        cmocka_unit_test(changes_become_commands),
        cmocka_unit_test(changes_are_told),
        cmocka_unit_test(batches_are_bounded_and_complete),
        cmocka_unit_test(the_form_tells_what_the_rules_depend_on),
        cmocka_unit_test(no_rule_has_a_map_of_its_own),
        cmocka_unit_test(what_is_new_counts),
        cmocka_unit_test(readings_add_up),
        cmocka_unit_test(the_busiest_come_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
