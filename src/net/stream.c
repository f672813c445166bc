#include "net/stream.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "net/address.h"

#define STREAM_READ_MORE 16384 /* a read behind input that is still held */

static void drop_descriptor(struct stream *s)
{
    if (s->fd < 0) {
        return;
    }
    event_del(&s->read_event);
    event_del(&s->write_event);
    close(s->fd);
    s->fd = -1;
    buf_clear(&s->out);
}

/* Input that was read before the end stays: the other side may still have to hear it. */
static void fail(struct stream *s, int error)
{
    s->error = error;
    s->failed = true;
    drop_descriptor(s);
    s->owner->event(s->context, s, STREAM_FAILED);
}

/* The peer takes nothing more. What it said last may still be on its way up to us, so the end is
 * left to the reading side unless that has had its end already, or has no reason to see one. */
static void break_sending(struct stream *s, int error)
{
    bool read_will_tell = !s->eof && (error == EPIPE || error == ECONNRESET);
    s->error = error;
    s->send_broken = true;
    buf_clear(&s->out);
    if (read_will_tell) {
        event_del(&s->write_event);
    } else {
        event_active(&s->write_event, EV_WRITE, 0);
    }
}

static void update_reading(struct stream *s)
{
    bool wanted = s->fd >= 0 && !s->connecting && !s->eof && s->rests == 0;
    if (!wanted) {
        event_del(&s->read_event);
    } else if (event_add(&s->read_event, NULL) < 0) {
        break_sending(s, ENOMEM);
    }
}

/* How many bytes the kernel took; on an error none, and sending is broken. */
static size_t send_some(struct stream *s, struct span bytes)
{
    ssize_t n = send(s->fd, bytes.at, bytes.len, MSG_NOSIGNAL);
    if (n >= 0) {
        return (size_t)n;
    }
    if (errno != EAGAIN && errno != EINTR) {
        break_sending(s, errno);
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

static ssize_t receive(struct stream *s)
{
    if (buf_len(&s->in) == 0) {
        ssize_t n = recv(s->fd, s->owner->scratch, STREAM_SCRATCH, 0);
        s->fresh = (struct span){s->owner->scratch, n > 0 ? (size_t)n : 0};
        return n;
    }
    char *room = buf_reserve(&s->in, STREAM_READ_MORE);
    if (!room) {
        errno = ENOMEM;
        return -1;
    }
    ssize_t n = recv(s->fd, room, STREAM_READ_MORE, 0);
    if (n > 0) {
        buf_grow(&s->in, (size_t)n);
    }
    return n;
}

/* What the owner left of the scratch must survive the next read of another stream. */
static void keep_rest(struct stream *s)
{
    struct span rest = s->fresh;
    s->fresh = (struct span){0};
    if (rest.len == 0 || s->fd < 0) {
        return;
    }
    if (buf_append(&s->in, rest) < 0) {
        fail(s, ENOMEM);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct stream *s = context;
    ssize_t n = receive(s);
    if (n > 0) {
        s->owner->event(s->context, s, STREAM_INPUT);
        keep_rest(s);
        return;
    }
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            fail(s, errno);
        }
        return;
    }
    s->eof = true;
    event_del(&s->read_event);
    if (s->send_broken) {
        fail(s, s->error);
        return;
    }
    s->owner->event(s->context, s, STREAM_EOF);
}

static void on_connected(struct stream *s)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0) {
        error = errno;
    }
    if (error != 0) {
        fail(s, error);
        return;
    }
    s->connecting = false;
    if (buf_len(&s->out) == 0) {
        event_del(&s->write_event);
    }
    update_reading(s);
    finish_if_due(s);
    s->owner->event(s->context, s, STREAM_CONNECTED);
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct stream *s = context;
    if (s->send_broken) {
        fail(s, s->error);
        return;
    }
    if (s->connecting) {
        on_connected(s);
        return;
    }
    buf_consume(&s->out, send_some(s, buf_span(&s->out)));
    if (buf_len(&s->out) > 0 || s->send_broken) {
        return;
    }
    event_del(&s->write_event);
    finish_if_due(s);
    s->owner->event(s->context, s, STREAM_FLUSHED);
}

void stream_init(struct stream *s, const struct stream_owner *owner, void *context)
{
    memset(s, 0, sizeof(*s));
    s->owner = owner;
    s->context = context;
    s->fd = -1;
}

static int adopt(struct stream *s, int fd)
{
    struct event_base *base = s->owner->base;
    if (event_assign(&s->read_event, base, fd, EV_READ | EV_PERSIST, on_readable, s) < 0 ||
        event_assign(&s->write_event, base, fd, EV_WRITE | EV_PERSIST, on_writable, s) < 0) {
        return -1;
    }
    s->fd = fd;
    return 0;
}

int stream_open(struct stream *s, int fd)
{
    if (adopt(s, fd) < 0 || event_add(&s->read_event, NULL) < 0) {
        s->fd = -1;
        return -1;
    }
    return 0;
}

int stream_connect(struct stream *s, int fd, const struct endpoint *to)
{
    struct sockaddr_storage address;
    socklen_t len = address_write(to, &address);
    if (adopt(s, fd) < 0) {
        close(fd);
        s->error = ENOMEM;
        return -1;
    }
    s->connecting = true;
    s->error = 0;
    if (connect(fd, (struct sockaddr *)&address, len) < 0 && errno != EINPROGRESS) {
        s->error = errno;
    } else if (event_add(&s->write_event, NULL) < 0) {
        s->error = ENOMEM;
    }
    if (s->error != 0) {
        s->failed = true;
        drop_descriptor(s);
        return -1;
    }
    return 0;
}

void stream_send(struct stream *s, struct span bytes)
{
    if (s->fd < 0 || s->finish || s->send_broken || bytes.len == 0) {
        return;
    }
    if (!s->connecting && buf_len(&s->out) == 0) {
        bytes = span_skip(bytes, send_some(s, bytes));
    }
    if (bytes.len == 0 || s->send_broken) {
        return;
    }
    if (buf_append(&s->out, bytes) < 0 || event_add(&s->write_event, NULL) < 0) {
        break_sending(s, ENOMEM);
    }
}

void stream_finish(struct stream *s)
{
    s->finish = true;
    finish_if_due(s);
}

void stream_close(struct stream *s)
{
    drop_descriptor(s);
    buf_clear(&s->in);
    s->fresh = (struct span){0};
}

struct span stream_input(const struct stream *s)
{
    return s->fresh.len > 0 ? s->fresh : buf_span(&s->in);
}

void stream_consume(struct stream *s, size_t n)
{
    if (s->fresh.len > 0) {
        s->fresh = span_skip(s->fresh, n);
    } else {
        buf_consume(&s->in, n);
    }
}

void stream_rest(struct stream *s, enum stream_rest reason, bool on)
{
    uint8_t rests = on ? s->rests | reason : s->rests & (uint8_t)~reason;
    if (rests == s->rests) {
        return;
    }
    s->rests = rests;
    if (s->fd >= 0) {
        update_reading(s);
    }
}

void stream_abort(struct stream *s)
{
    static const struct linger now = {.l_onoff = 1};
    if (s->fd >= 0) {
        (void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    stream_close(s);
}

bool stream_is_watched(const struct stream *s)
{
    return s->fd >= 0 && !s->connecting && !s->eof && s->rests == 0;
}

bool stream_notice_reset(struct stream *s)
{
    struct pollfd state = {.fd = s->fd};
    if (s->fd < 0 || s->connecting) {
        return false;
    }
    if (!s->send_broken && (poll(&state, 1, 0) < 1 || !(state.revents & POLLERR))) {
        return false;
    }
    s->error = ECONNRESET;
    s->failed = true;
    drop_descriptor(s);
    return true;
}

bool stream_is_open(const struct stream *s)
{
    return s->fd >= 0 && !s->connecting;
}

bool stream_at_eof(const struct stream *s)
{
    return s->eof || s->failed;
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

int stream_errno(const struct stream *s)
{
    return s->error;
}
