#include "proxy/gate.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "net/clock.h"
#include "proxy/session.h"
#include "svc/standings.h"

void gate_tell_store(struct gate *g)
{
    metrics_set(g->metrics, METRIC_STORE_UP, redis_is_up(g->redis));
    metrics_set(g->metrics, METRIC_STORE_OWED, meter_owed(g->meter));
}

static void on_answer(void *context, uint64_t id, const struct answer *answer)
{
    struct gate *g = context;
    metrics_add(
        g->metrics, METRIC_DENIALS_REMEMBERED, answer->uncharged && answer->state == METER_OVER);
    metrics_add(g->metrics, METRIC_PAID_AHEAD, answer->uncharged && answer->state == METER_WITHIN);
    if (answer->stand_in) {
        metrics_add(g->metrics, METRIC_STORE_FAILURES, 1);
        metrics_set(g->metrics, METRIC_STORE_MISSED, (uint64_t)clock_monotonic_ms());
        gate_tell_store(g);
    }
    struct session *s = sessions_get(&g->sessions, id);
    if (s) {
        session_answer(s, answer);
    }
}

static void on_spf(void *context, uint64_t id, const struct spf_answer *answer)
{
    struct gate *g = context;
    metrics_add(g->metrics, METRIC_SPF_ASKED, 1);
    bool failed = answer->sender == SPF_FAIL || answer->helo == SPF_FAIL;
    metrics_add(g->metrics, METRIC_SPF_FAILED, failed);
    metrics_add(g->metrics, METRIC_SPF_UNKNOWN, answer->sender == SPF_UNKNOWN);
    struct session *s = sessions_get(&g->sessions, id);
    if (s) {
        session_spf(s, answer);
    }
}

static void on_reason(void *context, uint64_t id, const struct redis_reply *reply)
{
    struct gate *g = context;
    struct session *s = sessions_get(&g->sessions, id);
    struct span reason = SPAN_LITERAL("");
    if (!s) {
        return;
    }
    if (reply && !redis_reply_is_error(reply, &(struct span){0})) {
        (void)redis_reply_text(reply, &reason);
    }
    session_reason(s, reason);
}

int gate_ask_reason(struct gate *g, uint64_t session, const char *id)
{
    return standings_ask_reason(
        g->redis, span_of(id), g->conf->redis.deadline_ms, on_reason, g, session);
}

static void on_redis(void *context, bool up)
{
    struct gate *g = context;
    metrics_set(g->metrics, METRIC_STORE_UP, up);
    /* It may have lost its meters, or be another one. */
    if (g->meter) {
        meter_forget(g->meter);
    }
    if (g->journal) {
        journal_forget(g->journal);
    }
}

static void find_own_addresses(struct gate *g)
{
    struct addr *own;
    size_t count;
    if (intercept_own_addresses(&own, &count) < 0) {
        log_warning("cannot list this host's addresses: %m");
        return;
    }
    free(g->own);
    g->own = own;
    g->own_count = count;
}

static int open_services(struct gate *g, int spf)
{
    struct redis_options options = {
        .where = &g->conf->redis,
        .functions = meter_functions,
        .state = on_redis,
        .context = g,
        .speaks = g->worker == 0};
    g->redis = redis_new(g->base, &options);
    if (!g->redis) {
        return -1;
    }
    g->meter = meter_new(g->base, g->redis, on_answer, g);
    g->registry = registry_new(g->base, g->conf, g->worker == 0);
    g->journal = journal_new(g->base, g->conf, g->redis, g->metrics);
    g->spf = spf_new(g->base, spf, on_spf, g);
    g->tally = tally_new(g->base, g->redis, g->conf->redis.deadline_ms);
    return g->meter && g->registry && g->journal && g->spf && g->tally ? 0 : -1;
}

int gate_init(struct gate *g, const struct gate_setup *setup)
{
    memset(g, 0, sizeof(*g));
    g->base = setup->base;
    g->conf = conf_hold(setup->conf);
    g->boot = conf_hold(setup->boot);
    g->worker = setup->worker;
    g->metrics = setup->metrics;
    g->verdicts = setup->verdicts;
    g->loopguard = setup->loopguard;
    g->streams.base = setup->base;
    g->streams.event = session_on_stream;
    if (sessions_init(&g->sessions, setup->base, setup->counted, setup->context) < 0) {
        return -1;
    }
    g->streams.scratch = malloc(STREAM_SCRATCH);
    if (!g->streams.scratch) {
        return -1;
    }
    find_own_addresses(g);
    return open_services(g, setup->spf);
}

void gate_fini(struct gate *g)
{
    sessions_fini(&g->sessions);
    if (g->meter) {
        meter_free(g->meter);
    }
    spf_free(g->spf);
    tally_free(g->tally);
    if (g->registry) {
        registry_free(g->registry);
    }
    if (g->journal) {
        journal_free(g->journal);
    }
    if (g->redis) {
        redis_free(g->redis);
    }
    free(g->own);
    free(g->streams.scratch);
    conf_release(g->conf);
    conf_release(g->boot);
}

bool gate_is_informed(const struct gate *g)
{
    return registry_is_current(g->registry) && redis_is_up(g->redis);
}

bool gate_has_standings(const struct gate *g)
{
    return registry_size(g->registry) > 0;
}

void gate_reload(struct gate *g, struct conf *conf)
{
    if (conf) {
        conf_release(g->conf);
        g->conf = conf_hold(conf);
        registry_set_conf(g->registry, conf);
        meter_forget(g->meter);
    }
    journal_reopen(g->journal, g->conf);
    find_own_addresses(g);
}

void gate_last_words(struct gate *g)
{
    tally_write(g->tally);
    meter_last_words(g->meter);
    journal_flush(g->journal);
    redis_send(g->redis);
}

uint64_t gate_case(struct gate *g)
{
    if (g->cases_left == 0) {
        /* Cannot fail for so few bytes once the kernel's generator is seeded. */
        if (getrandom(g->cases, sizeof(g->cases), 0) != sizeof(g->cases)) {
            log_error("no random numbers: %m");
        }
        g->cases_left = GATE_CASES;
    }
    return g->cases[--g->cases_left];
}
