#include "bypass/bypass_change.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bypass/bypass_rules.h"

#define ENDED_S 600 /* so long mail servers are told that a connection has ended */
#define ITEM    160

/* The lists that a batch is made of, in this order: what goes makes room for what comes. Each kind
 * has one for either family, of units for either family's parts. */
enum list {
    DELETE_UNITS,
    DELETE_RANGES = DELETE_UNITS + 2 * BYPASS_PARTS,
    ADD_UNITS = DELETE_RANGES + 2,
    ADD_RANGES = ADD_UNITS + 2 * BYPASS_PARTS,
    ENDED_UNITS = ADD_RANGES + 2,
    ENDED_RANGES = ENDED_UNITS + 2,
    LISTS = ENDED_RANGES + 2
};

#define T "inet " BYPASS_TABLE " "

/* What a list becomes: `first` and those behind it, up to the next row's. */
static const struct {
    unsigned first;
    const char *verb, *sets[2]; /* NULL: the units' */
    bool flush;
} kinds[] = {
    {DELETE_UNITS, "delete", {NULL, NULL}, false},
    {DELETE_RANGES, "delete", {BYPASS_RANGES4, BYPASS_RANGES6}, false},
    {ADD_UNITS, "add", {NULL, NULL}, false},
    {ADD_RANGES, "add", {BYPASS_RANGES4, BYPASS_RANGES6}, false},
    {ENDED_UNITS, "add", {"ended4", "ended6"}, false},
    /* Of ranges only the last to go are remembered: they could overlap older ones. */
    {ENDED_RANGES, "add", {"ended_ranges4", "ended_ranges6"}, true},
};

struct batch {
    struct buf list[LISTS];
    struct bypass_sets *gone;
    size_t count, most;
    bool failed;
};

/* --- one element --- */

static void add_item(struct batch *b, unsigned list, const char *item)
{
    struct buf *l = &b->list[list];
    bool begins = buf_len(l) == 0;

    if ((!begins && buf_append(l, SPAN_LITERAL(",")) != 0) || buf_append(l, span_of(item)) != 0) {
        b->failed = true;
    }
}

static unsigned family_list(unsigned first, uint8_t family)
{
    return first + (family == ADDR_IPV6);
}

static unsigned unit_list(unsigned first, const struct prefix *unit)
{
    return first + (unit->addr.family == ADDR_IPV6) * BYPASS_PARTS + bypass_part(unit);
}

static void end_words(int64_t end_s, int64_t clock_s, struct text *out)
{
    if (end_s != 0) {
        int64_t left = end_s - clock_s > 0 ? end_s - clock_s : 0;
        text_addf(out, " timeout %" PRId64 "s", left + BYPASS_GRACE_S);
    }
}

static void ended_words(struct text *out)
{
    text_addf(out, " timeout %ds", ENDED_S);
}

static void delete_unit(struct batch *b, const struct prefix *unit, bool goes)
{
    char item[ITEM], address[ADDR_TEXT];
    struct text t;

    addr_format(&unit->addr, address);
    add_item(b, unit_list(DELETE_UNITS, unit), address);
    b->count++;
    if (goes) {
        text_init(&t, item, sizeof(item));
        text_addf(&t, "%s", address);
        ended_words(&t);
        add_item(b, family_list(ENDED_UNITS, unit->addr.family), item);
        b->failed = b->failed || bypass_sets_put(b->gone, unit, 0) != 0;
    }
}

static void add_unit(struct batch *b, const struct prefix *unit, int64_t end_s, int64_t clock_s)
{
    char item[ITEM], address[ADDR_TEXT];
    struct text t;

    addr_format(&unit->addr, address);
    text_init(&t, item, sizeof(item));
    text_addf(&t, "%s", address);
    end_words(end_s, clock_s, &t);
    add_item(b, unit_list(ADD_UNITS, unit), item);
    b->count++;
}

static void range_words(const struct bypass_range *r, struct text *out)
{
    char first[ADDR_TEXT], last[ADDR_TEXT];

    addr_format(&r->first, first);
    addr_format(&r->last, last);
    text_addf(out, addr_equal(&r->first, &r->last) ? "%s" : "%s-%s", first, last);
}

static void delete_range(struct batch *b, const struct bypass_range *r)
{
    char item[ITEM];
    struct text t;

    text_init(&t, item, sizeof(item));
    range_words(r, &t);
    add_item(b, family_list(DELETE_RANGES, r->first.family), item);
    ended_words(&t);
    add_item(b, family_list(ENDED_RANGES, r->first.family), item);
    b->failed = b->failed || bypass_sets_add(b->gone, r) != 0;
    b->count++;
}

static void add_range(struct batch *b, const struct bypass_range *r, int64_t clock_s)
{
    char item[ITEM];
    struct text t;

    text_init(&t, item, sizeof(item));
    range_words(r, &t);
    end_words(r->end_s, clock_s, &t);
    add_item(b, family_list(ADD_RANGES, r->first.family), item);
    b->count++;
}

/* --- what differs --- */

static bool same_end(int64_t a, int64_t b)
{
    return (a == 0) == (b == 0) && llabs(a - b) <= BYPASS_END_SLACK_S;
}

static void tell_unit(
    const struct bypass_change *c, const struct prefix *unit, int64_t end_s, bool comes)
{
    if (c->listener != NULL) {
        c->listener->unit(c->listener->context, unit, end_s, comes);
    }
}

static void tell_range(const struct bypass_change *c, const struct bypass_range *r, bool comes)
{
    if (c->listener != NULL) {
        c->listener->range(c->listener->context, r, comes);
    }
}

static void go_units(struct bypass_change *c, struct batch *b)
{
    const struct prefix_map *held = &c->held->units, *wanted = &c->wanted->units;

    for (; c->held_at < held->capacity && b->count < b->most; c->held_at++) {
        const struct prefix_slot *s = &held->slots[c->held_at];
        struct prefix unit = prefix_map_prefix(s);

        if (s->family != ADDR_NONE && bypass_sets_unit(c->wanted, &unit) == NULL) {
            delete_unit(b, &unit, true);
            tell_unit(c, &unit, 0, false);
            c->removed++;
        }
    }
    for (; c->wanted_at < wanted->capacity && b->count < b->most; c->wanted_at++) {
        const struct prefix_slot *s = &wanted->slots[c->wanted_at], *old;
        struct prefix unit = prefix_map_prefix(s);

        if (s->family == ADDR_NONE) {
            continue;
        }
        old = bypass_sets_unit(c->held, &unit);
        if (old != NULL && same_end(old->until_s, s->until_s)) {
            continue;
        }
        c->added += old == NULL;
        if (old != NULL) {
            delete_unit(b, &unit, false);
        }
        add_unit(b, &unit, s->until_s, c->clock_s);
        tell_unit(c, &unit, s->until_s, true);
    }
}

static int compare(const struct addr *a, const struct addr *b)
{
    addr_number m = addr_to_number(a), n = addr_to_number(b);

    if (a->family != b->family) {
        return a->family < b->family ? -1 : 1;
    }
    return m < n ? -1 : m > n;
}

static bool same_range(const struct bypass_range *a, const struct bypass_range *b)
{
    return compare(&a->first, &b->first) == 0 && compare(&a->last, &b->last) == 0 &&
           same_end(a->end_s, b->end_s);
}

/* The next ranges of both that hang together by overlapping go and come in one batch. */
static void go_cluster(struct bypass_change *c, struct batch *b)
{
    const struct bypass_range *end = NULL; /* the last of the cluster */

    for (;;) {
        const struct bypass_range *old =
            c->old_range < c->held->range_count ? &c->held->ranges[c->old_range] : NULL;
        const struct bypass_range *new =
            c->new_range < c->wanted->range_count ? &c->wanted->ranges[c->new_range] : NULL;
        bool takes_old = old != NULL && (new == NULL || compare(&old->first, &new->first) <= 0);
        const struct bypass_range *next = takes_old ? old : new;

        if (next == NULL || (end != NULL && compare(&next->first, &end->last) > 0)) {
            return;
        }
        if (takes_old) {
            delete_range(b, next);
            tell_range(c, next, false);
            c->removed++;
            c->old_range++;
        } else {
            add_range(b, next, c->clock_s);
            tell_range(c, next, true);
            c->added++;
            c->new_range++;
        }
        if (end == NULL || compare(&next->last, &end->last) > 0) {
            end = next;
        }
    }
}

static void go_ranges(struct bypass_change *c, struct batch *b)
{
    while (b->count < b->most &&
           (c->old_range < c->held->range_count || c->new_range < c->wanted->range_count)) {
        if (c->old_range < c->held->range_count && c->new_range < c->wanted->range_count &&
            same_range(&c->held->ranges[c->old_range], &c->wanted->ranges[c->new_range])) {
            c->old_range++;
            c->new_range++;
        } else {
            go_cluster(c, b);
        }
    }
}

/* "add element inet TABLE SET {" */
static int begin_list(unsigned list, struct buf *out)
{
    char line[128], set[BYPASS_SET];
    const char *name = set;
    struct text t;
    size_t kind = 0;

    while (kind + 1 < sizeof(kinds) / sizeof(kinds[0]) && kinds[kind + 1].first <= list) {
        kind++;
    }
    unsigned at = list - kinds[kind].first;
    if (kinds[kind].sets[0] == NULL) {
        bypass_units_set(at < BYPASS_PARTS ? ADDR_IPV4 : ADDR_IPV6, at % BYPASS_PARTS, set);
    } else {
        name = kinds[kind].sets[at];
    }
    text_init(&t, line, sizeof(line));
    if (kinds[kind].flush) {
        text_addf(&t, "flush set " T "%s\n", name);
    }
    text_addf(&t, "%s element " T "%s {", kinds[kind].verb, name);
    return buf_append(out, text_span(&t));
}

static void finish(struct batch *b, struct buf *out)
{
    for (unsigned i = 0; i < LISTS; i++) {
        if (buf_len(&b->list[i]) > 0) {
            b->failed = b->failed || begin_list(i, out) != 0 ||
                        buf_append(out, buf_span(&b->list[i])) != 0 ||
                        buf_append(out, SPAN_LITERAL("}\n")) != 0;
        }
        buf_clear(&b->list[i]);
    }
}

bool bypass_change_next(
    struct bypass_change *c, size_t most, struct buf *out, struct bypass_sets *gone, int *failed)
{
    struct batch b = {.gone = gone, .most = most};

    go_units(c, &b);
    go_ranges(c, &b);
    finish(&b, out);
    *failed = b.failed ? -1 : 0;
    return b.count > 0;
}
