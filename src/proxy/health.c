#include "proxy/health.h"

#include <stddef.h>

const char *health_name(enum health h)
{
    static const char *const names[] = {
        [HEALTH_GOOD] = "good", [HEALTH_IMPAIRED] = "impaired", [HEALTH_BAD] = "bad"};
    return names[h];
}

static bool is_stopping(const struct health_facts *f)
{
    return f->stopping;
}

static bool is_drained(const struct health_facts *f)
{
    return f->drained;
}

static bool has_not_begun(const struct health_facts *f)
{
    return !f->listening;
}

static bool has_no_worker(const struct health_facts *f)
{
    return f->running == 0;
}

static bool lacks_workers(const struct health_facts *f)
{
    return f->running > 0 && f->running < f->workers && !f->stopping;
}

static bool has_silent_workers(const struct health_facts *f)
{
    return f->silent != NULL && f->silent[0] != '\0';
}

static bool lacks_store(const struct health_facts *f)
{
    return f->with_store < f->running;
}

static bool has_missed_store(const struct health_facts *f)
{
    return f->store_missed;
}

static bool has_old_mirror(const struct health_facts *f)
{
    return f->mirror_age_ms > HEALTH_MIRROR_MOST_MS;
}

static bool lacks_spf(const struct health_facts *f)
{
    return f->spf_wanted && !f->spf_running;
}

static bool has_old_configuration(const struct health_facts *f)
{
    return f->reload_failed;
}

static const struct {
    bool (*holds)(const struct health_facts *f);
    enum health then;
    const char *reason;
} rules[] = {
    {is_stopping, HEALTH_BAD, "it is being stopped"},
    {is_drained, HEALTH_BAD, "it is being taken out of service (gate25ctl drain)"},
    {has_not_begun, HEALTH_BAD, "it does not listen yet"},
    {has_no_worker, HEALTH_BAD, "no worker runs"},
    {lacks_workers, HEALTH_IMPAIRED, "a worker is missing"},
    {has_silent_workers, HEALTH_IMPAIRED, "workers that do not answer: "},
    {lacks_store, HEALTH_IMPAIRED, "Redis does not answer"},
    {has_missed_store, HEALTH_IMPAIRED,
     "within the last minute metered questions were answered without Redis"},
    {has_old_mirror, HEALTH_IMPAIRED, "the standings have not been followed for over 10 seconds"},
    {lacks_spf, HEALTH_IMPAIRED, "gate25-spfd does not run"},
    {has_old_configuration, HEALTH_IMPAIRED,
     "the configuration's file is bad, an older one is used"},
};

bool worker_is_to_end(const struct worker_facts *f)
{
    bool waits = f->state == 'D' || f->state == 't';
    bool runs = f->state == 'R';
    return f->silent_s >= WORKER_HANGS_S && !waits && (!runs || f->cpu_ms >= WORKER_SPINS_MS);
}

enum health health_judge(const struct health_facts *f, struct text *reasons)
{
    enum health worst = HEALTH_GOOD;
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (!rules[i].holds(f)) {
            continue;
        }
        text_addf(
            reasons, "%s%s%s", reasons->len > 0 ? "; " : "", rules[i].reason,
            rules[i].holds == has_silent_workers ? f->silent : "");
        worst = rules[i].then > worst ? rules[i].then : worst;
    }
    return worst;
}
