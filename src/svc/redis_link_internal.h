/* A link's inside, shared by redis_link.c (the connection) and redis_greeting.c (what is said on it
 * that no user asked for). */
#ifndef GATE25_SVC_REDIS_LINK_INTERNAL_H
#define GATE25_SVC_REDIS_LINK_INTERNAL_H

#include "svc/redis_carrier.h"
#include "svc/redis_link.h"
#include "svc/redis_queue.h"
#include "svc/redis_resolve.h"
#include "svc/redis_wire.h"

#define REDIS_REASON 200

enum redis_phase { PHASE_RESTING, PHASE_RESOLVING, PHASE_GREETING, PHASE_UP };

struct redis_link {
    struct redis_link_options how;
    struct redis_greeting greeting;
    struct redis_carrier carrier;
    enum redis_phase phase;
    struct event timer, resolved;
    int64_t timer_at_ms;
    int64_t due_ms; /* resting: try again; resolving, greeting: give up */
    int64_t rest_ms;
    int lookup; /* descriptor of a lookup under way, or -1 */
    struct redis_addresses addresses;
    unsigned tries;
    unsigned untried;          /* addresses of the name that this round has still to try */
    char reason[REDIS_REASON]; /* why this round has failed so far; empty: it has not */
    bool reached;              /* `reason` is of an address that took the connection */
    struct redis_wire wire;
    struct redis_queue queue;
    unsigned greetings;      /* replies to the greeting that are still due */
    int64_t silent_since_ms; /* a deadline passed then, and nothing was heard since; 0: none */
    bool settled;
    bool moving;
    struct conf_redis_place move_to;
    bool reloading;           /* the functions, which Redis has lost */
    bool outdated;            /* ... but has those of a newer program, which was told */
    char fault[REDIS_REASON]; /* found while replies were handled: give the connection up */
    char told[REDIS_REASON];  /* the last reason logged; each is said once */
};

int redis_link_enqueue(
    struct redis_link *l, const struct span *words, size_t count,
    const struct redis_request *request) __attribute__((warn_unused_result));
void redis_link_lose(struct redis_link *l, const char *why);
void redis_link_ready(struct redis_link *l); /* the greeting was answered */

/* Writes the greeting. -1: out of memory. */
int redis_link_greet(struct redis_link *l) __attribute__((warn_unused_result));
/* Gives a reply to whom it belongs; sets `fault` where it says that the connection is of no use. */
void redis_link_settle(struct redis_link *l, const struct redis_reply *reply);

#endif
