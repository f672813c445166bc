/* Ends connections in the kernel's connection tracking, where something on this machine has turned
 * it on (REDIRECT does): who is in it would be treated further as when his connection began. */
#ifndef GATE25_BYPASS_CONNTRACK_END_H
#define GATE25_BYPASS_CONNTRACK_END_H

#include "core/prefix.h"

/* Shall the connections of this subscriber's address be ended? */
typedef bool (*conntrack_ends_cb)(void *context, const struct addr *subscriber);

/* Forgets every connection to port 25 that went past the gate (no REDIRECT in it) and that `ends`
 * names the subscriber of. Blocks for the time that the kernel takes to list all. The number of
 * them; -1: `error` says why. */
int conntrack_end(conntrack_ends_cb ends, void *context, struct text *error)
    __attribute__((warn_unused_result));

#endif
