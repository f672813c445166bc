/* What the daemon may do, and no more. */
#ifndef GATE25_PROXY_PRIVILEGES_H
#define GATE25_PROXY_PRIVILEGES_H

#include "base/str.h"

/* As many descriptors as the limits allow without asking anybody. */
void privileges_raise_descriptors(void);
/* Gives up all capabilities, for this process and what it forks, but CAP_NET_RAW where `keep_raw`.
 * -1: `error` says why. */
int privileges_drop(bool keep_raw, struct text *error) __attribute__((warn_unused_result));

/* In a child that is to run this program anew: what was kept goes on to it. -1: errno. */
int privileges_pass_on(void) __attribute__((warn_unused_result));

#endif
