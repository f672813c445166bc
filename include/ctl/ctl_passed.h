/* A standing that is passed over because the configuration does not know its class. */
#ifndef GATE25_CTL_CTL_PASSED_H
#define GATE25_CTL_CTL_PASSED_H

#include <jansson.h>

#include "ctl/ctl_store.h"

/* One row; nothing when it was not found. */
void ctl_passed_print(const struct ctl_standing *passed);
/* id, class, until; null when it was not found. */
json_t *ctl_passed_json(const struct ctl_standing *passed);

#endif
