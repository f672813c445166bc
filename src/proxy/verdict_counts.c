#include "proxy/verdict_counts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SHADOW 4 /* behind the actions */
#define EVENTS (JOURNAL_REFUSAL + 1)

struct verdict_row {
    atomic_bool named; /* `class` is written and stays */
    char class[CONF_NAME];
    _Atomic uint64_t count[VERDICT_RULES][VERDICT_WAYS];
};

struct verdict_table {
    struct verdict_row row[VERDICT_CLASSES + 1];
};

struct verdict_counts {
    struct verdict_table table[EVENTS];
};

struct verdict_counts *verdict_counts_new(unsigned workers)
{
    void *all = mmap(
        NULL, workers * sizeof(struct verdict_counts), PROT_READ | PROT_WRITE,
        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return all == MAP_FAILED ? NULL : all;
}

void verdict_counts_free(struct verdict_counts *all, unsigned workers)
{
    if (all) {
        munmap(all, workers * sizeof(*all));
    }
}

struct verdict_counts *verdict_counts_of(struct verdict_counts *all, unsigned worker)
{
    return &all[worker];
}

/* Names are only ever added: a reader sees a row whole or not at all. */
static struct verdict_row *row_of(struct verdict_table *t, const char *class)
{
    unsigned i = 0;
    while (i < VERDICT_CLASSES && t->row[i].named && strcmp(t->row[i].class, class) != 0) {
        i++;
    }
    struct verdict_row *row = &t->row[i];
    if (!row->named) {
        struct text name;
        text_init(&name, row->class, sizeof(row->class));
        text_add(&name, i < VERDICT_CLASSES ? span_of(class) : SPAN_LITERAL("(others)"));
        row->named = true;
    }
    return row;
}

void verdict_counts_add(
    struct verdict_counts *block, enum journal_event event, const struct conf_class *class,
    const struct verdict *v)
{
    struct verdict_row *row = row_of(&block->table[event], class ? class->name : "");
    unsigned rule = v->rule == RULE_LIMIT ? RULE_COUNT + v->limit : v->rule;
    unsigned way = v->shadow ? SHADOW : v->action;
    atomic_fetch_add_explicit(&row->count[rule][way], 1, memory_order_relaxed);
}

static void gather(const struct verdict_table *t, struct verdict_table *sums)
{
    for (unsigned i = 0; i <= VERDICT_CLASSES && t->row[i].named; i++) {
        struct verdict_row *to = row_of(sums, t->row[i].class);
        for (unsigned rule = 0; rule < VERDICT_RULES; rule++) {
            for (unsigned way = 0; way < VERDICT_WAYS; way++) {
                to->count[rule][way] += t->row[i].count[rule][way];
            }
        }
    }
}

static void tell_row(const struct verdict_row *row, verdict_counts_cb each, void *context)
{
    for (unsigned rule = 0; rule < VERDICT_RULES; rule++) {
        const char *rule_name = rule < RULE_COUNT ? verdict_rule_name((enum rule)rule)
                                                  : limit_kind_name(rule - RULE_COUNT);
        for (unsigned way = 0; way < VERDICT_WAYS; way++) {
            const char *way_name = way == SHADOW ? "shadow" : verdict_action_name(way);
            if (row->count[rule][way] > 0) {
                each(context, row->class, way_name, rule_name, row->count[rule][way]);
            }
        }
    }
}

int verdict_counts_each(
    const struct verdict_counts *all, unsigned workers, enum journal_event event,
    verdict_counts_cb each, void *context)
{
    struct verdict_table *sums = calloc(1, sizeof(*sums));
    if (!sums) {
        return -1;
    }
    for (unsigned w = 0; w < workers; w++) {
        gather(&all[w].table[event], sums);
    }
    for (unsigned i = 0; i <= VERDICT_CLASSES && sums->row[i].named; i++) {
        tell_row(&sums->row[i], each, context);
    }
    free(sums);
    return 0;
}
