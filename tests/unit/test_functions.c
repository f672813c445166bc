#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <math.h>

#include "core/rate.h"
#include "svc/meter.h"
#include "unit/real_redis.h"

#define DAY       " 86400000000"
#define TWO_DAYS  " 172800000000"
#define SLACK_S   3600.0 /* so long a whole test may take */
#define DECISIONS 20000  /* a round */

struct bench {
    struct real_redis server;
    struct event_base *base;
    struct redis *redis;
};

static int start(void **state)
{
    struct bench *b = calloc(1, sizeof *b);

    *state = b;
    return real_redis_open(&b->server, &b->base, &b->redis, meter_functions) ? 0 : -1;
}

static int stop(void **state)
{
    struct bench *b = *state;

    real_redis_close(&b->server, b->base, b->redis);
    free(b);
    return 0;
}

#define KEYS " 3 g25:meter:{%u} g25:open:{%u} g25:spread:{%u} "

/* A function of scenario `id`, whose keys are its own. */
static const char *fcall(
    struct bench *b, struct real_answer *a, unsigned id, const char *function, const char *words)
{
    return real_redis_ask(
        b->base, b->redis, a, "FCALL gate25_%s" KEYS "%s", function, id, id, id, words);
}

enum { WITHIN = 1, OVER = 2, MOST_STEPS = 9 };

/* One question and what is to come of it. */
struct step {
    const char *words;
    int state, recipients, bytes_over, window;
    double retry_s; /* just after the step before; less by the time that has passed */
};

struct scenario {
    const char *name;
    struct step step[MOST_STEPS];
};

#define SESSION "session 0 0 0 "
#define MESSAGE "envelope 1 0 0 s '' "
#define LAST                                                                                       \
    {                                                                                              \
        NULL, 0, 0, 0, 0, 0                                                                        \
    }

static const struct scenario scenarios[] = {
    {"sessions",
     {{SESSION "s a sessions 2" DAY, WITHIN, 0, 0, 0, 0},
      {SESSION "t a sessions 2" DAY, WITHIN, 0, 0, 0, 0},
      {SESSION "u a sessions 2" DAY, OVER, 0, 0, 1, 43200},
      {SESSION "u a sessions 2" DAY, OVER, 0, 0, 1, 43200},
      LAST}},
    {"all windows or none: the second refuses, the first loses nothing",
     {{MESSAGE "messages 3" DAY " messages 1" TWO_DAYS, WITHIN, 0, 0, 0, 0},
      {MESSAGE "messages 3" DAY " messages 1" TWO_DAYS, OVER, 0, 0, 2, 172800},
      {MESSAGE "messages 3" DAY " messages 1" TWO_DAYS, OVER, 0, 0, 2, 172800},
      {MESSAGE "messages 3" DAY, WITHIN, 0, 0, 0, 0},
      {MESSAGE "messages 3" DAY, WITHIN, 0, 0, 0, 0},
      {MESSAGE "messages 3" DAY, OVER, 0, 0, 1, 28800},
      LAST}},
    {"of two that refuse, the longer one is named",
     {{MESSAGE "messages 1" DAY " messages 1" TWO_DAYS, WITHIN, 0, 0, 0, 0},
      {MESSAGE "messages 1" DAY " messages 1" TWO_DAYS, OVER, 0, 0, 2, 172800},
      {MESSAGE "messages 1" TWO_DAYS " messages 1" DAY, OVER, 0, 0, 1, 172800},
      LAST}},
    {"recipients are granted in part; with a message none is a grant too",
     {{"envelope 1 3 0 s '' messages 9" DAY " recipients 5" DAY, WITHIN, 3, 0, 0, 0},
      {"envelope 1 3 0 s '' messages 9" DAY " recipients 5" DAY, WITHIN, 2, 0, 2, 17280},
      {"envelope 1 3 0 s '' messages 9" DAY " recipients 5" DAY, WITHIN, 0, 0, 2, 51840},
      {"envelope 0 1 0 s '' recipients 5" DAY, OVER, 0, 0, 1, 17280},
      {"envelope 0 99 0 s '' recipients 5" DAY, OVER, 0, 0, 1, 86400},
      LAST}},
    {"recipients: the smaller of two windows",
     {{"envelope 0 9 0 s '' recipients 5" DAY " recipients 3" TWO_DAYS, WITHIN, 3, 0, 2, 172800},
      {"envelope 0 9 0 s '' recipients 5" DAY, WITHIN, 2, 0, 1, 86400},
      LAST}},
    {"without a message, no recipient is granted, none is used",
     {{"envelope 1 5 0 s '' messages 2" DAY " recipients 5" DAY, WITHIN, 5, 0, 0, 0},
      {"envelope 0 1 7 s '' recipients 5" DAY " bytes 10" DAY, OVER, 0, 0, 1, 17280},
      {"envelope 0 0 0 s '' bytes 10" DAY, WITHIN, 0, 0, 0, 0},
      LAST}},
    {"messages refuse, recipients are not used",
     {{"envelope 1 1 0 s '' messages 1" DAY " recipients 3" DAY, WITHIN, 1, 0, 0, 0},
      {"envelope 1 2 0 s '' messages 1" DAY " recipients 3" DAY, OVER, 0, 0, 1, 86400},
      {"envelope 0 2 0 s '' recipients 3" DAY, WITHIN, 2, 0, 0, 0},
      LAST}},
    {"bytes: charged in any case, a debt refuses the next, a checkpoint only tells",
     {{"envelope 1 0 600 s '' messages 2" DAY " bytes 1000" DAY, WITHIN, 0, 0, 0, 0},
      {"envelope 1 0 600 s '' messages 2" DAY " bytes 1000" DAY, OVER, 0, 1, 2, 17280},
      {"checkpoint 0 0 0 s '' bytes 1000" DAY, WITHIN, 0, 1, 1, 17280},
      {SESSION "t a sessions 5" DAY " bytes 1000" DAY, OVER, 0, 1, 2, 17280},
      {MESSAGE "messages 2" DAY, WITHIN, 0, 0, 0, 0},
      {"checkpoint 0 0 9000000000 s '' bytes 1000" DAY, WITHIN, 0, 1, 1, 86400},
      {"checkpoint 0 0 9000000000 s '' bytes 1000" DAY, WITHIN, 0, 1, 1, 86400},
      LAST}},
    {"bytes: used up is not yet a debt",
     {{"envelope 1 0 1000 s '' bytes 1000" DAY, WITHIN, 0, 0, 0, 0},
      {"checkpoint 0 0 0 s '' bytes 1000" DAY, WITHIN, 0, 0, 0, 0},
      LAST}},
    {"content: takes a token or none, and whoever got none may not begin a session before there is "
     "one",
     {{"content 1 0 0 s '' messages 2" DAY, WITHIN, 0, 0, 0, 0},
      {"content 1 0 0 s '' messages 2" DAY, WITHIN, 0, 0, 0, 0},
      {SESSION "t a messages 2" DAY, WITHIN, 0, 0, 0, 0},
      {"content 1 0 0 s '' messages 2" DAY, OVER, 0, 0, 1, 43200},
      {"content 1 0 0 s '' messages 2" DAY, OVER, 0, 0, 1, 43200},
      {SESSION "t a messages 2" DAY, OVER, 0, 0, 1, 43200},
      {SESSION "t a messages 2" TWO_DAYS, WITHIN, 0, 0, 0, 0},
      {SESSION "t a sessions 3" DAY, WITHIN, 0, 0, 0, 0},
      LAST}},
    {"content: byte debt refuses nothing",
     {{"content 1 0 2000 s '' messages 2" DAY " bytes 1000" DAY, WITHIN, 0, 1, 2, 86400},
      {"content 1 0 0 s '' messages 2" DAY " bytes 1000" DAY, WITHIN, 0, 1, 2, 86400},
      {"content 1 0 0 s '' messages 2" DAY " bytes 1000" DAY, OVER, 0, 1, 1, 43200},
      LAST}},
    {"spread: a new destination costs, a known one is free, a refused one leaves nothing",
     {{SESSION "s a spread 2" DAY, WITHIN, 0, 0, 0, 0},
      {SESSION "s b spread 2" DAY, WITHIN, 0, 0, 0, 0},
      {SESSION "s c spread 2" DAY, OVER, 0, 0, 1, 86400},
      {SESSION "s a spread 2" DAY, WITHIN, 0, 0, 0, 0},
      {SESSION "s c spread 9" DAY " spread 2" TWO_DAYS, OVER, 0, 0, 2, 172800},
      {SESSION "s c spread 3" DAY, WITHIN, 0, 0, 0, 0},
      LAST}},
    {"concurrent: slots; one's own is free",
     {{SESSION "s a concurrent 2 0", WITHIN, 0, 0, 0, 0},
      {SESSION "t a concurrent 2 0", WITHIN, 0, 0, 0, 0},
      {SESSION "u a concurrent 2 0", OVER, 0, 0, 1, 60},
      {SESSION "t a concurrent 2 0", WITHIN, 0, 0, 0, 0},
      {"envelope 1 0 0 v '' concurrent 2 0", WITHIN, 0, 0, 0, 0},
      {SESSION "v a concurrent 2 0", WITHIN, 0, 0, 0, 0},
      LAST}},
    {"a session refused by one limit uses nothing of the others",
     {{SESSION "s a sessions 2" DAY " spread 2" DAY " concurrent 1 0", WITHIN, 0, 0, 0, 0},
      {SESSION "t b sessions 2" DAY " spread 2" DAY " concurrent 1 0", OVER, 0, 0, 3, 60},
      {SESSION "t c sessions 2" DAY " spread 2" DAY, WITHIN, 0, 0, 0, 0},
      {SESSION "t d sessions 2" DAY " spread 2" DAY, OVER, 0, 0, 2, 86400},
      {SESSION "u a sessions 2" DAY " spread 2" DAY " concurrent 2 0", OVER, 0, 0, 1, 43200},
      {SESSION "v a concurrent 2 0", WITHIN, 0, 0, 0, 0},
      LAST}},
    {"a session whose envelope is refused is open all the same",
     {{MESSAGE "messages 1" DAY, WITHIN, 0, 0, 0, 0},
      {MESSAGE "messages 1" DAY " concurrent 1 0", OVER, 0, 0, 1, 86400},
      {SESSION "t a concurrent 1 0", OVER, 0, 0, 1, 60},
      LAST}},
    {"messages of a checkpoint are charged; a debt refuses the next session",
     {{"checkpoint 2 0 0 s '' messages 2" DAY, WITHIN, 0, 0, 0, 0},
      {SESSION "s a sessions 9" DAY " messages 2" DAY, WITHIN, 0, 0, 0, 0},
      {"checkpoint 1 0 600 s '' messages 2" DAY " bytes 500" DAY, OVER, 0, 1, 1, 43200},
      {SESSION "t a sessions 9" DAY " messages 2" DAY, OVER, 0, 0, 2, 43200},
      {"checkpoint 0 0 0 s '' bytes 500" DAY, WITHIN, 0, 1, 1, 17280},
      {"checkpoint 9 0 0 s '' messages 2" DAY " messages 99" TWO_DAYS, OVER, 0, 0, 1, 86400},
      LAST}},
    {"no windows",
     {{SESSION "s a", WITHIN, 0, 0, 0, 0},
      {"envelope 1 7 100 s ''", WITHIN, 7, 0, 0, 0},
      {"checkpoint 0 0 100 s ''", WITHIN, 0, 0, 0, 0},
      LAST}},
};

static void test_scenarios(void **state)
{
    struct bench *b = *state;
    struct real_answer a;

    for (unsigned i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        for (const struct step *s = scenarios[i].step; s->words; s++) {
            int window = 0, result = 0, recipients = 0, bytes_over = 0;
            double us = -1;
            fcall(b, &a, i, "take", s->words);
            int n = sscanf(
                a.text, "[%d %d %d %d %lf]", &result, &recipients, &bytes_over, &window, &us);
            bool in_time = s->retry_s > 0 ? us <= s->retry_s * 1e6 &&
                                                us > (s->retry_s - SLACK_S) * 1e6 && us > 0
                                          : us == 0;
            if (n != 5 || result != s->state || recipients != s->recipients ||
                bytes_over != s->bytes_over || window != s->window || !in_time) {
                fail_msg(
                    "%s, step %d: %s\n gives %s", scenarios[i].name,
                    (int)(s - scenarios[i].step) + 1, s->words, a.text);
            }
        }
    }
}

static int64_t ask_number(struct bench *b, const char *command)
{
    struct real_answer a;

    return strtoll(real_redis_ask(b->base, b->redis, &a, "%s", command), NULL, 10);
}

static int64_t redis_time_us(struct bench *b)
{
    struct real_answer a;
    int64_t s = 0, us = 0;

    real_redis_ask(b->base, b->redis, &a, "TIME");
    assert_int_equal(sscanf(a.text, "[%" SCNd64 " %" SCNd64 "]", &s, &us), 2);
    return s * 1000000 + us;
}

/* What is stored, in which form, and for how long. */
static void test_keys(void **state)
{
    struct bench *b = *state;
    struct real_answer a;
    int64_t before = redis_time_us(b);

    fcall(
        b, &a, 7, "take",
        SESSION "slot-1 192.0.2.1 sessions 4" DAY " sessions 1 500000 spread 5" DAY
                " concurrent 5 0");
    int64_t after = redis_time_us(b);
    assert_string_equal(a.text, "[1 0 0 0 0]");
    assert_in_range(
        ask_number(b, "HGET g25:meter:{7} sessions:86400"), before + 21600000000,
        after + 21600000000);
    assert_in_range(
        ask_number(b, "HGET g25:meter:{7} sessions:0.5"), before + 500000, after + 500000);
    assert_in_range(ask_number(b, "ZSCORE g25:spread:{7} 192.0.2.1"), before / 1000, after / 1000);
    assert_in_range(
        ask_number(b, "ZSCORE g25:open:{7} slot-1"), before / 1000 + 900000, after / 1000 + 900000);
    /* As long as they matter, and a part of that longer, so that it need not be seen to each time.
     */
    assert_in_range(
        ask_number(b, "PTTL g25:meter:{7}"), 21600000 - 3600000, 21600000 + 3600000 + 1000);
    assert_in_range(ask_number(b, "PTTL g25:spread:{7}"), 86400000, 86400000 / 4 * 5);
    assert_in_range(ask_number(b, "PTTL g25:open:{7}"), 1, 900000);
    int64_t until_us = ask_number(b, "HGET g25:meter:{7} until") * 1000000;
    assert_in_range(until_us, before + 21600000000 + 3600000000 - 2000000, after + 25200000000);
    assert_true(
        ask_number(b, "PTTL g25:meter:{7}") * 1000 > until_us - redis_time_us(b) - 10000000);

    /* A short window does not shorten the life of the long ones. */
    fcall(b, &a, 7, "take", SESSION "slot-1 192.0.2.1 sessions 9 1000000 spread 5 1000000");
    assert_in_range(
        ask_number(b, "PTTL g25:meter:{7}"), 21600000 - 3600000, 21600000 + 3600000 + 1000);
    assert_in_range(ask_number(b, "PTTL g25:spread:{7}"), 86400000 - 3600000, 86400000 / 4 * 5);
    /* Nothing is limited: nothing is stored. */
    fcall(b, &a, 8, "take", "envelope 1 7 100 slot ''");
    assert_int_equal(ask_number(b, "EXISTS g25:meter:{8} g25:open:{8} g25:spread:{8}"), 0);
    /* Refused: nothing is stored either. */
    fcall(b, &a, 9, "take", SESSION "s x spread 1" DAY);
    fcall(b, &a, 9, "take", SESSION "t y sessions 5" DAY " spread 1" DAY " concurrent 5 0");
    assert_int_equal(ask_number(b, "EXISTS g25:meter:{9} g25:open:{9}"), 0);
    assert_int_equal(ask_number(b, "ZCARD g25:spread:{9}"), 1);
}

/* However often tokens are taken, no key is gone before what it says is. */
static void test_lives(void **state)
{
    struct bench *b = *state;
    struct real_answer a;

    for (int i = 1; i <= 60; i++) {
        fcall(
            b, &a, 1, "take", SESSION "s a sessions 100 360000000 spread 5 3600000 concurrent 5 0");
        int64_t now_us = redis_time_us(b);
        int64_t left_ms = ask_number(b, "PTTL g25:meter:{1}");
        int64_t full_us = ask_number(b, "HGET g25:meter:{1} sessions:360");
        /* A minute for a machine that is busy between the two. */
        assert_true(now_us + left_ms * 1000 >= full_us - 60000000);
        assert_in_range(left_ms, 1, 360000 + 360000 + 2000);
        assert_in_range(ask_number(b, "PTTL g25:open:{1}"), 1, 900000);
    }
    assert_true(ask_number(b, "PTTL g25:meter:{1}") > 180000);
    /* A contact in another eighth of the window lengthens the life. */
    real_redis_ask(b->base, b->redis, &a, "PEXPIRE g25:spread:{1} 60000");
    real_redis_ask(
        b->base, b->redis, &a, "ZADD g25:spread:{1} %lld a",
        (long long)redis_time_us(b) / 1000 - 43200000);
    fcall(b, &a, 1, "take", SESSION "s a spread 5" DAY);
    assert_true(ask_number(b, "PTTL g25:spread:{1}") >= 86400000);
}

/* Commands of Redis that were called so far, those of this test among them. */
static int64_t commands_so_far(struct bench *b)
{
    struct real_answer a;
    const char *at =
        strstr(real_redis_ask(b->base, b->redis, &a, "INFO stats"), "total_commands_processed:");

    assert_non_null(at);
    return strtoll(strchr(at, ':') + 1, NULL, 10);
}

/* What a question costs, once its keys are there. */
static void test_commands(void **state)
{
    static const struct {
        const char *function, *words;
        int most;
    } costs[] = {
        {"take",
         SESSION "s a sessions 900" DAY " messages 900" DAY " bytes 9000" DAY " spread 9" DAY
                 " concurrent 5 0",
         8},
        {"take", "envelope 1 1 9 '' '' messages 900" DAY " recipients 900" DAY " bytes 9000" DAY,
         3},
        {"take", "envelope 0 1 9 '' '' recipients 900" DAY " bytes 9000" DAY, 3},
        {"take_ahead", "2 envelope 1 1 9 '' '' messages 900" DAY " recipients 900" DAY, 3},
        {"leave", "leave 0 0 9 s '' bytes 9000" DAY, 4},
        {"leave", "leave 0 0 0 s ''", 1},
    };
    struct bench *b = *state;
    struct real_answer a;

    for (size_t i = 0; i < sizeof costs / sizeof costs[0]; i++) {
        int64_t least = INT64_MAX;
        /* Once in a while one lengthens the life of a key. */
        for (int j = 0; j < 5; j++) {
            int64_t before = commands_so_far(b);
            fcall(b, &a, 1, costs[i].function, costs[i].words);
            assert_true(a.text[0] != '-');
            int64_t more = commands_so_far(b) - before - 2; /* the call's own, and INFO's */
            least = more < least ? more : least;
        }
        if (least > costs[i].most) {
            fail_msg("%s: %d commands", costs[i].words, (int)least);
        }
    }
}

/* More lists of windows than are kept: each is decided by its own. */
static void test_many_plans(void **state)
{
    struct bench *b = *state;
    struct real_answer a;
    char words[128];

    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 1; i <= 1100; i++) {
            snprintf(words, sizeof words, MESSAGE "messages %u" DAY, i);
            fcall(b, &a, 1000 + i, "take", words);
            bool within = round == 0 || i > 1;
            assert_memory_equal(a.text, within ? "[1 " : "[2 ", 3);
        }
    }
    assert_memory_equal(fcall(b, &a, 1700, "peek", "messages 700" DAY), "[698 ", 5);
}

/* All windows in one argument are the windows that they are one a word. */
static void test_windows_in_one_word(void **state)
{
    struct bench *b = *state;
    struct real_answer a;
    static const char windows[] = "messages 3 86400000000 recipients 5 86400000000";
    const struct span take[] = {
        SPAN_LITERAL("FCALL"),    SPAN_LITERAL("gate25_take"),
        SPAN_LITERAL("1"),        SPAN_LITERAL("g25:meter:{1}"),
        SPAN_LITERAL("envelope"), SPAN_LITERAL("1"),
        SPAN_LITERAL("2"),        SPAN_LITERAL("0"),
        SPAN_LITERAL(""),         SPAN_LITERAL(""),
        SPAN_LITERAL(windows),
    };
    const struct span peek[] = {
        SPAN_LITERAL("FCALL_RO"),      SPAN_LITERAL("gate25_peek"), SPAN_LITERAL("1"),
        SPAN_LITERAL("g25:meter:{1}"), SPAN_LITERAL(windows),
    };

    struct span take_of_less[sizeof take / sizeof take[0]];
    memcpy(take_of_less, take, sizeof take);

    real_redis_ask_words(b->base, b->redis, &a, take, sizeof take / sizeof take[0]);
    assert_string_equal(a.text, "[1 2 0 0 0]");
    fcall(b, &a, 1, "take", "envelope 1 2 0 '' '' messages 3" DAY " recipients 5" DAY);
    assert_string_equal(a.text, "[1 2 0 0 0]");
    real_redis_ask_words(b->base, b->redis, &a, peek, sizeof peek / sizeof peek[0]);
    assert_memory_equal(a.text, "[1 ", 3);
    real_redis_ask_words(b->base, b->redis, &a, take, sizeof take / sizeof take[0]);
    assert_memory_equal(a.text, "[1 1 0 2 ", 9);
    take_of_less[sizeof take / sizeof take[0] - 1] = SPAN_LITERAL("messages 3");
    real_redis_ask_words(b->base, b->redis, &a, take_of_less, sizeof take / sizeof take[0]);
    assert_non_null(strstr(a.text, "windows are KIND COUNT PERIOD_US"));
}

static void test_leave(void **state)
{
    struct bench *b = *state;
    struct real_answer a;

    fcall(b, &a, 1, "take", SESSION "s a concurrent 1 0");
    fcall(b, &a, 1, "take", SESSION "t a concurrent 1 0");
    assert_string_equal(a.text, "[2 0 0 1 60000000]");
    assert_string_equal(fcall(b, &a, 1, "leave", "leave 0 0 2000 s '' bytes 1000" DAY), "1");
    assert_string_equal(fcall(b, &a, 1, "leave", "leave 0 0 0 s '' bytes 1000" DAY), "0");
    fcall(b, &a, 1, "take", SESSION "t a concurrent 1 0");
    assert_string_equal(a.text, "[1 0 0 0 0]");
    fcall(b, &a, 1, "take", "checkpoint 0 0 0 t '' bytes 1000" DAY);
    assert_memory_equal(a.text, "[1 0 1 1 86", 11);
}

/* A slot whose session died with its gate; a destination of long ago. */
static void test_expired_members(void **state)
{
    struct bench *b = *state;
    struct real_answer a;
    int64_t now_ms = redis_time_us(b) / 1000;

    real_redis_ask(b->base, b->redis, &a, "ZADD g25:open:{1} %lld dead", (long long)now_ms - 1);
    fcall(b, &a, 1, "take", SESSION "s a concurrent 1 0");
    assert_string_equal(a.text, "[1 0 0 0 0]");
    assert_int_equal(ask_number(b, "ZCARD g25:open:{1}"), 1);

    real_redis_ask(
        b->base, b->redis, &a, "ZADD g25:spread:{2} %lld old %lld new",
        (long long)now_ms - 86400001, (long long)now_ms - 86400000 / 2);
    fcall(b, &a, 2, "take", SESSION "s x spread 1" DAY);
    assert_memory_equal(a.text, "[2 0 0 1 43", 11);
    fcall(b, &a, 2, "take", SESSION "s x spread 2" DAY);
    assert_string_equal(a.text, "[1 0 0 0 0]");
    assert_int_equal(ask_number(b, "ZCARD g25:spread:{2}"), 2);

    /* Known for the day, new in this minute. */
    real_redis_ask(
        b->base, b->redis, &a, "ZADD g25:spread:{3} %lld x %lld y", (long long)now_ms - 7200000,
        (long long)now_ms);
    fcall(b, &a, 3, "take", SESSION "s x spread 1 3600000000 spread 5" DAY);
    assert_memory_equal(a.text, "[2 0 0 1 3", 10);
    /* The limit was lowered: one leaving is not enough. */
    real_redis_ask(
        b->base, b->redis, &a, "ZADD g25:spread:{4} %lld x %lld y",
        (long long)now_ms - 86400000 / 4 * 3, (long long)now_ms - 86400000 / 2);
    fcall(b, &a, 4, "take", SESSION "s z spread 1" DAY);
    assert_memory_equal(a.text, "[2 0 0 1 43", 11);
}

/* Redis's clock was ahead for a while, and was set back: nobody has more or less than before. */
static void test_clock_set_back(void **state)
{
    struct bench *b = *state;
    struct real_answer a;
    long long now_us = redis_time_us(b);
    long long later_us = now_us + 40 * 86400 * 1000000LL;

    /* One of two messages taken, one session of three, at a time that is still to come. */
    real_redis_ask(
        b->base, b->redis, &a,
        "HSET g25:meter:{1} at %lld messages:86400 %lld sessions:86400 %lld awaited %lld other x",
        later_us, later_us + 43200000000LL, later_us + 28800000000LL, later_us + 5000000);
    real_redis_ask(
        b->base, b->redis, &a, "FCALL_RO gate25_peek" KEYS "%s", 1u, 1u, 1u,
        "messages 2" DAY " sessions 3" DAY);
    assert_memory_equal(a.text, "[1 43200000000 2 28800000000]", 29);
    fcall(b, &a, 1, "take", MESSAGE "messages 2" DAY);
    assert_string_equal(a.text, "[1 0 0 0 0]");
    fcall(b, &a, 1, "take", MESSAGE "messages 2" DAY);
    assert_memory_equal(a.text, "[2 0 0 1 43", 11);
    /* The others have moved with it, what is no time has not. */
    assert_in_range(ask_number(b, "HGET g25:meter:{1} at"), now_us, now_us + 3600000000);
    assert_in_range(
        ask_number(b, "HGET g25:meter:{1} sessions:86400"), now_us + 28800000000,
        now_us + 28800000000 + 3600000000);
    assert_in_range(
        ask_number(b, "HGET g25:meter:{1} awaited"), now_us + 5000000, now_us + 3600000000);
    assert_string_equal(real_redis_ask(b->base, b->redis, &a, "HGET g25:meter:{1} other"), "x");

    /* Contacts and slots are as of now. */
    real_redis_ask(
        b->base, b->redis, &a, "ZADD g25:spread:{1} %lld x %lld y", later_us / 1000,
        later_us / 1000);
    real_redis_ask(
        b->base, b->redis, &a, "ZADD g25:open:{1} %lld t %lld u", later_us / 1000, later_us / 1000);
    fcall(b, &a, 1, "take", SESSION "s z spread 3" DAY " concurrent 3 0");
    assert_string_equal(a.text, "[1 0 0 0 0]");
    fcall(b, &a, 1, "take", SESSION "s q spread 3" DAY);
    assert_memory_equal(a.text, "[2 0 0 1 86", 11);
    fcall(b, &a, 1, "take", SESSION "v z concurrent 3 0");
    assert_string_equal(a.text, "[2 0 0 1 60000000]");
    assert_in_range(
        ask_number(b, "ZSCORE g25:spread:{1} x"), now_us / 1000, now_us / 1000 + 3600000);
    assert_in_range(
        ask_number(b, "ZSCORE g25:open:{1} u"), now_us / 1000, now_us / 1000 + 900000 + 3600000);
}

/* Nothing tells when it was written: a debt of one period is the most that is believed. */
static void test_times_far_ahead(void **state)
{
    struct bench *b = *state;
    struct real_answer a;

    real_redis_ask(
        b->base, b->redis, &a, "HSET g25:meter:{1} messages:86400 %lld",
        (long long)redis_time_us(b) + 40 * 86400 * 1000000LL);
    fcall(b, &a, 1, "take", SESSION "s a messages 2" DAY);
    assert_memory_equal(a.text, "[2 0 0 1 86400000000]", 21);
}

/* What went through elsewhere is charged, up to an empty bucket. */
static void test_settle(void **state)
{
    struct bench *b = *state;
    struct real_answer a;
    int64_t now_ms = redis_time_us(b) / 1000;

    fcall(b, &a, 1, "take", MESSAGE "messages 4" DAY " bytes 1000" DAY);
    real_redis_ask(
        b->base, b->redis, &a,
        "FCALL gate25_settle 2 g25:meter:{1} g25:spread:{1} 86400000000 messages 86400000000 "
        "21600000000 contact 192.0.2.9 7000000 contact 192.0.2.8 1000");
    assert_string_equal(a.text, "OK");
    assert_memory_equal(fcall(b, &a, 1, "peek", "messages 4" DAY), "[2 43", 5);
    assert_int_equal(ask_number(b, "ZCARD g25:spread:{1}"), 2);
    assert_in_range(
        ask_number(b, "ZSCORE g25:spread:{1} 192.0.2.9"), now_ms - 7000, now_ms - 7000 + 3600000);
    assert_in_range(ask_number(b, "PTTL g25:spread:{1}"), 86400000, 86400000 / 4 * 5);
    assert_in_range(
        ask_number(b, "PTTL g25:meter:{1}"), 43200000 - 3600000, 43200000 + 3600000 + 1000);

    /* Far more than there is: the bucket is empty, and in no debt. */
    for (int i = 0; i < 3; i++) {
        real_redis_ask(
            b->base, b->redis, &a,
            "FCALL gate25_settle 1 g25:meter:{1} 0 messages 86400000000 80000000000");
    }
    fcall(b, &a, 1, "take", MESSAGE "messages 4" DAY);
    assert_memory_equal(a.text, "[2 0 0 1 21", 11);
    fcall(b, &a, 1, "take", SESSION "s a messages 4" DAY);
    assert_string_equal(a.text, "[1 0 0 0 0]");
    /* A debt that is here is not lowered. */
    fcall(b, &a, 1, "take", "checkpoint 0 0 1600 s '' bytes 1000" DAY);
    assert_memory_equal(a.text, "[1 0 1 1 51", 11);
    real_redis_ask(
        b->base, b->redis, &a, "FCALL gate25_settle 1 g25:meter:{1} 0 bytes 86400000000 1000");
    fcall(b, &a, 1, "take", "checkpoint 0 0 0 s '' bytes 1000" DAY);
    assert_memory_equal(a.text, "[1 0 1 1 51", 11);
    /* A later contact is not put back. */
    real_redis_ask(
        b->base, b->redis, &a,
        "FCALL gate25_settle 2 g25:meter:{1} g25:spread:{1} 86400000000 contact 192.0.2.8 "
        "90000000");
    assert_in_range(ask_number(b, "ZSCORE g25:spread:{1} 192.0.2.8"), now_ms - 1, now_ms + 3600000);
    assert_int_equal(
        real_redis_ask(b->base, b->redis, &a, "FCALL gate25_settle 1 g25:meter:{1} 0 messages")[0],
        '-');
}

static void test_peek(void **state)
{
    struct bench *b = *state;
    struct real_answer a;
    const char *windows = "messages 4" DAY " bytes 1000" DAY " spread 5" DAY " concurrent 5 0"
                          " recipients 7" DAY;
    long long left[10] = {0};

    assert_string_equal(fcall(b, &a, 1, "peek", windows), "[4 0 1000 0 0 0 0 0 7 0]");
    fcall(b, &a, 1, "take", MESSAGE "messages 4" DAY " concurrent 5 0");
    fcall(b, &a, 1, "take", SESSION "t x spread 5" DAY " concurrent 5 0");
    fcall(b, &a, 1, "take", "checkpoint 0 0 1500 t '' bytes 1000" DAY);
    real_redis_ask(b->base, b->redis, &a, "FCALL_RO gate25_peek" KEYS "%s", 1u, 1u, 1u, windows);
    assert_int_equal(
        sscanf(
            a.text, "[%lld %lld %lld %lld %lld %lld %lld %lld %lld %lld]", &left[0], &left[1],
            &left[2], &left[3], &left[4], &left[5], &left[6], &left[7], &left[8], &left[9]),
        10);
    assert_int_equal(left[0], 3);
    assert_in_range(left[1], 18000000000, 21600000000);
    assert_int_equal(left[2], 0);
    assert_in_range(left[3], 126000000000, 129600000000);
    assert_int_equal(left[4], 1);
    assert_in_range(left[5], 82800000000, 86400000000);
    assert_int_equal(left[6], 2);
    assert_int_equal(left[7], 0);
    assert_int_equal(left[8], 7);
    assert_int_equal(left[9], 0);
}

static void test_errors(void **state)
{
    static const char *const wrong[] = {
        (MESSAGE "messages 2"),     (MESSAGE "messages none" DAY),
        (MESSAGE "messages 0" DAY), ("envelope x 0 0 s '' messages 2" DAY),
        ("envelope 1 0 0"),
    };
    struct bench *b = *state;
    struct real_answer a;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(fcall(b, &a, 1, "take", wrong[i])[0], '-');
    }
    assert_int_equal(ask_number(b, "EXISTS g25:meter:{1}"), 0);
    real_redis_ask(b->base, b->redis, &a, "SET g25:meter:{1} text");
    assert_int_equal(fcall(b, &a, 1, "take", MESSAGE "messages 2" DAY)[0], '-');
}

/* One random decision, and what rate.c says to it. */
struct decision {
    struct rate rate;
    double tat, now;
    uint64_t n;
    bool compared;
};

static uint64_t random_next(uint64_t *seed)
{
    /* xorshift64 */
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static uint64_t random_below(uint64_t *seed, uint64_t bound)
{
    return random_next(seed) % bound;
}

static struct decision random_decision(uint64_t *seed)
{
    static const uint64_t counts[] = {1, 2, 3, 7, 30, 500, 10007, 100000000, 2000000000000};
    static const uint64_t periods[] = {1, 999, 1000000, 60000000, 86400000000, 2592000000000};
    struct decision d = {
        .rate = {counts[random_below(seed, 9)], periods[random_below(seed, 6)]},
        .now = 1.7e15 + (double)random_below(seed, 1000000000000),
    };
    uint64_t span = 4 * d.rate.period_us;

    /* Empty, fuller and fuller, in debt, from a clock that was set back; often just at an edge. */
    d.tat = d.now + (double)random_below(seed, span + 1) - (double)(d.rate.period_us / 4);
    if (random_below(seed, 3) == 0) {
        uint64_t taken = random_below(seed, d.rate.count < 1000 ? d.rate.count + 2 : 1000);
        d.tat = rate_take(&d.rate, 0, d.now, taken) + (double)random_below(seed, 3) - 1;
    }
    d.n = random_below(seed, random_below(seed, 2) ? 4 : 2 * d.rate.count + 2);
    return d;
}

static void on_decision(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct decision *d = context;
    struct span text;
    int64_t available = -1;
    char number[64];

    (void)ticket;
    assert_non_null(reply);
    assert_int_equal(redis_reply_count(reply), 3);
    assert_true(redis_reply_integer(redis_reply_at(reply, 0), &available));
    double expected[] = {
        rate_take(&d->rate, d->tat, d->now, d->n),
        rate_wait_us(&d->rate, d->tat, d->now, d->n),
    };
    bool same = available == (int64_t)rate_available(&d->rate, d->tat, d->now, d->n);
    for (size_t i = 0; i < 2; i++) {
        assert_true(redis_reply_text(redis_reply_at(reply, i + 1), &text));
        snprintf(number, sizeof number, "%.*s", (int)text.len, text.at);
        same = same && strtod(number, NULL) == expected[i];
    }
    if (!same) {
        fail_msg(
            "rate %" PRIu64 "/%" PRIu64 "us, tat %.17g, now %.17g, n %" PRIu64, d->rate.count,
            d->rate.period_us, d->tat, d->now, d->n);
    }
    d->compared = true;
}

static bool last_compared(const void *decisions)
{
    return ((const struct decision *)decisions)[DECISIONS - 1].compared;
}

static void compare_a_round(struct bench *b, struct decision *d, uint64_t *seed)
{
    for (size_t i = 0; i < DECISIONS; i++) {
        char text[5][32];
        d[i] = random_decision(seed);
        snprintf(text[0], sizeof text[0], "%" PRIu64, d[i].rate.count);
        snprintf(text[1], sizeof text[1], "%" PRIu64, d[i].rate.period_us);
        snprintf(text[2], sizeof text[2], "%.17g", d[i].tat);
        snprintf(text[3], sizeof text[3], "%.17g", d[i].now);
        snprintf(text[4], sizeof text[4], "%" PRIu64, d[i].n);
        struct span words[] = {
            SPAN_LITERAL("FCALL_RO"), SPAN_LITERAL("gate25_rate"),
            SPAN_LITERAL("0"),        span_of(text[0]),
            span_of(text[1]),         span_of(text[2]),
            span_of(text[3]),         span_of(text[4]),
        };
        assert_int_equal(redis_call(b->redis, words, 8, 0, on_decision, &d[i], 0), 0);
    }
    assert_true(real_redis_until(b->base, last_compared, d));
}

/* DECISIONS=1000000 in the environment compares so many (make million). */
static void test_same_as_rate(void **state)
{
    const char *wanted = getenv("DECISIONS");
    size_t rounds = wanted ? strtoul(wanted, NULL, 10) / DECISIONS : 1;
    uint64_t seed = 88172645463325252u;

    assert_true(rounds > 0);
    for (size_t i = 0; i < rounds; i++) {
        struct decision *d = calloc(DECISIONS, sizeof *d);

        assert_non_null(d);
        compare_a_round(*state, d, &seed);
        free(d);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_scenarios),
        TEST(test_keys),
        TEST(test_lives),
        TEST(test_commands),
        TEST(test_many_plans),
        TEST(test_leave),
        TEST(test_windows_in_one_word),
        TEST(test_expired_members),
        TEST(test_clock_set_back),
        TEST(test_times_far_ahead),
        TEST(test_settle),
        TEST(test_peek),
        TEST(test_errors),
        TEST(test_same_as_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
