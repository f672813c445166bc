/* Small charts of the tally: geometry for a template, which draws it as inline SVG. */
#ifndef GATE25_WEB_CHART_H
#define GATE25_WEB_CHART_H

#include <jansson.h>

#include "svc/tally.h"

#define CHART_STEP   8 /* units of an hour */
#define CHART_HEIGHT 40

/* {"width", "height", "bars": [{"kind": "sessions" | "held", "x", "y", "w", "h"}], "sessions",
 * "held": totals, "peak": most sessions of an hour, "peak_hour": "17:00", "empty"}. Held is what
 * was deferred or refused. Of each hour two bars side by side, on one scale; what is not zero is
 * one unit high at least. NULL: out of memory. */
json_t *chart_of(const struct tally_row *row, int64_t now_s);
/* The same as a table: [{"day": "2026-11-28", "hour": "17:00", "sessions", "messages", "deferrals",
 * "refusals"}], newest first; hours without anything are left out. */
json_t *chart_table(const struct tally_row *row, int64_t now_s);

#endif
