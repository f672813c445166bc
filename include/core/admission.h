/* Which connections the gate takes at all: it is no open proxy, and no part of a loop. */
#ifndef GATE25_CORE_ADMISSION_H
#define GATE25_CORE_ADMISSION_H

#include "core/verdict.h"

/* What is known of a connection when it has been accepted. */
struct admission_facts {
    struct endpoint client;
    struct endpoint server;        /* where the client wanted to go */
    bool server_known;             /* false: nothing redirected this connection */
    const struct endpoint *listen; /* the gate's own listening sockets */
    size_t listen_count;
    const struct addr *own; /* the gate's own addresses */
    size_t own_count;
    enum intercept_mode mode;
    bool returned; /* it is one of the gate's own connections, come back */
};

/* FORWARD, or a refusal with RULE_DIRECT, RULE_SOURCE, RULE_DESTINATION or RULE_LOOP. */
struct verdict admission_check(const struct conf *conf, const struct admission_facts *facts);

/* Is it of those that are never a host's: loopback, multicast, ...? */
bool admission_takes_no_mail(const struct addr *a);

#endif
