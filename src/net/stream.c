#include "net/stream.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/address.h"
#include "stream_internal.h"

void stream_unwatch(struct stream *s)
{
    if (s->watched) {
        event_del(&s->read_event);
        s->watched = false;
    }
}

static int watch(struct stream *s)
{
    if (!s->watched && event_add(&s->read_event, NULL) < 0) {
        return -1;
    }
    s->watched = true;
    return 0;
}

void stream_drop(struct stream *s)
{
    if (s->fd < 0) {
        return;
    }
    event_del(&s->read_event); /* active too, it may be */
    s->watched = false;
    stream_end_write(s);
    close(s->fd);
    s->fd = -1;
    buf_clear(&s->out);
}

void stream_fail(struct stream *s, int error)
{
    s->error = error;
    s->failed = true;
    stream_drop(s);
    s->owner->event(s->context, s, STREAM_FAILED);
}

void stream_update_reading(struct stream *s)
{
    bool possible = s->fd >= 0 && !s->connecting && !s->eof;
    if (!possible) {
        stream_unwatch(s);
    } else if (s->rests == 0 && watch(s) < 0) {
        stream_break_sending(s, ENOMEM);
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
        stream_update_reading(s);
    }
}

bool stream_is_watched(const struct stream *s)
{
    return s->watched;
}

void stream_init(struct stream *s, struct stream_owner *owner, void *context)
{
    memset(s, 0, sizeof(*s));
    s->owner = owner;
    s->context = context;
    s->fd = -1;
}

static int adopt(struct stream *s, int fd)
{
    short what = EV_READ | EV_CLOSED | EV_PERSIST;
    if (event_assign(&s->read_event, s->owner->base, fd, what, stream_on_readable, s) < 0) {
        return -1;
    }
    s->fd = fd;
    return 0;
}

int stream_open(struct stream *s, int fd)
{
    if (adopt(s, fd) < 0 || watch(s) < 0) {
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
    } else if (stream_begin_write(s) < 0) {
        s->error = ENOMEM;
    }
    if (s->error != 0) {
        s->failed = true;
        stream_drop(s);
        return -1;
    }
    return 0;
}

void stream_close(struct stream *s)
{
    stream_drop(s);
    buf_clear(&s->in);
    stream_forget_fresh(s);
}

void stream_abort(struct stream *s)
{
    static const struct linger now = {.l_onoff = 1};
    if (s->fd >= 0) {
        (void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    stream_close(s);
}

static bool has_reset(const struct stream *s)
{
    struct pollfd state = {.fd = s->fd};
    return poll(&state, 1, 0) == 1 && (state.revents & POLLERR) != 0;
}

bool stream_notice_reset(struct stream *s)
{
    if (s->fd < 0 || s->connecting || (!s->send_broken && !has_reset(s))) {
        return false;
    }
    s->error = ECONNRESET;
    s->failed = true;
    stream_drop(s);
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

int stream_errno(const struct stream *s)
{
    return s->error;
}
