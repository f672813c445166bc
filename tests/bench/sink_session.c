#include "bench/sink_session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/machine.h"
#include "bench/words.h"

#define INPUT_SIZE ((size_t)128 * 1024)

/* Writing is not waited for until a write was short: a fresh socket would report at once that it
 * may. */
#define WAITS_TO_READ (EPOLLIN | EPOLLRDHUP | EPOLLET)

void sink_init(struct sink *sink, SSL_CTX *tls)
{
    *sink = (struct sink){.tls = tls, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    TAILQ_INIT(&sink->leaving);
    sink->input = malloc(INPUT_SIZE);
    /* Most of it is never touched, and costs nothing. */
    sink->replies.at = malloc(DIALOG_REPLIES_MOST(INPUT_SIZE));
    if (sink->epoll < 0 || !sink->input || !sink->replies.at) {
        words_failed("cannot start");
    }
}

static void end(struct sink *sink, struct sink_session *s)
{
    if (s->leaves_ns != 0) {
        TAILQ_REMOVE(&sink->leaving, s, leaving);
    }
    channel_close(&s->channel);
    free(s->held);
    free(s);
}

static bool watch(struct sink *sink, struct sink_session *s, int how, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = &s->watched};

    return epoll_ctl(sink->epoll, how, s->channel.fd, &event) == 0;
}

/* Keeps what the socket did not take, and waits until it takes more. */
static bool hold(struct sink *sink, struct sink_session *s, const char *rest, size_t length)
{
    s->held = malloc(length);
    if (!s->held) {
        return false;
    }
    memcpy(s->held, rest, length);
    s->held_length = length;
    return watch(sink, s, EPOLL_CTL_MOD, WAITS_TO_READ | EPOLLOUT);
}

static bool is_dead(ssize_t result)
{
    return result < 0 && result != -EAGAIN && result != -EINTR;
}

/* False: the connection is dead. */
static bool send_replies(struct sink *sink, struct sink_session *s)
{
    size_t length = sink->replies.length;

    sink->replies.length = 0;
    if (length == 0) {
        return true;
    }
    ssize_t put = channel_write(&s->channel, sink->replies.at, length);
    if (put == (ssize_t)length) {
        return true;
    }
    size_t written = put > 0 ? (size_t)put : 0;
    return !is_dead(put) && hold(sink, s, sink->replies.at + written, length - written);
}

/* What a reply announces begins when all of it is on its way: a client that reads late has its time
 * from then. */
static bool after_replies(struct sink *sink, struct sink_session *s, int64_t now_ns)
{
    if (s->held) {
        return true;
    }
    if (s->dialog.state == DIALOG_STARTS_TLS) {
        dialog_begin(&s->dialog, false);
        s->in_handshake = true;
        return channel_start_tls(&s->channel, sink->tls, true);
    }
    if (s->dialog.state == DIALOG_QUIT && s->leaves_ns == 0) {
        s->leaves_ns = now_ns + SINK_LEAVING_NS;
        TAILQ_INSERT_TAIL(&sink->leaving, s, leaving);
    }
    return true;
}

static bool send_held(struct sink *sink, struct sink_session *s, int64_t now_ns)
{
    ssize_t put = channel_write(&s->channel, s->held, s->held_length);
    if (put <= 0) {
        return !is_dead(put);
    }
    s->held_length -= (size_t)put;
    if (s->held_length > 0) {
        memmove(s->held, s->held + put, s->held_length);
        return true;
    }
    free(s->held);
    s->held = NULL;
    return watch(sink, s, EPOLL_CTL_MOD, WAITS_TO_READ) && after_replies(sink, s, now_ns);
}

/* Reads until nothing is left, or a reply is stuck. False: it is over. */
static bool converse(struct sink *sink, struct sink_session *s, uint32_t events, int64_t now_ns)
{
    while (!s->held) {
        if (s->in_handshake) {
            int done = channel_handshake(&s->channel);
            if (done < 0) {
                return done == -EAGAIN;
            }
            s->in_handshake = false;
        }
        ssize_t got = channel_read(&s->channel, sink->input, INPUT_SIZE);
        if (got <= 0) {
            return got < 0 && !is_dead(got);
        }
        dialog_take(&s->dialog, sink->input, (size_t)got, &sink->replies, &sink->counts);
        bool was_clear = !s->channel.tls;
        if (!send_replies(sink, s) || !after_replies(sink, s, now_ns)) {
            return false;
        }
        /* An end behind the bytes has its own event only if it came later. */
        if (was_clear && channel_is_drained(&s->channel, got, INPUT_SIZE) &&
            !(events & EPOLLRDHUP)) {
            return true;
        }
    }
    return true;
}

static void serve(struct sink *sink, struct watched *w, uint32_t events, int64_t now_ns)
{
    struct sink_session *s = (struct sink_session *)w; /* its first member */
    bool has_left = s->dialog.state == DIALOG_QUIT && (events & EPOLLRDHUP) && !s->held;

    if (has_left || (s->held && !send_held(sink, s, now_ns)) ||
        !converse(sink, s, events, now_ns)) {
        end(sink, s);
    }
}

void sink_session_begin(struct sink *sink, int fd)
{
    struct sink_session *s = calloc(1, sizeof *s);

    if (!s) {
        close(fd);
        return;
    }
    sink->counts.sessions++;
    s->watched.serve = serve;
    s->channel.fd = fd;
    dialog_begin(&s->dialog, sink->tls != NULL);
    /* The buffer of a new socket takes a banner in any case. */
    if (send(fd, DIALOG_BANNER, sizeof DIALOG_BANNER - 1, MSG_NOSIGNAL) < 0 ||
        !watch(sink, s, EPOLL_CTL_ADD, WAITS_TO_READ)) {
        end(sink, s);
    }
}

int sink_close_left(struct sink *sink, int64_t now_ns)
{
    struct sink_session *s;

    while ((s = TAILQ_FIRST(&sink->leaving)) && s->leaves_ns <= now_ns) {
        TAILQ_REMOVE(&sink->leaving, s, leaving);
        s->leaves_ns = 0;
        /* Its event comes at once, and ends the session as any other end does. */
        (void)shutdown(s->channel.fd, SHUT_RDWR);
    }
    return s ? (int)((s->leaves_ns - now_ns) / (SECOND_NS / 1000)) + 1 : -1;
}
