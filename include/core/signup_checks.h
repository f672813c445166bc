/* What DNS says of a mail server that is to be registered. The shell asks, these judge. */
#ifndef GATE25_CORE_SIGNUP_CHECKS_H
#define GATE25_CORE_SIGNUP_CHECKS_H

#include "core/facts.h"
#include "core/signup_form.h"

enum signup_check {
    SIGNUP_CHECK_HOST,    /* the host name leads to this line */
    SIGNUP_CHECK_REVERSE, /* the address has a name, and that name leads back to it */
    SIGNUP_CHECK_SPF,     /* the domain's SPF record allows the address */
    SIGNUP_CHECKS
};

enum signup_result {
    SIGNUP_RESULT_UNKNOWN, /* nobody answered in time */
    SIGNUP_RESULT_GOOD,
    SIGNUP_RESULT_NONE, /* nothing is published, or nothing that says so or so */
    SIGNUP_RESULT_BAD,  /* what is published speaks against it */
    SIGNUP_RESULTS
};

struct signup_checks {
    enum signup_result result[SIGNUP_CHECKS];
    struct addr server;          /* whom the checks were about */
    char reverse[SIGNUP_DOMAIN]; /* the name of its reverse DNS; empty: none */
    enum spf_result spf;
};

#define SIGNUP_ADDRESSES 16 /* of one name that are looked at */

/* The addresses of a name, as far as they are known. */
struct signup_addresses {
    size_t count;
    struct addr at[SIGNUP_ADDRESSES];
    bool failed; /* a question had no answer: there may be more */
};

/* Adds an address of 4 or 16 bytes in network order; others, and those beyond the last place, are
 * left away. */
void signup_addresses_add(struct signup_addresses *a, struct span bytes);

/* The host name's addresses against the line `unit`, from which `visitor` connects. `server` is the
 * address that the mail server has: the visitor's own, or the one in the same unit that the name
 * leads to (one IPv6 line has many). */
enum signup_result signup_judge_host(
    const struct signup_addresses *found, const struct prefix *unit, const struct addr *visitor,
    struct addr *server);
/* Does a name of the address's reverse DNS lead back to it? `failed`: its names could not be asked
 * for; `names`: how many there are; `back`: the addresses of all of them. */
enum signup_result signup_judge_reverse(
    bool failed, size_t names, const struct signup_addresses *back, const struct addr *server);
enum signup_result signup_judge_spf(enum spf_result spf);

/* The name by which DNS knows the address: "7.7.20.10.in-addr.arpa". */
#define SIGNUP_REVERSE_NAME 74
void signup_reverse_name(const struct addr *a, char out[SIGNUP_REVERSE_NAME]);
/* A name from DNS into `out`, in lower case; false, and empty: it is no host name. */
bool signup_reverse_take(struct span name, char out[SIGNUP_DOMAIN]);

/* The results of which a bit (1 << check) is set in `required` are all good. */
bool signup_checks_hold(const struct signup_checks *c, unsigned required);

const char *signup_check_name(enum signup_check c);   /* "host", "reverse", "spf" */
const char *signup_result_name(enum signup_result r); /* "unknown", "good", "none", "bad" */
bool signup_result_named(struct span name, enum signup_result *out);

#endif
