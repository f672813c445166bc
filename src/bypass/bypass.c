#include "bypass_internal.h"

#include <stdlib.h>

#include "base/log.h"
#include "bypass/bypass_rules.h"
#include "net/clock.h"
#include "svc/conf_file.h"
#include "svc/meter.h"

#define TICK_MS    100
#define RETRY_MS   1000
#define BEAT_PARTS 4     /* so many times while new connections are let by without us ... */
#define BEAT_MS    30000 /* ... and after that time at the latest */
#define COUNT_MS   5000
#define TALLY_MS   1000
#define STEP_MS    2000 /* a clock that moved by so much was set */

#define TOUCHED_MOST 10000 /* of more it is quicker to look at all */

static void on_standings(void *context, const struct prefix *unit)
{
    struct bypass *b = context;

    b->known = true;
    if (unit == NULL || b->touched.units.count >= TOUCHED_MOST ||
        !bypass_is_plain(b->conf, &b->odd, unit) || bypass_sets_put(&b->touched, unit, 0) != 0) {
        b->dirty = true;
    }
    /* Once all that came at once is known. Not by `tick`, which would be put off each time. */
    event_active(b->soon, EV_TIMEOUT, 0);
}

static int64_t clocks_apart_ms(void)
{
    return clock_unix_ms() - clock_monotonic_ms();
}

/* Ends are dates, but the kernel counts seconds. */
static void look_at_clocks(struct bypass *b)
{
    int64_t apart_ms = clocks_apart_ms();

    if (llabs(apart_ms - b->clocks_apart_ms) > STEP_MS) {
        log_info("the clock was set: ends are looked at anew");
        b->clocks_apart_ms = apart_ms;
        b->dirty = true;
    }
    if (b->next_end_s != 0 && clock_unix_ms() / 1000 >= b->next_end_s) {
        b->dirty = true;
    }
}

static int64_t beat_every_ms(const struct bypass *b)
{
    int64_t every_ms = b->conf->bypass.hold_ms / BEAT_PARTS;

    return every_ms < BEAT_MS ? every_ms : BEAT_MS;
}

static void tell_ready(struct bypass *b)
{
    if (b->ready != NULL && b->stands) {
        b->ready(b->ready_context);
        b->ready = NULL;
    }
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
    struct bypass *b = context;
    int64_t now_ms = clock_monotonic_ms();

    (void)fd;
    (void)what;
    if (b->stands) {
        bypass_look(b);
    } else if (now_ms - b->sync_ms >= RETRY_MS) {
        bypass_sync(b);
    }
    tell_ready(b);
    if (b->stands && now_ms - b->beat_ms >= beat_every_ms(b)) {
        bypass_beat(b);
    }
    bypass_fast_look(b);
    look_at_clocks(b);
    if (b->dirty || b->touched.units.count > 0) {
        bypass_work(b);
    }
    if (b->stands && now_ms - b->count_ms >= COUNT_MS) {
        b->count_ms = now_ms;
        bypass_count(b);
    }
}

static void on_rules(void *context)
{
    struct bypass *b = context;

    if (b->stands) {
        bypass_look(b);
    }
}

static bool open_all(struct bypass *b, struct text *error)
{
    static const struct timeval every = {0, TICK_MS * 1000};

    b->run = nft_run_new();
    b->dump = nft_dump_new(error);
    if (b->dump == NULL) {
        return false;
    }
    b->watch = nft_watch_new(b->base, on_rules, b, error);
    if (b->watch == NULL) {
        return false;
    }
    const struct redis_options store = {
        .where = &b->conf->redis, .functions = meter_functions, .speaks = true};
    b->registry = registry_new(b->base, b->conf, false);
    b->store = redis_new(b->base, &store);
    b->tally = b->store == NULL ? NULL : tally_new(b->base, b->store, TALLY_MS);
    b->tick = event_new(b->base, -1, EV_PERSIST, on_tick, b);
    b->soon = evtimer_new(b->base, on_tick, b);
    b->step = evtimer_new(b->base, bypass_step, b);
    if (b->run == NULL || b->registry == NULL || b->tally == NULL || b->tick == NULL ||
        b->soon == NULL || b->step == NULL || event_add(b->tick, &every) != 0) {
        text_addf(error, "out of memory");
        return false;
    }
    return true;
}

struct bypass *bypass_new(
    struct event_base *base, struct conf *conf, bypass_ready_cb ready, void *context,
    struct text *error)
{
    struct bypass *b = calloc(1, sizeof(*b));

    if (b == NULL) {
        text_addf(error, "out of memory");
        return NULL;
    }
    b->base = base;
    b->conf = conf_hold(conf);
    b->mode = conf->mode;
    b->started_ms = clock_monotonic_ms();
    b->clocks_apart_ms = clocks_apart_ms();
    if (!open_all(b, error)) {
        bypass_free(b);
        return NULL;
    }
    registry_watch(b->registry, on_standings, b);
    bypass_fast_begin(b);
    bypass_sync(b);
    if (!b->stands) {
        text_addf(error, "%s", b->trouble);
        bypass_free(b);
        return NULL;
    }
    b->ready = ready;
    b->ready_context = context;
    return b;
}

static void free_event(struct event *event)
{
    if (event != NULL) {
        event_free(event);
    }
}

void bypass_free(struct bypass *b)
{
    if (b == NULL) {
        return;
    }
    free_event(b->tick);
    free_event(b->soon);
    free_event(b->step);
    registry_free(b->registry);
    tally_free(b->tally);
    if (b->store != NULL) {
        redis_free(b->store);
    }
    nft_run_free(b->run);
    nft_dump_free(b->dump);
    nft_watch_free(b->watch);
    fast_path_free(b->fast.path);
    bypass_sets_fini(&b->held);
    bypass_sets_fini(&b->wanted);
    bypass_sets_fini(&b->gone);
    bypass_sets_fini(&b->part);
    bypass_sets_fini(&b->touched);
    buf_clear(&b->strays);
    free(b->odd.at);
    bypass_counts_fini(&b->counts);
    conf_release(b->conf);
    free(b);
}

void bypass_set_conf(struct bypass *b, struct conf *conf)
{
    struct conf *old = b->conf;

    b->conf = conf_hold(conf);
    registry_set_conf(b->registry, conf);
    bypass_fast_set_conf(b, old);
    bypass_sync(b);
    conf_release(old);
}

int bypass_remove(struct text *error)
{
    static const char commands[] =
        "add table inet " BYPASS_TABLE "\ndelete table inet " BYPASS_TABLE "\n";
    struct nft_run *run = nft_run_new();
    int result = -1;

    if (run == NULL) {
        text_addf(error, "out of memory");
    } else {
        result = nft_run_commands(run, commands, error);
    }
    nft_run_free(run);
    fast_path_detach();
    return result;
}
