#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/address.h"
#include "net/intercept.h"
#include "net/listener.h"

#define CLIENTS    200
#define PATIENCE_S 20

struct bench {
    struct event_base *base;
    struct listener_options options;
    struct listener listener;
    struct endpoint where;
    int accepted[CLIENTS], clients[CLIENTS];
    unsigned accepted_count, rests, hold_after;
    int last_error;
};

static bool acknowledges_at_once(int fd)
{
    int quick = -1;
    socklen_t len = sizeof(quick);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &quick, &len), 0);
    return quick != 0;
}

static void on_accepted(void *context, int fd, const struct endpoint *peer)
{
    struct bench *b = context;
    assert_true(addr_equal(&peer->addr, &b->where.addr));
    assert_int_not_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    assert_int_not_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    assert_false(acknowledges_at_once(fd));
    b->accepted[b->accepted_count++] = fd;
    if (b->accepted_count == b->hold_after) {
        listener_hold(&b->listener, true);
    }
}

static void on_rested(void *context, int error)
{
    struct bench *b = context;
    b->rests++;
    b->last_error = error;
}

static int set_up(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    b->base = event_base_new();
    b->options = (struct listener_options){on_accepted, on_rested, b};
    b->where = (struct endpoint){.addr = {ADDR_IPV4, {127, 0, 0, 1}}};
    int fd = intercept_listen(INTERCEPT_REDIRECT, &b->where);
    *state = b;
    if (fd < 0 || !intercept_local(fd, &b->where)) {
        return -1;
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct sockaddr_storage address;
        socklen_t len = address_write(&b->where, &address);
        b->clients[i] = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(b->clients[i], (struct sockaddr *)&address, len) < 0) {
            return -1;
        }
    }
    return listener_init(&b->listener, b->base, fd, &b->options);
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    listener_fini(&b->listener);
    for (unsigned i = 0; i < CLIENTS; i++) {
        close(b->clients[i]);
    }
    for (unsigned i = 0; i < b->accepted_count; i++) {
        close(b->accepted[i]);
    }
    event_base_free(b->base);
    free(b);
    return 0;
}

static void test_answers_acknowledge(void **state)
{
    struct bench *b = *state;
    assert_true(acknowledges_at_once(b->clients[0]));
    intercept_answer_acknowledges(b->clients[0]);
    assert_false(acknowledges_at_once(b->clients[0]));
}

static void wait_for(struct bench *b, unsigned count)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    event_base_loopexit(b->base, &patience);
    while (b->accepted_count < count && !event_base_got_exit(b->base)) {
        event_base_loop(b->base, EVLOOP_ONCE);
    }
    assert_true(b->accepted_count >= count);
}

static void test_a_turn_is_bounded(void **state)
{
    struct bench *b = *state;
    unsigned most = 0;
    for (unsigned turns = 0; b->accepted_count < CLIENTS; turns++) {
        unsigned before = b->accepted_count;
        event_base_loop(b->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        most = b->accepted_count - before > most ? b->accepted_count - before : most;
        assert_true(turns < CLIENTS);
    }
    assert_int_equal(most, LISTENER_BATCH); /* many at once are taken, but no more than that */
    assert_int_equal(b->rests, 0);
}

static void test_held_takes_nothing(void **state)
{
    struct bench *b = *state;
    b->hold_after = 3;
    for (unsigned i = 0; i < 10; i++) {
        event_base_loop(b->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    }
    assert_int_equal(b->accepted_count, 3);
    listener_hold(&b->listener, false);
    wait_for(b, CLIENTS);
}

/* No descriptors: it rests instead of spinning, and goes on by itself when there are some. */
static void test_survives_emfile(void **state)
{
    struct bench *b = *state;
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)b->clients[CLIENTS - 1] + 2; /* the listener's event base is below */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 1000; i++) {
        event_base_loop(b->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    }
    unsigned rests = b->rests, accepted = b->accepted_count;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(accepted < CLIENTS);
    assert_true(rests > 0 && rests < 100);
    assert_int_equal(b->last_error, EMFILE);
    /* Under valgrind an accept that ends with EMFILE has lost its connection. */
    wait_for(b, CLIENTS - rests);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers_acknowledge, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_turn_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_held_takes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_survives_emfile, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
