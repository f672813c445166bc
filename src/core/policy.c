#include "core/policy.h"

/* Only a session in which nothing was said yet can be bridged. What is over a limit later is
 * deferred, with the advice: the limit passes, and a mail server that is no program of a person
 * loses nothing by it. */
static const struct {
    enum verdict_action session, later;
    bool advise;
} overs[] = {
    [OVER_DEFER] = {VERDICT_DEFER, VERDICT_DEFER, false},
    [OVER_REFUSE] = {VERDICT_REFUSE, VERDICT_REFUSE, false},
    [OVER_SUBMIT] = {VERDICT_SUBMIT, VERDICT_DEFER, true},
};

/* A class that does not enforce forwards, and remembers what it would have done. */
static struct verdict soften(const struct conf_class *class, struct verdict v)
{
    if (!class->enforce && v.action != VERDICT_FORWARD) {
        v.would = v.action;
        v.action = VERDICT_FORWARD;
        v.shadow = true;
    }
    return v;
}

static uint32_t whole_seconds(double us)
{
    double seconds = us / 1e6;
    if (seconds >= 4e9) {
        return UINT32_MAX;
    }
    uint32_t down = seconds > 0 ? (uint32_t)seconds : 0;
    return (double)down < seconds ? down + 1 : down;
}

static struct verdict over(
    const struct conf_class *class, enum question_kind kind, const struct answer *answer)
{
    bool session = kind == QUESTION_SESSION;
    struct verdict v = {
        .action = session ? overs[class->over].session : overs[class->over].later,
        .advise = overs[class->over].advise && kind != QUESTION_BRIDGE,
        .rule = RULE_LIMIT,
        .limit = answer->limit,
        .window = answer->window,
        .retry_after_s = whole_seconds(answer->retry_us),
    };
    if (v.retry_after_s == 0) {
        v.retry_after_s = 1; /* "retry in 0 seconds" helps nobody */
    }
    return soften(class, v);
}

struct verdict policy_admit(const struct conf_class *class)
{
    struct verdict v = {.action = VERDICT_FORWARD};
    if (class->action == ACTION_REFUSE) {
        v = (struct verdict){.action = VERDICT_REFUSE, .rule = RULE_CLASS};
    }
    if (class->action == ACTION_SUBMIT) {
        v = (struct verdict){.action = VERDICT_SUBMIT, .rule = RULE_CLASS, .advise = true};
    }
    return soften(class, v);
}

bool policy_ends(const struct conf_class *was, const struct conf_class *now)
{
    bool refused = now->action == ACTION_REFUSE && now->enforce;
    bool passed = was->action == ACTION_PASS && now->action != ACTION_PASS;
    return now != was && (refused || passed);
}

struct verdict policy_starttls(const struct conf_class *class)
{
    struct verdict v = {.action = VERDICT_FORWARD};
    if (class->action == ACTION_METER && class->starttls == STARTTLS_REFUSE) {
        v = (struct verdict){.action = VERDICT_REFUSE, .rule = RULE_NO_STARTTLS};
    }
    return soften(class, v);
}

bool policy_may_bridge(const struct conf_class *class)
{
    return class->action == ACTION_METER && class->over == OVER_SUBMIT && class->enforce;
}

struct verdict policy_unbridged(const struct verdict *v)
{
    struct verdict told = *v;
    told.action = v->rule == RULE_LIMIT ? VERDICT_DEFER : VERDICT_REFUSE;
    return told;
}

struct verdict policy_meter(
    const struct conf_class *class, enum when_down when_down, const struct question *question,
    const struct answer *answer)
{
    bool decides = question->kind != QUESTION_CHECKPOINT;
    if (answer->state == METER_OVER) {
        return over(class, question->kind, answer);
    }
    if (answer->state == METER_UNKNOWN && when_down == WHEN_DOWN_REFUSE && decides) {
        return soften(
            class, (struct verdict){
                       .action = VERDICT_DEFER,
                       .rule = RULE_STORE_DOWN,
                       .retry_after_s = POLICY_STORE_RETRY_S});
    }
    return (struct verdict){.action = VERDICT_FORWARD};
}

struct verdict policy_price(
    const struct conf_class *class, uint32_t cost, uint32_t paid, const struct answer *answer,
    const struct verdict *v)
{
    const struct limit *limit = &class->limit[LIMIT_MESSAGES];
    struct verdict told = *v;
    if (v->rule != RULE_LIMIT || v->limit != LIMIT_MESSAGES || v->window >= limit->windows) {
        return told;
    }
    const struct rate *rate = &limit->window[v->window];
    double again_us = (double)paid * (double)rate->period_us / (double)rate->count;
    told.retry_after_s = whole_seconds(answer->retry_us + again_us);
    told.cost = cost;
    return told;
}

struct verdict policy_recipients(const struct conf_class *class, const struct answer *answer)
{
    return over(class, QUESTION_ENVELOPE, answer);
}

/* The rule that an SPF fail breaks, or RULE_NONE. Whoever may send for the sender's domain forges
 * nothing, whatever it calls itself. */
static enum rule broken_rule(enum spf_result sender, enum spf_result helo)
{
    if (sender == SPF_FAIL) {
        return RULE_SPF;
    }
    return helo == SPF_FAIL && sender != SPF_PASS ? RULE_SPF_HELO : RULE_NONE;
}

struct verdict policy_sender(const struct conf_class *class, enum spf_use use, bool plain)
{
    struct verdict v = {.action = VERDICT_FORWARD};
    if (!plain && (use == SPF_USE_METER || use == SPF_USE_REFUSE)) {
        v = (struct verdict){.action = VERDICT_REFUSE, .rule = RULE_SENDER};
    }
    return soften(class, v);
}

struct verdict policy_spf(
    const struct conf_class *class, enum spf_use use, const struct spf_answer *answer)
{
    struct verdict v = {.action = VERDICT_FORWARD};
    enum rule rule = broken_rule(answer->sender, answer->helo);
    if (use == SPF_USE_REFUSE && rule != RULE_NONE) {
        v = (struct verdict){.action = VERDICT_REFUSE, .rule = rule};
    }
    return soften(class, v);
}

uint32_t policy_message_cost(
    const struct conf_class *class, const struct conf_spf *spf, enum spf_result sender,
    enum spf_result helo)
{
    const struct limit *limit = &class->limit[LIMIT_MESSAGES];
    bool fails = broken_rule(sender, helo) != RULE_NONE;
    uint64_t cost = spf->use == SPF_USE_METER && fails ? spf->fail_cost : 1;
    for (unsigned i = 0; i < limit->windows; i++) {
        /* More than a bucket holds would be waited for in vain. */
        cost = cost < limit->window[i].count ? cost : limit->window[i].count;
    }
    return (uint32_t)cost;
}
