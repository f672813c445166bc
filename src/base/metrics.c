#include "base/metrics.h"

#include <stddef.h>
#include <sys/mman.h>

static const struct metric_row rows[METRIC_COUNT] = {
    [METRIC_SESSIONS_TOTAL] = {"sessions_total", "connections taken", METRIC_SUM},
    [METRIC_SESSIONS_OPEN] = {"sessions_open", "connections open now", METRIC_SUM},
    [METRIC_PASSED] = {"passed_total", "sessions of a class that passes", METRIC_SUM},
    [METRIC_METERED] = {"metered_total", "sessions of a class that is metered", METRIC_SUM},
    [METRIC_BRIDGED] =
        {"bridged_total", "sessions bridged to authenticated submission", METRIC_SUM},
    [METRIC_DEFERRED] = {"deferred_total", "verdicts told with a 4xx reply", METRIC_SUM},
    [METRIC_REFUSED] = {"refused_total", "verdicts told with a 5xx reply", METRIC_SUM},
    [METRIC_SHADOWED] =
        {"shadowed_total", "verdicts logged only: the class does not enforce", METRIC_SUM},
    [METRIC_MESSAGES] = {"messages_total", "messages that servers accepted", METRIC_SUM},
    [METRIC_RECIPIENTS] = {"recipients_total", "recipients that servers accepted", METRIC_SUM},
    [METRIC_BYTES_UP] = {"bytes_up_total", "bytes sent to servers", METRIC_SUM},
    [METRIC_BYTES_DOWN] = {"bytes_down_total", "bytes sent to subscribers", METRIC_SUM},
    [METRIC_CONNECT_FAILED] =
        {"connect_failed_total", "servers that could not be reached", METRIC_SUM},
    [METRIC_TIMED_OUT] = {"timed_out_total", "sessions that a deadline ended", METRIC_SUM},
    [METRIC_STORE_UP] = {"store_up", "workers that Redis answers", METRIC_SUM},
    [METRIC_STORE_FAILURES] =
        {"store_failures_total", "questions that Redis did not answer", METRIC_SUM},
    [METRIC_STORE_MISSED] =
        {"store_missed_ms", "monotonic clock when Redis last failed to answer", METRIC_MOST},
    [METRIC_DENIALS_REMEMBERED] =
        {"denials_remembered_total", "refusals that were known without asking Redis", METRIC_SUM},
    [METRIC_PAID_AHEAD] =
        {"paid_ahead_total", "questions paid with tokens that were taken ahead", METRIC_SUM},
    [METRIC_STORE_OWED] =
        {"store_owed",
         "subscribers of whom Redis is still to be told what went through while it was away",
         METRIC_SUM},
    [METRIC_STANDINGS] = {"standings", "standings mirrored by every worker", METRIC_LEAST},
    [METRIC_LEASES] = {"leases", "leases mirrored by every worker", METRIC_LEAST},
    [METRIC_STANDINGS_KEPT] =
        {"standings_kept", "standings in force although Redis has lost them", METRIC_MOST},
    [METRIC_MIRROR_SEEN] =
        {"mirror_seen_ms", "monotonic clock when every worker's mirror was last in step",
         METRIC_LEAST},
    [METRIC_JOURNAL_LINES] = {"journal_lines_total", "journal lines written", METRIC_SUM},
    [METRIC_JOURNAL_DROPPED] =
        {"journal_dropped_total", "journal lines that were lost, to the file or to Redis",
         METRIC_SUM},
    [METRIC_SPF_ASKED] = {"spf_total", "senders checked with SPF", METRIC_SUM},
    [METRIC_SPF_FAILED] = {"spf_fail_total", "senders that SPF forbids the subscriber", METRIC_SUM},
    [METRIC_SPF_UNKNOWN] =
        {"spf_unknown_total", "SPF questions that were not answered in time", METRIC_SUM},
    [METRIC_BEAT] = {"beat_ms", "monotonic clock when every worker last had a turn", METRIC_LEAST},
    [METRIC_ACCEPT_PAUSED] =
        {"accept_paused_total",
         "times a worker let new connections wait: no descriptors, no memory, or max-sessions",
         METRIC_SUM},
};

static const struct metric_row latencies[LATENCY_COUNT] = {
    [LATENCY_VERDICT] =
        {"verdict_seconds", "time that commands waited for their verdict", METRIC_SUM},
    [LATENCY_STORE] =
        {"store_seconds", "time until a question to the meter was answered", METRIC_SUM},
    [LATENCY_SPF] = {"spf_seconds", "time until a question to SPF was answered", METRIC_SUM},
    [LATENCY_CONNECT] = {"connect_seconds", "time until a server took the connection", METRIC_SUM},
};

const struct metric_row *metric_row(enum metric m)
{
    return &rows[m];
}

bool metric_is_told(enum metric m)
{
    return m != METRIC_MIRROR_SEEN && m != METRIC_STORE_MISSED && m != METRIC_BEAT;
}

struct metrics *metrics_new(unsigned workers)
{
    void *blocks = mmap(
        NULL, workers * sizeof(struct metrics), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
        -1, 0);
    return blocks == MAP_FAILED ? NULL : blocks;
}

void metrics_free(struct metrics *blocks, unsigned workers)
{
    if (blocks) {
        munmap(blocks, workers * sizeof(struct metrics));
    }
}

void metrics_add(struct metrics *block, enum metric m, int64_t n)
{
    atomic_fetch_add_explicit(&block->value[m], (uint64_t)n, memory_order_relaxed);
}

void metrics_set(struct metrics *block, enum metric m, uint64_t value)
{
    atomic_store_explicit(&block->value[m], value, memory_order_relaxed);
}

uint64_t metrics_total(const struct metrics *blocks, unsigned workers, enum metric m)
{
    uint64_t sum = 0, least = UINT64_MAX, most = 0;
    for (unsigned i = 0; i < workers; i++) {
        uint64_t value = atomic_load_explicit(&blocks[i].value[m], memory_order_relaxed);
        sum += value;
        least = value < least ? value : least;
        most = value > most ? value : most;
    }
    const uint64_t totals[] = {[METRIC_SUM] = sum, [METRIC_LEAST] = least, [METRIC_MOST] = most};
    return totals[rows[m].total];
}

const struct metric_row *latency_row(enum latency l)
{
    return &latencies[l];
}

void metrics_time(struct metrics *block, enum latency l, int64_t us)
{
    histogram_add(&block->latency[l], us);
}

void metrics_latency(
    const struct metrics *blocks, unsigned workers, enum latency l, struct histogram_sum *out)
{
    *out = (struct histogram_sum){0};
    for (unsigned i = 0; i < workers; i++) {
        histogram_sum(&blocks[i].latency[l], out);
    }
}
