/* Recognises the gate's own connections when routing brings them back to it: fingerprints of all
 * that are under way, in memory that every worker reads and each writes its own block of.
 *
 * A fingerprint stands from the connect until the server's first words: a connection that came back
 * is refused before it has any. It tells our own from what other gates have sent (core/passage.h):
 * a subscriber's connection may by chance have the same addresses and ports as one of ours. */
#ifndef GATE25_PROXY_LOOPGUARD_H
#define GATE25_PROXY_LOOPGUARD_H

#include "core/prefix.h"

struct loopguard;

#define LOOPGUARD_WAIT_MS 5 /* a note takes microseconds, unless its worker is interrupted */

/* Room for `sessions` a worker, in memory that children share. loopguard_knows() waits for notes
 * that are being made for no longer than `wait_ms` (milliseconds). NULL: out of memory. */
struct loopguard *loopguard_new(unsigned workers, unsigned sessions, unsigned wait_ms)
    __attribute__((warn_unused_result));
void loopguard_free(struct loopguard *g);

/* Around each connect and its loopguard_set(): before our own port is known, which is not before
 * the connect, the connection may already be back at another worker, whose loopguard_knows() waits.
 */
void loopguard_begin(struct loopguard *g, unsigned worker);
void loopguard_end(struct loopguard *g, unsigned worker);
/* Notes the connection `local` -> `remote` of `worker`; the mark is for loopguard_clear(). 0: no
 * room, it is not noted. */
uint64_t loopguard_set(
    struct loopguard *g, unsigned worker, const struct endpoint *local,
    const struct endpoint *remote);
void loopguard_clear(struct loopguard *g, unsigned worker, uint64_t mark); /* 0 is fine */
/* Is the connection `peer` -> `destination` one of ours? */
bool loopguard_knows(
    const struct loopguard *g, const struct endpoint *peer, const struct endpoint *destination);
/* The worker is gone and all its connections with it. */
void loopguard_forget(struct loopguard *g, unsigned worker);

#endif
