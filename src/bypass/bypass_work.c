/* The sets: bringing about what the standings say. */
#include <stdlib.h>

#include "base/log.h"
#include "bypass/bypass_rules.h"
#include "bypass/conntrack_end.h"
#include "bypass_internal.h"
#include "net/clock.h"

#define BATCH 2048 /* elements in one transaction: a container may not raise its send buffer */
#define PARTS 16   /* a batch that is refused is tried again in so many parts */

static void on_standing(
    void *context, const struct prefix *unit, const struct conf_class *class, int64_t until_s)
{
    bypass_wanted_add(context, unit, class, until_s);
}

static bool gather(struct bypass *b)
{
    struct bypass_wanted w = {
        .conf = b->conf,
        .unix_s = clock_unix_ms() / 1000,
        .clock_s = clock_monotonic_ms() / 1000,
    };
    int result = registry_each(b->registry, b->conf, on_standing, &w);

    if (bypass_wanted_finish(&w) != 0 || result != 0) {
        bypass_sets_fini(&w.sets);
        bypass_fail(b, "gathering the standings", "out of memory");
        return false;
    }
    free(b->odd.at);
    b->odd = w.odd;
    bypass_sets_fini(&b->touched);
    b->next_end_s = w.next_end_s;
    b->wanted = w.sets;
    b->change = (struct bypass_change){
        .held = &b->held,
        .wanted = &b->wanted,
        .clock_s = w.clock_s,
        .listener = &b->fast.listener};
    return true;
}

/* Of what was touched alone, what is held and what is wanted. */
static bool gather_part(struct bypass *b)
{
    struct bypass_wanted w = {
        .conf = b->conf,
        .unix_s = clock_unix_ms() / 1000,
        .clock_s = clock_monotonic_ms() / 1000,
    };

    for (size_t i = 0; i < b->touched.units.capacity && !w.failed; i++) {
        struct prefix unit = prefix_map_prefix(&b->touched.units.slots[i]);
        const struct conf_class *class;
        const struct prefix_slot *held;
        int64_t until_s;

        if (b->touched.units.slots[i].family == ADDR_NONE) {
            continue;
        }
        if (registry_get(b->registry, b->conf, &unit, &class, &until_s)) {
            bypass_wanted_add(&w, &unit, class, until_s);
        }
        held = bypass_sets_unit(&b->held, &unit);
        w.failed =
            w.failed || (held != NULL && bypass_sets_put(&b->part, &unit, held->until_s) != 0);
    }
    bypass_sets_fini(&b->touched);
    if (bypass_wanted_finish(&w) != 0) {
        bypass_sets_fini(&b->part);
        return false;
    }
    if (w.next_end_s != 0 && (b->next_end_s == 0 || w.next_end_s < b->next_end_s)) {
        b->next_end_s = w.next_end_s;
    }
    free(w.odd.at); /* of all that was touched none has to do with it */
    b->wanted = w.sets;
    b->change = (struct bypass_change){
        .held = &b->part,
        .wanted = &b->wanted,
        .clock_s = w.clock_s,
        .listener = &b->fast.listener};
    return true;
}

void bypass_work(struct bypass *b)
{
    if (b->working || !b->stands || !b->known) {
        return;
    }
    b->partial = !b->dirty && gather_part(b);
    b->dirty = false;
    if (b->partial || gather(b)) {
        b->working = true;
        b->batch = BATCH;
        bypass_step(-1, 0, b);
    }
}

void bypass_stop_work(struct bypass *b)
{
    if (b->working) {
        evtimer_del(b->step);
        bypass_sets_fini(&b->wanted);
        bypass_sets_fini(&b->part);
        b->working = b->partial = false;
    }
}

static bool is_gone(void *context, const struct addr *subscriber)
{
    const struct bypass *b = context;

    return bypass_sets_cover(&b->gone, subscriber, b->conf->ipv6_unit) &&
           !bypass_sets_cover(&b->held, subscriber, b->conf->ipv6_unit);
}

static void end_tracked(struct bypass *b)
{
    char why[BYPASS_ERROR];
    struct text error;
    int count = 0;

    text_init(&error, why, sizeof(why));
    if (bypass_sets_count(&b->gone) > 0) {
        bypass_sets_sort(&b->gone);
        count = conntrack_end(is_gone, b, &error);
    }
    bypass_sets_fini(&b->gone);
    if (count < 0) {
        log_warning("ending tracked connections: %s", why);
    } else {
        b->events[EVENT_FORGOTTEN] += (uint64_t)count;
    }
}

static void set_filled(struct bypass *b)
{
    struct buf commands = BUF_INIT;

    if (b->filling && bypass_rules_filling(false, &commands) == 0 &&
        bypass_commit(b, &commands, "ending the filling")) {
        b->filling = false;
    }
    buf_clear(&commands);
}

/* The part that was looked at is as it was wanted. */
static void take_part(struct bypass *b)
{
    for (size_t i = 0; i < b->part.units.capacity; i++) {
        struct prefix unit = prefix_map_prefix(&b->part.units.slots[i]);

        if (b->part.units.slots[i].family != ADDR_NONE) {
            prefix_map_remove(&b->held.units, &unit);
        }
    }
    for (size_t i = 0; i < b->wanted.units.capacity; i++) {
        const struct prefix_slot *s = &b->wanted.units.slots[i];
        struct prefix unit = prefix_map_prefix(s);

        if (s->family != ADDR_NONE && bypass_sets_put(&b->held, &unit, s->until_s) != 0) {
            b->stands = false; /* read anew what is held */
        }
    }
    bypass_sets_fini(&b->part);
    bypass_sets_fini(&b->wanted);
}

static void finish(struct bypass *b)
{
    if (b->partial) {
        take_part(b);
    } else {
        bypass_sets_fini(&b->held);
        b->held = b->wanted;
        b->wanted = (struct bypass_sets){0};
    }
    if (b->change.added + b->change.removed > 0) {
        log_info(
            "%zu let by: %zu added, %zu removed", bypass_sets_count(&b->held), b->change.added,
            b->change.removed);
    }
    b->events[EVENT_ADDED] += b->change.added;
    b->events[EVENT_REMOVED] += b->change.removed;
    b->working = b->partial = false;
    b->split = b->refused;
    bypass_fast_settle(b);
    end_tracked(b);
    set_filled(b);
}

/* The kernel refuses a batch as a whole. At first what the sets hold is read anew: it is not what
 * we thought. If that has not helped, all parts of the batch but the one that is refused are
 * brought about: false, and `at` is where to go on. */
static bool is_refused(struct bypass *b, const struct bypass_change *at)
{
    if (!b->split) {
        b->split = true;
        return true;
    }
    if (b->batch > 1) {
        b->batch = b->batch > PARTS ? b->batch / PARTS : 1;
        b->change = *at;
    } else {
        b->refused = b->suspicious = true; /* looked at again, see bypass_look() */
    }
    return false;
}

void bypass_step(evutil_socket_t fd, short what, void *bypass)
{
    static const struct timeval at_once = {0, 0};
    struct bypass *b = bypass;
    struct buf commands = BUF_INIT;
    struct bypass_change before = b->change;
    int failed;
    bool more, good;

    (void)fd;
    (void)what;
    if (b->filling && bypass_rules_filling(true, &commands) != 0) {
        buf_clear(&commands);
    }
    more = bypass_change_next(&b->change, b->batch, &commands, &b->gone, &failed);
    if (!more && failed == 0) {
        buf_clear(&commands);
        finish(b);
        return;
    }
    good = failed == 0 && bypass_commit(b, &commands, "changing the sets");
    buf_clear(&commands);
    if (good) {
        b->batch = b->batch * 2 < BATCH ? b->batch * 2 : BATCH;
    } else if (failed != 0 || is_refused(b, &before)) {
        bypass_stop_work(b);
        b->stands = false;
        return;
    }
    evtimer_add(b->step, &at_once);
}
