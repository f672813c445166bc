/* What gate25-spfd may do once it is set up: talk to the DNS and over the sockets it has. */
#ifndef GATE25_SPF_SPF_SANDBOX_H
#define GATE25_SPF_SPF_SANDBOX_H

#include "base/str.h"

/* No capabilities, no new privileges, bounded memory, no files, no other programs and no processes:
 * for good. A call that is not allowed fails with EPERM. -1: `error` says why. */
int spf_sandbox_enter(struct text *error) __attribute__((warn_unused_result));

#endif
