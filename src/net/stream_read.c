/* What the peer says: read, held until the owner has consumed it, and its end. */
#include <errno.h>
#include <sys/socket.h>

#include "stream_internal.h"

#define STREAM_READ_MORE 16384 /* a read behind input that is still held */

/* Its input is what has just been read, in the scratch. */
static bool is_fresh(const struct stream *s)
{
    return s->owner->reading == s && s->owner->fresh.len > 0;
}

void stream_forget_fresh(struct stream *s)
{
    if (s->owner->reading == s) {
        s->owner->reading = NULL;
        s->owner->fresh = (struct span){0};
    }
}

/* As recv(2), but up to the end where `ended` says that it has come: a read may stop short of it,
 * at urgent data. `*end` is 0 when the end was reached, or why it was not. */
static ssize_t read_into(int fd, char *room, size_t size, bool ended, int *end)
{
    ssize_t n = recv(fd, room, size, 0);
    *end = n < 0 ? errno : n > 0 ? EAGAIN : 0;
    while (ended && n > 0 && (size_t)n < size && *end == EAGAIN) {
        ssize_t more = recv(fd, room + n, size - (size_t)n, 0);
        if (more > 0) {
            n += more;
            continue;
        }
        *end = more < 0 ? errno : 0;
        break;
    }
    return n;
}

static ssize_t receive(struct stream *s, bool ended, int *end)
{
    if (buf_len(&s->in) == 0) {
        ssize_t n = read_into(s->fd, s->owner->scratch, STREAM_SCRATCH, ended, end);
        s->owner->fresh = (struct span){s->owner->scratch, n > 0 ? (size_t)n : 0};
        s->owner->reading = s;
        return n;
    }
    char *room = buf_reserve(&s->in, STREAM_READ_MORE);
    if (!room) {
        *end = ENOMEM;
        return -1;
    }
    ssize_t n = read_into(s->fd, room, STREAM_READ_MORE, ended, end);
    if (n > 0) {
        buf_grow(&s->in, (size_t)n);
    }
    return n;
}

/* What the owner left of the scratch must survive the next read of another stream. */
static void keep_rest(struct stream *s)
{
    struct span rest = is_fresh(s) ? s->owner->fresh : (struct span){0};
    stream_forget_fresh(s);
    if (rest.len == 0 || s->fd < 0) {
        return;
    }
    if (buf_append(&s->in, rest) < 0) {
        stream_fail(s, ENOMEM);
    }
}

static void end_reading(struct stream *s)
{
    s->eof = true;
    stream_unwatch(s);
}

static void tell_end(struct stream *s)
{
    if (s->send_broken) {
        stream_fail(s, s->error);
        return;
    }
    s->owner->event(s->context, s, STREAM_EOF);
}

/* It stays in the kernel until reading goes on, which is when the event comes back. So does a
 * reset: what came before it is still to be read. */
static void on_input_at_rest(struct stream *s)
{
    stream_unwatch(s);
    s->owner->event(s->context, s, STREAM_UNWATCHED);
}

void stream_on_readable(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    struct stream *s = context;
    if (s->send_broken && (what & EV_WRITE)) { /* stream_break_sending() */
        stream_fail(s, s->error);
        return;
    }
    if (s->rests != 0) {
        on_input_at_rest(s);
        return;
    }
    /* EV_CLOSED: its end had come before this was read. The owner hears of both at once, and can
     * pass on both at once. */
    int end;
    ssize_t n = receive(s, what & EV_CLOSED, &end);
    bool more = end == EAGAIN || end == EINTR;
    if (end == 0) {
        end_reading(s);
    }
    if (n > 0) {
        s->owner->event(s->context, s, STREAM_INPUT);
        keep_rest(s);
    }
    if (more || s->fd < 0) {
        return;
    }
    if (end == 0) {
        tell_end(s);
    } else {
        stream_fail(s, end);
    }
}

struct span stream_input(const struct stream *s)
{
    return is_fresh(s) ? s->owner->fresh : buf_span(&s->in);
}

void stream_consume(struct stream *s, size_t n)
{
    if (is_fresh(s)) {
        s->owner->fresh = span_skip(s->owner->fresh, n);
    } else {
        buf_consume(&s->in, n);
    }
}
