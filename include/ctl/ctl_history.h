/* The trail of changes of one standing. */
#ifndef GATE25_CTL_CTL_HISTORY_H
#define GATE25_CTL_CTL_HISTORY_H

#include <jansson.h>

#include "ctl/ctl_store.h"

#define CTL_HISTORY_MOST 20

/* The last changes of `id`, oldest first, as JSON objects: time, verb, class, until, by, reason,
 * note; those without a value are null. NULL: said why. */
json_t *ctl_history_read(struct ctl *c, const char *id) __attribute__((warn_unused_result));
/* The same for people. */
void ctl_history_print(const json_t *history);

#endif
