/* The fast path's units, which are those of the table: putting it on its links, keeping it in step,
 * reading what it has counted. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "bypass/bypass_rules.h"
#include "bypass_internal.h"
#include "net/clock.h"

#define LOOK_MS    1000  /* between two looks at the links */
#define RETRY_MS   10000 /* before the kernel is offered again what it has not taken */
#define READ_PART  20    /* no more than one part of this many of the time is spent on counters */
#define ROOM_MORE  2     /* so many times the units of now */
#define ROOM_LEAST 1024
#define RANGE_MOST 4096 /* units of one range; larger ones are left to the table */

static bool is_wanted(const struct bypass *b)
{
    return b->fast.may && b->conf->bypass.fast_path.count > 0;
}

/* Says once what is wrong. NULL: nothing is. */
static void note(struct bypass_fast *fast, const char *trouble)
{
    if (trouble == NULL) {
        fast->trouble[0] = '\0';
    } else if (strcmp(fast->trouble, trouble) != 0) {
        snprintf(fast->trouble, sizeof(fast->trouble), "%s", trouble);
        log_error("%s", fast->trouble);
    }
}

/* --- what it has counted --- */

static void take(
    struct bypass *b, const struct prefix *unit, const struct fast_path_figures *figures)
{
    const uint64_t values[BYPASS_READINGS] = {
        [READING_FAST_OPENED] = figures->opened,
        [READING_FAST_UP] = figures->up,
        [READING_FAST_DOWN] = figures->down,
    };
    struct prefix subscriber;

    if (figures->up + figures->down == 0) {
        return; /* most of many rest */
    }
    subscriber = bypass_subscriber(b, unit);
    for (enum bypass_reading r = READING_FAST_OPENED; r < BYPASS_READINGS; r++) {
        if (values[r] > 0) {
            b->fast.moved[bypass_counts_kind(r)] +=
                bypass_count_one(b, r, unit, values[r], &subscriber);
        }
    }
}

/* The kernel's counters of the unit, or (NULL) of all, are gone. */
static void forget(struct bypass *b, const struct prefix *unit)
{
    for (enum bypass_reading r = READING_FAST_OPENED; r < BYPASS_READINGS; r++) {
        bypass_counts_forget(&b->counts, r, unit);
    }
}

static void on_figures(
    void *context, const struct prefix *unit, const struct fast_path_figures *figures)
{
    take(context, unit, figures);
}

static void read_all(struct bypass *b)
{
    if (fast_path_each(b->fast.path, on_figures, b) != 0) {
        log_warning("reading what the fast path has counted: %m");
    }
}

void bypass_fast_count(struct bypass *b)
{
    const int64_t now_ms = clock_monotonic_ms();

    if (b->fast.path == NULL || now_ms - b->fast.read_ms < READ_PART * b->fast.read_took_ms) {
        return;
    }
    read_all(b);
    b->fast.read_ms = clock_monotonic_ms();
    b->fast.read_took_ms = b->fast.read_ms - now_ms;
}

void bypass_fast_drop(struct bypass *b)
{
    struct bypass_fast *fast = &b->fast;

    if (fast->path != NULL) {
        read_all(b);
        forget(b, NULL);
    }
    fast_path_detach();
    fast_path_free(fast->path);
    fast->path = NULL;
    fast->links = 0;
    fast->look_ms = 0;
    note(fast, NULL);
}

/* --- what the sets hold, unit by unit --- */

/* Units of each family. */
struct sizes {
    size_t v4, v6;
};

struct counting {
    const struct bypass *b;
    struct sizes sizes;
};

static size_t count_of(const struct prefix_map_lengths *lengths)
{
    size_t count = 0;

    for (size_t i = 0; i < PREFIX_MAP_LENGTHS; i++) {
        count += lengths->count[i];
    }
    return count;
}

static void each_of_ranges(const struct bypass *b, bypass_unit_cb each, void *context)
{
    for (size_t i = 0; i < b->held.range_count; i++) {
        bypass_range_units(&b->held.ranges[i], b->conf->ipv6_unit, RANGE_MOST, each, context);
    }
}

static void add_size(void *counting, const struct prefix *unit, int64_t end_s)
{
    struct counting *c = counting;
    const bool counts = bypass_sets_unit(&c->b->held, unit) == NULL; /* else it was counted */

    (void)end_s;
    c->sizes.v4 += counts && unit->addr.family == ADDR_IPV4;
    c->sizes.v6 += counts && unit->addr.family == ADDR_IPV6;
}

/* How many it has to hold. */
static struct sizes sizes_of(const struct bypass *b)
{
    struct counting c = {b, {count_of(&b->held.units.v4), count_of(&b->held.units.v6)}};

    each_of_ranges(b, add_size, &c);
    return c.sizes;
}

/* --- units that come and go --- */

static void put(struct bypass *b, const struct prefix *unit, int64_t end_s)
{
    if (b->fast.path != NULL && fast_path_put(b->fast.path, unit, end_s) != 0) {
        bypass_fast_drop(b); /* and made anew with more room */
    }
}

static void take_out(struct bypass *b, const struct prefix *unit)
{
    struct fast_path_figures figures;

    if (b->fast.path != NULL && fast_path_remove(b->fast.path, unit, &figures)) {
        take(b, unit, &figures);
        forget(b, unit);
    }
}

static void on_unit(void *bypass, const struct prefix *unit, int64_t end_s, bool comes)
{
    if (comes) {
        put(bypass, unit, end_s);
    } else {
        take_out(bypass, unit);
    }
}

/* Who has a standing of his own within a range has his own end, and stays when the range goes. */
static void put_of_range(void *bypass, const struct prefix *unit, int64_t end_s)
{
    struct bypass *b = bypass;

    if (bypass_sets_unit(&b->wanted, unit) == NULL) {
        put(b, unit, end_s);
    }
}

static void take_out_of_range(void *bypass, const struct prefix *unit, int64_t end_s)
{
    struct bypass *b = bypass;

    (void)end_s;
    if (bypass_sets_unit(&b->wanted, unit) == NULL) {
        take_out(b, unit);
    }
}

static void on_range(void *bypass, const struct bypass_range *range, bool comes)
{
    struct bypass *b = bypass;

    if (b->fast.path != NULL) {
        bypass_range_units(
            range, b->conf->ipv6_unit, RANGE_MOST, comes ? put_of_range : take_out_of_range, b);
    }
}

void bypass_fast_begin(struct bypass *b)
{
    b->fast.listener = (struct bypass_listener){on_unit, on_range, b};
    b->fast.may = b->conf->bypass.fast_path.count > 0;
    /* An older one that nobody kept in step would let by who is no longer. */
    bypass_fast_drop(b);
}

static bool same_links(const struct link_list *a, const struct link_list *b)
{
    return a->count == b->count && memcmp(a->at, b->at, a->count * sizeof(a->at[0])) == 0;
}

void bypass_fast_set_conf(struct bypass *b, const struct conf *old)
{
    if (old->ipv6_unit != b->conf->ipv6_unit ||
        !same_links(&old->bypass.fast_path, &b->conf->bypass.fast_path)) {
        bypass_fast_drop(b);
    }
}

/* --- in step again --- */

struct comparison {
    struct bypass *b;
    struct bypass_sets strays;
    size_t count;
    bool failed;
};

static void compare(
    void *comparison, const struct prefix *unit, const struct fast_path_figures *figures)
{
    struct comparison *c = comparison;

    (void)figures;
    if (bypass_sets_let_by(&c->b->held, unit)) {
        c->count++;
    } else if (bypass_sets_put(&c->strays, unit, 0) != 0) {
        c->failed = true;
    }
}

static void take_out_all(struct bypass *b, const struct prefix_map *units)
{
    for (size_t i = 0; i < units->capacity; i++) {
        const struct prefix unit = prefix_map_prefix(&units->slots[i]);

        if (units->slots[i].family != ADDR_NONE) {
            take_out(b, &unit);
        }
    }
}

/* What it holds beside the sets goes: the changes of which it hears begin with what these held when
 * they were read last, and others may have taken something out of them since. */
void bypass_fast_settle(struct bypass *b)
{
    struct comparison c = {.b = b};
    struct sizes sizes;

    if (b->fast.path == NULL || !b->fast.doubtful) {
        return;
    }
    b->fast.doubtful = false;
    c.failed = fast_path_each(b->fast.path, compare, &c) != 0 || c.failed;
    take_out_all(b, &c.strays.units);
    bypass_sets_fini(&c.strays);
    sizes = sizes_of(b);
    if (c.failed || c.count < sizes.v4 + sizes.v6) {
        bypass_fast_drop(b);
    }
}

/* --- making it --- */

static size_t room_for(size_t units)
{
    return units * ROOM_MORE > ROOM_LEAST ? units * ROOM_MORE : ROOM_LEAST;
}

/* Ranges are put in behind the units, which stay as they are. */
struct filling {
    const struct bypass *b;
    struct fast_path *path;
    int result;
};

static void fill_one(void *filling, const struct prefix *unit, int64_t end_s)
{
    struct filling *f = filling;

    if (f->result == 0 && bypass_sets_unit(&f->b->held, unit) == NULL) {
        f->result = fast_path_put(f->path, unit, end_s);
    }
}

static int fill(const struct bypass *b, struct fast_path *path)
{
    struct filling f = {b, path, fast_path_fill(path, &b->held.units)};

    each_of_ranges(b, fill_one, &f);
    return f.result;
}

/* As long as the table does, which was told at the last beat; no longer, also where it is made
 * between two. */
static int live(const struct bypass *b, struct fast_path *path)
{
    const uint32_t hold_ms = b->conf->bypass.hold_ms;
    const int64_t beat_s = b->beat_ms / 1000;

    return fast_path_live(path, beat_s + hold_ms / 1000, beat_s + bypass_rules_open_s(hold_ms));
}

static void make(struct bypass *b)
{
    const struct sizes sizes = sizes_of(b);
    char why[BYPASS_ERROR / 2];
    struct text error;

    text_init(&error, why, sizeof(why));
    b->fast.path =
        fast_path_new(room_for(sizes.v4), room_for(sizes.v6), b->conf->ipv6_unit, &error);
    if (b->fast.path != NULL && (fill(b, b->fast.path) != 0 || live(b, b->fast.path) != 0)) {
        text_addf(&error, "the fast path's units: %s", strerror(errno));
        fast_path_free(b->fast.path);
        b->fast.path = NULL;
    }
    if (b->fast.path == NULL) {
        note(&b->fast, why);
    }
}

/* Puts it on the links where it does not stand: at first, or since a link was made anew. */
static void attach(struct bypass *b)
{
    const struct link_list *links = &b->conf->bypass.fast_path;
    char why[BYPASS_ERROR / 2] = "";
    struct text error;
    size_t before = b->fast.links;

    text_init(&error, why, sizeof(why));
    text_addf(&error, "the fast path does not stand on ");
    b->fast.links = 0;
    for (size_t i = 0; i < links->count; i++) {
        size_t len = error.len;

        b->fast.links += fast_path_attach(b->fast.path, links->at[i], &error) == 0;
        text_addf(&error, "%s", error.len > len ? ", " : "");
    }
    if (b->fast.links < links->count) {
        why[error.len - 2] = '\0'; /* the last comma */
        note(&b->fast, why);
        return;
    }
    note(&b->fast, NULL);
    if (before < b->fast.links) {
        log_info(
            "the fast path stands on %zu %s", b->fast.links, b->fast.links == 1 ? "link" : "links");
    }
}

void bypass_fast_look(struct bypass *b)
{
    int64_t now_ms = clock_monotonic_ms();
    /* What it shall let by has to be what the table does. */
    bool settled = b->stands && b->known && !b->working && !b->filling;

    if (!is_wanted(b) || !settled || now_ms - b->fast.look_ms < LOOK_MS) {
        return;
    }
    b->fast.look_ms = now_ms;
    if (b->fast.path == NULL) {
        make(b);
        b->fast.look_ms += b->fast.path == NULL ? RETRY_MS - LOOK_MS : 0;
    }
    if (b->fast.path != NULL) {
        attach(b);
    }
}

void bypass_fast_beat(struct bypass *b)
{
    if (b->fast.path != NULL && live(b, b->fast.path) != 0) {
        bypass_fast_drop(b);
    }
}
