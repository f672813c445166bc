/* One non-blocking TCP connection on the event loop. It holds memory for bytes only while there
 * are bytes: those sent that the kernel did not take, and those received that nobody consumed. */
#ifndef GATE25_NET_STREAM_H
#define GATE25_NET_STREAM_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/buf.h"
#include "core/prefix.h"

#define STREAM_SCRATCH 65536

struct stream;

enum stream_event {
    STREAM_CONNECTED, /* the peer took the connection */
    STREAM_INPUT,     /* stream_input() has grown */
    STREAM_EOF,       /* nothing more will come; sending is still possible */
    STREAM_FLUSHED,   /* all that waited to be sent has left */
    STREAM_UNWATCHED, /* reading rests, and input has come: from now on a reset is not told of */
    STREAM_FAILED     /* the connection is gone in both directions; stream_errno() says why */
};

/* Called from the loop only, never from within an operation. It may close the stream, and free it
 * in a later turn of the loop. */
typedef void (*stream_event_cb)(void *context, struct stream *s, enum stream_event event);

/* What the streams of one owner share. `scratch` (STREAM_SCRATCH bytes) is where reads go first. */
struct stream_owner {
    struct event_base *base;
    char *scratch;
    stream_event_cb event;
    struct stream *reading; /* during its STREAM_INPUT; NULL: none */
    struct span fresh;      /* and what of its input is still in the scratch */
};

/* Why reading rests; several reasons may hold at once. */
enum stream_rest {
    STREAM_REST_PEER = 1,    /* the other side does not take what was read */
    STREAM_REST_INPUT = 2,   /* enough unconsumed input is held */
    STREAM_REST_ORDERED = 4, /* the dialog's wish */
    STREAM_REST_ANSWER = 8,  /* the meter has yet to answer for bytes that were sent */
    STREAM_REST_ALL = 15
};

struct stream {
    struct stream_owner *owner;
    void *context;
    struct event read_event;
    struct event *write_event; /* NULL: nothing waits for the kernel to take it */
    struct buf in, out;
    int fd; /* -1: closed */
    int error;
    uint8_t rests;
    bool connecting, eof, failed;
    bool watched;          /* `read_event` is pending */
    bool send_broken;      /* the peer takes nothing more; there may still be input */
    bool finish, finished; /* the half-close is due, is done */
};

/* A stream without a connection; every other operation may be called on it. */
void stream_init(struct stream *s, struct stream_owner *owner, void *context);
/* Takes over a connected, non-blocking descriptor and begins to read. -1: out of memory; the
 * descriptor stays the caller's. */
int stream_open(struct stream *s, int fd) __attribute__((warn_unused_result));
/* Takes over a non-blocking socket and connects it to `to`. What becomes of it is told by
 * STREAM_CONNECTED or STREAM_FAILED. -1: it failed at once, stream_errno() says why; `fd` is
 * closed. */
int stream_connect(struct stream *s, int fd, const struct endpoint *to)
    __attribute__((warn_unused_result));

/* Sends as much as the kernel takes at once and keeps the rest. After stream_finish(), or when the
 * peer is gone, it does nothing. A failure, out of memory included, is told by STREAM_FAILED. */
void stream_send(struct stream *s, struct span bytes);
/* The same, where stream_finish() follows at once: the end leaves in the last segment. */
void stream_send_last(struct stream *s, struct span bytes);
/* Half-closes once everything has been sent. */
void stream_finish(struct stream *s);
/* Closes at once; what was not sent is lost. */
void stream_close(struct stream *s);
/* The same with a reset: the peer learns that what it has sent went nowhere. */
void stream_abort(struct stream *s);

struct span stream_input(const struct stream *s);
void stream_consume(struct stream *s, size_t n);
void stream_rest(struct stream *s, enum stream_rest reason, bool on);

bool stream_is_open(const struct stream *s); /* connected, and neither closed nor failed */
bool stream_at_eof(const struct stream *s);  /* behind stream_input() nothing more will come */
size_t stream_unsent(const struct stream *s);
/* The same, and what the kernel holds until the peer has taken it. */
size_t stream_unacknowledged(const struct stream *s);
/* A reset would be told by an event: it is read from, or rests and nothing has come since. */
bool stream_is_watched(const struct stream *s);
/* Of a stream that is not watched: true if the peer has reset the connection, which is then closed
 * and failed, without an event. Input that the kernel held is lost. */
bool stream_notice_reset(struct stream *s);
int stream_errno(const struct stream *s);

#endif
