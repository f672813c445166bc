/* Buckets of the subscribers that were heard of last, in a table of fixed size: who floods the site
 * with addresses pushes out others' buckets (they are full again), and costs no memory. */
#ifndef GATE25_WEB_RATE_TABLE_H
#define GATE25_WEB_RATE_TABLE_H

#include "base/str.h"
#include "core/rate.h"

struct rate_table;

struct rate_table *rate_table_new(void) __attribute__((warn_unused_result)); /* NULL: no memory */
void rate_table_free(struct rate_table *t);
/* Takes one token of `id`'s bucket of this `kind` (a small number). Microseconds to wait when there
 * is none; 0: taken. */
double rate_table_take(
    struct rate_table *t, struct span id, unsigned kind, const struct rate *rate, double now_us);

#endif
