/* What the master tells operators. */
#include <jansson.h>
#include <unistd.h>

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

static json_t *counters(const struct master *m)
{
    json_t *all = json_object();
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        uint64_t sum = metrics_total(m->metrics, m->worker_count, i);
        json_object_set_new(all, metric_row(i)->name, json_integer((json_int_t)sum));
    }
    return all;
}

char *master_status_json(void *master)
{
    const struct master *m = master;
    uint64_t up = metrics_total(m->metrics, m->worker_count, METRIC_STORE_UP);
    json_t *status = json_pack(
        "{s:s, s:i, s:s, s:I, s:s, s:o, s:I, s:o}", "version", GATE25_VERSION, "pid", (int)getpid(),
        "node", m->conf->node, "uptime_s",
        (json_int_t)((clock_monotonic_ms() - m->started_ms) / 1000), "config", m->conf_file,
        "workers", worker_pids(m), "workers_with_store", (json_int_t)up, "counters", counters(m));
    char *text = status ? json_dumps(status, JSON_COMPACT) : NULL;
    json_decref(status);
    return text;
}
