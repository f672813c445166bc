/* Names of keys in Redis (README, "State in Redis"). The id in braces keeps one subscriber's keys
 * in one slot of a cluster. */
#ifndef GATE25_CORE_STORE_KEYS_H
#define GATE25_CORE_STORE_KEYS_H

#include "base/str.h"

#define STORE_KEY 320

#define STORE_STANDINGS "g25:standings" /* hash: id -> "CLASS UNTIL" (Unix seconds, 0: no end) */
#define STORE_CHANGES   "g25:changes"   /* stream: every change of a standing */
#define STORE_LEASES                                                                               \
    "g25:{leases}" /* hash: unit -> "UNTIL BEGAN SESSION ACCOUNT" (src/svc/leases.lua) */
#define STORE_LEASE_CHANGES  "g25:{leases}:changes"  /* stream: every change of a lease */
#define STORE_LEASE_ACCOUNTS "g25:{leases}:accounts" /* hash: account -> its units */
#define STORE_OPERATORS      "g25:operators"         /* hash: name -> svc/operators.h */
#define STORE_TRAIL          "g25:trail" /* stream: what operators did but for changes of standings */
#define STORE_FAILED         "g25:trail:failed" /* stream: log-ins at the desk that failed */
#define STORE_FEEDBACK       "g25:feedback"     /* stream: what subscribers wrote to the desk */
/* zset: id -> Unix seconds at which something is due for its registration */
#define STORE_REGISTRATIONS "g25:registrations"
#define STORE_PENDING       "g25:registrations:pending" /* zset: id -> since when the desk is asked */

enum store_key {
    STORE_KEY_STANDING, /* g25:standing:{ID}, hash */
    STORE_KEY_METER,    /* g25:meter:{ID}, hash: LIMIT:PERIOD_S -> TAT in us */
    STORE_KEY_OPEN,     /* g25:open:{ID}, zset: session -> ms until its slot expires */
    STORE_KEY_SPREAD,   /* g25:spread:{ID}, zset: destination -> last contact, ms */
    STORE_KEY_LOG,      /* g25:log:{ID}, stream, capped and expiring */
    STORE_KEY_SIGNUP,   /* g25:signup:{TOKEN-HASH}, hash, expiring; of one that confirms, for each
                         * line that asked: g25:signup:{TOKEN-HASH:ID} */
    STORE_KEY_ASKED,    /* g25:asked:{ID}, hash, expiring: what the line asked for last */
    STORE_KEY_MAILED,   /* g25:mailed:{ID}, counter: mails that a line asked for */
    STORE_KEY_CONTACT,  /* g25:contact:{HASH}, hash: the last mail to a contact address */
    STORE_KEY_REGISTRATION, /* g25:registration:{ID}, hash */
    STORE_KEY_CASES, /* g25:cases:{XY}, stream, capped: cases that begin with XY, and whose */
    STORE_KEY_NAMED  /* g25:named:{NAME}, set: ids registered with a domain or contact */
};

/* Writes the key of `id` into `out`; the span looks into it. */
struct span store_key(enum store_key key, struct span id, char out[STORE_KEY]);

#endif
