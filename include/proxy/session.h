/* One connection taken: two streams, a dialog between them, and the record of what happened. It
 * decides nothing: stream events go to the dialog, the dialog's actions to the streams. */
#ifndef GATE25_PROXY_SESSION_H
#define GATE25_PROXY_SESSION_H

#include "core/facts.h"
#include "net/stream.h"

struct gate;
struct session;

/* Begins a session with the accepted connection `fd`, whose owner it becomes. -1: out of memory or
 * out of descriptors; `fd` is closed. */
int session_start(struct gate *gate, int fd, const struct endpoint *peer)
    __attribute__((warn_unused_result));
void session_answer(struct session *s, const struct answer *answer); /* the meter's */
void session_spf(struct session *s, const struct spf_answer *answer);
void session_reason(struct session *s, struct span reason); /* of its standing; empty: unknown */
void session_shut_down(struct session *s);                  /* asks it to end between commands */
/* Standings have changed: a session that would now be refused, or no longer passed, ends between
 * transactions; one that nobody reads ends at once. */
void session_look_again(struct session *s);
void session_abort(struct session *s); /* ends it at once */

/* For the container alone. */
void session_free(struct session *s);
uint64_t session_id(const struct session *s);
struct session **session_next(struct session *s); /* link of the list of the dead */

/* What the streams of a worker report to. */
void session_on_stream(void *context, struct stream *stream, enum stream_event event);

#endif
