/* How many lines the journal was given, by class, verdict and rule: one block a worker in memory
 * that processes share, written by that worker and read by the master. */
#ifndef GATE25_PROXY_VERDICT_COUNTS_H
#define GATE25_PROXY_VERDICT_COUNTS_H

#include <stdatomic.h>

#include "svc/journal.h"

#define VERDICT_CLASSES 64 /* names kept apart; all others count together */
#define VERDICT_RULES   (RULE_COUNT + LIMIT_KINDS)
#define VERDICT_WAYS    5 /* enum verdict_action, and logged only */

struct verdict_counts;

/* NULL: out of memory. */
struct verdict_counts *verdict_counts_new(unsigned workers) __attribute__((warn_unused_result));
void verdict_counts_free(struct verdict_counts *all, unsigned workers);
/* That worker's block. */
struct verdict_counts *verdict_counts_of(struct verdict_counts *all, unsigned worker);
/* `class` NULL: none was found yet. */
void verdict_counts_add(
    struct verdict_counts *block, enum journal_event event, const struct conf_class *class,
    const struct verdict *v);

/* One number that is not 0. `class` is "" for none and "(others)" beyond VERDICT_CLASSES; `rule` is
 * the limit's name where a limit is the rule; `verdict` is "shadow" where it was logged only. */
typedef void (*verdict_counts_cb)(
    void *context, const char *class, const char *verdict, const char *rule, uint64_t count);
/* The workers' sums of one kind of line. -1: out of memory, nobody was called. */
int verdict_counts_each(
    const struct verdict_counts *all, unsigned workers, enum journal_event event,
    verdict_counts_cb each, void *context) __attribute__((warn_unused_result));

#endif
