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
#include <time.h>
#include <unistd.h>

#include "svc/journal.h"
#include "svc/redis_wire.h"

/* Redis as the journal sees it: redis_tell() alone. */
static struct {
    bool up;
    unsigned calls;
    char words[2][4096];  /* of the last calls, with blanks between */
    redis_reply_cb reply; /* of the last XADD */
    void *context;
    uint64_t ticket;
} fake;

int redis_tell(
    struct redis *r, const struct span *words, size_t count, uint32_t deadline_ms,
    redis_reply_cb reply, void *context, uint64_t ticket)
{
    struct text text;

    assert_non_null(r);
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
    if (span_equal(words[0], SPAN_LITERAL("XADD"))) {
        fake.reply = reply;
        fake.context = context;
        fake.ticket = ticket;
    }
    return 0;
}

struct fixture {
    struct event_base *base;
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
    f->base = event_base_new();
    assert_non_null(f->base);
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
    event_base_free(f->base);
    free(f);
    return 0;
}

static uint64_t dropped(struct fixture *f)
{
    return metrics_total(&f->metrics, 1, METRIC_JOURNAL_DROPPED);
}

/* The line as a string on the heap. */
static char *format(const struct fixture *f)
{
    struct buf line = BUF_INIT;

    assert_int_equal(journal_format(&f->conf, &f->line, &line), 0);
    struct span s = buf_span(&line);
    assert_null(memchr(s.at, '\0', s.len));
    char *text = strndup(s.at, s.len);
    buf_clear(&line);
    assert_non_null(text);
    return text;
}

static json_t *formatted(const struct fixture *f)
{
    char *text = format(f);
    json_t *json;

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
    char *text = format(f);

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
    char *text = format(f);
    assert_non_null(strstr(text, "\"to\":\"c@d.example\",\"cost\":4,\"detail\":\"why\"}\n"));
    free(text);
}

static void test_bare_line(void **state)
{
    struct fixture *f = *state;
    char *text;

    f->line = (struct journal_line){.event = JOURNAL_SESSION, .case_id = "X"};
    text = format(f);
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

/* Against the C library: each day of four centuries and more, and times within a day. */
static void test_times(void **state)
{
    struct fixture *f = *state;

    for (int64_t day = 0; day < 500 * 366; day++) {
        int64_t ms = day * 86400000 + day * 7919 % 86400000;
        time_t seconds = (time_t)(ms / 1000);
        char expected[40], all[128];
        struct tm tm;
        char *text;

        f->line.time_ms = ms;
        text = format(f);
        assert_non_null(gmtime_r(&seconds, &tm));
        assert_true(strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S", &tm) > 0);
        snprintf(all, sizeof(all), "{\"time\":\"%s.%03dZ\",", expected, (int)(ms % 1000));
        assert_memory_equal(text, all, strlen(all));
        free(text);
    }
}

/* Texts of their greatest length, of bytes that grow most: the line has room, behind another one.
 */
static void test_longest_line(void **state)
{
    struct fixture *f = *state;
    struct buf lines = BUF_INIT;
    char detail[2000];

    char helo[DIALOG_HELO + 1] = "", from[DIALOG_PATH + 1] = "", to[DIALOG_PATH + 1] = "";
    memset(helo, '\\', DIALOG_HELO);
    memset(from, 1, DIALOG_PATH);
    memset(to, 0xff, DIALOG_PATH);
    f->line.helo = helo;
    f->line.from = from;
    f->line.to = to;
    memset(f->conf.node, 0x7f, sizeof(f->conf.node) - 1);
    memset(detail, '"', sizeof(detail) - 1);
    detail[sizeof(detail) - 1] = '\0';
    f->line.detail = detail;
    f->line.verdict.cost = UINT32_MAX;
    f->line.verdict.retry_after_s = UINT32_MAX;
    f->line.verdict.shadow = true;
    f->line.bytes_up = f->line.bytes_down = INT64_MAX; /* jansson reads no more */
    f->line.duration_ms = INT64_MAX;
    f->turns = (struct turns){.count = UINT32_MAX, .least = UINT32_MAX, .used = 1u << 31};
    char *one = format(f);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(journal_format(&f->conf, &f->line, &lines), 0);
    }
    assert_int_equal(buf_len(&lines), 3 * strlen(one));
    for (unsigned i = 0; i < 3; i++) {
        assert_memory_equal(buf_span(&lines).at + i * strlen(one), one, strlen(one));
    }
    json_t *json = formatted(f);
    assert_int_equal(strlen(json_string_value(json_object_get(json, "detail"))), 1999);
    assert_int_equal(strlen(json_string_value(json_object_get(json, "to"))), 4 * 257);
    json_decref(json);
    buf_clear(&lines);
    free(one);
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

static void write_now(struct journal *j, const struct fixture *f)
{
    journal_write(j, &f->line);
    journal_flush(j);
}

static size_t file_size(const struct fixture *f)
{
    struct stat status;

    assert_int_equal(stat(f->file, &status), 0);
    return (size_t)status.st_size;
}

/* Lines wait for one another, and leave by themselves. */
static void test_gathers(void **state)
{
    struct fixture *f = *state;
    struct journal *j = journal_new(f->base, &f->conf, NULL, &f->metrics);
    char *line = format(f);
    char content[8192];

    assert_non_null(j);
    for (unsigned i = 0; i < 3; i++) {
        journal_write(j, &f->line);
        assert_int_equal(file_size(f), 0);
    }
    event_base_dispatch(f->base); /* until nothing is due */
    assert_int_equal(read_file(f->file, content, sizeof(content)), 3 * strlen(line));
    assert_string_equal(content + 2 * strlen(line), line);
    event_base_dispatch(f->base);
    journal_write(j, &f->line);
    event_base_dispatch(f->base);
    assert_int_equal(file_size(f), 4 * strlen(line));
    assert_int_equal(metrics_total(&f->metrics, 1, METRIC_JOURNAL_LINES), 4);
    assert_int_equal(dropped(f), 0);
    journal_free(j);
    free(line);
}

/* So many that they do not wait for time, which does not pass here. */
static void test_gathers_so_much(void **state)
{
    struct fixture *f = *state;
    struct journal *j = journal_new(f->base, &f->conf, NULL, &f->metrics);
    char *line = format(f);
    size_t lines = JOURNAL_WAIT_MOST / strlen(line) + 1;

    assert_non_null(j);
    for (size_t i = 1; i < lines; i++) {
        journal_write(j, &f->line);
    }
    assert_int_equal(file_size(f), 0);
    journal_write(j, &f->line);
    assert_int_equal(file_size(f), lines * strlen(line));
    journal_write(j, &f->line);
    assert_int_equal(file_size(f), lines * strlen(line));
    journal_free(j); /* nothing is left behind */
    assert_int_equal(file_size(f), (lines + 1) * strlen(line));
    free(line);
}

static void test_file(void **state)
{
    struct fixture *f = *state;
    struct journal *j = journal_new(f->base, &f->conf, NULL, &f->metrics);
    char *line = format(f);
    char content[4096];
    struct stat status;

    assert_non_null(j);
    journal_write(j, &f->line);
    write_now(j, f);
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
    struct journal *j = journal_new(f->base, &f->conf, NULL, &f->metrics);
    char old[80], content[4096];
    char *line = format(f);
    size_t len;

    assert_non_null(j);
    snprintf(old, sizeof(old), "%s.1", f->file);
    journal_write(j, &f->line);
    assert_int_equal(rename(f->file, old), 0);
    journal_write(j, &f->line); /* waits: it goes where it was meant to go */
    strcpy(other.node, "another");
    journal_reopen(j, &other);
    assert_int_equal(f->conf.references, 1);
    assert_int_equal(other.references, 2);
    write_now(j, f);
    len = read_file(old, content, sizeof(content));
    assert_true(len > 0);
    assert_string_equal(content + len / 2, line);
    assert_null(strstr(content, "another"));
    assert_true(read_file(f->file, content, sizeof(content)) > len / 2);
    assert_non_null(strstr(content, "another"));

    other.journal_file = NULL;
    journal_reopen(j, &other);
    journal_write(j, &f->line);
    assert_int_equal(dropped(f), 0);
    journal_free(j);
    free(line);
    assert_int_equal(unlink(old), 0);
}

static void test_disk_full(void **state)
{
    struct fixture *f = *state;
    struct journal *j;

    f->conf.journal_file = (char[]){"/dev/full"};
    j = journal_new(f->base, &f->conf, NULL, &f->metrics);
    assert_non_null(j);
    journal_write(j, &f->line);
    assert_int_equal(dropped(f), 0);
    write_now(j, f);
    assert_int_equal(dropped(f), 2);
    journal_free(j);
}

/* No file grows beyond `bytes`; what the limit was. */
static struct rlimit limit_files(rlim_t bytes)
{
    struct rlimit before;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit narrow = {.rlim_cur = bytes, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &narrow), 0);
    return before;
}

/* A line that is written in part does not take the next one with it. */
static void check_torn_line(
    struct fixture *f, void (*write_line)(struct journal *, const struct fixture *))
{
    struct journal *j = journal_new(f->base, &f->conf, NULL, &f->metrics);
    char *line = format(f);
    char content[8192];
    size_t len = strlen(line);

    assert_non_null(j);
    struct rlimit before = limit_files(len + 10);
    write_line(j, f);
    write_line(j, f);
    write_line(j, f);
    journal_flush(j);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(dropped(f), 2);
    journal_reopen(j, &f->conf);
    write_line(j, f);
    write_line(j, f);
    journal_flush(j);
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

static void test_torn_line(void **state)
{
    check_torn_line(*state, write_now);
}

/* Cut to nothing by whoever rotates it, the file does not begin with the end of a line. */
static void test_torn_and_cut(void **state)
{
    struct fixture *f = *state;
    struct journal *j = journal_new(f->base, &f->conf, NULL, &f->metrics);
    char *line = format(f);
    char content[8192];

    assert_non_null(j);
    struct rlimit before = limit_files(10);
    write_now(j, f);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(dropped(f), 1);
    assert_int_equal(truncate(f->file, 0), 0);
    write_now(j, f);
    assert_int_equal(read_file(f->file, content, sizeof(content)), strlen(line));
    assert_string_equal(content, line);
    journal_free(j);
    free(line);
}

static void write_later(struct journal *j, const struct fixture *f)
{
    journal_write(j, &f->line);
}

static void test_torn_batch(void **state)
{
    check_torn_line(*state, write_later);
}

/* Room for whole lines and no byte more: those are there, the others are lost, nothing is torn. */
static void test_batch_ends_with_a_line(void **state)
{
    struct fixture *f = *state;
    struct journal *j = journal_new(f->base, &f->conf, NULL, &f->metrics);
    char *line = format(f);
    char content[8192];
    size_t len = strlen(line);

    assert_non_null(j);
    struct rlimit before = limit_files(2 * len);
    for (unsigned i = 0; i < 5; i++) {
        journal_write(j, &f->line);
    }
    journal_flush(j);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(dropped(f), 3);
    write_now(j, f);
    assert_int_equal(read_file(f->file, content, sizeof(content)), 3 * len);
    assert_string_equal(content + 2 * len, line);
    journal_free(j);
    free(line);
}

/* Into a FIFO others write, too: a write of more than PIPE_BUF would be mixed with theirs. What
 * has no room is lost in whole lines. */
static void test_fifo_takes_whole_lines(void **state)
{
    struct fixture *f = *state;
    struct journal *j;
    char *line = format(f);
    char content[1024];
    uint64_t lines = 0, written = 1000;
    ssize_t n;

    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(mkfifo(f->file, 0600), 0);
    int reader = open(f->file, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    j = journal_new(f->base, &f->conf, NULL, &f->metrics);
    assert_non_null(j);
    for (uint64_t i = 0; i < written; i++) {
        journal_write(j, &f->line);
    }
    journal_flush(j);
    while ((n = read(reader, content, strlen(line))) > 0) {
        assert_int_equal(n, strlen(line));
        assert_memory_equal(content, line, strlen(line));
        lines++;
    }
    assert_true(lines > 0 && dropped(f) > 0);
    assert_int_equal(lines + dropped(f), written);
    close(reader);
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
    j = journal_new(f->base, &f->conf, NULL, &f->metrics);
    assert_non_null(j);
    write_now(j, f);
    assert_int_equal(dropped(f), 1);

    reader = open(f->file, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    journal_reopen(j, &f->conf);
    write_now(j, f);
    assert_int_equal(dropped(f), 1);
    assert_true(read(reader, content, sizeof(content)) > 0);
    assert_int_equal(content[0], '{');

    for (unsigned i = 0; i < 100000 && dropped(f) == 1; i++) {
        write_now(j, f);
    }
    lost = dropped(f);
    assert_int_equal(lost, 2);
    close(reader);
    write_now(j, f);
    assert_int_equal(dropped(f), lost + 1);
    journal_free(j);
}

static void test_missing_folder(void **state)
{
    struct fixture *f = *state;
    struct journal *j;

    f->conf.journal_file = (char[]){"/nonexistent/gate25/journal"};
    j = journal_new(f->base, &f->conf, NULL, &f->metrics);
    assert_non_null(j);
    write_now(j, f);
    assert_int_equal(dropped(f), 1);
    journal_free(j);
}

static void test_stream(void **state)
{
    struct fixture *f = *state;
    struct redis *redis = (struct redis *)f; /* only passed on */
    char expected[4096];
    struct journal *j;

    f->conf.journal_file = NULL;
    f->line.event = JOURNAL_SESSION; /* of one that carried mail: none waits for another */
    char *line = format(f);
    j = journal_new(f->base, &f->conf, redis, &f->metrics);
    assert_non_null(j);
    fake.up = true;
    journal_write(j, &f->line);
    assert_int_equal(fake.calls, 2);
    snprintf(
        expected, sizeof(expected), "XADD g25:log:{192.0.2.7} MAXLEN ~ 1000 * line %.*s",
        (int)strlen(line) - 1, line);
    assert_string_equal(fake.words[0], expected);
    assert_string_equal(fake.words[1], "EXPIRE g25:log:{192.0.2.7} 3825");
    assert_int_equal(dropped(f), 0);

    /* It lives long enough for the next lines, unless it is another Redis. */
    journal_write(j, &f->line);
    assert_int_equal(fake.calls, 3);
    assert_string_equal(fake.words[0], expected);
    journal_forget(j);
    journal_write(j, &f->line);
    assert_int_equal(fake.calls, 5);
    assert_string_equal(fake.words[0], "EXPIRE g25:log:{192.0.2.7} 3825");
    assert_string_equal(fake.words[1], expected);

    f->line.id = NULL;
    journal_write(j, &f->line);
    assert_int_equal(fake.calls, 5);
    assert_int_equal(dropped(f), 0);

    f->line.id = "192.0.2.7";
    fake.up = false;
    journal_write(j, &f->line);
    assert_int_equal(dropped(f), 1);
    journal_free(j);
    free(line);
}

/* What the journal's last entry has of the repeats: "TIMES CASES SINCE", "" for none. */
static void check_entry(const char *last_case, const char *expected)
{
    const char *line = strstr(fake.words[(fake.calls - 1) % 2], " line {");
    char array[512] = "";
    struct text text;

    assert_non_null(line);
    json_t *o = json_loads(line + 6, 0, NULL);
    assert_non_null(o);
    assert_string_equal(json_string_value(json_object_get(o, "case")), last_case);
    text_init(&text, array, sizeof(array));
    if (json_object_get(o, "times")) {
        text_addf(&text, "%d", (int)json_integer_value(json_object_get(o, "times")));
        for (size_t i = 0; i < json_array_size(json_object_get(o, "cases")); i++) {
            json_t *one = json_array_get(json_object_get(o, "cases"), i);
            text_addf(&text, " %s", json_string_value(one));
        }
        text_addf(&text, " %s", json_string_value(json_object_get(o, "since")));
    }
    assert_string_equal(array, expected);
    json_decref(o);
}

/* Refusals that repeat: one entry in the stream, each line in the file. */
static void test_stream_gathers(void **state)
{
    struct fixture *f = *state;
    struct conf other = f->conf;
    struct journal *j = journal_new(f->base, &f->conf, (struct redis *)f, &f->metrics);
    char *line = format(f);

    assert_non_null(j);
    fake.up = true;
    journal_write(j, &f->line);
    assert_int_equal(fake.calls, 2); /* and its EXPIRE */
    for (unsigned i = 1; i < 5; i++) {
        f->line.time_ms += 10;
        f->line.case_id = i < 4 ? "0000000001" : "0000000002";
        journal_write(j, &f->line);
    }
    assert_int_equal(fake.calls, 2);
    event_base_dispatch(f->base); /* until nothing is due, and the kind forgotten */
    assert_int_equal(fake.calls, 3);
    check_entry("0000000002", "4 0000000001 0000000002 2023-11-14T22:13:20.017Z");
    assert_int_equal(file_size(f), 5 * strlen(line));

    journal_write(j, &f->line);
    assert_int_equal(fake.calls, 4);
    check_entry("0000000002", "");
    f->line.case_id = "0000000003";
    journal_write(j, &f->line);
    f->line.event = JOURNAL_SESSION; /* what waits is older, and goes out before it */
    f->line.case_id = "0000000004";
    assert_int_equal(fake.calls, 4);
    journal_write(j, &f->line);
    assert_int_equal(fake.calls, 6);
    check_entry("0000000004", "");
    assert_non_null(strstr(fake.words[0], "\"case\":\"0000000003\""));
    assert_null(strstr(fake.words[0], "times"));

    /* Who asks for it has it now. */
    f->line.event = JOURNAL_REFUSAL;
    journal_write(j, &f->line);
    assert_int_equal(fake.calls, 6);
    journal_flush(j);
    assert_int_equal(fake.calls, 7);
    journal_write(j, &f->line);
    journal_reopen(j, &other);
    assert_int_equal(fake.calls, 8);
    journal_write(j, &f->line);
    assert_int_equal(fake.calls, 8);
    assert_int_equal(metrics_total(&f->metrics, 1, METRIC_JOURNAL_LINES), 11);
    assert_int_equal(dropped(f), 0);
    journal_free(j);
    assert_int_equal(fake.calls, 10); /* the streams' lives are not known any more */
    free(line);
}

/* Below a standing over a wider prefix many share a stream, and each is shown his own lines. */
static void test_stream_of_many(void **state)
{
    struct fixture *f = *state;
    struct journal *j;

    f->conf.journal_file = NULL;
    f->conf.ipv6_unit = 56;
    f->line.id = "2001:db8::/40";
    f->line.client = endpoint("[2001:db8:0:100::1]:40000");
    j = journal_new(f->base, &f->conf, (struct redis *)f, &f->metrics);
    assert_non_null(j);
    fake.up = true;
    journal_write(j, &f->line);
    f->line.client = endpoint("[2001:db8:0:1ff::2]:40001");
    journal_write(j, &f->line);
    assert_int_equal(fake.calls, 2); /* with its EXPIRE */
    f->line.client = endpoint("[2001:db8:0:200::1]:40000");
    journal_write(j, &f->line);
    assert_int_equal(fake.calls, 4); /* and what was older */
    journal_free(j);
}

/* What is dropped counts as many lines as it stood for. */
static void test_stream_drops(void **state)
{
    struct fixture *f = *state;
    struct journal *j;

    f->conf.journal_file = NULL;
    j = journal_new(f->base, &f->conf, (struct redis *)f, &f->metrics);
    assert_non_null(j);
    for (unsigned i = 0; i < 58; i++) {
        journal_write(j, &f->line);
    }
    assert_int_equal(dropped(f), 1);
    journal_flush(j);
    assert_int_equal(dropped(f), 58);
    assert_int_equal(metrics_total(&f->metrics, 1, METRIC_JOURNAL_LINES), 58);
    journal_free(j);
}

/* Redis has taken the command, and does not carry it out. */
static void test_stream_refuses(void **state)
{
    static const struct {
        const char *bytes;
        uint64_t dropped;
    } rows[] = {
        {"$15\r\n1700000000000-0\r\n", 0},
        {"-OOM command not allowed when used memory > 'maxmemory'.\r\n", 2},
    };
    struct fixture *f = *state;
    struct redis_wire wire = REDIS_WIRE_INIT;
    struct redis_reply *reply;
    struct journal *j = journal_new(f->base, &f->conf, (struct redis *)f, &f->metrics);

    assert_non_null(j);
    assert_int_equal(redis_wire_open(&wire), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fake.up = true;
        journal_write(j, &f->line);
        journal_write(j, &f->line);
        journal_flush(j);
        assert_int_equal(redis_wire_feed(&wire, span_of(rows[i].bytes)), 0);
        assert_int_equal(redis_wire_next(&wire, &reply), 0);
        fake.reply(fake.context, fake.ticket, reply);
        redis_wire_release(reply);
        assert_int_equal(dropped(f), rows[i].dropped);
        fake.reply(fake.context, fake.ticket, NULL); /* nothing is known */
        assert_int_equal(dropped(f), rows[i].dropped);
    }
    redis_wire_fini(&wire);
    journal_free(j);
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
        TEST(test_times),
        TEST(test_longest_line),
        TEST(test_gathers),
        TEST(test_gathers_so_much),
        TEST(test_file),
        TEST(test_reopen),
        TEST(test_disk_full),
        TEST(test_torn_line),
        TEST(test_torn_batch),
        TEST(test_torn_and_cut),
        TEST(test_batch_ends_with_a_line),
        TEST(test_fifo_takes_whole_lines),
        TEST(test_fifo),
        TEST(test_missing_folder),
        TEST(test_stream),
        TEST(test_stream_gathers),
        TEST(test_stream_of_many),
        TEST(test_stream_drops),
        TEST(test_stream_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
