/* Reads back what the kernel's sets hold. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bypass/bypass_rules.h"
#include "bypass_internal.h"
#include "net/clock.h"

#define TRIES 3 /* to read a set that others change meanwhile */
#define STRAY 128

/* One set that is read. */
struct reading {
    struct bypass_sets *into;
    struct buf *strays;
    uint8_t family;
    unsigned unit; /* 0: ranges */
    unsigned part; /* of the units */
    int64_t clock_s;
    struct bypass_range *ends; /* first: a key; last.family: ADDR_NONE where it ends a range */
    size_t count, room;
    bool failed;
};

static void add_end(struct reading *r, const struct bypass_range *end)
{
    if (r->count == r->room) {
        size_t room = r->room == 0 ? 64 : r->room * 2;
        struct bypass_range *more = reallocarray(r->ends, room, sizeof(*more));

        if (more == NULL) {
            r->failed = true;
            return;
        }
        r->ends = more;
        r->room = room;
    }
    r->ends[r->count++] = *end;
}

/* What we would never have put there: in a part that is not its own, or no unit's first address. It
 * lets nobody by, but in `into` it would stand for an element that is not in the kernel. */
static bool add_stray(struct reading *r, const struct addr *a)
{
    char line[STRAY], set[BYPASS_SET], address[ADDR_TEXT];
    struct text t;

    bypass_units_set(r->family, r->part, set);
    addr_format(a, address);
    text_init(&t, line, sizeof(line));
    text_addf(&t, "delete element inet " BYPASS_TABLE " %s {%s}\n", set, address);
    return buf_append(r->strays, text_span(&t)) == 0;
}

static bool add_unit(struct reading *r, const struct addr *a, int64_t end_s)
{
    struct prefix unit = prefix_of(a, r->unit);

    if (!addr_equal(&unit.addr, a) || bypass_part(&unit) != r->part) {
        return add_stray(r, a);
    }
    return bypass_sets_put(r->into, &unit, end_s) == 0;
}

static void on_element(void *context, const struct nft_element *e)
{
    struct reading *r = context;
    struct addr a = {.family = r->family};
    int64_t end_s = e->expires ? r->clock_s + (int64_t)(e->expires_ms / 1000) - BYPASS_GRACE_S : 0;

    memcpy(a.bytes, e->key, e->key_len);
    end_s = e->expires && end_s == 0 ? 1 : end_s;
    if (r->unit != 0) {
        r->failed = !add_unit(r, &a, end_s) || r->failed;
    } else {
        struct bypass_range end = {a, {.family = e->ends_range ? ADDR_NONE : r->family}, end_s};

        add_end(r, &end);
    }
}

static int compare_ends(const void *a, const void *b)
{
    const struct bypass_range *p = a, *q = b;
    int order = memcmp(p->first.bytes, q->first.bytes, sizeof(p->first.bytes));

    /* A range may begin where another ends. */
    return order != 0 ? order : (int)p->last.family - (int)q->last.family;
}

/* Beginnings and ends, in order, become ranges. */
static void pair_ends(struct reading *r)
{
    if (r->count > 0) {
        qsort(r->ends, r->count, sizeof(*r->ends), compare_ends);
    }
    for (size_t i = 0; i < r->count && !r->failed; i++) {
        struct bypass_range range = r->ends[i];

        if (range.last.family == ADDR_NONE) {
            continue;
        }
        /* Without an end behind it, it reaches to the last address of all. */
        range.last = addr_of_number(~(addr_number)0, r->family);
        if (i + 1 < r->count) {
            range.last = addr_of_number(addr_to_number(&r->ends[i + 1].first) - 1, r->family);
        }
        r->failed = bypass_sets_add(r->into, &range) != 0;
    }
}

static int read_set(struct bypass *b, const char *set, struct reading r)
{
    r.clock_s = clock_monotonic_ms() / 1000;
    int result = nft_dump_set(b->dump, BYPASS_TABLE, set, on_element, &r);

    if (result == 0 && r.unit == 0) {
        pair_ends(&r);
    }
    free(r.ends);
    if (r.failed) {
        errno = ENOMEM;
        return -1;
    }
    return result;
}

static int read_sets(struct bypass *b, struct bypass_sets *into, struct buf *strays)
{
    struct reading kinds[] = {
        {.into = into, .strays = strays, .family = ADDR_IPV4, .unit = addr_bits(ADDR_IPV4)},
        {.into = into, .strays = strays, .family = ADDR_IPV6, .unit = b->conf->ipv6_unit},
        {.into = into, .family = ADDR_IPV4},
        {.into = into, .family = ADDR_IPV6},
    };
    char set[BYPASS_SET];

    for (unsigned part = 0; part < BYPASS_PARTS; part++) {
        for (size_t i = 0; i < 2; i++) {
            bypass_units_set(kinds[i].family, part, set);
            kinds[i].part = part;
            if (read_set(b, set, kinds[i]) != 0) {
                return -1;
            }
        }
    }
    if (read_set(b, BYPASS_RANGES4, kinds[2]) != 0 || read_set(b, BYPASS_RANGES6, kinds[3]) != 0) {
        return -1;
    }
    bypass_sets_sort(into);
    return 0;
}

bool bypass_read(struct bypass *b)
{
    struct bypass_sets now = {0};
    int result = -1;

    for (unsigned try = 0; try < TRIES && result != 0; try++) {
        bypass_sets_fini(&now);
        buf_clear(&b->strays);
        result = read_sets(b, &now, &b->strays);
    }
    if (result != 0) {
        bypass_fail(b, "reading the sets", strerror(errno));
        bypass_sets_fini(&now);
        return false;
    }
    bypass_sets_fini(&b->held);
    b->held = now;
    return true;
}
