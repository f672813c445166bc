/* The way of mails to a smarthost that fails on cue; a real one takes them in tests/integration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/mailer.h"

#define PATIENCE_S 60

/* What the server says in place of its usual reply; NULL: the usual one; "": nothing at all. */
struct manners {
    const char *greeting, *mail, *rcpt, *data, *end;
    unsigned for_so_many; /* sessions; later ones meet the usual replies */
};

struct bench {
    struct event_base *base;
    struct evconnlistener *listener;
    const struct manners *manners;
    unsigned port, sessions, taken, open;
    bool in_data;
    char heard[MAIL_MESSAGE * 2]; /* all that was sent */
    size_t heard_len;
    enum mailer_state told[64];
    size_t told_count;
    uint64_t last_ticket;
    bool tired;
};

static void say(struct bench *b, struct bufferevent *s, const char *special, const char *usual)
{
    bool misbehave = b->manners && b->sessions <= b->manners->for_so_many;
    const char *reply = misbehave && special ? special : usual;
    if (reply[0]) {
        evbuffer_add_printf(bufferevent_get_output(s), "%s\r\n", reply);
    }
}

static void on_line(struct bench *b, struct bufferevent *s, const char *line)
{
    static const struct manners none;
    const struct manners *m = b->manners ? b->manners : &none;

    if (b->in_data) {
        if (strcmp(line, ".") == 0) {
            b->in_data = false;
            b->taken++;
            say(b, s, m->end, "250 2.0.0 taken");
        }
    } else if (strncasecmp(line, "MAIL", 4) == 0) {
        say(b, s, m->mail, "250 2.1.0 ok");
    } else if (strncasecmp(line, "RCPT", 4) == 0) {
        say(b, s, m->rcpt, "250 2.1.5 ok");
    } else if (strncasecmp(line, "DATA", 4) == 0) {
        b->in_data = true;
        say(b, s, m->data, "354 go on");
    } else {
        say(b, s, NULL, strncasecmp(line, "QUIT", 4) == 0 ? "221 bye" : "250 ok");
    }
}

static void on_read(struct bufferevent *s, void *context)
{
    struct bench *b = context;
    struct evbuffer *in = bufferevent_get_input(s);
    char *line;

    while ((line = evbuffer_readln(in, NULL, EVBUFFER_EOL_CRLF_STRICT))) {
        int n = snprintf(b->heard + b->heard_len, sizeof(b->heard) - b->heard_len, "%s\n", line);
        b->heard_len += n > 0 ? (size_t)n : 0;
        assert_true(b->heard_len < sizeof(b->heard));
        on_line(b, s, line);
        free(line);
    }
}

static void on_end(struct bufferevent *s, short what, void *context)
{
    struct bench *b = context;

    (void)what;
    b->open--;
    bufferevent_free(s);
}

static void on_accept(
    struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *peer, int len, void *context)
{
    struct bench *b = context;
    struct bufferevent *s =
        bufferevent_socket_new(evconnlistener_get_base(l), fd, BEV_OPT_CLOSE_ON_FREE);

    (void)peer, (void)len;
    b->sessions++;
    b->open++;
    b->in_data = false;
    bufferevent_setcb(s, on_read, NULL, on_end, b);
    bufferevent_enable(s, EV_READ | EV_WRITE);
    say(b, s, b->manners ? b->manners->greeting : NULL, "220 smarthost.example");
}

static int start(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);

    b->base = event_base_new();
    b->listener = evconnlistener_new_bind(
        b->base, on_accept, b, LEV_OPT_CLOSE_ON_FREE, 64, (struct sockaddr *)&at, sizeof(at));
    assert_non_null(b->listener);
    getsockname(evconnlistener_get_fd(b->listener), (struct sockaddr *)&at, &len);
    b->port = ntohs(at.sin_port);
    *state = b;
    return 0;
}

static int stop(void **state)
{
    struct bench *b = *state;

    while (b->open > 0) { /* whose clients are gone */
        event_base_loop(b->base, EVLOOP_ONCE);
    }
    evconnlistener_free(b->listener);
    event_base_free(b->base);
    free(b);
    return 0;
}

static void on_told(void *context, uint64_t ticket, enum mailer_state state)
{
    struct bench *b = context;
    assert_true(b->told_count < 64);
    b->told[b->told_count++] = state;
    b->last_ticket = ticket;
}

static struct mailer *mailer(
    struct bench *b, uint32_t retry_ms, uint32_t give_up_ms, uint32_t deadline_ms)
{
    char url[64];
    struct mailer_options options = {
        .host =
            {.url = url,
             .helo = "site.isp.example",
             .tls = SMTP_TLS_TRY,
             .deadline_ms = deadline_ms},
        .from = "port25@isp.example",
        .retry_ms = retry_ms,
        .give_up_ms = give_up_ms};
    snprintf(url, sizeof(url), "smtp://127.0.0.1:%u", b->port);
    struct mailer *m = mailer_new(b->base, &options, on_told, b);
    assert_non_null(m);
    return m;
}

static const struct mail_message message = {
    .from_name = SPAN_LITERAL("Example ISP"),
    .to = SPAN_LITERAL("owner@customer.example"),
    .subject = SPAN_LITERAL("Confirm"),
    .id = SPAN_LITERAL("abc@isp.example"),
    .date_s = 1795887775,
    .body = SPAN_LITERAL(".\nhttps://port25.isp.example/confirm?token=abc\n"),
};

static void on_tired(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    *(bool *)context = true;
}

static void wait_told(struct bench *b, size_t count)
{
    struct timeval patience = {PATIENCE_S, 0};
    struct event *timer = evtimer_new(b->base, on_tired, &b->tired);

    evtimer_add(timer, &patience);
    while (b->told_count < count && !b->tired) {
        event_base_loop(b->base, EVLOOP_ONCE);
    }
    event_free(timer);
    assert_false(b->tired);
}

static void forget(struct bench *b, const struct manners *m)
{
    b->manners = m;
    b->sessions = b->taken = 0;
    b->heard_len = b->told_count = 0;
}

static void test_sent(void **state)
{
    struct bench *b = *state;
    struct mailer *m = mailer(b, 10, 60000, 60000);

    forget(b, NULL);
    uint64_t ticket = mailer_send(m, &message);
    assert_true(ticket != 0);
    assert_int_equal(mailer_waiting(m), 1);
    assert_int_equal(b->told_count, 0);
    wait_told(b, 1);
    assert_int_equal(b->told[0], MAILER_SENT);
    assert_int_equal(b->last_ticket, ticket);
    assert_int_equal(b->taken, 1);
    assert_non_null(strstr(b->heard, "EHLO site.isp.example\n"));
    assert_non_null(strstr(b->heard, "MAIL FROM:<port25@isp.example>"));
    assert_non_null(strstr(b->heard, "RCPT TO:<owner@customer.example>"));
    assert_non_null(strstr(b->heard, "\nSubject: Confirm\n"));
    /* A line of a dot alone is no end of data: it is quoted. */
    assert_non_null(
        strstr(b->heard, "\n\n=2E\nhttps://port25.isp.example/confirm?token=3Dabc\n.\n"));
    assert_int_equal(mailer_waiting(m), 0);
    assert_int_equal(mailer_free(m), 0);
}

static const struct {
    const char *name;
    struct manners manners;
    unsigned waits; /* so often it is told to wait, at least */
    enum mailer_state end;
} rows[] = {
    {"refused sender", {.mail = "550 5.1.8 no", .for_so_many = 99}, 0, MAILER_REFUSED},
    {"refused recipient", {.rcpt = "550 5.1.1 unknown", .for_so_many = 99}, 0, MAILER_REFUSED},
    {"greylisted", {.rcpt = "450 4.2.0 later", .for_so_many = 2}, 2, MAILER_SENT},
    {"busy at first", {.greeting = "421 4.3.2 busy", .for_so_many = 1}, 1, MAILER_SENT},
    {"not for us, for a while", {.greeting = "554 5.7.1 no", .for_so_many = 2}, 2, MAILER_SENT},
    {"does not keep it at first", {.end = "451 4.3.0 disk full", .for_so_many = 1}, 1, MAILER_SENT},
    {"silent at first", {.greeting = "", .for_so_many = 1}, 1, MAILER_SENT},
};

static void test_failures(void **state)
{
    struct bench *b = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        bool silent = rows[i].manners.greeting && !rows[i].manners.greeting[0];
        struct mailer *m = mailer(b, 5, 60000, silent ? 300 : 60000);
        forget(b, &rows[i].manners);
        assert_true(mailer_send(m, &message) != 0);
        do {
            wait_told(b, b->told_count + 1);
        } while (b->told[b->told_count - 1] == MAILER_WAITING);
        if (b->told[b->told_count - 1] != rows[i].end || b->told_count - 1 < rows[i].waits) {
            fail_msg(
                "%s: %u, after %zu waits", rows[i].name, b->told[b->told_count - 1],
                b->told_count - 1);
        }
        assert_int_equal(mailer_waiting(m), 0);
        mailer_free(m);
    }
}

static void test_given_up(void **state)
{
    static const struct manners never = {.greeting = "421 4.3.2 busy", .for_so_many = 9999};
    struct bench *b = *state;
    struct mailer *m = mailer(b, 20, 100, 60000);

    forget(b, &never);
    assert_true(mailer_send(m, &message) != 0);
    do {
        wait_told(b, b->told_count + 1);
    } while (b->told[b->told_count - 1] == MAILER_WAITING);
    assert_int_equal(b->told[b->told_count - 1], MAILER_GIVEN_UP);
    assert_int_equal(b->taken, 0);
    mailer_free(m);
}

/* A full queue says so; what waits when the mailer ends is counted, and nothing leaks. */
static void test_bounded(void **state)
{
    static const struct manners silent = {.greeting = "", .for_so_many = 9999};
    struct bench *b = *state;
    struct mailer *m = mailer(b, 1000, 60000, 60000);

    forget(b, &silent);
    for (int i = 0; i < MAILER_MOST; i++) {
        assert_true(mailer_send(m, &message) != 0);
    }
    assert_int_equal(mailer_send(m, &message), 0);
    for (int i = 0; i < 50; i++) {
        event_base_loop(b->base, EVLOOP_NONBLOCK);
    }
    assert_true(b->sessions <= 4);
    assert_int_equal(mailer_free(m), MAILER_MOST);
    assert_int_equal(b->told_count, 0);
}

static void test_no_message(void **state)
{
    struct bench *b = *state;
    struct mailer *m = mailer(b, 10, 60000, 60000);
    struct mail_message bad = message;

    bad.to = SPAN_LITERAL("a@b.example>\r\nRCPT TO:<c@d.example");
    assert_int_equal(mailer_send(m, &bad), 0);
    assert_int_equal(mailer_waiting(m), 0);
    mailer_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sent),       cmocka_unit_test(test_failures),
        cmocka_unit_test(test_given_up),   cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_no_message),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
