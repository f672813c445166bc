/* Why Redis cannot be used, for whoever waits for it. */
#ifndef GATE25_CTL_CTL_REACH_H
#define GATE25_CTL_CTL_REACH_H

#include "core/conf.h"

#define CTL_REACH_MS 500

/* Connects and greets once, blocking for CTL_REACH_MS at most (and for a host name's lookup).
 * True: Redis answers as it should; else `why` is told. */
bool ctl_reach(const struct conf_redis *where, struct text *why);

#endif
