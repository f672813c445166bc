#include "bypass/bypass_change.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bypass/bypass_rules.h"

#define ENDED_S 600 /* so long mail servers are told that a connection has ended */
#define ITEM    160

/* The commands that a batch is made of, in this order: what goes makes room for what comes. */
enum command {
    DELETE_UNITS4,
    DELETE_UNITS6,
    DELETE_RANGES4,
    DELETE_RANGES6,
    ADD_UNITS4,
    ADD_UNITS6,
    ADD_RANGES4,
    ADD_RANGES6,
    ENDED_UNITS4,
    ENDED_UNITS6,
    ENDED_RANGES4,
    ENDED_RANGES6,
    COMMANDS
};

#define T "inet " BYPASS_TABLE " "

static const char *const beginnings[COMMANDS] = {
    [DELETE_UNITS4] = "delete element " T BYPASS_UNITS4 " {",
    [DELETE_UNITS6] = "delete element " T BYPASS_UNITS6 " {",
    [DELETE_RANGES4] = "delete element " T BYPASS_RANGES4 " {",
    [DELETE_RANGES6] = "delete element " T BYPASS_RANGES6 " {",
    [ADD_UNITS4] = "add element " T BYPASS_UNITS4 " {",
    [ADD_UNITS6] = "add element " T BYPASS_UNITS6 " {",
    [ADD_RANGES4] = "add element " T BYPASS_RANGES4 " {",
    [ADD_RANGES6] = "add element " T BYPASS_RANGES6 " {",
    [ENDED_UNITS4] = "add element " T "ended4 {",
    [ENDED_UNITS6] = "add element " T "ended6 {",
    /* Of ranges only the last to go are remembered: they could overlap older ones. */
    [ENDED_RANGES4] = "flush set " T "ended_ranges4\nadd element " T "ended_ranges4 {",
    [ENDED_RANGES6] = "flush set " T "ended_ranges6\nadd element " T "ended_ranges6 {",
};

struct batch {
    struct buf list[COMMANDS];
    struct bypass_sets *gone;
    size_t count, most;
    bool failed;
};

/* --- one element --- */

static void add_item(struct batch *b, enum command first, uint8_t family, const char *item)
{
    struct buf *list = &b->list[family == ADDR_IPV4 ? first : first + 1];
    bool begins = buf_len(list) == 0;

    if ((!begins && buf_append(list, SPAN_LITERAL(",")) != 0) ||
        buf_append(list, span_of(item)) != 0) {
        b->failed = true;
    }
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
    add_item(b, DELETE_UNITS4, unit->addr.family, address);
    b->count++;
    if (goes) {
        text_init(&t, item, sizeof(item));
        text_addf(&t, "%s", address);
        ended_words(&t);
        add_item(b, ENDED_UNITS4, unit->addr.family, item);
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
    add_item(b, ADD_UNITS4, unit->addr.family, item);
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
    add_item(b, DELETE_RANGES4, r->first.family, item);
    ended_words(&t);
    add_item(b, ENDED_RANGES4, r->first.family, item);
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
    add_item(b, ADD_RANGES4, r->first.family, item);
    b->count++;
}

/* --- what differs --- */

static bool same_end(int64_t a, int64_t b)
{
    return (a == 0) == (b == 0) && llabs(a - b) <= BYPASS_END_SLACK_S;
}

static void go_units(struct bypass_change *c, struct batch *b)
{
    const struct prefix_map *held = &c->held->units, *wanted = &c->wanted->units;

    for (; c->held_at < held->capacity && b->count < b->most; c->held_at++) {
        const struct prefix_slot *s = &held->slots[c->held_at];
        struct prefix unit = prefix_map_prefix(s);

        if (s->family != ADDR_NONE && bypass_sets_unit(c->wanted, &unit) == NULL) {
            delete_unit(b, &unit, true);
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
            c->removed++;
            c->old_range++;
        } else {
            add_range(b, next, c->clock_s);
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

static void finish(struct batch *b, struct buf *out)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (buf_len(&b->list[i]) > 0) {
            b->failed = b->failed || buf_append(out, span_of(beginnings[i])) != 0 ||
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
