/* What the daemon may do, and no more. */
#ifndef GATE25_PROXY_PRIVILEGES_H
#define GATE25_PROXY_PRIVILEGES_H

#include "base/str.h"

/* As many descriptors as the limits allow without asking anybody. */
void privileges_raise_descriptors(void);
/* What a program of ours may keep. */
enum privilege { PRIVILEGE_NONE, PRIVILEGE_NET_RAW, PRIVILEGE_NET_ADMIN };

/* Gives up all capabilities but this one, for this process and what it forks. `wanted_by`: whose
 * need is told when it is not there. -1: `error` says why. */
int privileges_drop(enum privilege keep, const char *wanted_by, struct text *error)
    __attribute__((warn_unused_result));

/* In a child that is to run this program anew: what was kept goes on to it. -1: errno. */
int privileges_pass_on(void) __attribute__((warn_unused_result));

#endif
