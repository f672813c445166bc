#include "proxy/metrics_page.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE 512

struct writer {
    struct buf *out;
    bool failed;
};

static void __attribute__((format(printf, 2, 3))) add(struct writer *w, const char *format, ...)
{
    char line[LINE];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    size_t size = len < 0 ? 0 : len < LINE ? (size_t)len : LINE - 1;
    w->failed = w->failed || len < 0 || buf_append(w->out, (struct span){line, size}) < 0;
}

static void add_head(struct writer *w, const char *name, const char *help, const char *type)
{
    add(w, "# HELP gate25_%s %s\n# TYPE gate25_%s %s\n", name, help, name, type);
}

/* Whoever names a metric says with its ending that it only rises. */
static const char *type_of(const char *name)
{
    static const char ending[] = "_total";
    size_t len = strlen(name), of_ending = sizeof(ending) - 1;
    bool counter = len > of_ending && strcmp(name + len - of_ending, ending) == 0;
    return counter ? "counter" : "gauge";
}

static void add_value(struct writer *w, const char *name, const char *help, uint64_t value)
{
    add_head(w, name, help, type_of(name));
    add(w, "gate25_%s %" PRIu64 "\n", name, value);
}

static void add_counters(struct writer *w, const struct metrics_page *p)
{
    for (enum metric m = 0; m < METRIC_COUNT; m++) {
        const struct metric_row *row = metric_row(m);
        if (m != METRIC_MIRROR_SEEN) {
            add_value(w, row->name, row->help, metrics_total(p->metrics, p->workers, m));
        }
    }
}

static double seconds(uint64_t us)
{
    return (double)us / 1e6;
}

static void add_histogram(struct writer *w, const struct metrics_page *p, enum latency l)
{
    const char *name = latency_row(l)->name;
    struct histogram_sum sum;
    uint64_t count = 0;
    metrics_latency(p->metrics, p->workers, l, &sum);
    add_head(w, name, latency_row(l)->help, "histogram");
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        count += sum.bucket[i];
        add(w, "gate25_%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, seconds(histogram_bounds_us[i]),
            count);
    }
    count += sum.bucket[HISTOGRAM_BUCKETS];
    add(w, "gate25_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, count);
    add(w, "gate25_%s_sum %.6f\ngate25_%s_count %" PRIu64 "\n", name, seconds(sum.sum_us), name,
        count);
}

struct family {
    struct writer *writer;
    const char *name;
};

static void add_verdict(
    void *context, const char *class, const char *verdict, const char *rule, uint64_t count)
{
    struct family *f = context;
    add(f->writer, "gate25_%s{class=\"%s\",verdict=\"%s\",rule=\"%s\"} %" PRIu64 "\n", f->name,
        class, verdict, rule, count);
}

static void add_verdicts(
    struct writer *w, const struct metrics_page *p, enum journal_event event, const char *name,
    const char *help)
{
    struct family family = {w, name};
    add_head(w, name, help, "counter");
    if (verdict_counts_each(p->verdicts, p->workers, event, add_verdict, &family) < 0) {
        w->failed = true;
    }
}

/* A mirror that never was in step is as old as the gate. */
static void add_mirror_age(struct writer *w, const struct metrics_page *p)
{
    int64_t seen_ms = (int64_t)metrics_total(p->metrics, p->workers, METRIC_MIRROR_SEEN);
    int64_t since_ms = seen_ms > 0 ? seen_ms : p->started_ms;
    int64_t age_ms = p->now_ms > since_ms ? p->now_ms - since_ms : 0;
    add_head(w, "mirror_age_seconds", "time since every worker's standings were Redis's", "gauge");
    add(w, "gate25_mirror_age_seconds %.3f\n", seconds((uint64_t)age_ms * 1000));
}

static void add_sessions_by_worker(struct writer *w, const struct metrics_page *p)
{
    add_head(w, "worker_sessions_open", "connections open now, by worker", "gauge");
    for (unsigned i = 0; i < p->workers; i++) {
        uint64_t open = metrics_total(&p->metrics[i], 1, METRIC_SESSIONS_OPEN);
        add(w, "gate25_worker_sessions_open{worker=\"%u\"} %" PRIu64 "\n", i, open);
    }
}

static void add_states(struct writer *w, const struct metrics_page *p)
{
    add_head(w, "build_info", "the version that runs; always 1", "gauge");
    add(w, "gate25_build_info{version=\"" GATE25_VERSION "\"} 1\n");
    add_head(w, "uptime_seconds", "time since the start", "gauge");
    add(w, "gate25_uptime_seconds %.3f\n", seconds((uint64_t)(p->now_ms - p->started_ms) * 1000));
    add_value(w, "workers", "worker processes there should be", p->workers);
    add_value(w, "workers_running", "worker processes there are", p->running);
    add_value(w, "stopping", "1 while the gate is being stopped", p->stopping);
    add_value(
        w, "reload_failed", "1 while the file of the configuration is bad and an older one in use",
        p->reload_failed);
    add_value(w, "spf_wanted", "1 where the configuration asks for SPF", p->spf_wanted);
    add_value(w, "spf_running", "1 while gate25-spfd runs", p->spf_running);
}

int metrics_page_write(const struct metrics_page *p, struct buf *out)
{
    struct writer w = {.out = out};
    add_states(&w, p);
    add_mirror_age(&w, p);
    add_sessions_by_worker(&w, p);
    add_counters(&w, p);
    for (enum latency l = 0; l < LATENCY_COUNT; l++) {
        add_histogram(&w, p, l);
    }
    add_verdicts(
        &w, p, JOURNAL_REFUSAL, "refusals_total",
        "journal lines of refusals; verdict shadow: logged only");
    add_verdicts(&w, p, JOURNAL_SESSION, "session_ends_total", "journal lines of sessions' ends");
    return w.failed ? -1 : 0;
}
