/* What the peer is told: sent, or held until the kernel takes it, and the end of that. */
#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "stream_internal.h"

static void on_writable(evutil_socket_t fd, short what, void *context);

int stream_begin_write(struct stream *s)
{
    if (!s->write_event) {
        s->write_event = event_new(s->owner->base, s->fd, EV_WRITE | EV_PERSIST, on_writable, s);
    }
    return s->write_event ? event_add(s->write_event, NULL) : -1;
}

void stream_end_write(struct stream *s)
{
    if (s->write_event) {
        event_free(s->write_event);
        s->write_event = NULL;
    }
}

void stream_break_sending(struct stream *s, int error)
{
    bool read_will_tell = !s->eof && (error == EPIPE || error == ECONNRESET);
    s->error = error;
    s->send_broken = true;
    buf_clear(&s->out);
    if (read_will_tell) {
        stream_end_write(s);
    } else {
        event_active(&s->read_event, EV_WRITE, 0);
    }
}

/* How many bytes the kernel took; on an error none, and sending is broken. */
static size_t send_some(struct stream *s, struct span bytes, int flags)
{
    ssize_t n = send(s->fd, bytes.at, bytes.len, MSG_NOSIGNAL | flags);
    if (n >= 0) {
        return (size_t)n;
    }
    if (errno != EAGAIN && errno != EINTR) {
        stream_break_sending(s, errno);
    }
    return 0;
}

static void finish_if_due(struct stream *s)
{
    bool due = s->finish && !s->finished && !s->connecting && !s->send_broken;
    if (due && s->fd >= 0 && buf_len(&s->out) == 0) {
        s->finished = true;
        shutdown(s->fd, SHUT_WR);
    }
}

static void on_connected(struct stream *s)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0) {
        error = errno;
    }
    if (error != 0) {
        stream_fail(s, error);
        return;
    }
    s->connecting = false;
    stream_update_reading(
        s); /* before the other event goes: the kernel is told of both in one call */
    if (buf_len(&s->out) == 0) {
        stream_end_write(s);
    }
    finish_if_due(s);
    s->owner->event(s->context, s, STREAM_CONNECTED);
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct stream *s = context;
    if (s->send_broken) {
        stream_fail(s, s->error);
        return;
    }
    if (s->connecting) {
        on_connected(s);
        return;
    }
    buf_consume(&s->out, send_some(s, buf_span(&s->out), 0));
    if (buf_len(&s->out) > 0 || s->send_broken) {
        return;
    }
    stream_end_write(s);
    finish_if_due(s);
    s->owner->event(s->context, s, STREAM_FLUSHED);
}

static void send_or_keep(struct stream *s, struct span bytes, int flags)
{
    if (s->fd < 0 || s->finish || s->send_broken || bytes.len == 0) {
        return;
    }
    if (!s->connecting && buf_len(&s->out) == 0) {
        bytes = span_skip(bytes, send_some(s, bytes, flags));
    }
    if (bytes.len == 0 || s->send_broken) {
        return;
    }
    if (buf_append(&s->out, bytes) < 0 || stream_begin_write(s) < 0) {
        stream_break_sending(s, ENOMEM);
    }
}

void stream_send(struct stream *s, struct span bytes)
{
    send_or_keep(s, bytes, 0);
}

void stream_send_last(struct stream *s, struct span bytes)
{
    send_or_keep(s, bytes, MSG_MORE);
}

void stream_finish(struct stream *s)
{
    s->finish = true;
    finish_if_due(s);
}

size_t stream_unsent(const struct stream *s)
{
    return buf_len(&s->out);
}

size_t stream_unacknowledged(const struct stream *s)
{
    int queued = 0;
    if (s->fd < 0 || s->connecting || ioctl(s->fd, SIOCOUTQ, &queued) < 0 || queued < 0) {
        queued = 0;
    }
    return stream_unsent(s) + (size_t)queued;
}
