/* core/spf_wire.h: what goes in comes out, and nothing else is taken for a message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "core/spf_wire.h"
#include "page_edge.h"

static struct span packet_of(const uint8_t *bytes, size_t size)
{
    return (struct span){(const char *)bytes, size};
}

static struct spf_question question(const char *client)
{
    struct spf_question q = {
        .asker = 0x80000001,
        .id = 0xfedcba9876543210,
        .deadline_ms = 1750,
        .helo = SPAN_LITERAL("pc.example"),
        .sender = SPAN_LITERAL("a@b.example")};
    assert_true(addr_parse(span_of(client), &q.client));
    return q;
}

static void test_question(void **state)
{
    (void)state;
    static const char *const clients[] = {"192.0.2.7", "2001:db8::7"};
    for (size_t i = 0; i < 2; i++) {
        struct spf_question q = question(clients[i]);
        struct spf_question got;
        uint8_t packet[SPF_WIRE_MOST];
        size_t size = spf_question_encode(&q, packet);
        assert_true(size > 0);
        assert_true(spf_question_decode(packet_of(packet, size), &got));
        assert_int_equal(got.asker, q.asker);
        assert_int_equal(got.id, q.id);
        assert_int_equal(got.deadline_ms, q.deadline_ms);
        assert_true(addr_equal(&got.client, &q.client));
        assert_true(span_equal(got.helo, q.helo));
        assert_true(span_equal(got.sender, q.sender));
    }
}

static void test_reply(void **state)
{
    (void)state;
    for (enum spf_result r = SPF_UNKNOWN; r < SPF_RESULTS; r++) {
        struct spf_reply reply = {
            1, 2, {r, SPF_RESULTS - r, SPAN_LITERAL("why\0not"), SPAN_LITERAL("because")}};
        struct spf_reply got;
        uint8_t packet[SPF_WIRE_MOST];
        size_t size = spf_reply_encode(&reply, packet);
        assert_true(spf_reply_decode(packet_of(packet, size), &got));
        assert_int_equal(got.asker, 1);
        assert_int_equal(got.id, 2);
        assert_int_equal(got.answer.sender, r);
        assert_int_equal(got.answer.helo, SPF_RESULTS - r);
        assert_true(span_equal(got.answer.sender_words, reply.answer.sender_words));
        assert_true(span_equal(got.answer.helo_words, reply.answer.helo_words));
    }
}

/* Every other length of a packet, against the end of a page; and results that there are not. */
static void test_other_packets(void **state)
{
    (void)state;
    struct spf_question q = question("192.0.2.7");
    struct spf_reply reply = {1, 2, {SPF_PASS, SPF_NONE, SPAN_LITERAL("why"), SPAN_LITERAL("")}};
    struct spf_question got_question;
    struct spf_reply got_reply;
    struct page_edge edge;
    page_edge_init(&edge);
    uint8_t questions[SPF_WIRE_MOST + 1] = {0};
    uint8_t replies[SPF_WIRE_MOST + 1] = {0};
    size_t question_size = spf_question_encode(&q, questions);
    size_t reply_size = spf_reply_encode(&reply, replies);
    for (size_t size = 0; size <= SPF_WIRE_MOST; size++) {
        struct span packet = page_edge_copy(&edge, packet_of(questions, size));
        assert_int_equal(spf_question_decode(packet, &got_question), size == question_size);
        assert_false(spf_reply_decode(packet, &got_reply));
        packet = page_edge_copy(&edge, packet_of(replies, size));
        assert_int_equal(spf_reply_decode(packet, &got_reply), size == reply_size);
        assert_false(spf_question_decode(packet, &got_question));
    }
    page_edge_fini(&edge);
    static const uint8_t results[] = {SPF_NOT_ASKED, SPF_RESULTS, 255};
    for (size_t i = 0; i < 2 * sizeof results; i++) {
        uint8_t *place = &replies[13 + i % 2], before = *place;
        *place = results[i / 2];
        assert_false(spf_reply_decode(packet_of(replies, reply_size), &got_reply));
        *place = before;
        assert_true(spf_reply_decode(packet_of(replies, reply_size), &got_reply));
    }
    questions[17] = 5; /* the family */
    assert_false(spf_question_decode(packet_of(questions, question_size), &got_question));
}

static void test_greeting(void **state)
{
    (void)state;
    uint8_t packet[SPF_WIRE_MOST] = {0};
    struct spf_question q;
    struct spf_reply reply;
    assert_int_equal(spf_greeting_encode(packet), SPF_WIRE_GREETING);
    assert_true(spf_greeting_decode(packet_of(packet, SPF_WIRE_GREETING)));
    assert_false(spf_question_decode(packet_of(packet, SPF_WIRE_GREETING), &q));
    assert_false(spf_reply_decode(packet_of(packet, SPF_WIRE_GREETING), &reply));
    assert_false(spf_greeting_decode(packet_of(packet, SPF_WIRE_GREETING + 1)));
    assert_false(spf_greeting_decode(packet_of(packet, 0)));
    packet[0] = 'R';
    assert_false(spf_greeting_decode(packet_of(packet, SPF_WIRE_GREETING)));
}

static void test_too_long(void **state)
{
    (void)state;
    static char text[SPF_WIRE_SENDER];
    uint8_t packet[SPF_WIRE_MOST];
    struct spf_question q = question("2001:db8::7");
    memset(text, 'x', sizeof text);
    q.helo = (struct span){text, SPF_WIRE_HELO - 1};
    q.sender = (struct span){text, SPF_WIRE_SENDER - 1};
    assert_in_range(spf_question_encode(&q, packet), 1, SPF_WIRE_MOST);
    q.helo.len++;
    assert_int_equal(spf_question_encode(&q, packet), 0);
    q = question("2001:db8::7");
    q.sender = (struct span){text, SPF_WIRE_SENDER};
    assert_int_equal(spf_question_encode(&q, packet), 0);
    q = question("2001:db8::7");
    q.client.family = ADDR_NONE;
    assert_int_equal(spf_question_encode(&q, packet), 0);
    struct span most = {text, SPF_EXPLANATION - 1}, more = {text, SPF_EXPLANATION};
    struct spf_reply reply = {1, 2, {SPF_FAIL, SPF_FAIL, most, most}};
    assert_in_range(spf_reply_encode(&reply, packet), 1, SPF_WIRE_MOST);
    reply.answer.sender_words = more;
    assert_int_equal(spf_reply_encode(&reply, packet), 0);
    reply.answer.sender_words = most;
    reply.answer.helo_words = more;
    assert_int_equal(spf_reply_encode(&reply, packet), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_question),      cmocka_unit_test(test_reply),
        cmocka_unit_test(test_other_packets), cmocka_unit_test(test_greeting),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
