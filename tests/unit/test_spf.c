/* svc/spf.h against the other end of its socket: every question is answered exactly once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <event2/event.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "svc/spf.h"

#define FAR_MS 60000
#define MANY   2000 /* questions: more than the socket holds */

struct fixture {
    struct event_base *base;
    int pair[2];
    struct spf *spf;
    unsigned answers, unknown;
    uint64_t ticket;
    enum spf_result result, helo;
    char words[SPF_EXPLANATION];
};

static void on_answer(void *context, uint64_t ticket, const struct spf_answer *answer)
{
    struct fixture *f = context;
    struct text t;
    f->answers++;
    f->unknown += answer->sender == SPF_UNKNOWN && answer->helo == SPF_UNKNOWN;
    f->ticket = ticket;
    f->result = answer->sender;
    f->helo = answer->helo;
    text_init(&t, f->words, sizeof f->words);
    text_add(&t, answer->sender_words);
}

static int set_up(void **state)
{
    static struct fixture f;
    f = (struct fixture){.base = event_base_new()};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, f.pair), 0);
    f.spf = spf_new(f.base, f.pair[0], on_answer, &f);
    assert_non_null(f.spf);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    spf_free(f->spf);
    event_base_free(f->base);
    close(f->pair[0]);
    close(f->pair[1]);
    return 0;
}

static void ask(struct fixture *f, uint64_t ticket, uint32_t deadline_ms)
{
    struct addr client;
    unsigned before = f->answers;
    assert_true(addr_parse(SPAN_LITERAL("192.0.2.7"), &client));
    assert_int_equal(
        spf_ask(
            f->spf, ticket, &client, SPAN_LITERAL("pc.example"), SPAN_LITERAL("a@b.example"),
            deadline_ms),
        0);
    assert_int_equal(f->answers, before); /* never from within */
}

static struct spf_question take_question(const struct fixture *f)
{
    static char packet[SPF_WIRE_MOST];
    struct spf_question q;
    ssize_t n = recv(f->pair[1], packet, sizeof packet, 0);
    assert_true(n > 0);
    assert_true(spf_question_decode((struct span){packet, (size_t)n}, &q));
    return q;
}

static void say(const struct fixture *f, struct spf_reply reply)
{
    uint8_t packet[SPF_WIRE_MOST];
    size_t size = spf_reply_encode(&reply, packet);
    assert_int_equal(send(f->pair[1], packet, size, 0), size);
}

static struct spf_reply reply(uint32_t asker, uint64_t id, enum spf_result sender)
{
    struct span nothing = SPAN_LITERAL("");
    return (struct spf_reply){asker, id, {sender, SPF_NEUTRAL, SPAN_LITERAL("why"), nothing}};
}

static void turn_until(struct fixture *f, unsigned answers)
{
    for (int i = 0; f->answers < answers; i++) {
        assert_true(i < 100000);
        event_base_loop(f->base, EVLOOP_ONCE);
    }
}

static void test_answer(void **state)
{
    struct fixture *f = *state;
    ask(f, 77, FAR_MS);
    struct spf_question q = take_question(f);
    assert_true(span_equal(q.sender, SPAN_LITERAL("a@b.example")));
    assert_true(span_equal(q.helo, SPAN_LITERAL("pc.example")));
    assert_true(q.deadline_ms > 0 && q.deadline_ms < FAR_MS);
    say(f, reply(q.asker, q.id, SPF_FAIL));
    turn_until(f, 1);
    assert_int_equal(f->ticket, 77);
    assert_int_equal(f->result, SPF_FAIL);
    assert_int_equal(f->helo, SPF_NEUTRAL);
    assert_string_equal(f->words, "why");
}

/* Answers twice, for others, for nobody, and rubbish, change nothing. */
static void test_other_answers(void **state)
{
    struct fixture *f = *state;
    ask(f, 1, FAR_MS);
    struct spf_question q = take_question(f);
    assert_int_equal(send(f->pair[1], "rubbish", 7, 0), 7);
    say(f, reply(q.asker + 1, q.id, SPF_FAIL));
    say(f, reply(q.asker, q.id + 1, SPF_FAIL));
    say(f, reply(q.asker, q.id, SPF_PASS));
    say(f, reply(q.asker, q.id, SPF_FAIL));
    turn_until(f, 1);
    event_base_loop(f->base, EVLOOP_NONBLOCK);
    assert_int_equal(f->answers, 1);
    assert_int_equal(spf_heard(f->spf), 3); /* signs of life: all that are for us */
    assert_int_equal(f->result, SPF_PASS);
}

static void test_deadline(void **state)
{
    struct fixture *f = *state;
    ask(f, 1, FAR_MS);
    ask(f, 2, 10);
    turn_until(f, 1);
    assert_int_equal(f->ticket, 2);
    assert_int_equal(f->result, SPF_UNKNOWN);
    /* Too late: nobody is there any more. The other one still is. */
    struct spf_question first = take_question(f), second = take_question(f);
    say(f, reply(second.asker, second.id, SPF_FAIL));
    say(f, reply(first.asker, first.id, SPF_PASS));
    turn_until(f, 2);
    assert_int_equal(f->ticket, 1);
    assert_int_equal(f->result, SPF_PASS);
}

static void greet(const struct fixture *f)
{
    uint8_t packet[SPF_WIRE_GREETING];
    size_t size = spf_greeting_encode(packet);
    assert_int_equal(send(f->pair[1], packet, size, 0), size);
}

/* The helper has ended and another one begins: it is asked what the first has not answered, and
 * what has been answered is not asked again. */
static void test_greeting(void **state)
{
    struct fixture *f = *state;
    char rest[SPF_WIRE_MOST];
    ask(f, 1, FAR_MS);
    ask(f, 2, FAR_MS);
    struct spf_question first = take_question(f), second = take_question(f);
    say(f, reply(first.asker, first.id, SPF_PASS));
    turn_until(f, 1);
    greet(f);
    event_base_loop(f->base, EVLOOP_ONCE);
    struct spf_question again = take_question(f);
    assert_int_equal(again.id, second.id);
    assert_true(again.deadline_ms > 0 && again.deadline_ms <= second.deadline_ms);
    assert_true(span_equal(again.sender, SPAN_LITERAL("a@b.example")));
    assert_true(span_equal(again.helo, SPAN_LITERAL("pc.example")));
    assert_int_equal(recv(f->pair[1], rest, sizeof rest, MSG_DONTWAIT), -1);
    say(f, reply(again.asker, again.id, SPF_FAIL));
    turn_until(f, 2);
    assert_int_equal(f->ticket, 2);
    assert_int_equal(f->result, SPF_FAIL);
    assert_int_equal(spf_heard(f->spf), 2); /* a greeting is no answer */
}

/* A question that one helper after the other does not survive is not asked for ever. */
static void test_greetings_without_end(void **state)
{
    struct fixture *f = *state;
    char rest[SPF_WIRE_MOST];
    ask(f, 1, FAR_MS);
    for (unsigned i = 0; i < 3; i++) {
        (void)take_question(f);
        greet(f);
        event_base_loop(f->base, EVLOOP_ONCE);
    }
    (void)take_question(f);
    greet(f);
    event_base_loop(f->base, EVLOOP_ONCE);
    assert_int_equal(recv(f->pair[1], rest, sizeof rest, MSG_DONTWAIT), -1);
    assert_int_equal(f->answers, 0); /* its deadline ends it */
}

/* Nobody reads: what does not fit is unknown at once, not at its deadline. */
static void test_full(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 0; i < MANY; i++) {
        ask(f, i, FAR_MS);
    }
    event_base_loop(f->base, EVLOOP_ONCE);
    assert_true(f->unknown > 0 && f->unknown < MANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deadline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_greeting, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_greetings_without_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
