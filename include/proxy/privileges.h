/* What the daemon may do, and no more. */
#ifndef GATE25_PROXY_PRIVILEGES_H
#define GATE25_PROXY_PRIVILEGES_H

#include "base/str.h"

/* As many descriptors as the limits allow without asking anybody. */
void privileges_raise_descriptors(void);
/* What a program of ours may keep: bits. */
enum privilege {
    PRIVILEGE_NONE = 0,
    PRIVILEGE_NET_RAW = 1,
    PRIVILEGE_NET_ADMIN = 2,
    PRIVILEGE_BPF = 4,
};

/* Gives up all capabilities but those of `keep`, for this process and what it forks. `wanted_by`:
 * whose need is told when one is not there. -1: `error` says why. */
int privileges_drop(unsigned keep, const char *wanted_by, struct text *error)
    __attribute__((warn_unused_result));

/* In a child that is to run this program anew: what was kept goes on to it. -1: errno. */
int privileges_pass_on(void) __attribute__((warn_unused_result));

#endif
