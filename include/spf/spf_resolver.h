/* Questions to the DNS, with libunbound on the event loop: cache, retries, TCP. */
#ifndef GATE25_SPF_SPF_RESOLVER_H
#define GATE25_SPF_SPF_RESOLVER_H

#include <event2/event.h>

#include "core/prefix.h"

struct spf_resolver;

enum spf_resolver_state { SPF_RESOLVED, SPF_RESOLVED_EMPTY, SPF_RESOLVE_FAILED };

/* The answer to the question of `ticket`: record by record, then its end. A record is the address's
 * bytes of A and AAAA, the name of MX and PTR, the whole text of TXT. Called once or, for each
 * record, more often; the last time with `end`. */
struct spf_resolved {
    bool end;
    enum spf_resolver_state state; /* at the end */
    struct span record;            /* before it */
};
typedef void (*spf_resolved_cb)(void *context, uint64_t ticket, const struct spf_resolved *answer);

/* Asks `servers`, or those of /etc/resolv.conf where there are none, which is read now: files are
 * not needed later. NULL: `error` says why. */
struct spf_resolver *spf_resolver_new(
    struct event_base *base, const struct endpoint *servers, size_t count, spf_resolved_cb resolved,
    void *context, struct text *error) __attribute__((warn_unused_result));
void spf_resolver_free(struct spf_resolver *r);

/* The answer may come from within this call. It always comes. */
void spf_resolver_ask(struct spf_resolver *r, uint64_t ticket, const char *name, uint16_t type);

#endif
