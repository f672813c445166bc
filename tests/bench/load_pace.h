/* When sessions begin, and from and to where. Pure: time is an argument. */
#ifndef GATE25_BENCH_LOAD_PACE_H
#define GATE25_BENCH_LOAD_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/load_options.h"

/* While places for sessions are taken for the first time, so many of these at most have not heard
 * EHLO's reply, so that no server's queue of connections overflows only because a run begins; of
 * many that come and go, another quarter. That takes long enough for sessions not to go in step: if
 * all began at once, all would say MAIL at once, and end at once. */
#define PACE_ARRIVING_MOST 200

struct pace {
    const struct load_options *options;
    int64_t begins_ns;
    int64_t ends_ns; /* when no session begins any more; INT64_MAX while that is not known */
    uint64_t begun;
    uint64_t missed;
    uint64_t random;
};

/* What is open now. */
struct pace_state {
    uint32_t open;
    uint32_t taken; /* places that have had a session */
    uint32_t
        arriving; /* sessions that are the first in their place, and have not heard EHLO's reply */
};

struct session_ends {
    const union address *server;
    const union address *source; /* NULL: the kernel chooses */
    union address source_space;  /* what `source` points to */
};

void pace_init(struct pace *p, const struct load_options *options, int64_t now_ns);

/* How many sessions begin now. With --rate, those that would be too many are missed. */
uint32_t pace_due(struct pace *p, struct pace_state state, int64_t now_ns);

/* When the next session is due if none ends until then; INT64_MAX if it is the end of one that is
 * waited for. */
int64_t pace_next_ns(const struct pace *p);

/* True when no session will begin any more. */
bool pace_is_over(const struct pace *p, int64_t now_ns);

/* The ends of the next session, which has begun with this. */
void pace_begin(struct pace *p, struct session_ends *ends);

#endif
