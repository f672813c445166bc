/* Where a session goes that is bridged to authenticated submission (RFC 6409). */
#ifndef GATE25_CORE_SUBMISSION_H
#define GATE25_CORE_SUBMISSION_H

#include "core/conf.h"

struct submission_target {
    struct endpoint server;
    bool proxy_header; /* it is to be told first whom the session is from: core/proxy_v2.h */
};

/* For a session that wanted to go to `wanted`: port 587 of the same host, so that a password goes
 * where the client meant it to go and nowhere else. Only of the servers that the configuration
 * lists as the operator's own, the configured service. */
void submission_target(
    const struct conf_submission *conf, const struct endpoint *wanted,
    struct submission_target *out);

/* The service's address of `family`, or NULL. */
const struct addr *submission_service(const struct conf_submission *conf, enum addr_family family);

#endif
