/* The windows that one kind of question is about, worked out once for each class. */
#ifndef GATE25_SVC_METER_PLANS_H
#define GATE25_SVC_METER_PLANS_H

#include <sys/queue.h>

#include "svc/meter_codec.h"

struct meter_plans;

/* Stays as it is; whoever got it from meter_plans_find() holds it. */
struct meter_plan {
    struct meter_windows windows;
    /* the table's */
    LIST_ENTRY(meter_plan) chain;
    unsigned holders;
    uint64_t class;
    unsigned kinds;
};

struct meter_plans *meter_plans_new(void) __attribute__((warn_unused_result)); /* NULL: no memory */
void meter_plans_free(struct meter_plans *p); /* NULL is fine; what is held stays */

/* What meter_windows_of() says of `class`, which is `id` for short (svc/meter_notes.h), held for
 * the caller. NULL: out of memory. */
struct meter_plan *meter_plans_find(
    struct meter_plans *p, const struct conf_class *class, uint64_t id, unsigned kinds)
    __attribute__((warn_unused_result));
void meter_plan_release(struct meter_plan *plan); /* NULL is fine */

/* Another configuration has other classes: what nobody holds is freed. */
void meter_plans_forget(struct meter_plans *p);

#endif
