#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/clock.h"
#include "svc/meter.h"
#include "svc/meter_local.h"
#include "svc/meter_notes.h"
#include "svc/meter_plans.h"
#include "unit/real_redis.h"

#define DAY_US  86400000000u
#define DAY     "86400000000"
#define SECOND  1e6
#define ANSWERS 4096

struct bench {
    struct real_redis server;
    struct event_base *base;
    struct redis *redis;
    struct meter *meter;
    size_t came, expected;
    struct answer answer[ANSWERS]; /* by session */
    unsigned times[ANSWERS];
    unsigned tokens_ahead;
    uint64_t due[ANSWERS]; /* bytes that an answer did not charge, as a dialog keeps them */
    bool inside;           /* meter_ask is running */
};

static void on_answer(void *context, uint64_t session, const struct answer *answer)
{
    struct bench *b = context;

    assert_false(b->inside);
    b->answer[session] = *answer;
    b->due[session] = answer->uncharged ? b->due[session] : 0;
    b->times[session]++;
    b->came++;
}

static bool all_came(const void *context)
{
    const struct bench *b = context;

    return b->came >= b->expected;
}

static int start(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    bool good = real_redis_open(&b->server, &b->base, &b->redis, meter_functions);

    b->meter = meter_new(b->base, b->redis, on_answer, b);
    *state = b;
    return good ? 0 : -1;
}

static int stop(void **state)
{
    struct bench *b = *state;

    meter_free(b->meter);
    real_redis_close(&b->server, b->base, b->redis);
    free(b);
    return 0;
}

/* A class with the limits of most tests: small, over a day, so that no time passes in between. */
static struct conf_class small_class(void)
{
    struct conf_class c = {.name = "ordinary", .action = ACTION_METER, .enforce = true};
    static const uint64_t counts[LIMIT_KINDS] = {3, 2, 5, 1000, 2, 2};

    for (int kind = 0; kind < LIMIT_KINDS; kind++) {
        c.limit[kind].windows = 1;
        c.limit[kind].window[0] = (struct rate){counts[kind], DAY_US};
    }
    return c;
}

/* What a test asks, in few words. */
struct ask {
    uint64_t session;
    const char *id;
    struct question question;
    uint8_t destination; /* last byte of its address */
    enum when_down when_down;
    uint32_t deadline_ms; /* 0: patient */
};

static void send_ask(struct bench *b, const struct conf_class *class, const struct ask *ask)
{
    char slot[32];
    struct addr destination = {ADDR_IPV4, {192, 0, 2, ask->destination}};
    struct meter_subject subject = {
        .session = ask->session,
        .id = ask->id,
        .slot = slot,
        .destination = &destination,
        .class = class,
    };

    struct question question = ask->question;

    question.bytes += b->due[ask->session];
    b->due[ask->session] = question.bytes;
    snprintf(slot, sizeof slot, "slot-%u", (unsigned)ask->session);
    b->inside = true;
    struct conf_redis how = {
        .when_down = ask->when_down,
        .deadline_ms = ask->deadline_ms ? ask->deadline_ms : REAL_REDIS_PATIENCE_MS,
        .tokens_ahead = b->tokens_ahead,
    };
    int rc = meter_ask(b->meter, &subject, &question, &how);
    b->inside = false;
    assert_int_equal(rc, 0);
    b->expected++;
}

static const struct answer *ask(
    struct bench *b, const struct conf_class *class, const struct ask *what)
{
    unsigned before = b->times[what->session];

    send_ask(b, class, what);
    assert_true(real_redis_until(b->base, all_came, b));
    assert_int_equal(b->times[what->session], before + 1);
    return &b->answer[what->session];
}

static void leave(
    struct bench *b, const struct conf_class *class, const char *id, uint64_t session,
    uint64_t bytes)
{
    char slot[32];
    struct addr destination = {ADDR_IPV4, {192, 0, 2, 1}};
    struct meter_subject subject = {session, id, slot, &destination, class};

    snprintf(slot, sizeof slot, "slot-%u", (unsigned)session);
    meter_leave(b->meter, &subject, &(struct question){.bytes = bytes});
}

#define OPEN                                                                                       \
    {                                                                                              \
        QUESTION_SESSION, 0, 0, 0, true                                                            \
    }
#define ENVELOPE(m, r, n)                                                                          \
    {                                                                                              \
        QUESTION_ENVELOPE, m, r, n, true                                                           \
    }
#define CHECKPOINT(n)                                                                              \
    {                                                                                              \
        QUESTION_CHECKPOINT, 0, 0, n, true                                                         \
    }

/* The same story must come out of Redis and of this process alone. */
struct step {
    struct ask ask;
    enum meter_state state;
    uint32_t recipients;
    bool bytes_over;
    int limit; /* -1: none is named */
};

static const struct step story[] = {
    {{1, "a", OPEN, 1, 0, 0}, METER_WITHIN, 0, false, -1},
    {{2, "a", OPEN, 2, 0, 0}, METER_WITHIN, 0, false, -1},
    {{3, "a", OPEN, 1, 0, 0}, METER_OVER, 0, false, LIMIT_CONCURRENT},
    {{3, "a", OPEN, 3, 0, 0}, METER_OVER, 0, false, LIMIT_SPREAD},
    {{4, "b", OPEN, 1, 0, 0}, METER_WITHIN, 0, false, -1},
    {{1, "a", ENVELOPE(1, 4, 100), 0, 0, 0}, METER_WITHIN, 4, false, -1},
    {{2, "a", ENVELOPE(1, 4, 100), 0, 0, 0}, METER_WITHIN, 1, false, LIMIT_RECIPIENTS},
    {{2, "a", ENVELOPE(0, 4, 100), 0, 0, 0}, METER_OVER, 0, false, LIMIT_RECIPIENTS},
    {{2, "a", ENVELOPE(1, 0, 100), 0, 0, 0}, METER_OVER, 0, false, LIMIT_MESSAGES},
    {{1, "a", CHECKPOINT(600), 0, 0, 0}, METER_WITHIN, 0, false, -1},
    {{1, "a", CHECKPOINT(100), 0, 0, 0}, METER_WITHIN, 0, true, LIMIT_BYTES},
    {{1, "a", OPEN, 1, 0, 0}, METER_OVER, 0, true, LIMIT_BYTES},
    {{4, "b", ENVELOPE(1, 5, 999), 0, 0, 0}, METER_WITHIN, 5, false, -1},
};

static void tell_story(struct bench *b)
{
    struct conf_class class = small_class();

    for (size_t i = 0; i < sizeof story / sizeof story[0]; i++) {
        const struct step *s = &story[i];
        const struct answer *a = ask(b, &class, &s->ask);
        if (a->state != s->state || a->recipients != s->recipients ||
            a->bytes_over != s->bytes_over || (a->retry_us > 0) != (s->limit >= 0) ||
            (s->limit >= 0 && (int)a->limit != s->limit) || a->window != 0 ||
            a->retry_us > 86400 * SECOND) {
            fail_msg(
                "step %zu: state %d recipients %u bytes_over %d limit %d retry %f", i, a->state,
                a->recipients, a->bytes_over, a->limit, a->retry_us);
        }
    }
}

static void test_redis(void **state)
{
    struct bench *b = *state;
    struct real_answer a;

    tell_story(b);
    assert_string_equal(real_redis_ask(b->base, b->redis, &a, "ZCARD g25:open:{a}"), "2");
    assert_string_equal(
        real_redis_ask(b->base, b->redis, &a, "ZRANGE g25:spread:{a} 0 -1"),
        "[192.0.2.1 192.0.2.2]");
    assert_string_equal(real_redis_ask(b->base, b->redis, &a, "HLEN g25:meter:{a}"), "6");
}

/* A slot is renewed where the question says so, and only then does `concurrent` concern it. */
static void test_slots(void **state)
{
    struct bench *b = *state;
    struct real_answer a;
    struct conf_class class = small_class();
    struct ask open = {1, "a", OPEN, 1, WHEN_DOWN_LOCAL, 0};
    struct ask envelope = {1, "a", ENVELOPE(1, 1, 0), 1, WHEN_DOWN_LOCAL, 0};

    assert_int_equal(ask(b, &class, &open)->state, METER_WITHIN);
    real_redis_ask(b->base, b->redis, &a, "ZADD g25:open:{a} 1 slot-1");
    envelope.question.slot = false;
    assert_int_equal(ask(b, &class, &envelope)->state, METER_WITHIN);
    assert_string_equal(real_redis_ask(b->base, b->redis, &a, "ZSCORE g25:open:{a} slot-1"), "1");
    envelope.question.slot = true;
    assert_int_equal(ask(b, &class, &envelope)->state, METER_WITHIN);
    real_redis_ask(b->base, b->redis, &a, "ZSCORE g25:open:{a} slot-1");
    assert_true(strtoll(a.text, NULL, 10) > 1000000000000);

    /* A class that limits nothing else: what renews no slot needs no Redis. */
    struct conf_class slots = {.name = "slots"};
    slots.limit[LIMIT_CONCURRENT] = (struct limit){1, {{2, 0}}};
    real_redis_kill(&b->server);
    assert_true(real_redis_until(b->base, real_redis_is_down, b->redis));
    envelope.question.slot = false;
    assert_false(ask(b, &slots, &envelope)->stand_in);
    envelope.question.slot = true;
    assert_true(ask(b, &slots, &envelope)->stand_in);
}

static void test_local(void **state)
{
    struct bench *b = *state;

    real_redis_kill(&b->server);
    assert_true(real_redis_until(b->base, real_redis_is_down, b->redis));
    tell_story(b);
}

static void test_leave(void **state)
{
    struct bench *b = *state;
    struct conf_class class = small_class();
    struct ask open = {1, "a", OPEN, 1, WHEN_DOWN_LOCAL, 0};

    for (int local = 0; local < 2; local++) {
        class.limit[LIMIT_CONCURRENT].window[0].count = 1;
        open.session = 1;
        assert_int_equal(ask(b, &class, &open)->state, METER_WITHIN);
        open.session = 2;
        assert_int_equal(ask(b, &class, &open)->state, METER_OVER);
        leave(b, &class, "a", 1, 1500);
        assert_int_equal(ask(b, &class, &open)->limit, LIMIT_BYTES);
        struct conf_class other = class;
        other.limit[LIMIT_BYTES].windows = 0;
        assert_int_equal(ask(b, &other, &open)->state, METER_WITHIN);
        real_redis_kill(&b->server);
        assert_true(real_redis_until(b->base, real_redis_is_down, b->redis));
    }
}

/* Encrypted sessions pay afterwards: who is in debt has to wait before the next session. */
static void test_message_debt(void **state)
{
    struct bench *b = *state;
    struct conf_class class = {.name = "x"};
    struct question open = OPEN;
    struct question sent = {QUESTION_CHECKPOINT, 2, 0, 0, false};
    struct ask session = {1, "a", open, 1, WHEN_DOWN_LOCAL, 0};
    struct ask checkpoint = {1, "a", sent, 1, WHEN_DOWN_LOCAL, 0};

    class.limit[LIMIT_MESSAGES] = (struct limit){1, {{3, DAY_US}}};
    for (int local = 0; local < 2; local++) {
        assert_int_equal(ask(b, &class, &checkpoint)->state, METER_WITHIN);
        assert_int_equal(ask(b, &class, &session)->state, METER_WITHIN);
        assert_int_equal(ask(b, &class, &checkpoint)->state, METER_OVER);
        assert_int_equal(ask(b, &class, &session)->state, METER_OVER);
        assert_int_equal(ask(b, &class, &session)->limit, LIMIT_MESSAGES);
        /* The last message of a session that has ended is paid for too. */
        session.id = "b";
        char slot[] = "slot-1";
        struct addr destination = {ADDR_IPV4, {192, 0, 2, 1}};
        struct meter_subject subject = {1, "b", slot, &destination, &class};
        assert_int_equal(ask(b, &class, &session)->state, METER_WITHIN);
        meter_leave(b->meter, &subject, &(struct question){.messages = 4});
        assert_int_equal(ask(b, &class, &session)->state, METER_OVER);
        session.id = "a";
        real_redis_kill(&b->server);
        assert_true(real_redis_until(b->base, real_redis_is_down, b->redis));
    }
}

/* The content of an encrypted message takes its token before; who got none waits for it, and gets
 * it then, for nothing was taken. */
static void test_content(void **state)
{
    struct bench *b = *state;
    struct conf_class class = {.name = "x"};
    struct question open = OPEN;
    struct question question = {QUESTION_CONTENT, 1, 0, 0, false};
    struct ask session = {1, "a", open, 1, WHEN_DOWN_LOCAL, 0};
    struct ask content = {1, "a", question, 1, WHEN_DOWN_LOCAL, 0};

    for (int local = 0; local < 2; local++) {
        class.limit[LIMIT_MESSAGES] = (struct limit){1, {{2, DAY_US}}};
        assert_int_equal(ask(b, &class, &content)->state, METER_WITHIN);
        assert_int_equal(ask(b, &class, &content)->state, METER_WITHIN);
        assert_int_equal(ask(b, &class, &session)->state, METER_WITHIN);
        assert_int_equal(ask(b, &class, &content)->state, METER_OVER);
        const struct answer *refused = ask(b, &class, &session);
        assert_int_equal(refused->state, METER_OVER);
        assert_int_equal(refused->limit, LIMIT_MESSAGES);
        /* The second one did not have to ask. */
        assert_int_equal(refused->uncharged, !local);
        class.limit[LIMIT_MESSAGES].window[0].period_us *= 2; /* a bucket that is full */
        assert_int_equal(ask(b, &class, &session)->state, METER_WITHIN);
        assert_int_equal(ask(b, &class, &content)->state, METER_WITHIN);
        real_redis_kill(&b->server);
        assert_true(real_redis_until(b->base, real_redis_is_down, b->redis));
    }
}

/* What nobody limits, nobody is asked for. */
static void test_without_windows(void **state)
{
    struct bench *b = *state;
    struct conf_class class = {.name = "free"};
    struct real_answer a;

    real_redis_kill(&b->server);
    assert_true(real_redis_until(b->base, real_redis_is_down, b->redis));
    struct conf_class other = class;
    class.limit[LIMIT_RECIPIENTS] = other.limit[LIMIT_MESSAGES] = (struct limit){1, {{1, DAY_US}}};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            ask(b, &class, &(struct ask){1, "a", OPEN, 1, WHEN_DOWN_REFUSE, 0})->state,
            METER_WITHIN);
        const struct answer *answer =
            ask(b, &other, &(struct ask){1, "a", ENVELOPE(0, 7, 99), 1, WHEN_DOWN_REFUSE, 0});
        assert_int_equal(answer->state, METER_WITHIN);
        assert_int_equal(answer->recipients, 7);
    }
    real_redis_run(&b->server);
    assert_true(real_redis_until(b->base, real_redis_is_up, b->redis));
    leave(b, &class, "a", 1, 1000);
    assert_string_equal(real_redis_ask(b->base, b->redis, &a, "DBSIZE"), "0");
}

static void test_when_down(void **state)
{
    static const struct {
        enum when_down when_down;
        enum meter_state state;
    } rows[] = {
        {WHEN_DOWN_LOCAL, METER_WITHIN},
        {WHEN_DOWN_PASS, METER_UNKNOWN},
        {WHEN_DOWN_REFUSE, METER_UNKNOWN},
    };
    struct bench *b = *state;
    struct conf_class class = small_class();

    /* Stopped: each waits for its deadline, once; the next are answered at once. */
    kill(b->server.pid, SIGSTOP);
    for (uint64_t i = 0; i < 3; i++) {
        send_ask(b, &class, &(struct ask){i, "a", ENVELOPE(1, 1, 0), 1, rows[i].when_down, 20});
    }
    assert_true(real_redis_until(b->base, all_came, b));
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(b->answer[i].state, rows[i].state);
    }
    assert_false(redis_is_up(b->redis));
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(
            ask(b, &class, &(struct ask){i, "b", ENVELOPE(1, 1, 0), 1, rows[i].when_down, 0})
                ->state,
            rows[i].state);
    }
    /* And when it goes on, so do we. */
    kill(b->server.pid, SIGCONT);
    assert_true(real_redis_until(b->base, real_redis_is_up, b->redis));
    assert_int_equal(
        ask(b, &class, &(struct ask){1, "c", ENVELOPE(1, 1, 0), 1, WHEN_DOWN_REFUSE, 0})->state,
        METER_WITHIN);
    for (uint64_t i = 0; i < 3; i++) {
        assert_in_range(b->times[i], 2, 3);
    }
}

/* An error from Redis is no answer. */
static void test_error_reply(void **state)
{
    struct bench *b = *state;
    struct conf_class class = small_class();
    struct real_answer a;
    struct ask what = {1, "a", ENVELOPE(1, 1, 0), 1, WHEN_DOWN_REFUSE, 0};

    real_redis_ask(b->base, b->redis, &a, "SET g25:meter:{a} text");
    assert_int_equal(ask(b, &class, &what)->state, METER_UNKNOWN);
    what.when_down = WHEN_DOWN_LOCAL;
    assert_int_equal(ask(b, &class, &what)->state, METER_WITHIN);
    real_redis_ask(b->base, b->redis, &a, "DEL g25:meter:{a}");
    what.when_down = WHEN_DOWN_REFUSE;
    assert_int_equal(ask(b, &class, &what)->state, METER_WITHIN);
    /* Lost functions are one unanswered question, no more. */
    what.id = "b";
    real_redis_ask(b->base, b->redis, &a, "FUNCTION FLUSH");
    assert_int_equal(ask(b, &class, &what)->state, METER_UNKNOWN);
    assert_int_equal(ask(b, &class, &what)->state, METER_WITHIN);
    /* Nor is a full Redis an answer, but a session may still leave it. */
    real_redis_ask(b->base, b->redis, &a, "ZADD g25:open:{a} 1 slot-1");
    real_redis_ask(b->base, b->redis, &a, "CONFIG SET maxmemory 1");
    assert_int_equal(ask(b, &class, &what)->state, METER_UNKNOWN);
    leave(b, &class, "a", 1, 0);
    assert_string_equal(real_redis_ask(b->base, b->redis, &a, "ZCARD g25:open:{a}"), "0");
}

static bool is_settled(const void *meter)
{
    return meter_owed(meter) == 0;
}

/* What goes through while Redis is away, by whichever rule, is charged when it is back. */
static void test_settled_afterwards(void **state)
{
    struct bench *b = *state;
    struct conf_class class = small_class();
    struct real_answer a;

    real_redis_kill(&b->server);
    assert_true(real_redis_until(b->base, real_redis_is_down, b->redis));
    const struct ask open = {1, "a", OPEN, 1, WHEN_DOWN_LOCAL, 0};
    assert_int_equal(ask(b, &class, &open)->state, METER_WITHIN);
    const struct ask mail = {1, "a", ENVELOPE(1, 3, 100), 1, WHEN_DOWN_LOCAL, 0};
    assert_int_equal(ask(b, &class, &mail)->state, METER_WITHIN);
    assert_int_equal(ask(b, &class, &mail)->state, METER_WITHIN);
    assert_int_equal(ask(b, &class, &mail)->state, METER_OVER);
    const struct ask pass = {2, "p", ENVELOPE(1, 4, 0), 1, WHEN_DOWN_PASS, 0};
    const struct ask refuse = {3, "r", ENVELOPE(1, 4, 400), 1, WHEN_DOWN_REFUSE, 0};
    assert_int_equal(ask(b, &class, &pass)->state, METER_UNKNOWN);
    assert_int_equal(ask(b, &class, &refuse)->state, METER_UNKNOWN);
    leave(b, &class, "l", 4, 250);
    assert_int_equal(meter_owed(b->meter), 4);

    real_redis_run(&b->server);
    assert_true(real_redis_until(b->base, real_redis_is_up, b->redis));
    /* Its own question is behind what it owes. */
    assert_int_equal(ask(b, &class, &mail)->state, METER_OVER);
    assert_true(real_redis_until(b->base, is_settled, b->meter));
    static const struct {
        const char *id, *left;
    } rows[] = {
        {"a", "[2 0 0 600 1]"},
        {"p", "[3 1 1 1000 0]"},
        {"r", "[3 2 5 600 0]"},
        {"l", "[3 2 5 750 0]"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)real_redis_ask(
            b->base, b->redis, &a,
            "FCALL_RO gate25_peek 3 g25:meter:{%s} g25:open:{%s} g25:spread:{%s} sessions 3 " DAY
            " messages 2 " DAY " recipients 5 " DAY " bytes 1000 " DAY " spread 2 " DAY,
            rows[i].id, rows[i].id, rows[i].id);
        long long n[10] = {0};
        char left[64];
        assert_int_equal(
            sscanf(
                a.text, "[%lld %lld %lld %lld %lld %lld %lld %lld %lld %lld]", &n[0], &n[1], &n[2],
                &n[3], &n[4], &n[5], &n[6], &n[7], &n[8], &n[9]),
            10);
        snprintf(left, sizeof left, "[%lld %lld %lld %lld %lld]", n[0], n[2], n[4], n[6], n[8]);
        assert_string_equal(left, rows[i].left);
    }
}

/* A process that ends tells all at once, and gets its answers or not. */
static void test_last_words(void **state)
{
    struct bench *b = *state;
    struct conf_class class = small_class();
    struct real_answer a;
    char id[16];

    real_redis_kill(&b->server);
    assert_true(real_redis_until(b->base, real_redis_is_down, b->redis));
    for (unsigned i = 0; i < 300; i++) {
        snprintf(id, sizeof id, "s%u", i);
        (void)ask(b, &class, &(struct ask){i, id, ENVELOPE(1, 1, 0), 1, WHEN_DOWN_LOCAL, 0});
    }
    assert_int_equal(meter_owed(b->meter), 300);
    meter_last_words(b->meter); /* nobody hears them */
    assert_int_equal(meter_owed(b->meter), 300);
    real_redis_run(&b->server);
    assert_true(real_redis_until(b->base, real_redis_is_up, b->redis));
    meter_last_words(b->meter);
    meter_free(b->meter);
    b->meter = NULL;
    assert_string_equal(real_redis_ask(b->base, b->redis, &a, "DBSIZE"), "300");
}

/* What Redis may have heard is not charged a second time. */
static void test_a_late_answer_is_an_answer(void **state)
{
    struct bench *b = *state;
    struct conf_class class = small_class();
    struct ask what = {1, "a", ENVELOPE(1, 1, 0), 1, WHEN_DOWN_LOCAL, 1};

    kill(b->server.pid, SIGSTOP);
    assert_int_equal(ask(b, &class, &what)->state, METER_WITHIN);
    assert_int_equal(meter_owed(b->meter), 0);
    kill(b->server.pid, SIGCONT);
    assert_true(real_redis_until(b->base, real_redis_is_up, b->redis));
    what.deadline_ms = 0;
    assert_int_equal(ask(b, &class, &what)->state, METER_WITHIN);
    assert_int_equal(ask(b, &class, &what)->state, METER_OVER);
}

/* Redis takes no charges for a while: they are made later. */
static void test_settled_when_redis_takes_it(void **state)
{
    struct bench *b = *state;
    struct conf_class class = small_class();
    struct real_answer a;
    const struct ask what = {1, "a", ENVELOPE(1, 1, 0), 1, WHEN_DOWN_LOCAL, 0};

    real_redis_ask(b->base, b->redis, &a, "CONFIG SET maxmemory 1");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ask(b, &class, &what)->state, METER_WITHIN);
        assert_true(b->answer[1].stand_in);
    }
    assert_int_equal(ask(b, &class, &what)->state, METER_OVER);
    assert_int_equal(meter_owed(b->meter), 1);
    real_redis_ask(b->base, b->redis, &a, "CONFIG SET maxmemory 0");
    assert_true(real_redis_until(b->base, is_settled, b->meter));
    assert_int_equal(ask(b, &class, &what)->state, METER_OVER);
    assert_false(b->answer[1].stand_in);
}

/* Many at once: each is answered once, and no more is granted than there is. */
static void test_many(void **state)
{
    struct bench *b = *state;
    struct conf_class class = {.name = "ordinary"};
    unsigned within = 0;

    class.limit[LIMIT_SESSIONS] = (struct limit){1, {{100, DAY_US}}};
    class.limit[LIMIT_SPREAD] = (struct limit){1, {{200, DAY_US}}};
    class.limit[LIMIT_CONCURRENT] = (struct limit){1, {{60, 0}}};
    for (uint64_t i = 0; i < ANSWERS; i++) {
        send_ask(b, &class, &(struct ask){i, "a", OPEN, (uint8_t)i, WHEN_DOWN_REFUSE, 0});
    }
    assert_true(real_redis_until(b->base, all_came, b));
    for (uint64_t i = 0; i < ANSWERS; i++) {
        assert_int_equal(b->times[i], 1);
        assert_int_not_equal(b->answer[i].state, METER_UNKNOWN);
        within += b->answer[i].state == METER_WITHIN;
    }
    assert_int_equal(within, 60);
}

/* How often Redis was asked for a decision, or told of an end. */
static long calls(struct bench *b)
{
    struct real_answer a;
    const char *info = real_redis_ask(b->base, b->redis, &a, "INFO commandstats");
    const char *fcall = strstr(info, "cmdstat_fcall:calls=");

    return fcall ? strtol(fcall + strlen("cmdstat_fcall:calls="), NULL, 10) : 0;
}

/* Who is refused is refused again without Redis, until somebody else's word for it is needed. */
static void test_known_denials(void **state)
{
    struct bench *b = *state;
    struct conf_class class = small_class(), wider = class;
    struct ask mail = {1, "a", ENVELOPE(1, 1, 10), 1, WHEN_DOWN_REFUSE, 0};
    struct ask more = {1, "a", ENVELOPE(0, 9, 10), 1, WHEN_DOWN_REFUSE, 0};
    struct ask open = {1, "a", OPEN, 1, WHEN_DOWN_REFUSE, 0};
    double retry_us = 86400 * SECOND;

    class.limit[LIMIT_CONCURRENT].windows = 0;
    wider.limit[LIMIT_MESSAGES].window[0].count = 20;
    while (ask(b, &class, &mail)->state == METER_WITHIN) {
    }
    while (ask(b, &class, &more)->state == METER_WITHIN) {
    }
    while (ask(b, &class, &open)->state == METER_WITHIN) {
    }
    long before = calls(b);
    for (unsigned i = 0; i < 20; i++) {
        const struct answer *a = ask(b, &class, &mail);
        assert_true(a->state == METER_OVER && a->uncharged && a->limit == LIMIT_MESSAGES);
        assert_true(a->retry_us > 0 && a->retry_us < retry_us);
        retry_us = a->retry_us;
        assert_int_equal(ask(b, &class, &more)->limit, LIMIT_RECIPIENTS);
        assert_int_equal(ask(b, &class, &open)->limit, LIMIT_SESSIONS);
    }
    assert_int_equal(calls(b), before);
    /* Somebody else, another limit: asked. */
    mail.id = "b";
    assert_int_equal(ask(b, &class, &mail)->state, METER_WITHIN);
    mail.id = "a";
    assert_false(ask(b, &wider, &mail)->uncharged);
    assert_int_equal(calls(b), before + 2);
    /* And when all is forgotten. */
    assert_int_equal(ask(b, &class, &mail)->state, METER_OVER);
    before = calls(b);
    meter_forget(b->meter);
    assert_int_equal(ask(b, &class, &mail)->state, METER_OVER);
    assert_int_equal(calls(b), before + 1);
}

/* Tokens that are taken ahead are taken: nobody gets more than there are, and Redis is asked less.
 */
static void test_tokens_ahead(void **state)
{
    struct bench *b = *state;
    struct conf_class class = {.name = "x"};
    struct ask mail = {1, "a", ENVELOPE(1, 2, 50), 1, WHEN_DOWN_REFUSE, 0};
    struct real_answer a;
    unsigned mails = 0;

    class.limit[LIMIT_MESSAGES] = (struct limit){2, {{1000, DAY_US}, {60, DAY_US / 2}}};
    class.limit[LIMIT_RECIPIENTS] = (struct limit){1, {{500, DAY_US}}};
    class.limit[LIMIT_BYTES] = (struct limit){1, {{100000, DAY_US}}};
    for (unsigned ahead = 1; ahead <= 16; ahead *= 16) {
        unsigned within = 0;
        long before = calls(b);

        b->tokens_ahead = ahead;
        mail.id = ahead == 1 ? "a" : "b";
        while (ask(b, &class, &mail)->state == METER_WITHIN) {
            assert_int_equal(b->answer[1].recipients, 2);
            within++;
        }
        /* What is held when time is up is lost: more of it where the machine is slow. */
        assert_in_range(within, ahead == 1 ? 60 : 15, 60);
        assert_in_range(calls(b) - before, ahead == 1 ? 61 : 2, ahead == 1 ? 61 : within);
        mails = within;
    }
    /* All that was granted was taken: what is left and what was spent are the whole. */
    const char *peek = real_redis_ask(
        b->base, b->redis, &a, "FCALL_RO gate25_peek 1 g25:meter:{b} messages 60 43200000000");
    assert_int_equal(strncmp(peek, "[0 ", 3), 0);
    /* The bytes of paid questions are charged with the next that is asked. */
    peek = real_redis_ask(
        b->base, b->redis, &a, "FCALL_RO gate25_peek 1 g25:meter:{b} bytes 100000 86400000000");
    assert_in_range(100000 - strtol(peek + 1, NULL, 10), mails * 50 - 500, (mails + 1) * 50);
}

/* Three at once take ahead, never more together than the bucket holds. */
static void test_tokens_ahead_of_many(void **state)
{
    struct bench *b = *state;
    struct conf_class class = {.name = "x"};
    struct meter *meters[] = {
        b->meter, meter_new(b->base, b->redis, on_answer, b),
        meter_new(b->base, b->redis, on_answer, b)};
    unsigned within = 0;

    class.limit[LIMIT_MESSAGES] = (struct limit){1, {{100, DAY_US}}};
    b->tokens_ahead = 8;
    for (unsigned i = 0; i < 600; i++) {
        struct ask mail = {i, "a", ENVELOPE(1, 1, 0), 1, WHEN_DOWN_REFUSE, 0};
        b->meter = meters[i % 3];
        send_ask(b, &class, &mail);
        if (i % 7 == 0) { /* some one by one, some under way together */
            assert_true(real_redis_until(b->base, all_came, b));
        }
    }
    assert_true(real_redis_until(b->base, all_came, b));
    for (unsigned i = 0; i < 600; i++) {
        assert_int_equal(b->times[i], 1);
        within += b->answer[i].state == METER_WITHIN;
    }
    assert_in_range(within, 30, 100);
    b->meter = meters[0];
    meter_free(meters[1]);
    meter_free(meters[2]);
}

/* An answer that was under way when all was forgotten is noted no more. */
static void test_forgotten_under_way(void **state)
{
    struct bench *b = *state;
    struct conf_class class = {.name = "x"};
    struct ask open = {1, "a", OPEN, 1, WHEN_DOWN_REFUSE, 0};

    class.limit[LIMIT_SESSIONS] = (struct limit){1, {{1, DAY_US}}};
    assert_int_equal(ask(b, &class, &open)->state, METER_WITHIN);
    send_ask(b, &class, &open);
    meter_forget(b->meter);
    assert_true(real_redis_until(b->base, all_came, b));
    assert_int_equal(b->answer[1].state, METER_OVER);
    assert_false(ask(b, &class, &open)->uncharged);
    assert_true(ask(b, &class, &open)->uncharged);
}

/* With Redis away it is when-down that rules, whatever is known. */
static void test_known_but_away(void **state)
{
    struct bench *b = *state;
    struct conf_class class = {.name = "x"};
    struct ask open = {1, "a", OPEN, 1, WHEN_DOWN_PASS, 0};

    class.limit[LIMIT_SESSIONS] = (struct limit){1, {{1, DAY_US}}};
    (void)ask(b, &class, &open);
    (void)ask(b, &class, &open);
    assert_true(ask(b, &class, &open)->uncharged);
    real_redis_kill(&b->server);
    assert_true(real_redis_until(b->base, real_redis_is_down, b->redis));
    assert_int_equal(ask(b, &class, &open)->state, METER_UNKNOWN);
}

/* Takes the place of the C library's, to count. */
static unsigned sends;

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    sends++;
    return sendto(fd, bytes, len, flags, NULL, 0);
}

static bool was_sent(const void *context)
{
    return sends > *(const unsigned *)context;
}

/* A slot is given back at once; the bytes of a session that held none wait for company. */
static void test_slots_do_not_wait(void **state)
{
    struct bench *b = *state;
    struct conf_class slots = {.name = "slots"}, bytes = {.name = "bytes"};

    slots.limit[LIMIT_CONCURRENT] = (struct limit){1, {{1, DAY_US}}};
    bytes.limit[LIMIT_BYTES] = (struct limit){1, {{1000, DAY_US}}};
    assert_int_equal(
        ask(b, &slots, &(struct ask){1, "a", OPEN, 1, WHEN_DOWN_PASS, 0})->state, METER_WITHIN);
    unsigned before = sends;
    leave(b, &slots, "a", 1, 0);
    event_base_loop(b->base, EVLOOP_NONBLOCK);
    assert_int_equal(sends, before + 1);

    for (unsigned tries = 0;; tries++) { /* until a turn is shorter than the wait */
        int64_t since = clock_monotonic_ms();
        before = sends;
        leave(b, &bytes, "b", 2, 1);
        event_base_loop(b->base, EVLOOP_NONBLOCK);
        unsigned sent = sends - before;
        if (clock_monotonic_ms() - since < REDIS_TELL_MS) {
            assert_int_equal(sent, 0);
            break;
        }
        assert_true(tries < 1000);
        assert_true(real_redis_until(b->base, was_sent, &before));
    }
}

static void test_freed_with_questions(void **state)
{
    struct bench *b = *state;
    struct conf_class class = small_class();
    struct conf_class none = {.name = "free"};
    struct real_answer a;

    send_ask(b, &class, &(struct ask){1, "a", OPEN, 1, WHEN_DOWN_LOCAL, 0});
    send_ask(b, &none, &(struct ask){2, "a", OPEN, 1, WHEN_DOWN_LOCAL, 0});
    meter_free(b->meter);
    b->meter = NULL;
    real_redis_ask(b->base, b->redis, &a, "PING");
    assert_int_equal(b->came, 0);
}

static void test_same_period_twice(void **state)
{
    struct conf_class class = {.name = "x"};
    struct meter_windows windows;

    (void)state;
    class.limit[LIMIT_MESSAGES] =
        (struct limit){4, {{20, DAY_US}, {10, DAY_US}, {10, DAY_US}, {5, 1000}}};
    meter_windows_of(&class, METER_ALL_KINDS, &windows);
    assert_int_equal(windows.count, 2);
    assert_int_equal(windows.at[0].window, 1);
    assert_int_equal(windows.at[1].window, 3);
    assert_string_equal(windows.word, "messages 10 86400000000 messages 5 1000");
    assert_int_equal(windows.len, strlen(windows.word));
    meter_windows_of(&class, METER_KIND(LIMIT_BYTES), &windows);
    assert_int_equal(windows.len, 0);
}

/* The longest that a configuration can make them. */
static void test_words_of_many_windows(void **state)
{
    struct conf_class class = {.name = "x"};
    struct meter_windows windows;

    (void)state;
    for (unsigned kind = 0; kind < LIMIT_KINDS; kind++) {
        class.limit[kind].windows = CONF_WINDOWS;
        for (unsigned i = 0; i < CONF_WINDOWS; i++) {
            class.limit[kind].window[i] = (struct rate){UINT64_MAX, UINT64_MAX - i};
        }
    }
    meter_windows_of(&class, METER_ALL_KINDS, &windows);
    assert_int_equal(windows.count, METER_WINDOWS);
    assert_int_equal(windows.len, strlen(windows.word));
    assert_string_equal(
        windows.word + windows.len - strlen(" 18446744073709551615 18446744073709551612"),
        " 18446744073709551615 18446744073709551612");
}

/* A class and a kind of question have one plan; those of a configuration that has gone go when
 * nobody holds them any more. */
static void test_plans(void **state)
{
    struct conf_class class = small_class(), other = class;
    struct meter_plans *plans = meter_plans_new();

    (void)state;
    other.limit[LIMIT_SESSIONS].window[0].count++;
    uint64_t id = meter_notes_class(&class), other_id = meter_notes_class(&other);
    struct meter_plan *held = meter_plans_find(plans, &class, id, METER_KIND(LIMIT_SESSIONS));
    struct meter_plan *same = meter_plans_find(plans, &class, id, METER_KIND(LIMIT_SESSIONS));
    struct meter_plan *more = meter_plans_find(plans, &class, id, METER_ALL_KINDS);
    struct meter_plan *others =
        meter_plans_find(plans, &other, other_id, METER_KIND(LIMIT_SESSIONS));

    assert_ptr_equal(same, held);
    assert_ptr_not_equal(more, held);
    assert_ptr_not_equal(others, held);
    assert_true(others->windows.at[0].rate.count == held->windows.at[0].rate.count + 1);
    meter_plan_release(same);
    meter_plan_release(more);
    meter_plan_release(others);
    meter_plans_forget(plans);
    same = meter_plans_find(plans, &class, id, METER_KIND(LIMIT_SESSIONS));
    assert_ptr_not_equal(same, held);
    assert_string_equal(same->windows.word, held->windows.word);
    meter_plan_release(held);
    meter_plans_free(plans);
    assert_int_equal(same->windows.count, 1);
    meter_plan_release(same);
}

/* The local meter with a clock of the test's own. */

struct local {
    struct meter_local *meter;
    double now;
};

static struct answer ask_local(
    struct local *l, const char *id, const char *slot, uint8_t destination, struct question q,
    const struct conf_class *class)
{
    struct meter_windows windows;
    struct addr to = {ADDR_IPV6, {0x20, 1, [15] = destination}};
    struct answer a;

    meter_windows_of(class, meter_kinds(&q), &windows);
    meter_local_ask(l->meter, id, slot, &to, &q, &windows, l->now, &a);
    return a;
}

static void test_local_time(void **state)
{
    struct local l = {meter_local_new(10), 1e9};
    struct conf_class class = {.name = "x"};
    struct question open = OPEN;
    struct question message = ENVELOPE(1, 0, 0);
    struct answer a;

    (void)state;
    class.limit[LIMIT_SPREAD] = (struct limit){2, {{2, 60000000}, {3, 3600000000}}};
    assert_int_equal(ask_local(&l, "a", "s", 1, open, &class).state, METER_WITHIN);
    l.now += 10 * SECOND;
    assert_int_equal(ask_local(&l, "a", "s", 2, open, &class).state, METER_WITHIN);
    l.now += 10 * SECOND;
    a = ask_local(&l, "a", "s", 3, open, &class);
    assert_int_equal(a.state, METER_OVER);
    assert_int_equal(a.window, 0);
    assert_true(a.retry_us == 40 * SECOND);
    /* The first is contacted again: now the second is the oldest. */
    assert_int_equal(ask_local(&l, "a", "s", 1, open, &class).state, METER_WITHIN);
    a = ask_local(&l, "a", "s", 3, open, &class);
    assert_true(a.retry_us == 50 * SECOND);
    l.now += a.retry_us;
    assert_int_equal(ask_local(&l, "a", "s", 3, open, &class).state, METER_WITHIN);
    l.now += 61 * SECOND;
    a = ask_local(&l, "a", "s", 4, open, &class);
    assert_int_equal(a.state, METER_OVER);
    assert_int_equal(a.window, 1);
    l.now += a.retry_us;
    assert_int_equal(ask_local(&l, "a", "s", 4, open, &class).state, METER_WITHIN);

    class.limit[LIMIT_CONCURRENT] = (struct limit){1, {{1, 0}}};
    class.limit[LIMIT_SPREAD].windows = 0;
    assert_int_equal(ask_local(&l, "b", "s", 1, open, &class).state, METER_WITHIN);
    l.now += 899 * SECOND;
    assert_int_equal(ask_local(&l, "b", "t", 1, open, &class).state, METER_OVER);
    l.now += SECOND;
    assert_int_equal(ask_local(&l, "b", "t", 1, open, &class).state, METER_WITHIN);

    /* A session whose envelope is refused is open all the same. */
    class.limit[LIMIT_MESSAGES] = (struct limit){1, {{1, DAY_US}}};
    struct conf_class idle = class;
    idle.limit[LIMIT_CONCURRENT].windows = 0;
    assert_int_equal(ask_local(&l, "c", "s", 1, message, &idle).state, METER_WITHIN);
    assert_int_equal(ask_local(&l, "c", "s", 1, message, &class).state, METER_OVER);
    assert_int_equal(ask_local(&l, "c", "t", 1, open, &class).limit, LIMIT_CONCURRENT);

    /* The limit was lowered: one leaving is not enough. */
    class.limit[LIMIT_CONCURRENT].windows = 0;
    class.limit[LIMIT_SPREAD] = (struct limit){1, {{3, 60000000}}};
    for (uint8_t i = 0; i < 3; i++) {
        assert_int_equal(ask_local(&l, "d", "s", i, open, &class).state, METER_WITHIN);
        l.now += SECOND;
    }
    class.limit[LIMIT_SPREAD].window[0].count = 1;
    a = ask_local(&l, "d", "s", 9, open, &class);
    assert_true(a.retry_us == 59 * SECOND);

    /* Known for the hour, new in this minute. */
    class.limit[LIMIT_SPREAD] = (struct limit){2, {{1, 60000000}, {5, 3600000000}}};
    assert_int_equal(ask_local(&l, "e", "s", 1, open, &class).state, METER_WITHIN);
    l.now += 61 * SECOND;
    assert_int_equal(ask_local(&l, "e", "s", 2, open, &class).state, METER_WITHIN);
    assert_int_equal(ask_local(&l, "e", "s", 1, open, &class).state, METER_OVER);
    meter_local_free(l.meter);
}

static void test_local_is_bounded(void **state)
{
    struct local l = {meter_local_new(100), 1e9};
    struct conf_class class = small_class();
    struct question open = OPEN;
    struct question message = ENVELOPE(1, 0, 0);
    char name[32];

    (void)state;
    class.limit[LIMIT_SPREAD].window[0].count = 100000;
    class.limit[LIMIT_CONCURRENT].window[0].count = 100000;
    class.limit[LIMIT_SESSIONS].window[0].count = 100000;
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "%d", i);
        assert_int_equal(ask_local(&l, name, "s", 1, message, &class).state, METER_WITHIN);
        assert_int_equal(ask_local(&l, "kept", name, (uint8_t)i, open, &class).state, METER_WITHIN);
    }
    assert_int_equal(meter_local_count(l.meter), 100);
    /* The one that was heard of all the time has not been forgotten, the first has. */
    ask_local(&l, "999", "s", 1, message, &class);
    assert_int_equal(ask_local(&l, "999", "s", 1, message, &class).state, METER_OVER);
    ask_local(&l, "0", "s", 1, message, &class);
    assert_int_equal(ask_local(&l, "0", "s", 1, message, &class).state, METER_WITHIN);
    class.limit[LIMIT_CONCURRENT].window[0].count = METER_LOCAL_SEEN;
    assert_int_equal(ask_local(&l, "kept", "new", 1, open, &class).state, METER_OVER);

    /* Ever new periods, as after many reloads. */
    for (uint64_t i = 1; i < 1000; i++) {
        class.limit[LIMIT_MESSAGES].window[0].period_us = i * DAY_US;
        assert_int_equal(ask_local(&l, "periods", "s", 1, message, &class).state, METER_WITHIN);
    }
    meter_local_free(l.meter);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_redis),
        TEST(test_slots),
        TEST(test_local),
        TEST(test_leave),
        TEST(test_message_debt),
        TEST(test_content),
        TEST(test_without_windows),
        TEST(test_when_down),
        TEST(test_error_reply),
        TEST(test_settled_afterwards),
        TEST(test_last_words),
        TEST(test_a_late_answer_is_an_answer),
        TEST(test_settled_when_redis_takes_it),
        TEST(test_many),
        TEST(test_known_denials),
        TEST(test_tokens_ahead),
        TEST(test_tokens_ahead_of_many),
        TEST(test_forgotten_under_way),
        TEST(test_known_but_away),
        TEST(test_slots_do_not_wait),
        TEST(test_freed_with_questions),
        cmocka_unit_test(test_same_period_twice),
        cmocka_unit_test(test_words_of_many_windows),
        cmocka_unit_test(test_plans),
        cmocka_unit_test(test_local_time),
        cmocka_unit_test(test_local_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
