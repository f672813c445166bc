#include "bypass/bypass_wanted.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES_FIRST 64

static void add_entry(struct bypass_wanted *w, struct bypass_entries *e, struct bypass_entry entry)
{
    if (e->count == e->room) {
        size_t room = e->room == 0 ? ENTRIES_FIRST : e->room * 2;
        struct bypass_entry *more = reallocarray(e->at, room, sizeof(*more));

        if (more == NULL) {
            w->failed = true;
            return;
        }
        e->at = more;
        e->room = room;
    }
    e->at[e->count++] = entry;
}

static bool is_subscribers(const struct conf *conf, const struct prefix *p)
{
    for (size_t i = 0; i < conf->prefix_count; i++) {
        if (prefix_overlaps(&conf->prefixes[i], p)) {
            return true;
        }
    }
    return false;
}

/* What is handed out by lease hangs on accounts, which no set of addresses can follow: such a
 * standing counts for nothing there (svc/registry.h), and nobody there is let by. */
static bool is_leased(const struct conf *conf, const struct prefix *p)
{
    for (size_t i = 0; i < conf->leased.count; i++) {
        const struct prefix *leased = &conf->leased.at[i];

        if (p->len >= leased->len && prefix_contains(leased, &p->addr)) {
            return true;
        }
    }
    return false;
}

static void add_leased(struct bypass_wanted *w)
{
    for (size_t i = 0; i < w->conf->leased.count; i++) {
        add_entry(w, &w->odd, (struct bypass_entry){w->conf->leased.at[i], false, 0});
    }
}

static unsigned unit_length(const struct conf *conf, uint8_t family)
{
    return family == ADDR_IPV4 ? addr_bits(ADDR_IPV4) : conf->ipv6_unit;
}

void bypass_wanted_add(
    struct bypass_wanted *w, const struct prefix *p, const struct conf_class *class,
    int64_t until_s)
{
    if (class == NULL || (until_s != 0 && until_s <= w->unix_s) || !is_subscribers(w->conf, p) ||
        is_leased(w->conf, p)) {
        return;
    }
    if (until_s != 0 && (w->next_end_s == 0 || until_s < w->next_end_s)) {
        w->next_end_s = until_s;
    }
    struct bypass_entry entry = {
        *p, class->action == ACTION_PASS, until_s == 0 ? 0 : w->clock_s + (until_s - w->unix_s)};
    if (p->len != unit_length(w->conf, p->addr.family)) {
        add_entry(w, &w->odd, entry);
    } else if (!entry.pass) {
        add_entry(w, &w->holes, entry);
    } else if (bypass_sets_put(&w->sets, p, entry.end_s) != 0) {
        w->failed = true;
    }
}

/* A unit parts of which have standings of their own cannot be in the set of units. */
static void split_units(struct bypass_wanted *w)
{
    size_t count = w->odd.count;

    for (size_t i = 0; i < count; i++) {
        const struct prefix *p = &w->odd.at[i].prefix;
        struct prefix unit = prefix_unit(&p->addr, w->conf->ipv6_unit);
        const struct prefix_slot *slot = bypass_sets_unit(&w->sets, &unit);

        if (p->len > unit.len && slot != NULL) {
            add_entry(w, &w->odd, (struct bypass_entry){unit, true, slot->until_s});
            prefix_map_remove(&w->sets.units, &unit);
        }
    }
}

/* --- nested prefixes become ranges side by side --- */

#define DEPTH (PREFIX_MAP_LENGTHS + 1)

/* Walks through the addresses of one of the subscribers' prefixes. `open`: the prefixes that the
 * place lies in, the longest last. */
struct sweep {
    struct bypass_wanted *w;
    const struct bypass_entry *open[DEPTH];
    unsigned depth;
    addr_number at;
};

static addr_number first_of(const struct prefix *p)
{
    return addr_to_number(&p->addr);
}

static addr_number last_of(const struct prefix *p)
{
    struct addr last = prefix_last(p);

    return addr_to_number(&last);
}

/* Up to `last`, what the innermost prefix says holds. */
static void emit(struct sweep *s, addr_number last)
{
    const struct bypass_entry *e = s->open[s->depth - 1];
    struct bypass_sets *sets = &s->w->sets;
    uint8_t family = e->prefix.addr.family;
    struct bypass_range range = {
        addr_of_number(s->at, family), addr_of_number(last, family), e->end_s};

    if (!e->pass || s->at > last) {
        return;
    }
    if (sets->range_count > 0) {
        struct bypass_range *before = &sets->ranges[sets->range_count - 1];

        if (before->end_s == e->end_s && before->last.family == family &&
            addr_to_number(&before->last) + 1 == s->at) {
            before->last = range.last;
            return;
        }
    }
    if (bypass_sets_add(sets, &range) != 0) {
        s->w->failed = true;
    }
}

/* Leaves the prefixes that end before `next`; whether there is one left. */
static void leave(struct sweep *s, addr_number next)
{
    while (s->depth > 1 && last_of(&s->open[s->depth - 1]->prefix) < next) {
        addr_number last = last_of(&s->open[s->depth - 1]->prefix);

        if (last >= s->at) {
            emit(s, last);
            s->at = last + 1;
        }
        s->depth--;
    }
}

static void enter(struct sweep *s, const struct bypass_entry *e)
{
    addr_number first = first_of(&e->prefix);

    leave(s, first);
    if (first > s->at) {
        emit(s, first - 1);
        s->at = first;
    }
    s->open[s->depth++] = e;
}

/* `entries` are sorted, and all within `base`. */
static void sweep(
    struct bypass_wanted *w, const struct bypass_entry *base, const struct bypass_entry *entries,
    size_t count)
{
    struct sweep s = {.w = w, .open = {base}, .depth = 1, .at = first_of(&base->prefix)};
    addr_number end = last_of(&base->prefix);

    for (size_t i = 0; i < count; i++) {
        enter(&s, &entries[i]);
    }
    while (s.depth > 0 && s.at <= end) {
        addr_number last = last_of(&s.open[s.depth - 1]->prefix);

        if (last >= s.at) {
            emit(&s, last);
            if (last == end) {
                return; /* behind it there may be no address */
            }
            s.at = last + 1;
        }
        s.depth--;
    }
}

static int compare_entries(const void *a, const void *b)
{
    const struct prefix *p = &((const struct bypass_entry *)a)->prefix;
    const struct prefix *q = &((const struct bypass_entry *)b)->prefix;
    int order = memcmp(p->addr.bytes, q->addr.bytes, sizeof(p->addr.bytes));

    if (p->addr.family != q->addr.family) {
        return p->addr.family < q->addr.family ? -1 : 1;
    }
    return order != 0 ? order : (int)p->len - (int)q->len;
}

/* What holds in all of a subscribers' prefix where nothing more is said: the longest standing over
 * it, or the class of those without one. */
static struct bypass_entry base_of(const struct bypass_wanted *w, const struct prefix *p)
{
    const struct conf *conf = w->conf;
    struct bypass_entry base = {*p, conf->classes[conf->default_class].action == ACTION_PASS, 0};
    int len = -1;

    for (size_t i = 0; i < w->odd.count; i++) {
        const struct bypass_entry *e = &w->odd.at[i];

        if (e->prefix.len <= p->len && (int)e->prefix.len > len &&
            prefix_contains(&e->prefix, &p->addr)) {
            base.pass = e->pass;
            base.end_s = e->end_s;
            len = e->prefix.len;
        }
    }
    return base;
}

static bool is_within(const struct bypass_entry *e, const struct prefix *p)
{
    return e->prefix.len > p->len && prefix_contains(p, &e->prefix.addr);
}

static void sweep_one(struct bypass_wanted *w, const struct prefix *p, struct bypass_entries *all)
{
    struct bypass_entry base = base_of(w, p);
    struct bypass_entries inner = {0};

    for (size_t i = 0; i < all->count; i++) {
        if (is_within(&all->at[i], p)) {
            add_entry(w, &inner, all->at[i]);
        }
    }
    sweep(w, &base, inner.at, inner.count);
    free(inner.at);
}

static bool anything_passes(const struct bypass_wanted *w)
{
    bool passes = w->conf->classes[w->conf->default_class].action == ACTION_PASS;

    for (size_t i = 0; i < w->odd.count; i++) {
        passes = passes || w->odd.at[i].pass;
    }
    return passes;
}

static void make_ranges(struct bypass_wanted *w)
{
    struct bypass_entries all = {0};

    if (!anything_passes(w)) {
        return;
    }
    for (size_t i = 0; i < w->odd.count; i++) {
        add_entry(w, &all, w->odd.at[i]);
    }
    for (size_t i = 0; i < w->holes.count; i++) {
        add_entry(w, &all, w->holes.at[i]);
    }
    if (all.count > 0) {
        qsort(all.at, all.count, sizeof(*all.at), compare_entries);
    }
    for (size_t i = 0; i < w->conf->prefix_count && !w->failed; i++) {
        sweep_one(w, &w->conf->prefixes[i], &all);
    }
    free(all.at);
}

int bypass_wanted_finish(struct bypass_wanted *w)
{
    add_leased(w);
    if (!w->failed) {
        split_units(w);
    }
    if (!w->failed) {
        make_ranges(w);
        bypass_sets_sort(&w->sets);
    }
    free(w->holes.at);
    w->holes = (struct bypass_entries){0};
    if (w->failed) {
        free(w->odd.at);
        w->odd = (struct bypass_entries){0};
        bypass_sets_fini(&w->sets);
        return -1;
    }
    return 0;
}

bool bypass_is_plain(
    const struct conf *conf, const struct bypass_entries *odd, const struct prefix *p)
{
    if (p->len != unit_length(conf, p->addr.family) ||
        conf->classes[conf->default_class].action == ACTION_PASS) {
        return false;
    }
    for (size_t i = 0; i < odd->count; i++) {
        if (prefix_overlaps(&odd->at[i].prefix, p)) {
            return false;
        }
    }
    return true;
}
