#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "svc/journal.h"

/* Redis as the journal sees it: redis_call() alone. */
static struct {
    bool up;
    unsigned calls;
    char words[2][4096]; /* of the last calls, with blanks between */
} fake;

int redis_call(
    struct redis *r, const struct span *words, size_t count, uint32_t deadline_ms,
    redis_reply_cb reply, void *context, uint64_t ticket)
{
    struct text text;

    (void)context;
    (void)ticket;
    assert_non_null(r);
    assert_null(reply);
    assert_true(deadline_ms > 0);
    if (!fake.up) {
        return -1;
    }
    text_init(&text, fake.words[fake.calls % 2], sizeof(fake.words[0]));
    for (size_t i = 0; i < count; i++) {
        text_addf(&text, i ? " " : "");
        text_add(&text, words[i]);
    }
    fake.calls++;
    return 0;
}

struct fixture {
    char folder[32];
    char file[64];
    struct conf conf;
    struct conf_class class;
    struct dialog_record dialog;
    struct turns turns;
    struct journal_line line;
    struct metrics metrics;
};

static struct endpoint endpoint(const char *text)
{
    struct endpoint e;

    assert_true(endpoint_parse(span_of(text), &e));
    return e;
}

static int make_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f) {
        return -1;
    }
    strcpy(f->folder, "/tmp/gate25-journal-XXXXXX");
    if (!mkdtemp(f->folder)) {
        free(f);
        return -1;
    }
    snprintf(f->file, sizeof(f->file), "%s/journal", f->folder);
    f->conf = (struct conf){
        .journal_file = f->file,
        .journal_keep_s = 3600,
        .node = "gate1",
        .redis.deadline_ms = 50,
        .references = 1};
    f->class = (struct conf_class){
        .name = "ordinary", .action = ACTION_METER, .limit[LIMIT_MESSAGES] = {1, {{10, 60000000}}}};
    f->dialog = (struct dialog_record){.messages = 3, .recipients = 4, .tls = true};
    f->turns = (struct turns){.count = 9, .least = 3, .used = 15, .up = 5000};
    f->line = (struct journal_line){
        .event = JOURNAL_REFUSAL,
        .turns = &f->turns,
        .time_ms = 1700000000007,
        .case_id = "0123456789",
        .id = "192.0.2.7",
        .client = endpoint("192.0.2.7:40000"),
        .server = endpoint("[2001:db8::25]:25"),
        .class = &f->class,
        .verdict =
            {.action = VERDICT_DEFER,
             .rule = RULE_LIMIT,
             .limit = LIMIT_MESSAGES,
             .retry_after_s = 6},
        .dialog = &f->dialog,
        .helo = "pc.example",
        .from = "a@b.example",
        .to = "c@d.example",
        .bytes_up = 5000000000,
        .bytes_down = 12,
        .duration_ms = 1234,
        .detail = "why"};
    memset(&fake, 0, sizeof(fake));
    *state = f;
    return 0;
}

static int drop_fixture(void **state)
{
    struct fixture *f = *state;

    unlink(f->file);
    rmdir(f->folder);
    free(f);
    return 0;
}

static uint64_t dropped(struct fixture *f)
{
    return metrics_total(&f->metrics, 1, METRIC_JOURNAL_DROPPED);
}

static json_t *formatted(const struct fixture *f)
{
    char *text = journal_format(&f->conf, &f->line);
    json_t *json;

    assert_non_null(text);
    assert_int_equal(strcspn(text, "\n"), strlen(text) - 1);
    json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    assert_non_null(json);
    return json;
}

/* The string under `key`; "null" for null, "absent" without the key. */
static void assert_text(const struct fixture *f, const char *key, const char *expected)
{
    json_t *json = formatted(f);
    const json_t *value = json_object_get(json, key);
    const char *text = !value ? "absent" : json_is_null(value) ? "null" : json_string_value(value);

    assert_non_null(text);
    assert_string_equal(text, expected);
    json_decref(json);
}

static void test_whole_line(void **state)
{
    struct fixture *f = *state;
    char *text = journal_format(&f->conf, &f->line);

    assert_string_equal(
        text,
        "{\"time\":\"2023-11-14T22:13:20.007Z\",\"event\":\"refusal\",\"case\":\"0123456789\","
        "\"id\":\"192.0.2.7\",\"client\":\"192.0.2.7:40000\",\"server\":\"[2001:db8::25]:25\","
        "\"class\":\"ordinary\",\"verdict\":\"defer\",\"rule\":\"messages:10/1m\","
        "\"retry_after_s\":6,\"helo\":\"pc.example\",\"from\":\"a@b.example\",\"messages\":3,"
        "\"recipients\":4,\"bytes_up\":5000000000,\"bytes_down\":12,\"tls\":true,"
        "\"turns\":9,\"messages_least\":3,\"messages_most\":5,\"duration_ms\":1234,\"spf\":null,"
        "\"spf_helo\":null,"
        "\"node\":\"gate1\",\"to\":\"c@d.example\",\"detail\":\"why\"}\n");
    free(text);
}

/* Of a limit that was reached for what SPF says. */
static void test_cost(void **state)
{
    struct fixture *f = *state;

    f->line.verdict.cost = 4;
    char *text = journal_format(&f->conf, &f->line);
    assert_non_null(strstr(text, "\"to\":\"c@d.example\",\"cost\":4,\"detail\":\"why\"}\n"));
    free(text);
}

static void test_bare_line(void **state)
{
    struct fixture *f = *state;
    char *text;

    f->line = (struct journal_line){.event = JOURNAL_SESSION, .case_id = "X"};
    text = journal_format(&f->conf, &f->line);
    assert_string_equal(
        text,
        "{\"time\":\"1970-01-01T00:00:00.000Z\",\"event\":\"session\",\"case\":\"X\",\"id\":null,"
        "\"client\":null,\"server\":null,\"class\":null,\"verdict\":\"forward\",\"rule\":null,"
        "\"retry_after_s\":null,\"helo\":null,\"from\":null,\"messages\":0,\"recipients\":0,"
        "\"bytes_up\":0,\"bytes_down\":0,\"tls\":false,\"turns\":null,\"messages_least\":null,"
        "\"messages_most\":null,\"duration_ms\":0,\"spf\":null,\"spf_helo\":null,\"node\":"
        "\"gate1\"}\n");
    free(text);
}

static void test_shadow(void **state)
{
    struct fixture *f = *state;
    json_t *json;

    assert_text(f, "shadow", "absent");
    f->line.verdict.shadow = true;
    f->line.verdict.action = VERDICT_FORWARD;
    f->line.verdict.would = VERDICT_REFUSE;
    assert_text(f, "verdict", "refuse");
    json = formatted(f);
    assert_true(json_is_true(json_object_get(json, "shadow")));
    json_decref(json);
}

static void test_envelope_detail(void **state)
{
    static const struct {
        enum envelope_detail detail;
        enum journal_event event;
        const char *mailbox, *from, *to;
    } rows[] = {
        {ENVELOPE_FULL, JOURNAL_REFUSAL, "a@b.example", "a@b.example", "a@b.example"},
        {ENVELOPE_FULL, JOURNAL_SESSION, "a@b.example", "a@b.example", "absent"},
        {ENVELOPE_FULL, JOURNAL_REFUSAL, "", "", "absent"},
        {ENVELOPE_DOMAINS, JOURNAL_REFUSAL, "a@b.example", "b.example", "b.example"},
        {ENVELOPE_DOMAINS, JOURNAL_REFUSAL, "\"a@x\"@b.example", "b.example", "b.example"},
        {ENVELOPE_DOMAINS, JOURNAL_REFUSAL, "postmaster", "", ""},
        {ENVELOPE_DOMAINS, JOURNAL_REFUSAL, "", "", "absent"},
        {ENVELOPE_NONE, JOURNAL_REFUSAL, "a@b.example", "null", "absent"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        f->conf.envelope = rows[i].detail;
        f->line.event = rows[i].event;
        f->line.from = f->line.to = rows[i].mailbox;
        assert_text(f, "from", rows[i].from);
        assert_text(f, "to", rows[i].to);
        assert_text(f, "helo", "pc.example");
    }
}

static void test_hostile_strings(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"plain", "plain"},
        {"a\"b", "a\"b"},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x93\xa7", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x93\xa7"},
        {"\xef\xbf\xbd", "\xef\xbf\xbd"}, /* U+FFFD itself */
        {"a\r\nb", "a\\x0D\\x0Ab"},
        {"\x1b[2J\x7f", "\\x1B[2J\\x7F"},
        {"\\x41", "\\x5Cx41"},
        {"\xc2\x9b", "\\xC2\\x9B"}, /* CSI, the C1 control */
        {"\xc2\xa0", "\xc2\xa0"},
        {"\xff\xfe", "\\xFF\\xFE"},
        {"\xc3", "\\xC3"}, /* cut off */
        {"\xe2\x82", "\\xE2\\x82"},
        {"\xf0\x9f\x93", "\\xF0\\x9F\\x93"},
        {"\xe2\x82"
         "a",
         "\\xE2\\x82"
         "a"},
        {"\xc0\xaf", "\\xC0\\xAF"}, /* overlong */
        {"\xe0\x80\xaf", "\\xE0\\x80\\xAF"},
        {"\xf0\x80\x80\xaf", "\\xF0\\x80\\x80\\xAF"},
        {"\xed\xa0\x80", "\\xED\\xA0\\x80"},          /* a surrogate */
        {"\xf4\x90\x80\x80", "\\xF4\\x90\\x80\\x80"}, /* above U+10FFFF */
        {"\x80", "\\x80"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        f->line.helo = rows[i].in;
        f->line.detail = rows[i].in;
        f->line.id = rows[i].in;
        assert_text(f, "helo", rows[i].out);
        assert_text(f, "detail", rows[i].out);
        assert_text(f, "id", rows[i].out);
    }
}

/* Each byte at each place gives one line of JSON, and what was there can be read from it again. */
static void test_every_byte_comes_back(void **state)
{
    struct fixture *f = *state;

    for (unsigned first = 1; first < 256; first++) {
        for (unsigned second = 1; second < 256; second += 3) {
            const char in[] = {'<', (char)first, (char)second, '\0'};
            char out[sizeof(in)] = "";
            size_t n = 0;
            json_t *json;

            f->line.helo = in;
            json = formatted(f);
            for (const char *p = json_string_value(json_object_get(json, "helo")); *p; n++) {
                char hex[3] = "";

                assert_true(n < sizeof(in) - 1);
                if (*p != '\\') {
                    out[n] = *p++;
                    continue;
                }
                assert_int_equal(p[1], 'x');
                memcpy(hex, p + 2, 2);
                out[n] = (char)strtoul(hex, NULL, 16);
                p += 4;
            }
            assert_memory_equal(in, out, sizeof(in));
            json_decref(json);
        }
    }
}

static size_t read_file(const char *file, char *out, size_t cap)
{
    FILE *stream = fopen(file, "r");
    size_t n;

    assert_non_null(stream);
    n = fread(out, 1, cap - 1, stream);
    out[n] = '\0';
    fclose(stream);
    return n;
}

static void test_file(void **state)
{
    struct fixture *f = *state;
    struct journal *j = journal_new(&f->conf, NULL, &f->metrics);
    char *line = journal_format(&f->conf, &f->line);
    char content[4096];
    struct stat status;

    assert_non_null(j);
    journal_write(j, &f->line);
    journal_write(j, &f->line);
    assert_int_equal(stat(f->file, &status), 0);
    assert_int_equal(status.st_mode & 0137, 0);
    assert_int_equal(read_file(f->file, content, sizeof(content)), 2 * strlen(line));
    assert_memory_equal(content, line, strlen(line));
    assert_string_equal(content + strlen(line), line);
    assert_int_equal(metrics_total(&f->metrics, 1, METRIC_JOURNAL_LINES), 2);
    assert_int_equal(dropped(f), 0);
    journal_free(j);
    assert_int_equal(f->conf.references, 1);
    free(line);
}

static void test_reopen(void **state)
{
    struct fixture *f = *state;
    struct conf other = f->conf;
    struct journal *j = journal_new(&f->conf, NULL, &f->metrics);
    char old[80], content[4096];
    size_t len;

    assert_non_null(j);
    snprintf(old, sizeof(old), "%s.1", f->file);
    journal_write(j, &f->line);
    assert_int_equal(rename(f->file, old), 0);
    journal_write(j, &f->line);
    strcpy(other.node, "another");
    journal_reopen(j, &other);
    assert_int_equal(f->conf.references, 1);
    assert_int_equal(other.references, 2);
    journal_write(j, &f->line);
    len = read_file(old, content, sizeof(content));
    assert_true(len > 0);
    assert_null(strstr(content, "another"));
    assert_true(read_file(f->file, content, sizeof(content)) > len / 2);
    assert_non_null(strstr(content, "another"));

    other.journal_file = NULL;
    journal_reopen(j, &other);
    journal_write(j, &f->line);
    assert_int_equal(dropped(f), 0);
    journal_free(j);
    assert_int_equal(unlink(old), 0);
}

static void test_disk_full(void **state)
{
    struct fixture *f = *state;
    struct journal *j;

    f->conf.journal_file = (char[]){"/dev/full"};
    j = journal_new(&f->conf, NULL, &f->metrics);
    assert_non_null(j);
    journal_write(j, &f->line);
    journal_write(j, &f->line);
    assert_int_equal(dropped(f), 2);
    journal_free(j);
}

/* A line that is written in part does not take the next one with it. */
static void test_torn_line(void **state)
{
    struct fixture *f = *state;
    struct journal *j = journal_new(&f->conf, NULL, &f->metrics);
    char *line = journal_format(&f->conf, &f->line);
    char content[8192];
    struct rlimit before, narrow;
    size_t len = strlen(line);

    assert_non_null(j);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    narrow = (struct rlimit){.rlim_cur = len + 10, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &narrow), 0);
    journal_write(j, &f->line);
    journal_write(j, &f->line);
    journal_write(j, &f->line);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(dropped(f), 2);
    journal_reopen(j, &f->conf);
    journal_write(j, &f->line);
    journal_write(j, &f->line);
    assert_int_equal(dropped(f), 2);
    assert_int_equal(read_file(f->file, content, sizeof(content)), 3 * len + 11);
    assert_memory_equal(content, line, len);
    assert_memory_equal(content + len, line, 10);
    assert_int_equal(content[len + 10], '\n');
    assert_memory_equal(content + len + 11, line, len);
    assert_string_equal(content + 2 * len + 11, line);
    journal_free(j);
    free(line);
}

/* A FIFO nobody reads, one that is full, one whose reader has gone: none of them blocks. */
static void test_fifo(void **state)
{
    struct fixture *f = *state;
    struct journal *j;
    char content[4096];
    uint64_t lost;
    int reader;

    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(mkfifo(f->file, 0600), 0);
    j = journal_new(&f->conf, NULL, &f->metrics);
    assert_non_null(j);
    journal_write(j, &f->line);
    assert_int_equal(dropped(f), 1);

    reader = open(f->file, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    journal_reopen(j, &f->conf);
    journal_write(j, &f->line);
    assert_int_equal(dropped(f), 1);
    assert_true(read(reader, content, sizeof(content)) > 0);
    assert_int_equal(content[0], '{');

    for (unsigned i = 0; i < 100000 && dropped(f) == 1; i++) {
        journal_write(j, &f->line);
    }
    lost = dropped(f);
    assert_int_equal(lost, 2);
    close(reader);
    journal_write(j, &f->line);
    assert_int_equal(dropped(f), lost + 1);
    journal_free(j);
}

static void test_missing_folder(void **state)
{
    struct fixture *f = *state;
    struct journal *j;

    f->conf.journal_file = (char[]){"/nonexistent/gate25/journal"};
    j = journal_new(&f->conf, NULL, &f->metrics);
    assert_non_null(j);
    journal_write(j, &f->line);
    assert_int_equal(dropped(f), 1);
    journal_free(j);
}

static void test_stream(void **state)
{
    struct fixture *f = *state;
    struct redis *redis = (struct redis *)f; /* only passed on */
    char *line = journal_format(&f->conf, &f->line);
    char expected[4096];
    struct journal *j;

    f->conf.journal_file = NULL;
    j = journal_new(&f->conf, redis, &f->metrics);
    assert_non_null(j);
    fake.up = true;
    journal_write(j, &f->line);
    assert_int_equal(fake.calls, 2);
    snprintf(
        expected, sizeof(expected), "XADD g25:log:{192.0.2.7} MAXLEN ~ 1000 * line %.*s",
        (int)strlen(line) - 1, line);
    assert_string_equal(fake.words[0], expected);
    assert_string_equal(fake.words[1], "EXPIRE g25:log:{192.0.2.7} 3600");
    assert_int_equal(dropped(f), 0);

    f->line.id = NULL;
    journal_write(j, &f->line);
    assert_int_equal(fake.calls, 2);
    assert_int_equal(dropped(f), 0);

    f->line.id = "192.0.2.7";
    fake.up = false;
    journal_write(j, &f->line);
    assert_int_equal(dropped(f), 1);
    journal_free(j);
    free(line);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_fixture, drop_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_whole_line),
        TEST(test_cost),
        TEST(test_bare_line),
        TEST(test_shadow),
        TEST(test_envelope_detail),
        TEST(test_hostile_strings),
        TEST(test_every_byte_comes_back),
        TEST(test_file),
        TEST(test_reopen),
        TEST(test_disk_full),
        TEST(test_torn_line),
        TEST(test_fifo),
        TEST(test_missing_folder),
        TEST(test_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
