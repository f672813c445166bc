/* What the load has counted. */
#ifndef GATE25_BENCH_LOAD_TALLY_H
#define GATE25_BENCH_LOAD_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/latency.h"

/* What a session waits for: a reply, or what comes before replies. */
enum place {
    PLACE_CONNECT,
    PLACE_BANNER,
    PLACE_EHLO,
    PLACE_STARTTLS,
    PLACE_TLS,
    PLACE_HOLD,
    PLACE_MAIL,
    PLACE_RCPT,
    PLACE_DATA,
    PLACE_MESSAGE,
    PLACE_QUIT,
    PLACES
};

/* Why a session has failed: errno, or one of these. */
enum { FAILED_END = 200, FAILED_TIMEOUT, FAILED_NO_REPLY, FAILURES };

#define CODES 600

struct tally {
    bool is_open; /* within the interval that counts */
    int64_t opened_ns;
    int64_t closed_ns;
    double opened_cpu_s;
    double closed_cpu_s;
    uint64_t sessions; /* whose QUIT was answered, or which the server has ended after a refusal */
    uint64_t messages;
    uint64_t recipients;
    uint64_t open;   /* sessions at the end of the interval */
    uint64_t silent; /* those of them that had not moved for half of it, and for a second */
    uint64_t missed; /* not begun when it was time, as too many were open */
    uint64_t refused[PLACES][CODES];
    uint64_t failed[PLACES][FAILURES];
    struct latency hop;     /* from the write of a command to the first byte of its reply */
    struct latency connect; /* from connect() to the connection */
    struct latency banner;  /* from the connection to the banner */
    struct latency tls;     /* the handshake */
    struct latency session; /* from connect() to the end */
};

static inline void tally_count(const struct tally *t, uint64_t *counter)
{
    *counter += t->is_open;
}

static inline void tally_time(const struct tally *t, struct latency *l, int64_t ns)
{
    if (t->is_open) {
        latency_add(l, ns);
    }
}

/* A failure counts behind the interval too: whoever fails then had begun within it or before. A
 * server that falls silent shortly before the end would be taken for a fast one otherwise. */
static inline void tally_failure(const struct tally *t, uint64_t *counter)
{
    *counter += t->opened_ns != 0;
}

/* Prints all of it on stdout, as one JSON object. */
void tally_report(const struct tally *t);

#endif
