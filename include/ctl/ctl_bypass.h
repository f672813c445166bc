/* What gate25-bypassd says, where the configuration names its socket. */
#ifndef GATE25_CTL_CTL_BYPASS_H
#define GATE25_CTL_CTL_BYPASS_H

#include <jansson.h>

#include "ctl/ctl_store.h"

/* Its answer to `verb`; {"error": why} where none came; NULL: there is none to ask, or no memory.
 */
json_t *ctl_bypass_ask(const struct ctl *c, const char *verb);
/* ... about a subscriber. */
json_t *ctl_bypass_show(const struct ctl *c, const struct prefix *who);
/* One row of the latter; nothing for NULL. */
void ctl_bypass_print(const json_t *shown);
/* Makes a gate's answer to "health" worse where the bypass is not well. */
void ctl_bypass_add_health(const struct ctl *c, json_t *health);

#endif
