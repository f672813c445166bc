/* The SUBSCRIBER of a command line. */
#ifndef GATE25_CTL_CTL_SUBJECT_H
#define GATE25_CTL_CTL_SUBJECT_H

#include "core/account.h"
#include "core/conf.h"

#define CTL_ID ACCOUNT_TEXT /* room for a prefix, too */
_Static_assert(CTL_ID >= PREFIX_TEXT, "an id may be a prefix, one of full length with its length");

struct ctl_subject {
    struct prefix prefix; /* ADDR_NONE: an account was named, wherever it is */
    struct prefix named;  /* the same, but a mere address is itself, not its unit */
    char id[CTL_ID];
    bool address; /* a mere address was named */
    bool account; /* the id is one, named or found by ctl_lease_resolve() */
};

/* An address stands for its unit (ctl_lease_resolve() finds out whose that is), a prefix for
 * exactly itself; both must lie within the subscribers' prefixes. What is neither may be an
 * account. False: `error` says why not, and what is allowed. */
bool ctl_subject_parse(
    const struct conf *conf, struct span s, struct ctl_subject *out, struct text *error);

/* What people need behind an id to give it back to us: "/128" behind an IPv6 address, which without
 * it would stand for its unit; else nothing. */
const char *ctl_id_length(const char *id);
/* The id for people, that with it; gives back `room`. */
const char *ctl_name(const char *id, char room[CTL_ID]);

#endif
