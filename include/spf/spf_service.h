/* Answers the questions that come over sockets: one check each, all under way at once. */
#ifndef GATE25_SPF_SPF_SERVICE_H
#define GATE25_SPF_SPF_SERVICE_H

#include <event2/event.h>

#include "core/prefix.h"

#define SPF_SERVICE_CHECKS 512 /* under way at once; what comes then is answered with unknown */

struct spf_service;

/* `sockets` are SOCK_SEQPACKET and non-blocking. NULL: `error` says why. */
struct spf_service *spf_service_new(
    struct event_base *base, const int *sockets, size_t socket_count,
    const struct endpoint *servers, size_t server_count, struct text *error)
    __attribute__((warn_unused_result));
void spf_service_free(struct spf_service *s);

#endif
