/* What two programs with configurations of their own must agree on: what is limited, and how. */
#ifndef GATE25_CORE_CONF_DIGEST_H
#define GATE25_CORE_CONF_DIGEST_H

#include "core/conf.h"

#define CONF_DIGEST 17

/* A digest of all that the policy page tells: classes with their limits, the class of those without
 * a standing, the size of an IPv6 unit, the use of SPF, how long the log is kept. Equal for equal
 * policies, in whatever order the classes stand; it is no secret and protects nothing. */
void conf_policy_digest(const struct conf *c, char out[CONF_DIGEST]);

#endif
