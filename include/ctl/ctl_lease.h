/* Who holds an address now, and what an account holds. */
#ifndef GATE25_CTL_CTL_LEASE_H
#define GATE25_CTL_CTL_LEASE_H

#include <jansson.h>

#include "ctl/ctl_store.h"

/* Where a mere address was named and a lease says whose it is, the subscriber is that account. -1:
 * said why. */
int ctl_lease_resolve(struct ctl *c, struct ctl_subject *who) __attribute__((warn_unused_result));
/* Is its id a unit, or a part of one, that is handed out by lease? Then no standing of its counts.
 */
bool ctl_lease_hides(const struct ctl *c, const struct ctl_subject *who);

/* The leases over the subscriber's prefix, or else of its account: a list of unit, account, since,
 * until. NULL: said why. */
json_t *ctl_leases_read(struct ctl *c, const struct ctl_subject *who);
/* A row each. */
void ctl_leases_print(const json_t *leases);

#endif
