/* The sockets of a transparent gate: those that take what routers steer here, those that go on to
 * the destination as the subscriber, and what the kernel knows of a connection taken. */
#ifndef GATE25_NET_INTERCEPT_H
#define GATE25_NET_INTERCEPT_H

#include "core/admission.h"

/* Whether nobody listens at `where` yet: listeners of several workers share an address, so a second
 * gate would silently take half of the first one's connections. -1 and errno: somebody does. */
int intercept_probe(enum intercept_mode mode, const struct endpoint *where)
    __attribute__((warn_unused_result));
/* A listening socket on `where`: dual stack never, SO_REUSEPORT always (one a worker). -1: errno.
 */
int intercept_listen(enum intercept_mode mode, const struct endpoint *where)
    __attribute__((warn_unused_result));

/* Makes `fd`, which somebody else opened, such a listening socket. -1: errno, it cannot be one. */
int intercept_adopt(enum intercept_mode mode, int fd, struct endpoint *where)
    __attribute__((warn_unused_result));

/* A socket to reach a server with: in TPROXY mode bound to the subscriber's address `as` and with
 * the TTL that says what the connection has come through (core/passage.h), in REDIRECT mode the
 * gate's own. -1: errno. */
int intercept_socket(enum intercept_mode mode, const struct addr *as, int passages)
    __attribute__((warn_unused_result));
/* The gates that the accepted connection `fd` has come through, or PASSAGES_UNKNOWN. Once only. */
int intercept_passages(int fd);

/* From now on what the connected `fd` receives is acknowledged with what is sent there next, or by
 * itself after some 40 ms: as the kernel does it once a dialogue is going on. At first it would
 * acknowledge at once, with a packet that a dialogue has no use for. What listening sockets accept
 * inherits it; those made above have it. Never for a socket that is still being connected: there
 * the other end waits for the acknowledgement. A hint: nothing fails. */
void intercept_answer_acknowledges(int fd);

/* Where the client of the accepted connection `fd` wanted to go. False: nothing steered it here. */
bool intercept_destination(
    enum intercept_mode mode, int fd, const struct endpoint *peer, struct endpoint *out);

/* The local end of `fd`. */
bool intercept_local(int fd, struct endpoint *out);

/* This host's addresses but loopback and link-local ones; `*list` is the caller's to free. -1:
 * errno. */
int intercept_own_addresses(struct addr **list, size_t *count) __attribute__((warn_unused_result));

#endif
