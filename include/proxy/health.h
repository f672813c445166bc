/* Is this gate fit to be sent traffic? For load balancers, routers and who is woken. */
#ifndef GATE25_PROXY_HEALTH_H
#define GATE25_PROXY_HEALTH_H

#include <stdint.h>

#include "base/str.h"

enum health {
    HEALTH_GOOD,
    HEALTH_IMPAIRED, /* it serves, but somebody should look */
    HEALTH_BAD       /* send the traffic elsewhere */
};

struct health_facts {
    unsigned workers, running; /* that there should be, and that there are */
    const char *silent; /* numbers of workers that do not answer; NULL or empty: there is none */
    bool listening;     /* each worker has said so once */
    bool stopping;
    bool drained;          /* an operator wants no more traffic sent here */
    unsigned with_store;   /* workers whose connection to Redis works */
    bool store_missed;     /* within HEALTH_STORE_MISSED_MS a question was answered without Redis */
    int64_t mirror_age_ms; /* since the standings of all workers were Redis's */
    bool spf_wanted, spf_running;
    bool reload_failed;
};

#define HEALTH_MIRROR_MOST_MS 10000
/* A gate with little to ask is not to be called good between two questions. */
#define HEALTH_STORE_MISSED_MS 60000

/* A worker that has had no turn of its own for so long is said to hang ... */
#define WORKER_SILENT_S 10
/* ... and is ended after this time, unless it waits for the processor, for the disk or for a
 * debugger. One that runs all the while is ended once it has used so much of the processor: on a
 * machine that is very busy that takes longer. */
#define WORKER_HANGS_S  30
#define WORKER_SPINS_MS 15000

struct worker_facts {
    unsigned silent_s;
    char state;     /* as in /proc/PID/stat; 0: nobody knows */
    int64_t cpu_ms; /* that it has used since */
};

bool worker_is_to_end(const struct worker_facts *f);

const char *health_name(enum health h); /* good impaired bad */
/* Adds what is wrong, "; " between. */
enum health health_judge(const struct health_facts *f, struct text *reasons);

#endif
