#include "svc/gate_ask.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ANSWER_MOST 65536

struct ask {
    struct bufferevent *stream;
    struct event *deadline;
    gate_answer_cb answer;
    void *context;
    uint64_t ticket;
};

static void ask_free(struct ask *a)
{
    if (a->stream) {
        bufferevent_free(a->stream);
    }
    if (a->deadline) {
        event_free(a->deadline);
    }
    free(a);
}

static void finish(struct ask *a, struct span line)
{
    a->answer(a->context, a->ticket, line);
    ask_free(a);
}

static void on_read(struct bufferevent *stream, void *context)
{
    struct evbuffer *in = bufferevent_get_input(stream);
    size_t len = 0;
    char *line = evbuffer_readln(in, &len, EVBUFFER_EOL_LF);

    if (line) {
        finish(context, (struct span){line, len});
        free(line);
    } else if (evbuffer_get_length(in) > ANSWER_MOST) {
        finish(context, SPAN_LITERAL(""));
    }
}

static void on_event(struct bufferevent *stream, short what, void *context)
{
    (void)stream;
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0) {
        finish(context, SPAN_LITERAL(""));
    }
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    finish(context, SPAN_LITERAL(""));
}

/* The stream reports a failure to connect from within bufferevent_socket_connect() for this kind of
 * socket, so it is connected here first. */
static int open_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(address.sun_path)) {
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        evutil_closesocket(fd);
        fd = -1;
    }
    return fd;
}

int gate_ask(
    struct event_base *base, const char *path, const char *question, uint32_t deadline_ms,
    gate_answer_cb answer, void *context, uint64_t ticket)
{
    struct timeval deadline = {deadline_ms / 1000, (suseconds_t)(deadline_ms % 1000) * 1000};
    struct ask *a = calloc(1, sizeof(*a));
    int fd = a ? open_socket(path) : -1;

    if (!a || fd < 0) {
        free(a);
        return -1;
    }
    *a = (struct ask){.answer = answer, .context = context, .ticket = ticket};
    a->stream = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    a->deadline = evtimer_new(base, on_deadline, a);
    if (!a->stream) {
        evutil_closesocket(fd);
    }
    if (!a->stream || !a->deadline || evtimer_add(a->deadline, &deadline) != 0 ||
        evbuffer_add_printf(bufferevent_get_output(a->stream), "%s\n", question) < 0) {
        ask_free(a);
        return -1;
    }
    bufferevent_setcb(a->stream, on_read, NULL, on_event, a);
    bufferevent_enable(a->stream, EV_READ | EV_WRITE);
    return 0;
}
