/* What the sessions of one worker share. */
#ifndef GATE25_PROXY_GATE_H
#define GATE25_PROXY_GATE_H

#include "base/metrics.h"
#include "net/intercept.h"
#include "net/stream.h"
#include "proxy/loopguard.h"
#include "proxy/sessions.h"
#include "proxy/verdict_counts.h"
#include "svc/conf_file.h"
#include "svc/journal.h"
#include "svc/meter.h"
#include "svc/redis.h"
#include "svc/registry.h"
#include "svc/spf.h"
#include "svc/tally.h"

#define GATE_CASES 32 /* random numbers drawn at once */

struct gate {
    struct event_base *base;
    struct conf *conf; /* of new sessions */
    struct conf *boot; /* of the sockets: what a reload cannot change */
    unsigned worker;
    struct metrics *metrics;
    struct verdict_counts *verdicts;
    struct loopguard *loopguard;
    struct redis *redis;
    struct registry *registry;
    struct meter *meter;
    struct spf *spf;
    struct journal *journal;
    struct tally *tally;
    struct addr *own; /* this host's addresses */
    size_t own_count;
    struct stream_owner streams;
    struct sessions sessions;
    uint64_t cases[GATE_CASES];
    unsigned cases_left;
};

struct gate_setup {
    struct event_base *base;
    struct conf *conf;
    struct conf *boot; /* the one that the listening sockets were made by */
    unsigned worker;   /* number 0 keeps the registry's copy */
    struct metrics *metrics;
    struct verdict_counts *verdicts;
    struct loopguard *loopguard;
    int spf; /* the way to gate25-spfd; stays the caller's */
    sessions_count_cb counted;
    void *context; /* of `counted` */
};

/* -1: out of memory; gate_fini() is due all the same. */
int gate_init(struct gate *g, const struct gate_setup *setup) __attribute__((warn_unused_result));
void gate_fini(struct gate *g);
/* Puts into the counters whether Redis answers, and how many subscribers it is owed. */
void gate_tell_store(struct gate *g);
/* Redis answers, and the mirror of the standings is what Redis holds. */
bool gate_is_informed(const struct gate *g);
/* It knows standings, if only from the copy on disk. */
bool gate_has_standings(const struct gate *g);
/* New sessions begin with `conf` from now on; NULL keeps the old one. The journal is opened anew,
 * the host's addresses are looked up again. */
void gate_reload(struct gate *g, struct conf *conf);
/* Asks why `id` has the standing it has; session_reason() is told. -1: Redis cannot be asked now.
 */
int gate_ask_reason(struct gate *g, uint64_t session, const char *id);
/* Sends what is gathered and not yet written: the process ends soon. */
void gate_last_words(struct gate *g);
/* A fresh random number for a case id. */
uint64_t gate_case(struct gate *g);

#endif
