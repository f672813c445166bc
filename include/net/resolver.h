/* Questions to the DNS, with libunbound on the event loop: cache, retries, TCP. */
#ifndef GATE25_NET_RESOLVER_H
#define GATE25_NET_RESOLVER_H

#include <event2/event.h>

#include "core/prefix.h"

struct resolver;

enum resolver_state { RESOLVED, RESOLVED_EMPTY, RESOLVE_FAILED };

/* The answer to the question of `ticket`: record by record, then its end. A record is the address's
 * bytes of A and AAAA, the name of MX and PTR, the whole text of TXT. Called once or, for each
 * record, more often; the last time with `end`. */
struct resolved {
    bool end;
    enum resolver_state state; /* at the end */
    struct span record;        /* before it */
};
typedef void (*resolved_cb)(void *context, uint64_t ticket, const struct resolved *answer);

/* Asks `servers`, or those of /etc/resolv.conf where there are none, which is read now: files are
 * not needed later. NULL: `error` says why. */
struct resolver *resolver_new(
    struct event_base *base, const struct endpoint *servers, size_t count, resolved_cb resolved,
    void *context, struct text *error) __attribute__((warn_unused_result));
void resolver_free(struct resolver *r);

/* The answer may come from within this call. It always comes. */
void resolver_ask(struct resolver *r, uint64_t ticket, const char *name, uint16_t type);

#endif
