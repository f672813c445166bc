/* What the master tells operators. */
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "core/conf_digest.h"
#include "master_internal.h"
#include "net/clock.h"

static json_t *worker_pids(const struct master *m)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < m->worker_count; i++) {
        json_array_append_new(list, json_integer(m->workers[i].pid));
    }
    return list;
}

static json_t *older_gates(const struct master *m)
{
    json_t *list = json_array();
    for (const struct master_older *o = m->older; o; o = o->next) {
        json_t *one =
            json_pack("{s:i, s:I}", "pid", (int)o->pid, "sessions", (json_int_t)o->sessions);
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *counters(const struct master *m)
{
    json_t *all = json_object();
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        uint64_t sum = metrics_total(m->metrics, m->worker_count, i);
        if (i == METRIC_SESSIONS_OPEN) { /* those too that an upgrade has left where they were */
            sum += master_older_sessions(m);
        }
        if (metric_is_told(i)) {
            json_object_set_new(all, metric_row(i)->name, json_integer((json_int_t)sum));
        }
    }
    return all;
}

static int64_t mirror_age_ms(const struct master *m)
{
    int64_t seen_ms = (int64_t)metrics_total(m->metrics, m->worker_count, METRIC_MIRROR_SEEN);
    return clock_monotonic_ms() - (seen_ms > 0 ? seen_ms : m->started_ms);
}

static bool missed_store(const struct master *m)
{
    int64_t at_ms = (int64_t)metrics_total(m->metrics, m->worker_count, METRIC_STORE_MISSED);
    return at_ms > 0 && clock_monotonic_ms() - at_ms <= HEALTH_STORE_MISSED_MS;
}

enum health master_health(const struct master *m, struct text *reasons)
{
    char array[MASTER_ERROR];
    struct text silent;
    text_init(&silent, array, sizeof(array));
    (void)master_silent_workers(m, &silent);
    struct health_facts facts = {
        .workers = m->worker_count,
        .running = master_running_workers(m),
        .silent = array,
        .listening = m->ready_count == m->worker_count,
        .stopping = m->stops > 0,
        .drained = m->drained,
        .with_store = (unsigned)metrics_total(m->metrics, m->worker_count, METRIC_STORE_UP),
        .store_missed = missed_store(m),
        .mirror_age_ms = mirror_age_ms(m),
        .spf_wanted = m->conf->spf.use != SPF_USE_OFF,
        .spf_running = m->spf.pid > 0,
        .reload_failed = m->reload_failed,
    };
    return health_judge(&facts, reasons);
}

static char *set_drained(struct master *m, bool drained)
{
    log_info(drained ? "no more traffic is wanted: the health is bad" : "traffic is wanted again");
    m->drained = drained;
    return strdup("{\"ok\": true}");
}

char *master_drain_json(void *master)
{
    return set_drained(master, true);
}

char *master_undrain_json(void *master)
{
    return set_drained(master, false);
}

char *master_health_json(void *master)
{
    char array[MASTER_ERROR];
    struct text reasons;
    text_init(&reasons, array, sizeof(array));
    enum health health = master_health(master, &reasons);
    json_t *said = json_pack("{s:s, s:s}", "health", health_name(health), "reasons", array);
    char *line = said ? json_dumps(said, JSON_COMPACT) : NULL;
    json_decref(said);
    return line;
}

int master_metrics(const struct master *m, struct buf *out)
{
    char array[MASTER_ERROR];
    struct text silent;
    text_init(&silent, array, sizeof(array));
    struct metrics_page page = {
        .metrics = m->metrics,
        .verdicts = m->verdicts,
        .workers = m->worker_count,
        .running = master_running_workers(m),
        .silent = master_silent_workers(m, &silent),
        .deaths = m->deaths,
        .now_ms = clock_monotonic_ms(),
        .started_ms = m->started_ms,
        .reload_failed = m->reload_failed,
        .stopping = m->stops > 0,
        .drained = m->drained,
        .spf_wanted = m->conf->spf.use != SPF_USE_OFF,
        .spf_running = m->spf.pid > 0,
        .older_gates = master_older_count(m),
        .older_sessions = master_older_sessions(m),
    };
    return metrics_page_write(&page, out);
}

char *master_status_json(void *master)
{
    const struct master *m = master;
    uint64_t up = metrics_total(m->metrics, m->worker_count, METRIC_STORE_UP);
    char policy[CONF_DIGEST];

    conf_policy_digest(m->conf, policy);
    json_t *status = json_pack(
        "{s:s, s:s, s:i, s:s, s:I, s:s, s:o, s:o, s:I, s:I, s:o}", "version", GATE25_VERSION,
        "policy", policy, "pid", (int)getpid(), "node", m->conf->node, "uptime_s",
        (json_int_t)((clock_monotonic_ms() - m->started_ms) / 1000), "config", m->conf_file,
        "workers", worker_pids(m), "older_gates", older_gates(m), "workers_with_store",
        (json_int_t)up, "mirror_age_ms", (json_int_t)mirror_age_ms(m), "counters", counters(m));
    char *text = status ? json_dumps(status, JSON_COMPACT) : NULL;
    json_decref(status);
    return text;
}
