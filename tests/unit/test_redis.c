#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "net/clock.h"
#include "svc/meter.h"
#include "unit/real_redis.h"

/* A connection to a server of its own, and what its callbacks have told. */
struct bench {
    struct real_redis server;
    struct event_base *base;
    struct redis *redis;
    int ups, downs;
    size_t answered, null;
    uint64_t next_ticket; /* replies are expected in this order */
    bool in_order;
    size_t expected;
};

static void on_state(void *context, bool up)
{
    struct bench *b = context;

    b->ups += up;
    b->downs += !up;
}

static void connect_bench(struct bench *b, const char *functions)
{
    struct redis_options options = {
        .where = &b->server.where,
        .functions = functions,
        .state = on_state,
        .context = b,
    };

    b->redis = redis_new(b->base, &options);
    assert_non_null(b->redis);
}

static int start(void **state)
{
    struct bench *b = calloc(1, sizeof *b);

    real_redis_start(&b->server);
    b->base = event_base_new();
    *state = b;
    return 0;
}

static int stop(void **state)
{
    struct bench *b = *state;

    real_redis_close(&b->server, b->base, b->redis);
    free(b);
    return 0;
}

static struct bench *up(void **state)
{
    struct bench *b = *state;

    connect_bench(b, meter_functions);
    assert_false(redis_is_up(b->redis));
    assert_true(real_redis_until(b->base, real_redis_is_up, b->redis));
    assert_int_equal(b->ups, 1);
    return b;
}

static void on_numbered(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct bench *b = context;
    int64_t n;

    b->answered++;
    if (!reply) {
        b->null++;
        return;
    }
    if (ticket != b->next_ticket++ || !redis_reply_integer(reply, &n) || n != (int64_t)ticket) {
        b->in_order = false;
    }
}

static bool all_answered(const void *context)
{
    const struct bench *b = context;

    return b->answered == b->expected;
}

static bool was_lost(const void *context)
{
    return ((const struct bench *)context)->downs > 0;
}

static bool is_back(const void *context)
{
    const struct bench *b = context;

    return b->ups > 1 && redis_is_up(b->redis);
}

static int call_echo(struct bench *b, uint64_t ticket, uint32_t deadline_ms)
{
    char number[24];
    struct span words[] = {SPAN_LITERAL("ECHO"), {number, 0}};

    words[1].len = (size_t)snprintf(number, sizeof number, "%llu", (unsigned long long)ticket);
    return redis_call(b->redis, words, 2, deadline_ms, on_numbered, b, ticket);
}

static void test_pipeline(void **state)
{
    struct bench *b = up(state);

    b->in_order = true;
    b->next_ticket = 1;
    b->expected = 50000;
    for (uint64_t i = 1; i <= b->expected; i++) {
        assert_int_equal(call_echo(b, i, 0), 0);
        assert_int_equal(b->answered, 0);
    }
    assert_true(real_redis_until(b->base, all_answered, b));
    assert_true(b->in_order);
    assert_int_equal(b->null, 0);
}

/* Takes the place of the C library's, to count. */
static unsigned sends;

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    sends++;
    return sendto(fd, bytes, len, flags, NULL, 0);
}

/* Whatever is asked in one turn of the loop goes out in one write. */
static void test_one_write(void **state)
{
    struct bench *b = up(state);

    b->in_order = true;
    b->next_ticket = 1;
    b->expected = 100;
    unsigned before = sends;
    for (uint64_t i = 1; i <= b->expected; i++) {
        assert_int_equal(call_echo(b, i, 0), 0);
    }
    assert_int_equal(sends, before);
    assert_true(real_redis_until(b->base, all_answered, b));
    assert_int_equal(b->null, 0);
    assert_int_equal(sends, before + 1);
}

static bool was_sent(const void *context)
{
    return sends > *(const unsigned *)context;
}

/* What nobody waits for leaves with what somebody waits for, in its place; or by itself. */
static void test_told_goes_along(void **state)
{
    const struct span set[] = {SPAN_LITERAL("SET"), SPAN_LITERAL("told"), SPAN_LITERAL("1")};
    const struct span get[] = {SPAN_LITERAL("GET"), SPAN_LITERAL("told")};
    struct bench *b = up(state);

    b->in_order = true;
    b->next_ticket = 1;
    b->expected = 1;
    unsigned before = sends;
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(redis_tell(b->redis, set, 3, 0, NULL, NULL, 0), 0);
    }
    assert_int_equal(redis_call(b->redis, get, 2, 0, on_numbered, b, 1), 0);
    assert_true(real_redis_until(b->base, all_answered, b));
    assert_true(b->in_order && b->null == 0);
    assert_int_equal(sends, before + 1);

    before = sends;
    assert_int_equal(redis_tell(b->redis, set, 3, 0, NULL, NULL, 0), 0);
    assert_true(real_redis_until(b->base, was_sent, &before));
    assert_int_equal(sends, before + 1);

    before = sends;
    assert_int_equal(redis_tell(b->redis, set, 3, 0, NULL, NULL, 0), 0);
    redis_send(b->redis);
    event_base_loop(b->base, EVLOOP_NONBLOCK);
    assert_int_equal(sends, before + 1);
    redis_send(b->redis);
    event_base_loop(b->base, EVLOOP_NONBLOCK);
    assert_int_equal(sends, before + 1);
}

/* It waits for its time, and not less; only a turn of the loop that took that time says nothing. */
static void test_told_waits(void **state)
{
    const struct span set[] = {SPAN_LITERAL("SET"), SPAN_LITERAL("told"), SPAN_LITERAL("1")};
    struct bench *b = up(state);

    for (unsigned tries = 0;; tries++) {
        unsigned before = sends;
        int64_t since = clock_monotonic_ms();
        assert_int_equal(redis_tell(b->redis, set, 3, 0, NULL, NULL, 0), 0);
        event_base_loop(b->base, EVLOOP_NONBLOCK);
        unsigned sent = sends - before;
        if (clock_monotonic_ms() - since < REDIS_TELL_MS) {
            assert_int_equal(sent, 0);
            break;
        }
        assert_true(tries < 1000);
        assert_true(sent > 0 || real_redis_until(b->base, was_sent, &before));
    }
}

/* A Redis that hangs is noticed by what nobody waits for, too. */
static void test_told_has_a_deadline(void **state)
{
    const struct span set[] = {SPAN_LITERAL("SET"), SPAN_LITERAL("told"), SPAN_LITERAL("1")};
    struct bench *b = up(state);

    kill(b->server.pid, SIGSTOP);
    assert_int_equal(redis_tell(b->redis, set, 3, 1, NULL, NULL, 0), 0);
    assert_true(real_redis_until(b->base, was_lost, b));
    assert_int_equal(redis_tell(b->redis, set, 3, 1, NULL, NULL, 0), -1);
    kill(b->server.pid, SIGCONT);
    assert_true(real_redis_until(b->base, is_back, b));
}

static void test_replies(void **state)
{
    static const struct {
        const char *command, *answer;
    } rows[] = {
        {"SET k v", "OK"},
        {"GET k", "v"},
        {"GET none", "nil"},
        {"INCR k", "-ERR value is not an integer or out of range"},
        {"DEL k none", "1"},
        {"RPUSH l a '' -7", "3"},
        {"LRANGE l 0 -1", "[a  -7]"},
        {"EVAL return{1,{2,'x'},{}} 0", "[1 [2 x] []]"},
        {"NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: "},
    };
    struct bench *b = up(state);
    struct real_answer a;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_string_equal(
            real_redis_ask(b->base, b->redis, &a, "%s", rows[i].command), rows[i].answer);
    }
    assert_int_equal(b->downs, 0);
}

static void on_text_number(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct bench *b = context;
    int64_t n = 0;

    b->answered++;
    assert_non_null(reply);
    assert_int_equal(redis_reply_integer(reply, &n), ticket != 0);
    assert_int_equal(n, (int64_t)ticket);
    assert_int_equal(redis_reply_count(reply), 0);
    assert_null(redis_reply_at(reply, 0));
}

static void test_number_as_text(void **state)
{
    static const struct {
        struct span text;
        int64_t value; /* 0: none */
    } rows[] = {
        {{"42", 2}, 42},
        {{"-42", 3}, -42},
        {{"-", 1}, 0},
        {{"", 0}, 0},
        {{"4x", 2}, 0},
        {{"9223372036854775807", 19}, INT64_MAX},
        {{"9223372036854775808", 19}, 0},
    };
    struct bench *b = up(state);

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span words[] = {SPAN_LITERAL("ECHO"), rows[i].text};
        b->expected++;
        assert_int_equal(
            redis_call(b->redis, words, 2, 0, on_text_number, b, (uint64_t)rows[i].value), 0);
    }
    assert_true(real_redis_until(b->base, all_answered, b));
}

static void test_large_value(void **state)
{
    struct bench *b = up(state);
    size_t len = 3 << 20;
    char *value = malloc(len);
    struct real_answer a = {0};

    memset(value, 'x', len);
    struct span words[] = {SPAN_LITERAL("SET"), SPAN_LITERAL("large"), {value, len}};
    assert_int_equal(redis_call(b->redis, words, 3, 0, real_answer_take, &a, 0), 0);
    assert_true(real_redis_until(b->base, real_answer_came, &a));
    assert_string_equal(a.text, "OK");
    assert_string_equal(real_redis_ask(b->base, b->redis, &a, "STRLEN large"), "3145728");
    assert_int_equal(strlen(real_redis_ask(b->base, b->redis, &a, "GET large")), sizeof a.text - 1);
    free(value);
}

static void test_refuses_without_bound(void **state)
{
    struct bench *b = up(state);
    size_t len = 1 << 20;
    char *value = calloc(1, len);
    struct span words[] = {SPAN_LITERAL("ECHO"), {value, len}};
    int accepted = 0;

    while (redis_call(b->redis, words, 2, 0, NULL, NULL, 0) == 0 && accepted < 100) {
        accepted++;
    }
    assert_in_range(accepted, 10, 20);
    assert_int_equal(redis_call(b->redis, words, 0, 0, NULL, NULL, 0), -1);
    free(value);
}

/* A deadline passes while Redis is stopped: one NULL, the late reply is dropped, the next in order.
 */
static void test_deadline(void **state)
{
    struct bench *b = up(state);

    b->in_order = true;
    b->expected = 2;
    kill(b->server.pid, SIGSTOP);
    assert_int_equal(call_echo(b, 1, 20), 0);
    assert_int_equal(call_echo(b, 2, 30), 0);
    assert_true(real_redis_until(b->base, all_answered, b));
    assert_int_equal(b->null, 2);
    assert_false(redis_is_up(b->redis));
    assert_int_equal(call_echo(b, 3, 20), -1);

    kill(b->server.pid, SIGCONT);
    assert_true(real_redis_until(b->base, real_redis_is_up, b->redis));
    b->next_ticket = 3;
    b->expected = 3;
    assert_int_equal(call_echo(b, 3, 0), 0);
    assert_true(real_redis_until(b->base, all_answered, b));
    assert_int_equal(b->null, 2);
    assert_true(b->in_order);
}

static void test_stopped_is_given_up(void **state)
{
    struct bench *b = up(state);

    kill(b->server.pid, SIGSTOP);
    b->expected = 2;
    assert_int_equal(call_echo(b, 1, 10), 0);
    /* One that waits without a deadline hears of it too. */
    assert_int_equal(call_echo(b, 2, 0), 0);
    assert_true(real_redis_until(b->base, was_lost, b));
    assert_true(all_answered(b));
    assert_int_equal(b->null, 2);
    assert_int_equal(call_echo(b, 3, 0), -1);
    kill(b->server.pid, SIGCONT);
    assert_true(real_redis_until(b->base, is_back, b));
    assert_int_equal(b->downs, 1);
    assert_int_equal(b->ups, 2);
}

static void test_restart(void **state)
{
    struct bench *b = up(state);
    struct real_answer a;

    assert_string_equal(real_redis_ask(b->base, b->redis, &a, "SET n 1"), "OK");
    b->expected = 1;
    kill(b->server.pid, SIGSTOP);
    assert_int_equal(call_echo(b, 1, 0), 0);
    event_base_loop(b->base, EVLOOP_NONBLOCK);
    real_redis_kill(&b->server);
    assert_true(real_redis_until(b->base, was_lost, b));
    assert_int_equal(b->null, 1);
    assert_false(redis_is_up(b->redis));
    real_redis_run(&b->server);
    assert_true(real_redis_until(b->base, is_back, b));
    /* The new one is empty, and has the functions. */
    assert_string_equal(real_redis_ask(b->base, b->redis, &a, "DBSIZE"), "0");
    assert_string_equal(
        real_redis_ask(b->base, b->redis, &a, "FCALL gate25_rate 0 1 1000 0 5000 1"), "[1 6000 0]");
}

static void test_starts_before_server(void **state)
{
    struct bench *b = *state;

    real_redis_kill(&b->server);
    connect_bench(b, NULL);
    assert_int_equal(event_base_loop(b->base, EVLOOP_ONCE), 0);
    assert_false(redis_is_up(b->redis));
    real_redis_run(&b->server);
    assert_true(real_redis_until(b->base, real_redis_is_up, b->redis));
    assert_int_equal(b->ups, 1);
    assert_int_equal(b->downs, 0);
}

static void test_functions_flushed(void **state)
{
    struct bench *b = up(state);
    struct real_answer a;
    const char *call = "FCALL gate25_rate 0 1 1000 0 5000 1";

    assert_string_equal(real_redis_ask(b->base, b->redis, &a, "FUNCTION FLUSH"), "OK");
    assert_string_equal(
        real_redis_ask(b->base, b->redis, &a, "%s", call), "-ERR Function not found");
    assert_string_equal(real_redis_ask(b->base, b->redis, &a, "%s", call), "[1 6000 0]");
    assert_int_equal(b->downs, 0);
}

static void test_read_only(void **state)
{
    struct bench *b = up(state);
    struct real_answer a;
    struct conf_redis where = b->server.where;
    struct redis_options options = {.where = &where};
    struct redis *desk = redis_new(b->base, &options);

    assert_true(real_redis_until(b->base, real_redis_is_up, desk));
    assert_string_equal(real_redis_ask(b->base, desk, &a, "REPLICAOF 127.0.0.1 1"), "OK");
    assert_memory_equal(real_redis_ask(b->base, b->redis, &a, "SET n 1"), "-READONLY", 9);
    assert_true(real_redis_until(b->base, was_lost, b));
    assert_string_equal(real_redis_ask(b->base, desk, &a, "REPLICAOF NO ONE"), "OK");
    assert_true(real_redis_until(b->base, is_back, b));
    redis_free(desk);
}

static void test_password_and_database(void **state)
{
    struct bench *b = up(state);
    struct real_answer a;
    struct conf_redis where = b->server.where;
    struct redis_options options = {.where = &where, .functions = meter_functions};

    real_redis_ask(b->base, b->redis, &a, "ACL SETUSER gate on >secret ~* +@all");
    where.database = 3;
    snprintf(where.user, sizeof where.user, "gate");
    snprintf(where.password, sizeof where.password, "wrong");
    struct redis *wrong = redis_new(b->base, &options);
    snprintf(where.password, sizeof where.password, "secret");
    struct redis *right = redis_new(b->base, &options);
    assert_true(real_redis_until(b->base, real_redis_is_up, right));
    assert_string_equal(real_redis_ask(b->base, right, &a, "ACL WHOAMI"), "gate");
    real_redis_ask(b->base, right, &a, "SET here 1");
    assert_string_equal(real_redis_ask(b->base, b->redis, &a, "EXISTS here"), "0");
    assert_false(redis_is_up(wrong));
    redis_free(wrong);
    redis_free(right);
}

static void test_functions_rejected(void **state)
{
    struct bench *b = up(state);
    struct real_answer a;
    struct redis_options options = {
        .where = &b->server.where,
        .functions = "#!lua name=broken\nthis is not Lua",
    };
    struct redis *broken = redis_new(b->base, &options);

    for (int i = 0; i < 50; i++) {
        assert_string_equal(real_redis_ask(b->base, b->redis, &a, "PING"), "PONG");
        assert_false(redis_is_up(broken));
    }
    redis_free(broken);
}

static void test_tcp(void **state)
{
    struct bench *b = up(state);
    struct real_answer a;
    struct conf_redis where = {.place = {{"localhost", 0}}, .places = 1};
    struct redis_options options = {.where = &where};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;

    /* A port that is free: taken for a moment, then given to Redis. */
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    close(fd);
    where.place[0].port = ntohs(in.sin_port);
    assert_string_equal(
        real_redis_ask(b->base, b->redis, &a, "CONFIG SET port %u", (unsigned)where.place[0].port),
        "OK");
    struct redis *tcp = redis_new(b->base, &options);
    assert_true(real_redis_until(b->base, real_redis_is_up, tcp));
    assert_string_equal(real_redis_ask(b->base, tcp, &a, "PING"), "PONG");
    redis_free(tcp);
}

/* Something that is no Redis: says its words to whoever asks, and sees the other side hang up. */
struct impostor {
    struct event_base *base;
    int accepted, ended;
};

static void on_request(evutil_socket_t fd, short what, void *context)
{
    /* What a mail server would say; then a reply to nothing behind the one that was asked for. */
    static const char *const words[] = {"220 mx ESMTP\r\n", "+PONG\r\n:1\r\n"};
    struct impostor *i = context;
    char request[256];
    ssize_t n = recv(fd, request, sizeof request, 0);

    (void)what;
    if (n > 0) {
        const char *say = words[i->accepted % 2];
        send(fd, say, strlen(say), MSG_NOSIGNAL);
        event_base_once(i->base, fd, EV_READ, on_request, i, NULL);
        return;
    }
    i->ended++;
    close(fd);
}

static void on_caller(evutil_socket_t fd, short what, void *context)
{
    struct impostor *i = context;

    (void)what;
    i->accepted++;
    event_base_once(i->base, accept(fd, NULL, NULL), EV_READ, on_request, i, NULL);
}

static bool was_left_often(const void *impostor)
{
    return ((const struct impostor *)impostor)->ended >= 4;
}

static void test_not_redis(void **state)
{
    struct bench *b = *state;
    struct impostor i = {.base = b->base};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    real_redis_kill(&b->server);
    unlink(b->server.where.path);
    memcpy(un.sun_path, b->server.where.path, sizeof un.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    assert_int_equal(listen(fd, 8), 0);
    struct event *caller = event_new(b->base, fd, EV_READ | EV_PERSIST, on_caller, &i);
    event_add(caller, NULL);
    connect_bench(b, NULL);
    assert_true(real_redis_until(b->base, was_left_often, &i));
    assert_false(redis_is_up(b->redis));
    event_free(caller);
    redis_free(b->redis);
    b->redis = NULL;
    event_base_loop(b->base, EVLOOP_NONBLOCK);
    close(fd);
}

static void test_free_tells_everybody(void **state)
{
    struct bench *b = up(state);

    b->expected = 3;
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(call_echo(b, i, 1000), 0);
    }
    redis_free(b->redis);
    b->redis = NULL;
    assert_int_equal(b->null, 3);
    assert_int_equal(b->downs, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pipeline),
        TEST(test_one_write),
        TEST(test_told_goes_along),
        TEST(test_told_waits),
        TEST(test_told_has_a_deadline),
        TEST(test_replies),
        TEST(test_number_as_text),
        TEST(test_large_value),
        TEST(test_refuses_without_bound),
        TEST(test_deadline),
        TEST(test_stopped_is_given_up),
        TEST(test_restart),
        TEST(test_starts_before_server),
        TEST(test_functions_flushed),
        TEST(test_read_only),
        TEST(test_password_and_database),
        TEST(test_functions_rejected),
        TEST(test_tcp),
        TEST(test_not_redis),
        TEST(test_free_tells_everybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
