#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "svc/feed.h"
#include "svc/lease_feed.h"
#include "svc/redis_answers.h"
#include "svc/redis_wire.h"
#include "svc/registry_feed.h"

/* A reply as it comes from the wire; wire_end() gives both back. */
struct heard {
    struct redis_wire wire;
    struct redis_reply *reply;
};

static const struct redis_reply *hear(struct heard *h, const char *bytes)
{
    h->wire = REDIS_WIRE_INIT;
    assert_int_equal(redis_wire_open(&h->wire), 0);
    assert_int_equal(redis_wire_feed(&h->wire, span_of(bytes)), 0);
    assert_int_equal(redis_wire_next(&h->wire, &h->reply), 0);
    assert_non_null(h->reply);
    return h->reply;
}

static void forget(struct heard *h)
{
    redis_wire_release(h->reply);
    redis_wire_fini(&h->wire);
}

/* Appended behind what is there, as the protocol has it. */
static void test_command_bytes(void **state)
{
    const struct span words[] = {
        SPAN_LITERAL("XADD"), {NULL, 0}, SPAN_LITERAL("a\r\n\0b"), SPAN_LITERAL("0123456789")};
    static const char expected[] =
        "+*4\r\n$4\r\nXADD\r\n$0\r\n\r\n$5\r\na\r\n\0b\r\n$10\r\n0123456789\r\n";
    struct buf out = BUF_INIT;

    (void)state;
    assert_int_equal(buf_append(&out, SPAN_LITERAL("+")), 0);
    assert_int_equal(redis_wire_command(&out, words, 0), -1);
    assert_int_equal(redis_wire_command(&out, words, 4), 0);
    assert_int_equal(buf_len(&out), sizeof expected - 1);
    assert_memory_equal(buf_span(&out).at, expected, sizeof expected - 1);
    buf_clear(&out);
}

/* Words of all lengths around each number of digits, as hiredis reads them. */
static void test_commands_are_read_back(void **state)
{
    static const size_t lengths[] = {0, 1, 9, 10, 99, 100, 101, 999, 1000, 9999, 10000, 123456};
    enum { COUNT = sizeof lengths / sizeof lengths[0] };
    static char bytes[123456];
    struct span words[COUNT];
    struct redis_wire wire = REDIS_WIRE_INIT;
    struct redis_reply *reply = NULL;
    struct buf out = BUF_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(i * 2654435761u >> 24);
    }
    for (size_t i = 0; i < COUNT; i++) {
        words[i] =
            (struct span){bytes + i, i + lengths[i] < sizeof bytes ? lengths[i] : lengths[i] - i};
    }
    assert_int_equal(redis_wire_command(&out, words, COUNT), 0);
    assert_int_equal(redis_wire_open(&wire), 0);
    assert_int_equal(redis_wire_feed(&wire, buf_span(&out)), 0);
    assert_int_equal(redis_wire_next(&wire, &reply), 0);
    assert_int_equal(redis_reply_count(reply), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        struct span word;
        assert_true(redis_reply_text(redis_reply_at(reply, i), &word));
        assert_true(span_equal(word, words[i]));
    }
    redis_wire_release(reply);
    assert_int_equal(redis_wire_next(&wire, &reply), 0);
    assert_null(reply);
    redis_wire_fini(&wire);
    buf_clear(&out);
}

static void test_masters(void **state)
{
    static const struct {
        const char *reply, *host; /* NULL: none */
        unsigned port;
    } rows[] = {
        {"*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n", "127.0.0.1", 6379},
        {"*2\r\n$3\r\n::1\r\n$1\r\n7\r\n", "::1", 7},
        {"*2\r\n$1\r\nh\r\n:7\r\n", "h", 7},
        {"*-1\r\n", NULL, 0},
        {"$-1\r\n", NULL, 0},
        {"*0\r\n", NULL, 0},
        {"*1\r\n$1\r\nh\r\n", NULL, 0},
        {"*2\r\n$0\r\n\r\n$1\r\n7\r\n", NULL, 0},
        {"*2\r\n$1\r\nh\r\n$1\r\n0\r\n", NULL, 0},
        {"*2\r\n$1\r\nh\r\n$5\r\n65536\r\n", NULL, 0},
        {"*2\r\n$1\r\nh\r\n$2\r\n-7\r\n", NULL, 0},
        {"-ERR no\r\n", NULL, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct conf_redis_place place = {.host = "before", .port = 1};
        struct heard h;

        assert_int_equal(
            redis_answer_master(hear(&h, rows[i].reply), &place), rows[i].host != NULL);
        assert_string_equal(place.host, rows[i].host ? rows[i].host : "before");
        assert_int_equal(place.port, rows[i].host ? rows[i].port : 1);
        forget(&h);
    }
}

static void test_epochs(void **state)
{
    struct heard h;
    uint64_t epoch = 0;

    (void)state;
    assert_true(redis_answer_epoch(
        hear(&h, "*4\r\n$4\r\nname\r\n$4\r\nmain\r\n$12\r\nconfig-epoch\r\n$2\r\n17\r\n"), &epoch));
    assert_int_equal(epoch, 17);
    forget(&h);
    assert_false(redis_answer_epoch(hear(&h, "*2\r\n$4\r\nname\r\n$4\r\nmain\r\n"), &epoch));
    forget(&h);
    assert_true(redis_answer_cluster_epoch(
        hear(&h, "$49\r\ncluster_state:ok\r\ncluster_current_epoch:6\r\nend:1\r\n\r\n"), &epoch));
    assert_int_equal(epoch, 6);
    forget(&h);
    assert_true(redis_answer_cluster_epoch(hear(&h, "$23\r\ncluster_current_epoch:9\r\n"), &epoch));
    assert_int_equal(epoch, 9);
    forget(&h);
    assert_false(redis_answer_cluster_epoch(hear(&h, "$22\r\ncluster_current_epoch:\r\n"), &epoch));
    forget(&h);
    assert_false(redis_answer_cluster_epoch(hear(&h, "$-1\r\n"), &epoch));
    forget(&h);
}

static void test_slots(void **state)
{
    /* With a replica; without a host; of an unknown host; and what makes no sense. */
    static const char slots[] = "*6\r\n"
                                "*4\r\n:0\r\n:5460\r\n"
                                "*4\r\n$8\r\n10.0.0.1\r\n:7001\r\n$2\r\nid\r\n*0\r\n"
                                "*4\r\n$8\r\n10.0.0.2\r\n:7002\r\n$2\r\nid\r\n*0\r\n"
                                "*3\r\n:5461\r\n:5461\r\n*3\r\n$0\r\n\r\n:7003\r\n$2\r\nid\r\n"
                                "*3\r\n:5462\r\n:16383\r\n*3\r\n$-1\r\n:7004\r\n$2\r\nid\r\n"
                                "*3\r\n:1\r\n:2\r\n*3\r\n$1\r\n?\r\n:7005\r\n$2\r\nid\r\n"
                                "*3\r\n:1\r\n:16384\r\n*3\r\n$1\r\nh\r\n:7005\r\n$2\r\nid\r\n"
                                "*2\r\n:1\r\n:2\r\n";
    static const struct redis_range rows[] = {
        {0, 5460, {"10.0.0.1", 7001}},
        {5461, 5461, {"asked.example", 7003}},
        {5462, 16383, {"asked.example", 7004}},
    };
    struct heard h;
    const struct redis_reply *reply = hear(&h, slots);
    struct redis_range range;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(redis_answer_range(reply, i, "asked.example", &range));
        assert_int_equal(range.first, rows[i].first);
        assert_int_equal(range.last, rows[i].last);
        assert_string_equal(range.master.host, rows[i].master.host);
        assert_int_equal(range.master.port, rows[i].master.port);
    }
    for (size_t i = sizeof rows / sizeof rows[0]; i < 8; i++) {
        assert_false(redis_answer_range(reply, i, "asked.example", &range));
    }
    forget(&h);
    assert_false(redis_answer_range(hear(&h, "-CLUSTERDOWN\r\n"), 0, "h", &range));
    forget(&h);
}

static void test_redirections(void **state)
{
    static const struct {
        const char *error;
        enum redis_redirect what;
        unsigned slot;
        struct conf_redis_place to;
    } rows[] = {
        {"MOVED 3999 127.0.0.1:6381", REDIRECT_MOVED, 3999, {"127.0.0.1", 6381}},
        {"MOVED 0 ::1:6381", REDIRECT_MOVED, 0, {"::1", 6381}},
        {"MOVED 16383 :6381", REDIRECT_MOVED, 16383, {"asked", 6381}},
        {"ASK 7 node.example:1", REDIRECT_ASK, 7, {"node.example", 1}},
        {"TRYAGAIN Multiple keys request during rehashing of slot", REDIRECT_AGAIN, 0, {"", 0}},
        {"CLUSTERDOWN Hash slot not served", REDIRECT_DOWN, 0, {"", 0}},
        {"MOVED 16384 h:1", REDIRECT_NONE, 0, {"", 0}},
        {"MOVED 1 h:0", REDIRECT_NONE, 0, {"", 0}},
        {"MOVED 1 h:65536", REDIRECT_NONE, 0, {"", 0}},
        {"MOVED 1 h", REDIRECT_NONE, 0, {"", 0}},
        {"MOVED x h:1", REDIRECT_NONE, 0, {"", 0}},
        {"MOVED 1", REDIRECT_NONE, 0, {"", 0}},
        {"MOVED ", REDIRECT_NONE, 0, {"", 0}},
        {"ASK  h:1", REDIRECT_NONE, 0, {"", 0}},
        {"ERR unknown command", REDIRECT_NONE, 0, {"", 0}},
        {"", REDIRECT_NONE, 0, {"", 0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct conf_redis_place to = {.host = "", .port = 0};
        unsigned slot = 0;

        assert_int_equal(
            redis_answer_redirect(span_of(rows[i].error), "asked", &slot, &to), rows[i].what);
        assert_int_equal(slot, rows[i].slot);
        assert_string_equal(to.host, rows[i].to.host);
        assert_int_equal(to.port, rows[i].to.port);
    }
}

static void on_lease(void *context, const struct lease_entry *entry, int64_t now_s)
{
    (void)context;
    (void)entry;
    (void)now_s;
    fail();
}

/* What is no answer to the mirrors' questions is an error to them, whatever its shape. */
static void test_feeds_of_another_shape(void **state)
{
    static const char *const replies[] = {
        "$-1\r\n",
        "*-1\r\n",
        "*0\r\n",
        ":7\r\n",
        "+OK\r\n",
        "-ERR no\r\n",
        "*1\r\n*0\r\n",
        "*1\r\n*1\r\n$1\r\ns\r\n",
        "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*0\r\n",
        "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n:7\r\n",
        "*2\r\n*0\r\n*0\r\n",
    };
    struct prefix_slot slots[PREFIX_MAP_SMALLEST] = {0};
    struct class_names names = {0};
    struct prefix_map map;

    (void)state;
    prefix_map_init(&map, slots, PREFIX_MAP_SMALLEST, 25);
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        struct heard h;
        const struct redis_reply *reply = hear(&h, replies[i]);
        char position[FEED_POSITION] = FEED_START;
        struct span cursor;

        assert_false(feed_scan(reply, &names, &map, &cursor));
        assert_false(feed_changes(reply, &names, &map, position));
        assert_false(lease_scan(reply, 0, on_lease, NULL, &cursor));
        assert_int_equal(lease_changes(reply, position, on_lease, NULL), LEASE_NEWS_BAD);
        assert_string_equal(position, FEED_START);
        forget(&h);
    }
    assert_null(redis_reply_at(NULL, 0));
    assert_true(redis_reply_is_nil(NULL));
    assert_int_equal(map.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_feeds_of_another_shape),
        cmocka_unit_test(test_command_bytes),
        cmocka_unit_test(test_commands_are_read_back),
        cmocka_unit_test(test_masters),
        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_redirections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
