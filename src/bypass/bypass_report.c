/* What operators and Prometheus are told. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "base/metrics_text.h"
#include "bypass_internal.h"
#include "net/clock.h"

#define TOP 50 /* subscribers with figures of their own on the page */

static const struct {
    const char *name, *help;
} count_rows[BYPASS_COUNTS] = {
    [BYPASS_OPENED] = {"connections", "connections begun that the kernel let by"},
    [BYPASS_UP] = {"bytes_up", "bytes to servers that the kernel let by, IP headers included"},
    [BYPASS_DOWN] =
        {"bytes_down", "bytes to subscribers that the kernel let by, IP headers included"},
};

static const struct {
    const char *name, *help;
} event_rows[EVENTS] = {
    [EVENT_ADDED] = {"added", "units and ranges put into the kernel's sets"},
    [EVENT_REMOVED] = {"removed", "units and ranges taken out of the kernel's sets"},
    [EVENT_MADE] = {"tables_made", "times the table was made, or made anew"},
    [EVENT_FOREIGN] = {"foreign_changes", "times somebody else's change of rules was noticed"},
    [EVENT_FAILED] = {"failures", "changes and readings that the kernel did not take"},
    [EVENT_FORGOTTEN] = {"connections_ended", "tracked connections that were ended"},
};

/* Do the kernel's sets hold what the standings say? */
static bool is_in_step(const struct bypass *b)
{
    return b->stands && b->known && !b->dirty && !b->working && !b->refused &&
           b->touched.units.count == 0;
}

bool bypass_is_well(const struct bypass *b, struct text *reasons)
{
    const struct {
        bool holds;
        const char *words;
    } rows[] = {
        {!b->stands, b->trouble[0] != '\0' ? b->trouble : "the table is gone"},
        {b->stands && b->refused, b->trouble},
        {b->stands && !b->known, "the standings are not known yet: the sets are left as they are"},
        {b->stands && b->filling && b->known, "the sets are being filled"},
        {b->fast.trouble[0] != '\0', b->fast.trouble},
        {b->unanswered >= BYPASS_UNANSWERED_MOST,
         "connections are marked, but nothing comes back on them: do the gate's rules heed "
         "bypass.mark-bit (bypass_mark)?"},
        {b->known && !registry_is_current(b->registry),
         "Redis does not answer: the standings are as they were"},
    };
    size_t before = reasons->len;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].holds) {
            text_addf(reasons, "%s%s", reasons->len > before ? "; " : "", rows[i].words);
        }
    }
    return reasons->len == before;
}

static char *dump(json_t *object)
{
    char *line = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;

    json_decref(object);
    return line;
}

static json_t *totals_json(const struct bypass *b)
{
    json_t *all = json_object();

    for (enum bypass_count k = 0; k < BYPASS_COUNTS; k++) {
        json_object_set_new(all, count_rows[k].name, json_integer((json_int_t)bypass_total(b, k)));
    }
    for (enum bypass_event e = 0; e < EVENTS; e++) {
        json_object_set_new(all, event_rows[e].name, json_integer((json_int_t)b->events[e]));
    }
    return all;
}

char *bypass_status_json(void *bypass)
{
    const struct bypass *b = bypass;
    char why[BYPASS_ERROR * 3];
    struct text reasons;
    bool well;

    text_init(&reasons, why, sizeof(why));
    well = bypass_is_well(b, &reasons);
    return dump(json_pack(
        "{s:s, s:i, s:I, s:b, s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:o}", "version",
        GATE25_VERSION, "pid", (int)getpid(), "uptime_s",
        (json_int_t)((clock_monotonic_ms() - b->started_ms) / 1000), "well", well, "reasons", why,
        "in_step", is_in_step(b), "follows_redis", registry_is_current(b->registry), "standings",
        (json_int_t)registry_size(b->registry), "units", (json_int_t)b->held.units.count, "ranges",
        (json_int_t)b->held.range_count, "fast_path_links", (json_int_t)b->fast.links, "readings",
        (json_int_t)b->counts.round, "counters", totals_json(b)));
}

char *bypass_show_json(const struct bypass *b, const char *who)
{
    struct prefix p;
    const struct bypass_figures *figures;
    struct registry_entry entry;
    json_t *all;

    if (prefix_parse(span_of(who), &p) == PREFIX_BAD_ADDRESS) {
        return dump(json_pack("{s:s}", "error", "allowed: show ADDRESS, or a prefix"));
    }
    registry_find(b->registry, b->conf, &p.addr, clock_unix_ms() / 1000, &entry);
    figures = bypass_counts_of(&b->counts, &entry.unit);
    all = json_pack("{s:b}", "let_by", bypass_sets_cover(&b->held, &p.addr, b->conf->ipv6_unit));
    for (enum bypass_count k = 0; k < BYPASS_COUNTS; k++) {
        json_object_set_new(
            all, count_rows[k].name,
            json_integer(figures == NULL ? 0 : (json_int_t)figures->count[k]));
    }
    return dump(all);
}

/* --- Prometheus --- */

static void add_total(struct metrics_text *w, const char *name, const char *help, uint64_t value)
{
    char full[64];

    snprintf(full, sizeof(full), "bypass_%s_total", name);
    metrics_text_value(w, full, help, value);
}

static void add_top(struct metrics_text *w, const struct bypass *b)
{
    const struct bypass_figures *top[TOP];
    size_t count = bypass_counts_top(&b->counts, top, TOP);
    char who[PREFIX_TEXT], full[64], help[256];

    for (enum bypass_count k = 0; k < BYPASS_COUNTS && count > 0; k++) {
        const char *name = count_rows[k].name;

        snprintf(full, sizeof(full), "bypass_subscriber_%s_total", name);
        snprintf(help, sizeof(help), "%s, of those who send most", count_rows[k].help);
        metrics_text_head(w, full, help, "counter");
        for (size_t i = 0; i < count; i++) {
            prefix_format(&top[i]->subscriber, who);
            metrics_text_add(
                w, "gate25_%s{subscriber=\"%s\"} %" PRIu64 "\n", full, who, top[i]->count[k]);
        }
    }
}

int bypass_page_write(const struct bypass *b, struct buf *out)
{
    struct metrics_text w = {out, false};
    char why[BYPASS_ERROR * 3];
    struct text reasons;
    const struct {
        const char *name, *help;
        uint64_t value;
    } gauges[] = {
        {"bypass_table_stands", "1 while the table in the kernel is as it should be", b->stands},
        {"bypass_in_step", "1 while the kernel's sets hold what the standings say", is_in_step(b)},
        {"bypass_follows_redis", "1 while changes of standings are followed",
         registry_is_current(b->registry)},
        {"bypass_units", "addresses and delegated prefixes that the kernel lets by",
         b->held.units.count},
        {"bypass_ranges", "ranges of addresses that the kernel lets by", b->held.range_count},
        {"bypass_fast_path_links", "links on which the fast path stands", b->fast.links},
        {"bypass_subscribers_counted", "subscribers that were let by since the start",
         b->counts.count},
    };

    text_init(&reasons, why, sizeof(why));
    metrics_text_value(&w, "bypass_well", "1 while nothing is wrong", bypass_is_well(b, &reasons));
    for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {
        metrics_text_value(&w, gauges[i].name, gauges[i].help, gauges[i].value);
    }
    for (enum bypass_count k = 0; k < BYPASS_COUNTS; k++) {
        add_total(&w, count_rows[k].name, count_rows[k].help, bypass_total(b, k));
    }
    for (enum bypass_event e = 0; e < EVENTS; e++) {
        add_total(&w, event_rows[e].name, event_rows[e].help, b->events[e]);
    }
    add_top(&w, b);
    return w.failed ? -1 : 0;
}
