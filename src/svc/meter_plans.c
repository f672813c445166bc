#include "svc/meter_plans.h"

#include <stdlib.h>

#define CHAINS                                                                                     \
    64u /* a power of two; a fleet has few classes, and there are few kinds of question */

LIST_HEAD(chain_list, meter_plan);

struct meter_plans {
    struct chain_list chain[CHAINS];
};

struct meter_plans *meter_plans_new(void)
{
    return calloc(1, sizeof(struct meter_plans));
}

void meter_plan_release(struct meter_plan *plan)
{
    if (plan && --plan->holders == 0) {
        free(plan);
    }
}

void meter_plans_forget(struct meter_plans *p)
{
    for (unsigned i = 0; i < CHAINS; i++) {
        while (!LIST_EMPTY(&p->chain[i])) {
            struct meter_plan *plan = LIST_FIRST(&p->chain[i]);

            LIST_REMOVE(plan, chain);
            meter_plan_release(plan);
        }
    }
}

void meter_plans_free(struct meter_plans *p)
{
    if (p) {
        meter_plans_forget(p);
        free(p);
    }
}

/* Held by the table. */
static struct meter_plan *add(
    struct chain_list *chain, const struct conf_class *class, uint64_t id, unsigned kinds)
{
    struct meter_plan *plan = malloc(sizeof *plan);

    if (!plan) {
        return NULL;
    }
    meter_windows_of(class, kinds, &plan->windows);
    plan->holders = 1;
    plan->class = id;
    plan->kinds = kinds;
    LIST_INSERT_HEAD(chain, plan, chain);
    return plan;
}

struct meter_plan *meter_plans_find(
    struct meter_plans *p, const struct conf_class *class, uint64_t id, unsigned kinds)
{
    struct chain_list *chain = &p->chain[(id ^ id >> 32 ^ kinds) % CHAINS];
    struct meter_plan *plan;

    LIST_FOREACH(plan, chain, chain)
    {
        if (plan->class == id && plan->kinds == kinds) {
            break;
        }
    }
    plan = plan ? plan : add(chain, class, id, kinds);
    if (plan) {
        plan->holders++;
    }
    return plan;
}
