/* How the files of a stream share it: its descriptor, and whether it is read from (stream.c), what
 * comes in (stream_read.c), what goes out (stream_send.c). */
#ifndef GATE25_NET_STREAM_INTERNAL_H
#define GATE25_NET_STREAM_INTERNAL_H

#include "net/stream.h"

/* --- stream.c --- */

/* Closes the descriptor; input that was read stays: the other side may still have to hear it. */
void stream_drop(struct stream *s);
/* The same, and the owner is told that the connection is gone, and why. */
void stream_fail(struct stream *s, int error);
/* It is no more read from. */
void stream_unwatch(struct stream *s);
/* The stream is read from if it may be. Where reading rests for a moment only, as most do, the
 * event stays until input comes (stream_read.c): the kernel need not be told. */
void stream_update_reading(struct stream *s);

/* --- stream_read.c --- */

void stream_on_readable(evutil_socket_t fd, short what, void *context);
/* The scratch is another's from now on. */
void stream_forget_fresh(struct stream *s);

/* --- stream_send.c --- */

/* Few streams ever wait for the kernel to take something, but while they are being connected: they
 * need the event no longer than that. -1: out of memory. */
int stream_begin_write(struct stream *s);
void stream_end_write(struct stream *s);
/* The peer takes nothing more. What it said last may still be on its way up to us, so the end is
 * left to the reading side unless that has had its end already, or has no reason to see one. */
void stream_break_sending(struct stream *s, int error);

#endif
