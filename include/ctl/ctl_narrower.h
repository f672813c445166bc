/* Standings over an address that are narrower than the unit it stands for. */
#ifndef GATE25_CTL_CTL_NARROWER_H
#define GATE25_CTL_CTL_NARROWER_H

#include <jansson.h>

#include "ctl/ctl_store.h"

/* Of a mere address that stands for its unit: those over it, longest first, a list of id, class,
 * class_known, until, ended, and in_force, which is true of the one that holds for the address. Of
 * anything else an empty list. NULL: said why. */
json_t *ctl_narrower_read(struct ctl *c, const struct ctl_subject *who);
/* A row each. */
void ctl_narrower_print(const struct ctl *c, const json_t *narrower);

#endif
