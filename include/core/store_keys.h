/* Names of keys in Redis (README, "State in Redis"). The id in braces keeps one subscriber's keys
 * in one slot of a cluster. */
#ifndef GATE25_CORE_STORE_KEYS_H
#define GATE25_CORE_STORE_KEYS_H

#include "base/str.h"

#define STORE_KEY 320

#define STORE_STANDINGS "g25:standings" /* hash: id -> "CLASS UNTIL" (Unix seconds, 0: no end) */
#define STORE_CHANGES   "g25:changes"   /* stream: every change of a standing */

enum store_key {
    STORE_KEY_STANDING, /* g25:standing:{ID}, hash */
    STORE_KEY_METER,    /* g25:meter:{ID}, hash: LIMIT:PERIOD_S -> TAT in us */
    STORE_KEY_OPEN,     /* g25:open:{ID}, zset: session -> ms until its slot expires */
    STORE_KEY_SPREAD,   /* g25:spread:{ID}, zset: destination -> last contact, ms */
    STORE_KEY_LOG,      /* g25:log:{ID}, stream, capped and expiring */
    STORE_KEY_LEASE     /* g25:lease:{UNIT}, string */
};

/* Writes the key of `id` into `out`; the span looks into it. */
struct span store_key(enum store_key key, struct span id, char out[STORE_KEY]);

#endif
