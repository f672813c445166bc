/* Who may work at the desk: STORE_OPERATORS in Redis, beside the standings, since whoever can write
 * there can change standings anyway, and every site of a fleet has to know them at once. */
#ifndef GATE25_SVC_OPERATORS_H
#define GATE25_SVC_OPERATORS_H

#include "svc/redis.h"

/* Each may what the ones before may. */
enum operator_role {
    OPERATOR_NONE,
    OPERATOR_VIEWER, /* looks */
    OPERATOR_AGENT,  /* quarantines, releases, approves, refuses, reads feedback */
    OPERATOR_ADMIN,  /* reads the audit trail, exports everything */
    OPERATOR_ROLES
};

#define OPERATOR_NAME       64
#define OPERATOR_NAME_RULES "1 to 63 of a-z A-Z 0-9 . _ - @"
#define OPERATOR_RECORD     192

struct operator_record {
    enum operator_role role;
    int64_t since_s;  /* Unix: when the password was given; sessions begun before are over */
    struct span hash; /* svc/password.h; empty: none, single sign-on alone */
};

const char *operator_role_name(enum operator_role r);
bool operator_role_parse(struct span s, enum operator_role *out); /* one that is somebody's */
bool operator_name_is_good(struct span name);

/* "ROLE SINCE HASH", the value of the name's field. False: not of that form. */
bool operator_parse(struct span value, struct operator_record *out);
struct span operator_format(const struct operator_record *r, char out[OPERATOR_RECORD]);

/* Asks for the value of `name`: a text, or nil. -1: as redis_call(). */
int operators_ask(
    struct redis *r, struct span name, uint32_t deadline_ms, redis_reply_cb reply, void *context,
    uint64_t ticket);

#endif
