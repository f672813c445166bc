/* The table and its sets: making and changing them. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bypass/bypass_rules.h"
#include "bypass/conntrack_end.h"
#include "bypass_internal.h"
#include "net/clock.h"

#define BATCH     2048 /* elements in one transaction: a container may not raise its send buffer */
#define PARTS     16   /* a batch that is refused is tried again in so many parts */
#define SYNC_MS   1000 /* between two looks into the sets because of others' changes ... */
#define SYNC_PART 20   /* ... and no more than one part of this many of the time is spent so */

void bypass_fail(struct bypass *b, const char *doing, const char *why)
{
    char before[BYPASS_ERROR];
    struct text trouble;

    b->events[EVENT_FAILED]++;
    memcpy(before, b->trouble, sizeof(before));
    text_init(&trouble, b->trouble, sizeof(b->trouble));
    text_addf(&trouble, "%s: %s", doing, why);
    /* It is tried again every second. */
    if (strcmp(before, b->trouble) != 0) {
        log_error("%s", b->trouble);
    }
}

/* --- transactions --- */

/* One of ours makes the generation one more. */
static void note_generation(struct bypass *b)
{
    uint32_t now;

    if (nft_dump_generation(b->dump, &now) != 0) {
        b->suspicious = true;
        return;
    }
    b->suspicious = b->suspicious || (now != b->generation && now != b->generation + 1);
    b->generation = now;
}

/* Runs and forgets the commands. False: `error` says why. */
static bool run(struct bypass *b, struct buf *commands, struct text *error)
{
    bool good = buf_append(commands, (struct span){"", 1}) == 0;

    if (!good) {
        text_addf(error, "out of memory");
    } else {
        nft_watch_listen(b->watch, false);
        good = nft_run_commands(b->run, buf_span(commands).at, error) == 0;
        nft_watch_listen(b->watch, true);
    }
    buf_clear(commands);
    note_generation(b);
    return good;
}

/* The same; it is told of where it fails. */
static bool commit(struct bypass *b, struct buf *commands, const char *doing)
{
    char why[BYPASS_ERROR];
    struct text error;
    bool good;

    text_init(&error, why, sizeof(why));
    good = run(b, commands, &error);
    if (!good) {
        bypass_fail(b, doing, why);
    }
    return good;
}

void bypass_beat(struct bypass *b)
{
    struct buf commands = BUF_INIT;

    b->beat_ms = clock_monotonic_ms();
    if (bypass_rules_beat(b->conf->bypass.hold_ms, &commands) == 0 &&
        !commit(b, &commands, "saying that we live")) {
        b->stands = false;
    }
    buf_clear(&commands);
    bypass_fast_beat(b);
}

/* --- the table --- */

static void stop_work(struct bypass *b)
{
    if (b->working) {
        evtimer_del(b->step);
        bypass_sets_fini(&b->wanted);
        bypass_sets_fini(&b->part);
        b->working = b->partial = false;
    }
}

/* Is there a table that can be used further? `replace`: there is one that cannot. */
static bool can_adopt(struct bypass *b, bool *replace)
{
    char form[BYPASS_FORM];
    struct nft_table found;

    bypass_form(b->conf, b->mode, form);
    *replace = nft_dump_table(b->dump, BYPASS_TABLE, &found) == 0;
    if (*replace && strcmp(found.comment, form) == 0) {
        *replace = false;
        return true;
    }
    return false;
}

/* The table is about to be replaced. To a packet that is still under way in its rules then, its
 * maps are empty: let by is what belongs to an open connection, as in the new one while that is
 * filled. A table that cannot be told so is none of ours. */
static void make_way(struct bypass *b)
{
    struct buf commands = BUF_INIT;
    char why[BYPASS_ERROR];
    struct text error;

    text_init(&error, why, sizeof(why));
    if (bypass_rules_filling(true, &commands) == 0) {
        (void)run(b, &commands, &error);
    }
    buf_clear(&commands);
}

static bool write_table(struct bypass *b, bool adopt, bool replace)
{
    struct buf commands = BUF_INIT;

    if (replace) {
        make_way(b);
    }
    b->beat_ms = clock_monotonic_ms();
    bool good = bypass_rules_write(b->conf, b->mode, replace, &commands) == 0 &&
                bypass_rules_beat(b->conf->bypass.hold_ms, &commands) == 0 &&
                (adopt || bypass_rules_filling(true, &commands) == 0) &&
                commit(b, &commands, "making the table");

    buf_clear(&commands);
    return good;
}

static bool make_table(struct bypass *b)
{
    bool replace, adopt = can_adopt(b, &replace), good = write_table(b, adopt, replace);

    if (!good && adopt) {
        /* Somebody has made something in it that ours cannot be beside. */
        adopt = false;
        good = write_table(b, adopt, true);
    }
    if (!good || nft_dump_table(b->dump, BYPASS_TABLE, &b->table) != 0) {
        return false;
    }
    if (!adopt) {
        b->events[EVENT_MADE]++;
        b->filling = true;
        for (size_t i = 0; i < BYPASS_COUNTS; i++) {
            b->carried[i] += b->kernel[i];
            b->kernel[i] = 0;
        }
        /* What an older table holds is worth as much as the copy on disk, a new one is empty. */
        b->known = b->known || registry_size(b->registry) > 0;
        log_info("the table inet " BYPASS_TABLE " is made");
    }
    return true;
}

/* Runs each of the commands, a line each. Whether all were taken. */
static bool commit_each(struct bypass *b, struct span lines, const char *doing)
{
    bool good = true;

    while (lines.len > 0) {
        const char *end = memchr(lines.at, '\n', lines.len);
        size_t len = end == NULL ? lines.len : (size_t)(end - lines.at) + 1;
        struct buf one = BUF_INIT;

        good =
            buf_append(&one, (struct span){lines.at, len}) == 0 && commit(b, &one, doing) && good;
        buf_clear(&one);
        lines.at += len;
        lines.len -= len;
    }
    return good;
}

/* One of them may go by itself meanwhile: that must not keep the others. */
static void remove_strays(struct bypass *b)
{
    static const char doing[] = "taking out what others have put into the sets";
    struct buf all = BUF_INIT;

    if (buf_len(&b->strays) == 0) {
        return;
    }
    if ((buf_append(&all, buf_span(&b->strays)) != 0 || !commit(b, &all, doing)) &&
        !commit_each(b, buf_span(&b->strays), doing)) {
        b->refused = b->suspicious = true;
    } else {
        log_warning("what others had put into the sets of " BYPASS_TABLE " was taken out");
    }
    buf_clear(&all);
    buf_clear(&b->strays);
}

void bypass_sync(struct bypass *b)
{
    int64_t began_ms = clock_monotonic_ms();

    stop_work(b);
    b->suspicious = b->refused = false;
    b->stands = make_table(b) && bypass_read(b);
    if (b->stands) {
        remove_strays(b);
    }
    b->fast.doubtful = true;
    b->sync_ms = clock_monotonic_ms();
    b->sync_took_ms = b->sync_ms - began_ms;
    b->dirty = true;
    if (b->stands && !b->refused) {
        b->trouble[0] = '\0';
    }
}

void bypass_look(struct bypass *b)
{
    struct nft_table found;
    uint32_t now;

    if (nft_dump_generation(b->dump, &now) == 0 && now != b->generation) {
        b->generation = now;
        b->events[EVENT_FOREIGN]++;
        b->suspicious = true;
    }
    if (!b->suspicious) {
        return;
    }
    if (nft_dump_table(b->dump, BYPASS_TABLE, &found) != 0 || found.handle != b->table.handle) {
        log_warning("somebody has removed the table inet " BYPASS_TABLE);
        bypass_sync(b);
    } else if (
        clock_monotonic_ms() - b->sync_ms >= SYNC_MS + SYNC_PART * b->sync_took_ms && !b->working) {
        bypass_sync(b);
    }
}

/* --- bringing about what the standings say --- */

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
        commit(b, &commands, "ending the filling")) {
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
    good = failed == 0 && commit(b, &commands, "changing the sets");
    buf_clear(&commands);
    if (good) {
        b->batch = b->batch * 2 < BATCH ? b->batch * 2 : BATCH;
    } else if (failed != 0 || is_refused(b, &before)) {
        stop_work(b);
        b->stands = false;
        return;
    }
    evtimer_add(b->step, &at_once);
}
