#include "proxy/metrics_page.h"

#include <inttypes.h>

#include "base/metrics_text.h"

static void add_counters(struct metrics_text *w, const struct metrics_page *p)
{
    for (enum metric m = 0; m < METRIC_COUNT; m++) {
        const struct metric_row *row = metric_row(m);
        uint64_t total = metrics_total(p->metrics, p->workers, m);
        if (m == METRIC_SESSIONS_OPEN) {
            total += p->older_sessions;
        }
        if (metric_is_told(m)) {
            metrics_text_value(w, row->name, row->help, total);
        }
    }
}

static double seconds(uint64_t us)
{
    return (double)us / 1e6;
}

static void add_histogram(struct metrics_text *w, const struct metrics_page *p, enum latency l)
{
    const char *name = latency_row(l)->name;
    struct histogram_sum sum;
    uint64_t count = 0;
    metrics_latency(p->metrics, p->workers, l, &sum);
    metrics_text_head(w, name, latency_row(l)->help, "histogram");
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        count += sum.bucket[i];
        metrics_text_add(
            w, "gate25_%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, seconds(histogram_bounds_us[i]),
            count);
    }
    count += sum.bucket[HISTOGRAM_BUCKETS];
    metrics_text_add(w, "gate25_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, count);
    metrics_text_add(
        w, "gate25_%s_sum %.6f\ngate25_%s_count %" PRIu64 "\n", name, seconds(sum.sum_us), name,
        count);
}

struct family {
    struct metrics_text *writer;
    const char *name;
};

static void add_verdict(
    void *context, const char *class, const char *verdict, const char *rule, uint64_t count)
{
    struct family *f = context;
    metrics_text_add(
        f->writer, "gate25_%s{class=\"%s\",verdict=\"%s\",rule=\"%s\"} %" PRIu64 "\n", f->name,
        class, verdict, rule, count);
}

static void add_verdicts(
    struct metrics_text *w, const struct metrics_page *p, enum journal_event event,
    const char *name, const char *help)
{
    struct family family = {w, name};
    metrics_text_head(w, name, help, "counter");
    if (verdict_counts_each(p->verdicts, p->workers, event, add_verdict, &family) < 0) {
        w->failed = true;
    }
}

/* A mirror that never was in step is as old as the gate. */
static void add_mirror_age(struct metrics_text *w, const struct metrics_page *p)
{
    int64_t seen_ms = (int64_t)metrics_total(p->metrics, p->workers, METRIC_MIRROR_SEEN);
    int64_t since_ms = seen_ms > 0 ? seen_ms : p->started_ms;
    int64_t age_ms = p->now_ms > since_ms ? p->now_ms - since_ms : 0;
    metrics_text_head(
        w, "mirror_age_seconds", "time since every worker's standings were Redis's", "gauge");
    metrics_text_add(w, "gate25_mirror_age_seconds %.3f\n", seconds((uint64_t)age_ms * 1000));
}

static void add_sessions_by_worker(struct metrics_text *w, const struct metrics_page *p)
{
    metrics_text_head(w, "worker_sessions_open", "connections open now, by worker", "gauge");
    for (unsigned i = 0; i < p->workers; i++) {
        uint64_t open = metrics_total(&p->metrics[i], 1, METRIC_SESSIONS_OPEN);
        metrics_text_add(w, "gate25_worker_sessions_open{worker=\"%u\"} %" PRIu64 "\n", i, open);
    }
}

static void add_states(struct metrics_text *w, const struct metrics_page *p)
{
    metrics_text_head(w, "build_info", "the version that runs; always 1", "gauge");
    metrics_text_add(w, "gate25_build_info{version=\"" GATE25_VERSION "\"} 1\n");
    metrics_text_head(w, "uptime_seconds", "time since the start", "gauge");
    metrics_text_add(
        w, "gate25_uptime_seconds %.3f\n", seconds((uint64_t)(p->now_ms - p->started_ms) * 1000));
    metrics_text_value(w, "workers", "worker processes there should be", p->workers);
    metrics_text_value(w, "workers_running", "worker processes there are", p->running);
    metrics_text_value(w, "workers_silent", "worker processes that do not answer", p->silent);
    metrics_text_value(w, "worker_deaths_total", "workers that ended by themselves", p->deaths);
    metrics_text_value(w, "drained", "1 while gate25ctl drain is in force", p->drained);
    metrics_text_value(w, "stopping", "1 while the gate is being stopped", p->stopping);
    metrics_text_value(
        w, "older_gates", "gates that were upgraded and still have sessions", p->older_gates);
    metrics_text_value(
        w, "older_gates_sessions", "connections open in these, and counted in sessions_open",
        p->older_sessions);
    metrics_text_value(
        w, "reload_failed", "1 while the file of the configuration is bad and an older one in use",
        p->reload_failed);
    metrics_text_value(w, "spf_wanted", "1 where the configuration asks for SPF", p->spf_wanted);
    metrics_text_value(w, "spf_running", "1 while gate25-spfd runs", p->spf_running);
}

int metrics_page_write(const struct metrics_page *p, struct buf *out)
{
    struct metrics_text w = {.out = out};
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
