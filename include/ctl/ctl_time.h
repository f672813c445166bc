/* Points in time as operators write and read them. */
#ifndef GATE25_CTL_CTL_TIME_H
#define GATE25_CTL_CTL_TIME_H

#include "base/str.h"

#define CTL_TIME_TEXT    32
#define CTL_UNTIL_FORMAT "30d, 12h, 2026-12-31 (its beginning, UTC) or 2026-12-31T18:00:00Z"
#define CTL_UNTIL_MOST   "104249d" /* the longest duration that core/conf.h reads, in days */

/* A duration from now, a date (its first second) or a time, in UTC. False: `error` says what is
 * wrong with it. */
bool ctl_until_parse(struct span s, int64_t now_s, int64_t *out_s, struct text *error);

/* ISO 8601 in UTC: 2026-12-31T18:00:00Z. */
void ctl_time_format(int64_t unix_s, char out[CTL_TIME_TEXT]);

#endif
