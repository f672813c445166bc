/* Which lines wait for one another, when they are due, and what goes out. Time is a number here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/journal_repeats.h"

#define WAIT JOURNAL_REPEAT_WAIT_MS

static const struct conf_class ordinary = {
    .name = "ordinary",
    .action = ACTION_METER,
    .limit[LIMIT_SESSIONS] = {2, {{30, 60000000}, {500, 86400000000}}},
    .limit[LIMIT_MESSAGES] = {1, {{10, 60000000}}}};
static const struct verdict over_sessions = {
    .action = VERDICT_DEFER, .rule = RULE_LIMIT, .limit = LIMIT_SESSIONS, .retry_after_s = 6};

static struct journal_line refusal(const char *id, const char *case_id)
{
    return (struct journal_line){
        .event = JOURNAL_REFUSAL,
        .time_ms = 1700000000000,
        .case_id = case_id,
        .id = id,
        .class = &ordinary,
        .verdict = over_sessions,
    };
}

static bool add_text(
    struct journal_repeats *r, const struct journal_line *line, struct span text, int64_t now_ms)
{
    const struct prefix unit = prefix_unit(&line->client.addr, 56);

    return journal_repeats_add(r, line, &unit, text, now_ms);
}

static bool add(struct journal_repeats *r, const struct journal_line *line, int64_t now_ms)
{
    char text[64];

    snprintf(text, sizeof(text), "{\"case\":\"%s\"}", line->case_id);
    return add_text(r, line, span_of(text), now_ms);
}

static bool add_case(struct journal_repeats *r, const char *case_id, int64_t now_ms)
{
    struct journal_line line = refusal("192.0.2.7", case_id);

    line.time_ms += now_ms;
    return add(r, &line, now_ms);
}

/* "ID CASE,CASE TIMES", or "" for none. */
static const char *told(const struct journal_repeat *repeat)
{
    static char out[2048];
    struct text t;

    text_init(&t, out, sizeof(out));
    if (repeat) {
        text_addf(&t, "%s ", repeat->id);
        for (size_t i = 0; i < repeat->case_count; i++) {
            text_addf(&t, "%s%s", i ? "," : "", repeat->cases[i]);
        }
        text_addf(&t, " %u", (unsigned)repeat->times);
    }
    return out;
}

static struct journal_repeats *made(void)
{
    struct journal_repeats *r = journal_repeats_new();

    assert_non_null(r);
    assert_true(journal_repeats_next_ms(r) == INT64_MAX);
    return r;
}

static void test_the_course_of_a_kind(void **state)
{
    /* Case of a line at that time; NULL: what is due then. `told`: what is; a line: "" it goes out
     * at once, "waits" it does not. */
    static const struct {
        int64_t at_ms;
        const char *case_id, *told;
    } rows[] = {
        {100, "A", ""}, /* the first one */
        {101, "A", "waits"},
        {500, "B", "waits"},
        {1099, NULL, ""},
        {1100, NULL, "192.0.2.7 A,B 2"},
        {1100, NULL, ""},
        {1200, "C", "waits"}, /* it is still open */
        {2099, NULL, ""},
        {2100, NULL, "192.0.2.7 C 1"},
        {3099, "D", "waits"},
        {3100, NULL, "192.0.2.7 D 1"},
        {4100, NULL, ""}, /* a wait with nothing: forgotten */
        {4101, "E", ""},
        {5101, "F", ""}, /* so it is where nobody has looked */
        {5102, "G", "waits"},
        {9000, "H", "waits"}, /* late, but not forgotten */
        {9000, NULL, "192.0.2.7 G,H 2"},
    };
    struct journal_repeats *r = made();

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *told_now = rows[i].case_id
                                   ? (add_case(r, rows[i].case_id, rows[i].at_ms) ? "waits" : "")
                                   : told(journal_repeats_due(r, rows[i].at_ms));
        if (strcmp(told_now, rows[i].told) != 0) {
            fail_msg("row %zu: \"%s\" instead of \"%s\"", i, told_now, rows[i].told);
        }
    }
    assert_int_equal(journal_repeats_next_ms(r), 9000 + WAIT);
    assert_null(journal_repeats_due(r, 9000 + WAIT));
    assert_true(journal_repeats_next_ms(r) == INT64_MAX);
    journal_repeats_free(r);
}

/* The second line differs from the first in one thing: does it wait for it? */
static void test_what_is_alike(void **state)
{
    static const struct conf_class other = {
        .name = "other", .limit[LIMIT_SESSIONS] = {2, {{30, 60000000}, {500, 86400000000}}}};
    static const struct conf_class reloaded = {
        .name = "ordinary", .limit[LIMIT_SESSIONS] = {1, {{31, 60000000}}}};
    static const struct conf_class slower = {
        .name = "ordinary", .limit[LIMIT_SESSIONS] = {1, {{30, 3600000000}}}};
    static const struct conf_class same = {
        .name = "ordinary", .limit[LIMIT_SESSIONS] = {1, {{30, 60000000}}}};
    const struct {
        const char *words;
        bool alike, end;          /* the second one is a session's end */
        struct journal_line line; /* what is not 0 of it is put in */
    } rows[] = {
        {"the same", true, false, {.id = NULL}},
        {"another subscriber", false, false, {.id = "192.0.2.8"}},
        {"another class", false, false, {.class = &other}},
        {"the class after a reload, of another rate", false, false, {.class = &reloaded}},
        {"the class after a reload, of another period", false, false, {.class = &slower}},
        {"the class after a reload, of the same rate", true, false, {.class = &same}},
        {"a session that carried nothing", false, true, {.id = NULL}},
        {"another action",
         false,
         false,
         {.verdict = {.action = VERDICT_REFUSE, .rule = RULE_LIMIT}}},
        {"another rule", false, false, {.verdict = {.action = VERDICT_DEFER, .rule = RULE_CLASS}}},
        {"another limit",
         false,
         false,
         {.verdict = {.action = VERDICT_DEFER, .rule = RULE_LIMIT, .limit = LIMIT_MESSAGES}}},
        {"another window",
         false,
         false,
         {.verdict = {.action = VERDICT_DEFER, .rule = RULE_LIMIT, .window = 1}}},
        {"another cost",
         false,
         false,
         {.verdict = {.action = VERDICT_DEFER, .rule = RULE_LIMIT, .cost = 10}}},
        {"in shadow mode",
         false,
         false,
         {.verdict = {.rule = RULE_LIMIT, .shadow = true, .would = VERDICT_DEFER}}},
        {"another time to wait",
         true,
         false,
         {.verdict = {.action = VERDICT_DEFER, .rule = RULE_LIMIT, .retry_after_s = 5}}},
        {"another address of the unit", true, false, {.client.addr = {6, {[7] = 1, [8] = 2}}}},
        {"another unit", false, false, {.client.addr = {6, {[6] = 1}}}},
        {"another server, sender, recipient, HELO and detail",
         true,
         false,
         {.server = {.port = 25}, .helo = "h", .from = "f", .to = "t", .detail = "d"}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct journal_repeats *r = made();
        struct journal_line line = refusal("192.0.2.7", "A"), second = line;

        line.client.addr.family = ADDR_IPV6;
        assert_false(add(r, &line, 5));
        second.event = rows[i].end ? JOURNAL_SESSION : JOURNAL_REFUSAL;
        second.id = rows[i].line.id ? rows[i].line.id : second.id;
        second.class = rows[i].line.class ? rows[i].line.class : second.class;
        second.verdict =
            rows[i].line.verdict.rule != RULE_NONE ? rows[i].line.verdict : second.verdict;
        second.server = rows[i].line.server;
        second.client = rows[i].line.client;
        second.client.addr.family = ADDR_IPV6;
        second.helo = rows[i].line.helo;
        second.from = rows[i].line.from;
        second.to = rows[i].line.to;
        second.detail = rows[i].line.detail;
        if (add(r, &second, 6) != rows[i].alike) {
            fail_msg("%s", rows[i].words);
        }
        /* Whatever it is, it opens a kind of its own. */
        assert_true(add(r, &second, 7));
        assert_true(add(r, &line, 8));
        journal_repeats_free(r);
    }
}

/* Nothing that was transferred is put together with anything. */
static void test_what_never_waits(void **state)
{
    static const struct dialog_record mail = {.messages = 1}, rcpt = {.recipients = 1}, none,
                                      unread = {.opaque = true}, tls = {.tls = true};
    static const struct turns turns;
    static const char long_id[] =
        "0123456789012345678901234567890123456789012345678901234567890123";
    const struct {
        const char *words;
        bool waits;
        struct journal_line line;
    } rows[] = {
        {"a denied session", true, {.event = JOURNAL_SESSION, .dialog = &none}},
        {"... without a dialog", true, {.event = JOURNAL_SESSION}},
        {"... that heard something", true, {.event = JOURNAL_SESSION, .bytes_down = 100}},
        {"a session with a message", false, {.event = JOURNAL_SESSION, .dialog = &mail}},
        {"a session with a recipient", false, {.event = JOURNAL_SESSION, .dialog = &rcpt}},
        {"a session that said little",
         true,
         {.event = JOURNAL_SESSION, .dialog = &none, .bytes_up = JOURNAL_REPEAT_BYTES}},
        {"... and more",
         false,
         {.event = JOURNAL_SESSION, .dialog = &none, .bytes_up = JOURNAL_REPEAT_BYTES + 1}},
        {"... little, and a message",
         false,
         {.event = JOURNAL_SESSION, .dialog = &mail, .bytes_up = 1}},
        {"... encrypted",
         false,
         {.event = JOURNAL_SESSION, .dialog = &none, .bytes_up = 1, .turns = &turns}},
        {"... behind STARTTLS", false, {.event = JOURNAL_SESSION, .dialog = &tls, .bytes_up = 1}},
        {"... that nobody has read",
         false,
         {.event = JOURNAL_SESSION, .dialog = &unread, .bytes_up = 1}},
        {"... without a dialog", false, {.event = JOURNAL_SESSION, .bytes_up = 1}},
        {"a passed session without a word", true, {.event = JOURNAL_SESSION, .dialog = &unread}},
        {"a refusal within a mail",
         true,
         {.event = JOURNAL_REFUSAL, .dialog = &mail, .bytes_up = 9}},
        {"a refusal that forwards", false, {.event = JOURNAL_REFUSAL, .verdict.rule = RULE_CLASS}},
        {"one of nobody", false, {.event = JOURNAL_REFUSAL, .id = ""}},
        {"one of a name without room", false, {.event = JOURNAL_REFUSAL, .id = long_id}},
        {"a case without room", false, {.event = JOURNAL_REFUSAL, .case_id = "01234567890"}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct journal_repeats *r = made();
        struct journal_line line = rows[i].line;

        line.id = !line.id ? "192.0.2.7" : line.id[0] ? line.id : NULL;
        line.case_id = line.case_id ? line.case_id : "0123456789";
        line.class = &ordinary;
        line.verdict = line.verdict.rule != RULE_NONE ? line.verdict : over_sessions;
        assert_false(add(r, &line, 5));
        if (add(r, &line, 6) != rows[i].waits) {
            fail_msg("%s", rows[i].words);
        }
        journal_repeats_free(r);
    }
}

/* Sessions by turns are listed once each; of more than there is room for the first ones and the
 * last. */
static void test_cases(void **state)
{
    struct journal_repeats *r = made();
    const struct journal_repeat *repeat;
    char name[CASE_TEXT];

    (void)state;
    assert_false(add_case(r, "first", 0));
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(add_case(r, i % 2 ? "odd" : "even", 1));
        assert_null(journal_repeats_due(r, 1));
    }
    for (unsigned i = 2; i < JOURNAL_REPEAT_CASES + 10; i++) {
        assert_null(journal_repeats_due(r, 2));
        snprintf(name, sizeof(name), "case%u", i);
        assert_true(add_case(r, name, 2));
    }
    repeat = journal_repeats_due(r, WAIT);
    assert_non_null(repeat);
    assert_int_equal(repeat->times, 1000 + JOURNAL_REPEAT_CASES + 8);
    assert_int_equal(repeat->case_count, JOURNAL_REPEAT_CASES);
    assert_int_equal(repeat->since_ms, 1700000000001);
    assert_string_equal(repeat->cases[0], "even");
    assert_string_equal(repeat->cases[JOURNAL_REPEAT_CASES - 2], "case62");
    assert_string_equal(repeat->cases[JOURNAL_REPEAT_CASES - 1], "case73");
    assert_true(span_equal(repeat->line, SPAN_LITERAL("{\"case\":\"case73\"}")));
    assert_null(journal_repeats_due(r, WAIT));
    assert_true(add_case(r, "case73", WAIT + 1));
    assert_null(journal_repeats_due(r, 2 * WAIT - 1));
    assert_string_equal(told(journal_repeats_due(r, 2 * WAIT)), "192.0.2.7 case73 1");
    journal_repeats_free(r);
}

static struct endpoint server(unsigned number)
{
    return (struct endpoint){
        .addr = {ADDR_IPV4, {198, 51, (uint8_t)(number >> 8), (uint8_t)number}}, .port = 25};
}

static bool add_server(struct journal_repeats *r, struct endpoint to)
{
    struct journal_line line = refusal("192.0.2.7", "A");

    line.server = to;
    return add(r, &line, 1);
}

/* Whom a scanner asks is kept like the cases: each once, the first ones and the last. */
static void test_servers(void **state)
{
    struct journal_repeats *r = made();
    const struct endpoint other_port = {.addr = server(0).addr, .port = 26};
    const struct journal_repeat *repeat;

    (void)state;
    assert_false(add_server(r, server(1000)));
    assert_true(add_server(r, (struct endpoint){.port = 25})); /* of no address */
    repeat = journal_repeats_due(r, WAIT + 1);
    assert_non_null(repeat);
    assert_int_equal(repeat->server_count, 0);

    for (unsigned i = 0; i < 100; i++) {
        assert_true(add_server(r, i % 2 ? server(0) : other_port));
    }
    for (unsigned i = 1; i < JOURNAL_REPEAT_SERVERS + 10; i++) {
        assert_true(add_server(r, server(i)));
    }
    repeat = journal_repeats_due(r, 2 * WAIT + 1);
    assert_non_null(repeat);
    assert_int_equal(repeat->server_count, JOURNAL_REPEAT_SERVERS);
    assert_true(endpoint_equal(&repeat->servers[0], &other_port));
    for (unsigned i = 1; i < JOURNAL_REPEAT_SERVERS - 1; i++) {
        const struct endpoint expected = server(i - 1);
        assert_true(endpoint_equal(&repeat->servers[i], &expected));
    }
    const struct endpoint last = server(JOURNAL_REPEAT_SERVERS + 9);
    assert_true(endpoint_equal(&repeat->servers[JOURNAL_REPEAT_SERVERS - 1], &last));

    /* The next entry begins anew. */
    assert_true(add_server(r, server(7)));
    repeat = journal_repeats_due(r, 3 * WAIT + 1);
    assert_non_null(repeat);
    assert_int_equal(repeat->server_count, 1);
    journal_repeats_free(r);
}

/* The first one's time, but none later than the newest's: somebody has set the clock back. */
static void test_since(void **state)
{
    static const struct {
        int64_t first_ms, between_ms, newest_ms, since_ms;
    } rows[] = {{100, 200, 300, 100}, {300, 200, 100, 100}, {100, 50, 300, 100}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct journal_repeats *r = made();
        struct journal_line line = refusal("192.0.2.7", "A");

        assert_false(add(r, &line, 0));
        line.time_ms = rows[i].first_ms;
        assert_true(add(r, &line, 1));
        line.time_ms = rows[i].between_ms;
        assert_true(add(r, &line, 2));
        line.time_ms = rows[i].newest_ms;
        assert_true(add(r, &line, 3));
        const struct journal_repeat *repeat = journal_repeats_due(r, WAIT);
        assert_non_null(repeat);
        assert_int_equal(repeat->since_ms, rows[i].since_ms);
        journal_repeats_free(r);
    }
}

/* A steady flood: an entry a second, however fast it is. */
static void test_a_flood(void **state)
{
    static const struct {
        unsigned lines_a_ms, lines_a_case, entries;
    } rows[] = {{1, 1, 9}, {1, 1000, 9}, {50, 500000, 9}, {50, 1, 9}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct journal_repeats *r = made();
        unsigned lines = 0, at_once = 0, entries = 0;
        uint64_t times = 0;
        char name[CASE_TEXT];

        for (int64_t now_ms = 0; now_ms < 10000; now_ms++) {
            for (unsigned n = 0; n < rows[i].lines_a_ms; n++) {
                snprintf(name, sizeof(name), "%u", lines++ / rows[i].lines_a_case);
                at_once += !add_case(r, name, now_ms);
                for (const struct journal_repeat *e; (e = journal_repeats_due(r, now_ms));) {
                    entries++;
                    times += e->times;
                }
            }
        }
        assert_int_equal(at_once, 1);
        assert_in_range(entries, rows[i].entries - 1, rows[i].entries + 1);
        for (const struct journal_repeat *e; (e = journal_repeats_any(r, 10000));) {
            times += e->times;
        }
        assert_int_equal(times + at_once, lines);
        journal_repeats_free(r);
    }
}

/* Of one subscriber nothing overtakes what is older; others' lines stay where they are. */
static void test_order(void **state)
{
    struct journal_repeats *r = made();
    struct journal_line denied = refusal("192.0.2.7", "A"), ended = denied,
                        neighbour = refusal("192.0.2.8", "N");

    (void)state;
    ended.event = JOURNAL_SESSION;
    assert_false(add(r, &denied, 0));
    assert_false(add(r, &ended, 10));
    assert_false(add(r, &neighbour, 20));
    assert_true(add(r, &ended, 30));
    assert_true(add(r, &denied, 40));
    assert_true(add(r, &neighbour, 50));
    ended.case_id = "B";

    /* `denied` is due first, `ended` has the older line. */
    assert_null(journal_repeats_due(r, WAIT - 1));
    assert_string_equal(told(journal_repeats_due(r, WAIT)), "192.0.2.7 A 1");
    assert_true(add(r, &ended, WAIT));
    assert_string_equal(told(journal_repeats_due(r, WAIT)), "192.0.2.7 A 1");
    assert_null(journal_repeats_due(r, WAIT));

    /* Something else of this subscriber goes out at once. */
    assert_true(add(r, &denied, WAIT + 1));
    assert_string_equal(told(journal_repeats_of(r, "192.0.2.7", WAIT + 2)), "192.0.2.7 B 1");
    assert_string_equal(told(journal_repeats_of(r, "192.0.2.7", WAIT + 2)), "192.0.2.7 A 1");
    assert_null(journal_repeats_of(r, "192.0.2.7", WAIT + 2));
    assert_null(journal_repeats_of(r, "192.0.2.9", WAIT + 2));
    assert_true(add(r, &denied, WAIT + 3));
    assert_string_equal(told(journal_repeats_any(r, WAIT + 4)), "192.0.2.8 N 1");
    assert_string_equal(told(journal_repeats_any(r, WAIT + 4)), "192.0.2.7 A 1");
    assert_null(journal_repeats_any(r, WAIT + 4));
    journal_repeats_free(r);
}

/* Without room lines go out at once; who floods keeps his place, and others get one in time. */
static void test_bounded(void **state)
{
    struct journal_repeats *r = made();
    char id[32];

    (void)state;
    for (unsigned i = 0; i < 2 * JOURNAL_REPEAT_KINDS; i++) {
        snprintf(id, sizeof(id), "line-%u", i);
        struct journal_line line = refusal(id, "A");
        assert_false(add(r, &line, i));
    }
    for (unsigned i = 0; i < 2 * JOURNAL_REPEAT_KINDS; i++) {
        snprintf(id, sizeof(id), "line-%u", i);
        struct journal_line line = refusal(id, "B");
        assert_int_equal(add(r, &line, 600), i < JOURNAL_REPEAT_KINDS);
    }
    struct journal_line late = refusal("late", "A"), first = refusal("line-0", "C");
    assert_false(add(r, &late, 700));
    assert_false(add(r, &late, 700));
    for (int64_t now_ms = 700; now_ms < 4000; now_ms += 100) {
        assert_true(add(r, &first, now_ms));
        while (journal_repeats_due(r, now_ms)) {
        }
    }
    assert_false(add(r, &late, 4000));
    assert_true(add(r, &late, 4000));
    journal_repeats_free(r);
}

static void test_long_lines(void **state)
{
    struct journal_repeats *r = made();
    struct journal_line line = refusal("192.0.2.7", "A");
    char *text = malloc(JOURNAL_REPEAT_LINE + 1);

    (void)state;
    assert_non_null(text);
    memset(text, 'x', JOURNAL_REPEAT_LINE + 1);
    assert_false(add(r, &line, 0));
    assert_true(add(r, &line, 1));
    assert_true(add_text(r, &line, (struct span){text, JOURNAL_REPEAT_LINE}, 2));
    assert_false(add_text(r, &line, (struct span){text, JOURNAL_REPEAT_LINE + 1}, 3));
    const struct journal_repeat *repeat = journal_repeats_of(r, "192.0.2.7", 3);
    assert_non_null(repeat);
    assert_int_equal(repeat->times, 2);
    assert_true(span_equal(repeat->line, (struct span){text, JOURNAL_REPEAT_LINE}));
    free(text);
    journal_repeats_free(r);
}

/* As text: three keys behind those of the line, or four, or none. */
static void test_text(void **state)
{
    static const char cases[2][CASE_TEXT] = {"CWF5T8D795", "0123456789"};
    const struct endpoint servers[2] = {
        {.addr = {ADDR_IPV6, {0x20, 0x01, 0x0d, 0xb8}}, .port = 25}, server(9)};
    struct journal_repeat repeat = {
        .line = SPAN_LITERAL("{\"time\":\"x\",\"case\":\"0123456789\",\"detail\":\"}\"}"),
        .times = 1,
        .since_ms = 1700000000007,
        .cases = cases,
        .case_count = 2};
    char *array = malloc(JOURNAL_ENTRY);

    (void)state;
    assert_non_null(array);
    assert_true(span_equal(journal_format_repeat(&repeat, array), repeat.line));
    repeat.times = 57;
    assert_true(span_equal(
        journal_format_repeat(&repeat, array),
        SPAN_LITERAL("{\"time\":\"x\",\"case\":\"0123456789\",\"detail\":\"}\",\"times\":57,"
                     "\"since\":\"2023-11-14T22:13:20.007Z\","
                     "\"cases\":[\"CWF5T8D795\",\"0123456789\"]}")));
    repeat.servers = servers;
    repeat.server_count = 1;
    assert_null(memmem(
        journal_format_repeat(&repeat, array).at, journal_format_repeat(&repeat, array).len,
        "servers", 7));
    repeat.server_count = 2;
    assert_true(span_equal(
        journal_format_repeat(&repeat, array),
        SPAN_LITERAL("{\"time\":\"x\",\"case\":\"0123456789\",\"detail\":\"}\",\"times\":57,"
                     "\"since\":\"2023-11-14T22:13:20.007Z\","
                     "\"cases\":[\"CWF5T8D795\",\"0123456789\"],"
                     "\"servers\":[\"[2001:db8::]:25\",\"198.51.0.9:25\"]}")));
    free(array);
}

/* What has most to say still is JSON: as many cases and servers as there can be, each as odd or
 * long as it can be. */
static void test_longest_text(void **state)
{
    static char cases[JOURNAL_REPEAT_CASES][CASE_TEXT];
    static struct endpoint servers[JOURNAL_REPEAT_SERVERS];
    char *line = malloc(JOURNAL_REPEAT_LINE + 1), *array = malloc(JOURNAL_ENTRY);
    struct journal_repeat repeat = {
        .line = {line, JOURNAL_REPEAT_LINE},
        .times = UINT64_MAX / 2,
        .since_ms = INT64_MAX,
        .cases = (const char(*)[CASE_TEXT])cases,
        .case_count = JOURNAL_REPEAT_CASES,
        .servers = servers,
        .server_count = JOURNAL_REPEAT_SERVERS};

    (void)state;
    assert_non_null(line);
    assert_non_null(array);
    snprintf(line, JOURNAL_REPEAT_LINE + 1, "{\"x\":\"%0*d\"}", JOURNAL_REPEAT_LINE - 8, 0);
    for (size_t i = 0; i < JOURNAL_REPEAT_CASES; i++) {
        memset(cases[i], '\\', CASE_TEXT - 1);
    }
    for (size_t i = 0; i < JOURNAL_REPEAT_SERVERS; i++) {
        servers[i] = (struct endpoint){.addr.family = ADDR_IPV6, .port = UINT16_MAX};
        memset(servers[i].addr.bytes, 0xff, sizeof(servers[i].addr.bytes));
    }
    struct span text = journal_format_repeat(&repeat, array);
    json_t *json = json_loadb(text.at, text.len, 0, NULL);
    assert_non_null(json);
    assert_int_equal(json_array_size(json_object_get(json, "cases")), JOURNAL_REPEAT_CASES);
    assert_int_equal(json_array_size(json_object_get(json, "servers")), JOURNAL_REPEAT_SERVERS);
    json_decref(json);
    free(line);
    free(array);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_course_of_a_kind),
        cmocka_unit_test(test_what_is_alike),
        cmocka_unit_test(test_what_never_waits),
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_servers),
        cmocka_unit_test(test_since),
        cmocka_unit_test(test_a_flood),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_longest_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
