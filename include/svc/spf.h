/* Asks gate25-spfd, over one end of a pair of SOCK_SEQPACKET sockets, whether an address may send
 * for a sender. Whoever answers at the other end may be slow, gone and back again: another one
 * is asked what the last one has not answered, and what is not answered in time is SPF_UNKNOWN. */
#ifndef GATE25_SVC_SPF_H
#define GATE25_SVC_SPF_H

#include <event2/event.h>

#include "core/spf_wire.h"

struct spf;

/* The answer to the question of `ticket`. */
typedef void (*spf_answer_cb)(void *context, uint64_t ticket, const struct spf_answer *answer);

/* `fd` is non-blocking and stays the caller's. NULL: out of memory. */
struct spf *spf_new(struct event_base *base, int fd, spf_answer_cb answer, void *context)
    __attribute__((warn_unused_result));
void spf_free(struct spf *s); /* answers still due are not delivered; not from an answer */

/* The answer is delivered from the loop, never from within this call, exactly once, and no later
 * than `deadline_ms` (plus the loop's own delay). -1: out of memory, no answer will come. */
int spf_ask(
    struct spf *s, uint64_t ticket, const struct addr *client, struct span helo, struct span sender,
    uint32_t deadline_ms) __attribute__((warn_unused_result));
/* How many answers have come from the other end so far, be it too late: it lives while this grows.
 */
uint64_t spf_heard(const struct spf *s);

#endif
