#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/address.h"
#include "net/intercept.h"
#include "net/stream.h"

#define PATIENCE_S 20 /* after which a test that hangs fails */

/* One stream, and the other end of its connection in the test's hand. */
struct bench {
    struct event_base *base;
    char scratch[STREAM_SCRATCH];
    struct stream_owner owner;
    struct stream stream;
    int peer;
    unsigned events[STREAM_FAILED + 1];
    size_t leave; /* of each input, bytes that are not consumed */
    struct span last;
    char seen[64];
};

static void on_event(void *context, struct stream *s, enum stream_event event)
{
    struct bench *b = context;
    b->events[event]++;
    if (event == STREAM_INPUT) {
        struct span input = stream_input(s);
        size_t shown = input.len < sizeof(b->seen) - 1 ? input.len : sizeof(b->seen) - 1;
        memcpy(b->seen, input.at, shown);
        b->seen[shown] = '\0';
        stream_consume(s, input.len > b->leave ? input.len - b->leave : 0);
    }
    event_base_loopbreak(b->base);
}

static int set_up(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    int pair[2];
    if (!b || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0) {
        return -1;
    }
    b->base = event_base_new();
    b->owner = (struct stream_owner){.base = b->base, .scratch = b->scratch, .event = on_event};
    stream_init(&b->stream, &b->owner, b);
    b->peer = pair[1];
    *state = b;
    return stream_open(&b->stream, pair[0]);
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    stream_close(&b->stream);
    if (b->peer >= 0) {
        close(b->peer);
    }
    event_base_free(b->base);
    free(b);
    return 0;
}

/* Runs the loop until the stream has reported an event of this kind `times`. */
static void wait_for(struct bench *b, enum stream_event event, unsigned times)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    event_base_loopexit(b->base, &patience);
    while (b->events[event] < times && !event_base_got_exit(b->base)) {
        assert_int_equal(event_base_loop(b->base, EVLOOP_ONCE), 0);
    }
    assert_int_equal(b->events[event], times);
}

static void turn(struct bench *b)
{
    assert_int_not_equal(event_base_loop(b->base, EVLOOP_NONBLOCK), -1);
}

static void say(struct bench *b, const char *text)
{
    assert_int_equal(write(b->peer, text, strlen(text)), strlen(text));
}

static void test_input_holds_memory_only_for_what_is_left(void **state)
{
    struct bench *b = *state;
    say(b, "EHLO a\r\n");
    wait_for(b, STREAM_INPUT, 1);
    assert_string_equal(b->seen, "EHLO a\r\n");
    assert_null(b->stream.in.at);

    b->leave = 3;
    say(b, "MAIL FR");
    wait_for(b, STREAM_INPUT, 2);
    assert_int_equal(stream_input(&b->stream).len, 3);
    memset(b->scratch, '#', sizeof(b->scratch)); /* another stream reads */
    b->leave = 0;
    say(b, "OM:<>\r\n");
    wait_for(b, STREAM_INPUT, 3);
    assert_string_equal(b->seen, " FROM:<>\r\n");
    assert_null(b->stream.in.at);
}

static void test_rest_stops_reading(void **state)
{
    struct bench *b = *state;
    stream_rest(&b->stream, STREAM_REST_PEER, true);
    stream_rest(&b->stream, STREAM_REST_ORDERED, true);
    say(b, "x");
    turn(b);
    stream_rest(&b->stream, STREAM_REST_PEER, false);
    turn(b);
    assert_int_equal(b->events[STREAM_INPUT], 0);
    stream_rest(&b->stream, STREAM_REST_ORDERED, false);
    wait_for(b, STREAM_INPUT, 1);
}

static size_t read_all(struct bench *b, char expected)
{
    char buffer[65536];
    size_t got = 0;
    ssize_t n;
    while ((n = read(b->peer, buffer, sizeof(buffer))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            assert_int_equal(buffer[i], expected);
        }
        got += (size_t)n;
    }
    return got;
}

static void test_unsent_is_kept_and_flushed(void **state)
{
    struct bench *b = *state;
    enum { SIZE = 4 * 1024 * 1024 };
    char *bytes = malloc(SIZE);
    memset(bytes, 'x', SIZE);
    stream_send(&b->stream, (struct span){bytes, SIZE});
    free(bytes);
    stream_finish(&b->stream);
    assert_true(stream_unsent(&b->stream) > 0);

    size_t got = 0;
    while (b->events[STREAM_FLUSHED] == 0) {
        got += read_all(b, 'x');
        turn(b);
    }
    got += read_all(b, 'x');
    assert_int_equal(got, SIZE);
    assert_null(b->stream.out.at);
    /* the half-close came behind the last byte */
    char c;
    assert_int_equal(read(b->peer, &c, 1), 0);
    /* and the other direction still works */
    say(b, "y");
    wait_for(b, STREAM_INPUT, 1);
}

static void test_end_of_input_leaves_sending(void **state)
{
    struct bench *b = *state;
    say(b, "bye");
    shutdown(b->peer, SHUT_WR);
    wait_for(b, STREAM_EOF, 1);
    assert_int_equal(b->events[STREAM_INPUT], 1);
    assert_true(stream_at_eof(&b->stream));
    assert_true(stream_is_open(&b->stream));
    stream_send(&b->stream, SPAN_LITERAL("z"));
    assert_int_equal(read_all(b, 'z'), 1);
    turn(b);
    assert_int_equal(b->events[STREAM_EOF], 1);
}

/* What the peer said before it went away is heard although sending fails first. */
static void test_last_words_of_a_dead_peer(void **state)
{
    struct bench *b = *state;
    say(b, "421 bye\r\n");
    close(b->peer);
    b->peer = -1;
    stream_send(&b->stream, SPAN_LITERAL("NOOP\r\n"));
    assert_int_equal(b->events[STREAM_FAILED], 0);
    wait_for(b, STREAM_FAILED, 1);
    assert_string_equal(b->seen, "421 bye\r\n");
    assert_int_equal(stream_errno(&b->stream), EPIPE);
    assert_false(stream_is_open(&b->stream));
    stream_send(&b->stream, SPAN_LITERAL("QUIT\r\n"));
    stream_finish(&b->stream);
}

static void test_sending_fails_after_the_end_of_input(void **state)
{
    struct bench *b = *state;
    shutdown(b->peer, SHUT_WR);
    wait_for(b, STREAM_EOF, 1);
    close(b->peer);
    b->peer = -1;
    stream_send(&b->stream, SPAN_LITERAL("NOOP\r\n"));
    wait_for(b, STREAM_FAILED, 1);
}

static int closed_port(struct endpoint *out)
{
    struct endpoint loopback = {.addr = {ADDR_IPV4, {127, 0, 0, 1}}};
    int fd = intercept_listen(INTERCEPT_REDIRECT, &loopback);
    assert_true(fd >= 0);
    assert_true(intercept_local(fd, out));
    return fd;
}

static void test_connect(void **state)
{
    struct bench *b = *state;
    struct endpoint where;
    int listening = closed_port(&where);
    struct stream other;
    stream_init(&other, &b->owner, b);
    int fd = intercept_socket(INTERCEPT_REDIRECT, &where.addr, 0);
    assert_int_equal(stream_connect(&other, fd, &where), 0);
    stream_send(&other, SPAN_LITERAL("early"));
    wait_for(b, STREAM_CONNECTED, 1);
    wait_for(b, STREAM_FLUSHED, 1);
    int accepted = accept(listening, NULL, NULL);
    char got[8] = {0};
    assert_int_equal(read(accepted, got, sizeof(got)), 5);
    assert_string_equal(got, "early");
    close(accepted);
    close(listening);
    stream_close(&other);
}

static void test_connect_refused(void **state)
{
    struct bench *b = *state;
    struct endpoint where;
    close(closed_port(&where));
    struct stream other;
    stream_init(&other, &b->owner, b);
    int fd = intercept_socket(INTERCEPT_REDIRECT, &where.addr, 0);
    if (stream_connect(&other, fd, &where) == 0) {
        wait_for(b, STREAM_FAILED, 1);
    }
    assert_int_equal(stream_errno(&other), ECONNREFUSED);
    assert_int_equal(other.fd, -1);
    stream_close(&other);
}

/* A read ends at urgent data: what is behind it is not lost, though the end has come as well. */
static void test_what_is_behind_urgent_data(void **state)
{
    struct bench *b = *state;
    struct endpoint where = {.addr = {ADDR_IPV4, {127, 0, 0, 1}}};
    struct sockaddr_storage address;
    socklen_t len = address_write(&where, &address);
    int listener = socket(AF_INET, SOCK_STREAM, 0), peer = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(connect(peer, (struct sockaddr *)&address, len), 0);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(fd >= 0);
    assert_int_equal(send(peer, "abc", 3, 0), 3);
    assert_int_equal(send(peer, "!", 1, MSG_OOB), 1);
    assert_int_equal(send(peer, "defghi", 6, 0), 6);
    assert_int_equal(shutdown(peer, SHUT_WR), 0);

    struct stream s;
    stream_init(&s, &b->owner, b);
    b->leave = 64;
    assert_int_equal(stream_open(&s, fd), 0);
    wait_for(b, STREAM_EOF, 1);
    assert_int_equal(stream_input(&s).len, 9);
    assert_memory_equal(stream_input(&s).at, "abcdefghi", 9);
    stream_close(&s);
    close(peer);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_input_holds_memory_only_for_what_is_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rest_stops_reading, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unsent_is_kept_and_flushed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_end_of_input_leaves_sending, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_last_words_of_a_dead_peer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_sending_fails_after_the_end_of_input, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_connect, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_connect_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_behind_urgent_data, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
