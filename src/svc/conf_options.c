#include "svc/conf_options.h"

#include <stdio.h>
#include <string.h>

#include "conf_options_internal.h"

static const struct option_choice modes[] = {
    {"tproxy", INTERCEPT_TPROXY}, {"redirect", INTERCEPT_REDIRECT}, {NULL, 0}};
static const struct option_choice when_downs[] = {
    {"local", WHEN_DOWN_LOCAL}, {"pass", WHEN_DOWN_PASS}, {"refuse", WHEN_DOWN_REFUSE}, {NULL, 0}};
static const struct option_choice actions[] = {
    {"pass", ACTION_PASS},
    {"meter", ACTION_METER},
    {"submit", ACTION_SUBMIT},
    {"refuse", ACTION_REFUSE},
    {NULL, 0}};
static const struct option_choice overs[] = {
    {"defer", OVER_DEFER}, {"submit", OVER_SUBMIT}, {"refuse", OVER_REFUSE}, {NULL, 0}};
static const struct option_choice opaques[] = {
    {"turns", OPAQUE_TURNS}, {"session", OPAQUE_SESSION}, {"off", OPAQUE_OFF}, {NULL, 0}};
static const struct option_choice starttlses[] = {
    {"pass", STARTTLS_PASS}, {"refuse", STARTTLS_REFUSE}, {NULL, 0}};
static const struct option_choice bare_lfs[] = {
    {"normalize", BARE_LF_NORMALIZE}, {"refuse", BARE_LF_REFUSE}, {NULL, 0}};
static const struct option_choice envelopes[] = {
    {"full", ENVELOPE_FULL}, {"domains", ENVELOPE_DOMAINS}, {"none", ENVELOPE_NONE}, {NULL, 0}};

static const struct option_choice spf_uses[] = {
    {"off", SPF_USE_OFF},
    {"log", SPF_USE_LOG},
    {"meter", SPF_USE_METER},
    {"refuse", SPF_USE_REFUSE},
    {NULL, 0}};

#define CONF(field)  offsetof(struct conf, field)
#define CLASS(field) offsetof(struct conf_class, field)
#define TIMEOUT(name, field, least, fallback)                                                      \
    {                                                                                              \
        "timeouts", name, OPTION_MILLISECONDS, CONF(timeouts.field), least, 7 * DAY, fallback,     \
            NULL                                                                                   \
    }
#define LIMIT(name, kind)                                                                          \
    {                                                                                              \
        OPTION_CLASS, name, OPTION_RATES, CLASS(limit[kind]), 0, 0, NULL, NULL                     \
    }

/* clang-format off */
const struct option conf_options[] = {
    {"subscribers", "prefixes", OPTION_PREFIXES, 0, 0, 0, NULL, NULL},
    {"subscribers", "ipv6-unit", OPTION_NUMBER, CONF(ipv6_unit), 48, 64, "56", NULL},
    {"intercept", "mode", OPTION_CHOICE, CONF(mode), 0, 0, "tproxy", modes},
    {"intercept", "listen", OPTION_ENDPOINTS, 0, 0, 0, "127.0.0.1:2525 [::1]:2525", NULL},
    {"intercept", "workers", OPTION_NUMBER, CONF(workers), 0, 256, "0", NULL},
    {"intercept", "max-sessions", OPTION_NUMBER, CONF(max_sessions), 1, 1000000, "20000", NULL},
    {"redis", "url", OPTION_REDIS, CONF(redis), 0, 0, "unix:/run/redis/redis.sock", NULL},
    {"redis", "when-down", OPTION_CHOICE, CONF(redis.when_down), 0, 0, "local", when_downs},
    {"redis", "deadline", OPTION_MILLISECONDS, CONF(redis.deadline_ms), MS, 10 * SECOND, "50ms", NULL},
    {OPTION_CLASS, "action", OPTION_CHOICE, CLASS(action), 0, 0, NULL, actions},
    LIMIT("sessions", LIMIT_SESSIONS),
    LIMIT("messages", LIMIT_MESSAGES),
    LIMIT("recipients", LIMIT_RECIPIENTS),
    LIMIT("bytes", LIMIT_BYTES),
    LIMIT("spread", LIMIT_SPREAD),
    {OPTION_CLASS, "concurrent", OPTION_COUNT, CLASS(limit[LIMIT_CONCURRENT]), 1, 1000000, NULL, NULL},
    {OPTION_CLASS, "over", OPTION_CHOICE, CLASS(over), 0, 0, "defer", overs},
    {OPTION_CLASS, "enforce", OPTION_FLAG, CLASS(enforce), 0, 0, "true", NULL},
    {OPTION_CLASS, "opaque-messages", OPTION_CHOICE, CLASS(opaque_messages), 0, 0, "turns", opaques},
    {OPTION_CLASS, "starttls", OPTION_CHOICE, CLASS(starttls), 0, 0, "pass", starttlses},
    {"submission", "host", OPTION_NAME, CONF(submission.host), 0, sizeof(((struct conf *)0)->submission.host), NULL, NULL},
    {"submission", "port", OPTION_NUMBER, CONF(submission.port), 1, 65535, "587", NULL},
    {"submission", "for", OPTION_SERVERS, 0, 0, 0, NULL, NULL},
    {"submission", "address", OPTION_ADDRESSES, 0, 0, 0, NULL, NULL},
    {"submission", "proxy-protocol", OPTION_FLAG, CONF(submission.proxy_protocol), 0, 0, "false", NULL},
    {"smtp", "bare-lf", OPTION_CHOICE, CONF(bare_lf), 0, 0, "normalize", bare_lfs},
    {"help", "url", OPTION_WEB, CONF(help_url), 0, sizeof(((struct conf *)0)->help_url), NULL, NULL},
    {"spf", "use", OPTION_CHOICE, CONF(spf.use), 0, 0, "off", spf_uses},
    {"spf", "deadline", OPTION_MILLISECONDS, CONF(spf.deadline_ms), 10 * MS, 4 * SECOND, "2s", NULL},
    {"spf", "fail-cost", OPTION_NUMBER, CONF(spf.fail_cost), 1, 1000, "10", NULL},
    {"spf", "resolvers", OPTION_RESOLVERS, CONF(spf), 0, 0, NULL, NULL},
    {"journal", "file", OPTION_PATH, CONF(journal_file), 0, 0, NULL, NULL},
    {"journal", "keep", OPTION_SECONDS, CONF(journal_keep_s), MINUTE, 3660 * DAY, "30d", NULL},
    {"journal", "envelope", OPTION_CHOICE, CONF(envelope), 0, 0, "full", envelopes},
    {"registry", "copy", OPTION_PATH, CONF(registry_copy), 0, 0, NULL, NULL},
    {"control", "socket", OPTION_PATH, CONF(control_socket), 0, 0, NULL, NULL},
    {"node", "name", OPTION_NAME, CONF(node), 0, sizeof(((struct conf *)0)->node), NULL, NULL},
    TIMEOUT("connect", connect_ms, MS, "30s"),
    TIMEOUT("banner", banner_ms, MS, "5m"),
    TIMEOUT("command", command_ms, MS, "5m"),
    TIMEOUT("reply", reply_ms, MS, "5m"),
    TIMEOUT("data-start", data_start_ms, MS, "2m"),
    TIMEOUT("data-block", data_block_ms, MS, "3m"),
    TIMEOUT("data-end", data_end_ms, MS, "10m"),
    TIMEOUT("opaque", opaque_ms, MS, "10m"),
    TIMEOUT("drain", drain_ms, 0, "30s"),
    TIMEOUT("submission", submission_ms, MS, "3s"),
    {NULL, NULL, OPTION_NUMBER, 0, 0, 0, NULL, NULL},
};
/* clang-format on */

bool option_is_list(const struct option *o)
{
    return o->type == OPTION_RATES || o->type == OPTION_PREFIXES || o->type == OPTION_ENDPOINTS ||
           o->type == OPTION_RESOLVERS || o->type == OPTION_SERVERS || o->type == OPTION_ADDRESSES;
}

bool option_set_default(const struct option *o, void *target, struct text *error)
{
    char item[64];
    size_t len;

    if (!o->fallback) {
        return true;
    }
    for (const char *at = o->fallback; *at; at += len + (at[len] == ' ')) {
        len = strcspn(at, " ");
        snprintf(item, sizeof(item), "%.*s", (int)len, at);
        if (!option_set(o, item, target, error)) {
            return false;
        }
    }
    return true;
}
