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

static const struct option_choice approves[] = {
    {"checks", APPROVE_CHECKS}, {"desk", APPROVE_DESK}, {"always", APPROVE_ALWAYS}, {NULL, 0}};
static const struct option_choice tlses[] = {
    {"try", SMTP_TLS_TRY}, {"require", SMTP_TLS_REQUIRE}, {"off", SMTP_TLS_OFF}, {NULL, 0}};
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
    {"redis", "ca", OPTION_FILE, CONF(redis.tls_ca), 0, CONF_FILE_NAME, NULL, NULL},
    {"redis", "certificate", OPTION_FILE, CONF(redis.tls_certificate), 0, CONF_FILE_NAME, NULL, NULL},
    {"redis", "key", OPTION_FILE, CONF(redis.tls_key), 0, CONF_FILE_NAME, NULL, NULL},
    {"redis", "tls-name", OPTION_NAME, CONF(redis.tls_name), 0, sizeof(((struct conf *)0)->redis.tls_name), NULL, NULL},
    {"redis", "sentinel-user", OPTION_SECRET, CONF(redis.sentinel_user), 0, sizeof(((struct conf *)0)->redis.sentinel_user), NULL, NULL},
    {"redis", "sentinel-password", OPTION_SECRET, CONF(redis.sentinel_password), 0, sizeof(((struct conf *)0)->redis.sentinel_password), NULL, NULL},
    {"redis", "ctl-user", OPTION_SECRET, CONF(redis.ctl_user), 0, sizeof(((struct conf *)0)->redis.ctl_user), NULL, NULL},
    {"redis", "ctl-password", OPTION_SECRET, CONF(redis.ctl_password), 0, sizeof(((struct conf *)0)->redis.ctl_password), NULL, NULL},
    {"redis", "when-down", OPTION_CHOICE, CONF(redis.when_down), 0, 0, "local", when_downs},
    {"redis", "deadline", OPTION_MILLISECONDS, CONF(redis.deadline_ms), MS, 10 * SECOND, "50ms", NULL},
    {"redis", "tokens-ahead", OPTION_NUMBER, CONF(redis.tokens_ahead), 1, 1000, "1", NULL},
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
    {"leases", "prefixes", OPTION_PROXIES, CONF(leased), 0, 0, NULL, NULL},
    {"control", "socket", OPTION_PATH, CONF(control_socket), 0, 0, NULL, NULL},
    {"metrics", "listen", OPTION_DOORS, CONF(metrics), 0, 0, NULL, NULL},
    {"bypass", "control", OPTION_PATH, CONF(bypass.control_socket), 0, 0, NULL, NULL},
    {"bypass", "listen", OPTION_DOORS, CONF(bypass.listen), 0, 0, NULL, NULL},
    {"bypass", "hold", OPTION_MILLISECONDS, CONF(bypass.hold_ms), 5 * SECOND, DAY, "5m", NULL},
    {"bypass", "mark-bit", OPTION_NUMBER, CONF(bypass.mark_bit), 1, 31, "28", NULL},
    {"bypass", "fast-path", OPTION_LINKS, CONF(bypass.fast_path), 0, 0, NULL, NULL},
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
    TIMEOUT("retire", retire_ms, 0, "1h"),
    TIMEOUT("submission", submission_ms, MS, "3s"),
    {"web", "listen", OPTION_DOORS, CONF(web.listen), 0, 0, NULL, NULL},
    {"web", "garden", OPTION_DOORS, CONF(web.garden), 0, 0, NULL, NULL},
    {"web", "url", OPTION_SITE, CONF(web.url), 0, sizeof(((struct conf *)0)->web.url), NULL, NULL},
    {"web", "certificate", OPTION_PATH, CONF(web.certificate), 0, 0, NULL, NULL},
    {"web", "key", OPTION_PATH, CONF(web.key), 0, 0, NULL, NULL},
    {"web", "trusted-proxies", OPTION_PROXIES, CONF(web.trusted), 0, 0, NULL, NULL},
    {"web", "pages", OPTION_PATH, CONF(web.pages), 0, 0, "/etc/gate25/pages", NULL},
    {"web", "languages", OPTION_LANGUAGES, CONF(web.languages), 0, 0, "en de", NULL},
    {"web", "connections", OPTION_NUMBER, CONF(web.connections), 1, 100000, "500", NULL},
    {"web", "connections-each", OPTION_NUMBER, CONF(web.connections_each), 1, 100000, "20", NULL},
    {"web", "deadline", OPTION_MILLISECONDS, CONF(web.deadline_ms), SECOND, 10 * MINUTE, "30s", NULL},
    {"web", "requests", OPTION_RATE, CONF(web.requests), 0, 0, "300/1m", NULL},
    {"web", "posts", OPTION_RATE, CONF(web.posts), 0, 0, "30/10m", NULL},
    {"web", "self-releases", OPTION_NUMBER, CONF(web.self_releases), 0, 100, "2", NULL},
    {"web", "release-period", OPTION_SECONDS, CONF(web.release_period_s), MINUTE, 3660 * DAY, "90d", NULL},
    {"web", "since", OPTION_DATE, CONF(web.since), 0, 0, NULL, NULL},
    {"web", "review", OPTION_DATE, CONF(web.review), 0, 0, NULL, NULL},
    {"web", "decides", OPTION_TEXT, CONF(web.decides), 0, sizeof(((struct conf *)0)->web.decides), NULL, NULL},
    {"web", "contact", OPTION_TEXT, CONF(web.contact), 0, sizeof(((struct conf *)0)->web.contact), NULL, NULL},
    {"desk", "from", OPTION_PROXIES, CONF(desk.from), 0, 0, NULL, NULL},
    {"desk", "session", OPTION_SECONDS, CONF(desk.session_s), MINUTE, 7 * DAY, "12h", NULL},
    {"desk", "idle", OPTION_SECONDS, CONF(desk.idle_s), MINUTE, DAY, "30m", NULL},
    {"desk", "sso-header", OPTION_NAME, CONF(desk.sso_header), 0, sizeof(((struct conf *)0)->desk.sso_header), NULL, NULL},
    {"registration", "approve", OPTION_CHOICE, CONF(registration.approve), 0, 0, "checks", approves},
    {"registration", "require", OPTION_CHECKS, CONF(registration.required), 0, 0, "reverse spf", NULL},
    {"registration", "link", OPTION_SECONDS, CONF(registration.link_s), SECOND, 30 * DAY, "24h", NULL},
    {"registration", "term", OPTION_SECONDS, CONF(registration.term_s), SECOND, 3660 * DAY, "365d", NULL},
    {"registration", "reminder", OPTION_SECONDS, CONF(registration.reminder_s), 0, 3660 * DAY, "30d", NULL},
    {"registration", "probation", OPTION_SECONDS, CONF(registration.probation_s), 0, 3660 * DAY, "14d", NULL},
    {"registration", "probation-class", OPTION_NAME, CONF(registration.probation_class), 0, sizeof(((struct conf *)0)->registration.probation_class), "probation", NULL},
    {"mail", "smarthost", OPTION_SMARTHOST, CONF(mail.smarthost), 0, sizeof(((struct conf *)0)->mail.smarthost), NULL, NULL},
    {"mail", "from", OPTION_MAILBOX, CONF(mail.from), 0, sizeof(((struct conf *)0)->mail.from), NULL, NULL},
    {"mail", "name", OPTION_TEXT, CONF(mail.name), 0, sizeof(((struct conf *)0)->mail.name), NULL, NULL},
    {"mail", "tls", OPTION_CHOICE, CONF(mail.tls), 0, 0, "try", tlses},
    {"mail", "retry", OPTION_MILLISECONDS, CONF(mail.retry_ms), MS, DAY, "1m", NULL},
    {"mail", "give-up", OPTION_MILLISECONDS, CONF(mail.give_up_ms), MS, 7 * DAY, "4h", NULL},
    {"mail", "deadline", OPTION_MILLISECONDS, CONF(mail.deadline_ms), SECOND, 60 * MINUTE, "2m", NULL},
    {NULL, NULL, OPTION_NUMBER, 0, 0, 0, NULL, NULL},
};
/* clang-format on */

bool option_is_list(const struct option *o)
{
    static const bool lists[OPTION_TYPES] = {
        [OPTION_RATES] = true,     [OPTION_PREFIXES] = true, [OPTION_ENDPOINTS] = true,
        [OPTION_RESOLVERS] = true, [OPTION_SERVERS] = true,  [OPTION_ADDRESSES] = true,
        [OPTION_CHECKS] = true,    [OPTION_DOORS] = true,    [OPTION_PROXIES] = true,
        [OPTION_LANGUAGES] = true, [OPTION_LINKS] = true,
    };

    return lists[o->type];
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
