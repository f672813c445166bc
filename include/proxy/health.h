/* Is this gate fit to be sent traffic? For load balancers, routers and who is woken. */
#ifndef GATE25_PROXY_HEALTH_H
#define GATE25_PROXY_HEALTH_H

#include "base/str.h"

enum health {
    HEALTH_GOOD,
    HEALTH_IMPAIRED, /* it serves, but somebody should look */
    HEALTH_BAD       /* send the traffic elsewhere */
};

struct health_facts {
    unsigned workers, running; /* that there should be, and that there are */
    bool listening;            /* each worker has said so once */
    bool stopping;
    bool drained;          /* an operator wants no more traffic sent here */
    unsigned with_store;   /* workers whose connection to Redis works */
    int64_t mirror_age_ms; /* since the standings of all workers were Redis's */
    bool spf_wanted, spf_running;
    bool reload_failed;
};

#define HEALTH_MIRROR_MOST_MS 10000

const char *health_name(enum health h); /* good impaired bad */
/* Adds what is wrong, "; " between. */
enum health health_judge(const struct health_facts *f, struct text *reasons);

#endif
