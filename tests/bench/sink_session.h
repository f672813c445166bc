/* A client's connection to the sink. */
#ifndef GATE25_BENCH_SINK_SESSION_H
#define GATE25_BENCH_SINK_SESSION_H

#include <stdint.h>
#include <sys/queue.h>

#include "bench/channel.h"
#include "bench/sink_dialog.h"

/* After QUIT the client is left to close first, so that the port that waits (TIME_WAIT) is one of
 * its many addresses'; a client that waits for the server gets its way after this. */
#define SINK_LEAVING_NS (SECOND_NS / 2)

struct sink;
struct watched;
typedef void (*watched_cb)(struct sink *sink, struct watched *w, uint32_t events, int64_t now_ns);

/* What epoll's data points to: the beginning of whatever has the descriptor. */
struct watched {
    watched_cb serve;
};

struct sink_session {
    struct watched watched;
    struct channel channel;
    struct sink_dialog dialog;
    bool in_handshake;
    char *held; /* replies that the socket did not take; NULL almost always */
    size_t held_length;
    int64_t leaves_ns; /* 0: has not said QUIT */
    TAILQ_ENTRY(sink_session) leaving;
};

/* What the sessions of a sink share. */
struct sink {
    int epoll;
    SSL_CTX *tls; /* NULL: no STARTTLS */
    struct sink_counts counts;
    TAILQ_HEAD(, sink_session) leaving; /* have said QUIT, the earliest first */
    char *input;
    struct replies replies;
};

/* Allocates what sessions share. Ends the program where there is no memory. */
void sink_init(struct sink *sink, SSL_CTX *tls);

/* Takes over a new connection, and greets it. */
void sink_session_begin(struct sink *sink, int fd);

/* Closes those whose clients have not closed for SINK_LEAVING_NS; ms until the next is due, or -1.
 */
int sink_close_left(struct sink *sink, int64_t now_ns);

#endif
