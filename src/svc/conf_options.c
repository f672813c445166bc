#include "svc/conf_options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/submission.h"
#include "svc/redis_url.h"

#define MS     1000ull /* microseconds */
#define SECOND (1000 * MS)
#define MINUTE (60 * SECOND)
#define DAY    (24 * 60 * MINUTE)

#define SCHEME_SHOWN 64
#define FASTEST      1000 /* tokens a microsecond: above it rate_available() would be slow */

static const struct option_choice modes[] = {
    {"tproxy", INTERCEPT_TPROXY, false}, {"redirect", INTERCEPT_REDIRECT, false}, {NULL, 0, false}};
static const struct option_choice when_downs[] = {
    {"local", WHEN_DOWN_LOCAL, false},
    {"pass", WHEN_DOWN_PASS, false},
    {"refuse", WHEN_DOWN_REFUSE, false},
    {NULL, 0, false}};
static const struct option_choice actions[] = {
    {"pass", ACTION_PASS, false},
    {"meter", ACTION_METER, false},
    {"submit", ACTION_SUBMIT, false},
    {"refuse", ACTION_REFUSE, false},
    {NULL, 0, false}};
static const struct option_choice overs[] = {
    {"defer", OVER_DEFER, false},
    {"submit", OVER_SUBMIT, false},
    {"refuse", OVER_REFUSE, false},
    {NULL, 0, false}};
static const struct option_choice opaques[] = {
    {"turns", OPAQUE_TURNS, false},
    {"session", OPAQUE_SESSION, false},
    {"off", OPAQUE_OFF, false},
    {NULL, 0, false}};
static const struct option_choice starttlses[] = {
    {"pass", STARTTLS_PASS, false}, {"refuse", STARTTLS_REFUSE, false}, {NULL, 0, false}};
static const struct option_choice bare_lfs[] = {
    {"normalize", BARE_LF_NORMALIZE, false}, {"refuse", BARE_LF_REFUSE, false}, {NULL, 0, false}};
static const struct option_choice envelopes[] = {
    {"full", ENVELOPE_FULL, false},
    {"domains", ENVELOPE_DOMAINS, false},
    {"none", ENVELOPE_NONE, false},
    {NULL, 0, false}};

static const struct option_choice spf_uses[] = {
    {"off", SPF_USE_OFF, false},
    {"log", SPF_USE_LOG, false},
    {"meter", SPF_USE_METER, false},
    {"refuse", SPF_USE_REFUSE, false},
    {NULL, 0, false}};

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

/* Quotes what the file says; messages stay one line of text. */
static void add_quoted(struct text *out, const char *text)
{
    text_add(out, SPAN_LITERAL("\""));
    for (const char *p = text; *p; p++) {
        bool control = (unsigned char)*p < ' ' || *p == 0x7f;

        text_add(out, control ? SPAN_LITERAL("?") : (struct span){p, 1});
    }
    text_add(out, SPAN_LITERAL("\""));
}

static bool wrong(struct text *error, const char *text, const char *what, const char *allowed)
{
    add_quoted(error, text);
    text_addf(error, " %s; allowed: %s", what, allowed);
    return false;
}

static bool no_memory(struct text *error)
{
    text_addf(error, "out of memory");
    return false;
}

static bool set_number(const struct option *o, const char *text, void *field, struct text *error)
{
    uint64_t number;

    if (!span_number(span_of(text), o->most, &number) || number < o->least) {
        add_quoted(error, text);
        text_addf(
            error, " is not allowed; allowed: a number from %" PRIu64 " to %" PRIu64, o->least,
            o->most);
        return false;
    }
    if (o->type == OPTION_COUNT) {
        *(struct limit *)field = (struct limit){.windows = 1, .window = {{number, 1}}};
    } else {
        *(unsigned *)field = (unsigned)number;
    }
    return true;
}

static bool set_duration(const struct option *o, const char *text, void *field, struct text *error)
{
    uint64_t us;

    if (!conf_parse_duration(span_of(text), &us) || us < o->least || us > o->most) {
        add_quoted(error, text);
        text_addf(error, " is not allowed; allowed: a number and ms, s, m, h or d, from ");
        conf_duration_text(o->least, error);
        text_addf(error, " to ");
        conf_duration_text(o->most, error);
        return false;
    }
    if (o->type == OPTION_SECONDS) {
        *(uint64_t *)field = us / SECOND;
    } else {
        *(uint32_t *)field = (uint32_t)(us / MS);
    }
    return true;
}

static bool set_choice(const struct option *o, const char *text, void *field, struct text *error)
{
    const struct option_choice *choice = o->choices;

    while (choice->name && strcmp(choice->name, text) != 0) {
        choice++;
    }
    if (choice->name && !choice->later) {
        memcpy(field, &choice->value, sizeof(choice->value));
        return true;
    }
    add_quoted(error, text);
    text_addf(error, "%s", choice->name ? " is not in this version" : " is not allowed");
    text_addf(error, "; allowed: ");
    for (const struct option_choice *c = o->choices; c->name; c++) {
        if (!c->later) {
            text_addf(error, "%s%s", c == o->choices ? "" : ", ", c->name);
        }
    }
    return false;
}

static bool set_flag(const struct option *o, const char *text, void *field, struct text *error)
{
    static const char *const words[][2] = {{"false", "true"}, {"no", "yes"}, {"off", "on"}};

    (void)o;
    for (size_t i = 0; i < 3; i++) {
        for (size_t flag = 0; flag < 2; flag++) {
            if (strcmp(text, words[i][flag]) == 0) {
                *(bool *)field = flag;
                return true;
            }
        }
    }
    return wrong(error, text, "is not allowed", "true, false");
}

static bool set_name(const struct option *o, const char *text, void *field, struct text *error)
{
    size_t len = strlen(text);

    if (len == 0 || len >= o->most ||
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") != len) {
        add_quoted(error, text);
        text_addf(
            error,
            " is not allowed; allowed: 1 to %" PRIu64 " letters, digits, \".\", \"-\", \"_\"",
            o->most - 1);
        return false;
    }
    memcpy(field, text, len + 1);
    return true;
}

/* It goes into SMTP replies: printable ASCII without blanks. */
static bool set_web(const struct option *o, const char *text, void *field, struct text *error)
{
    struct span url = span_of(text);
    bool good = url.len > 8 && url.len < o->most &&
                (span_starts_nocase(url, SPAN_LITERAL("https://")) ||
                 span_starts_nocase(url, SPAN_LITERAL("http://")));

    for (size_t i = 0; i < url.len; i++) {
        good = good && url.at[i] > ' ' && url.at[i] < 0x7f;
    }
    if (!good) {
        add_quoted(error, text);
        text_addf(
            error,
            " is not allowed; allowed: an http:// or https:// URL of up to %" PRIu64
            " printable ASCII characters",
            o->most - 1);
        return false;
    }
    memcpy(field, text, url.len + 1);
    return true;
}

static bool set_path(const struct option *o, const char *text, void *field, struct text *error)
{
    char *copy;

    (void)o;
    if (text[0] != '/') {
        return wrong(error, text, "is not allowed", "an absolute path");
    }
    copy = strdup(text);
    if (!copy) {
        return no_memory(error);
    }
    free(*(char **)field);
    *(char **)field = copy;
    return true;
}

static bool set_redis(const struct option *o, const char *text, void *field, struct text *error)
{
    const char *fault = redis_url_parse(span_of(text), field);

    (void)o;
    if (fault) {
        /* Not the URL itself: it may hold a password. */
        char scheme[SCHEME_SHOWN];
        snprintf(scheme, sizeof(scheme), "%.*s", (int)strcspn(text, ":/"), text);
        add_quoted(error, scheme);
        text_addf(error, " %s; allowed: " REDIS_URL_ALLOWED, fault);
    }
    return !fault;
}

static bool add_rate(const struct option *o, const char *text, void *field, struct text *error)
{
    struct limit *limit = field;
    struct rate rate;

    (void)o;
    if (!conf_parse_rate(span_of(text), &rate) || rate.period_us % SECOND != 0 ||
        rate.period_us > 366 * DAY || rate.count / rate.period_us >= FASTEST) {
        return wrong(
            error, text, "is not allowed",
            "COUNT/PERIOD, such as \"30/1m\": a count of 1 or more (k, M, G), fewer than 1G a "
            "second,"
            " and whole seconds from 1s to 366d (s, m, h, d)");
    }
    for (unsigned i = 0; i < limit->windows; i++) {
        if (limit->window[i].period_us == rate.period_us) {
            return wrong(
                error, text, "has the period of an earlier one",
                "one COUNT/PERIOD for each period");
        }
    }
    if (limit->windows == CONF_WINDOWS) {
        add_quoted(error, text);
        text_addf(error, " is one too many; allowed: up to %d in a list", CONF_WINDOWS);
        return false;
    }
    limit->window[limit->windows++] = rate;
    return true;
}

static bool append_prefix(
    struct prefix **list, size_t *count, const struct prefix *p, struct text *error)
{
    struct prefix *more = reallocarray(*list, *count + 1, sizeof(*more));

    if (!more) {
        return no_memory(error);
    }
    *list = more;
    more[(*count)++] = *p;
    return true;
}

static bool add_prefix_to(struct prefix **list, size_t *count, const char *text, struct text *error)
{
    static const char allowed[] = "ADDRESS/LENGTH, such as \"192.0.2.0/24\" or \"2001:db8:1::/48\"";
    static const char *const faults[] = {
        [PREFIX_OK] = NULL,
        [PREFIX_BAD_ADDRESS] = "has no IPv4 or IPv6 address",
        [PREFIX_BAD_LENGTH] = "has a bad length",
        [PREFIX_HOST_BITS] = "has bits behind its length"};
    struct prefix p;
    char nearest[PREFIX_TEXT];
    enum prefix_error fault = prefix_parse(span_of(text), &p);

    if (fault == PREFIX_HOST_BITS) {
        prefix_format(&p, nearest);
        return wrong(error, text, faults[fault], nearest);
    }
    if (fault != PREFIX_OK) {
        return wrong(error, text, faults[fault], allowed);
    }
    if (addr_is_v4_mapped(&p.addr) && p.len >= 96) {
        return wrong(error, text, "is an IPv4 address in an IPv6 one", allowed);
    }
    for (size_t i = 0; i < *count; i++) {
        if (prefix_overlaps(&(*list)[i], &p)) {
            prefix_format(&(*list)[i], nearest);
            add_quoted(error, text);
            text_addf(
                error, " overlaps %s; allowed: prefixes that have no address in common", nearest);
            return false;
        }
    }
    return append_prefix(list, count, &p, error);
}

static bool add_prefix(const struct option *o, const char *text, void *target, struct text *error)
{
    struct conf *c = target;

    (void)o;
    return add_prefix_to(&c->prefixes, &c->prefix_count, text, error);
}

static bool add_server(const struct option *o, const char *text, void *target, struct text *error)
{
    struct conf_submission *s = &((struct conf *)target)->submission;

    (void)o;
    return add_prefix_to(&s->own, &s->own_count, text, error);
}

static bool add_service(const struct option *o, const char *text, void *target, struct text *error)
{
    static const char allowed[] = "an IPv4 and an IPv6 address of the submission service";
    struct conf_submission *s = &((struct conf *)target)->submission;
    struct addr a, *more;

    (void)o;
    if (!addr_parse(span_of(text), &a) || addr_is_v4_mapped(&a)) {
        return wrong(error, text, "is no address", allowed);
    }
    if (submission_service(s, a.family)) {
        return wrong(error, text, "is a second one of its family", allowed);
    }
    more = reallocarray(s->service, s->service_count + 1, sizeof(*more));
    if (!more) {
        return no_memory(error);
    }
    s->service = more;
    s->service[s->service_count++] = a;
    return true;
}

static bool add_endpoint(const struct option *o, const char *text, void *target, struct text *error)
{
    static const char allowed[] = "ADDRESS:PORT, such as \"127.0.0.1:2525\" or \"[::1]:2525\"";
    struct conf *c = target;
    struct endpoint e, *more;

    (void)o;
    if (!endpoint_parse(span_of(text), &e) || e.port == 0 || addr_is_v4_mapped(&e.addr)) {
        return wrong(error, text, "is not allowed", allowed);
    }
    for (size_t i = 0; i < c->listen_count; i++) {
        if (endpoint_equal(&c->listen[i], &e)) {
            return wrong(error, text, "is there twice", "each address and port once");
        }
    }
    more = reallocarray(c->listen, c->listen_count + 1, sizeof(*more));
    if (!more) {
        return no_memory(error);
    }
    c->listen = more;
    c->listen[c->listen_count++] = e;
    return true;
}

static bool add_resolver(const struct option *o, const char *text, void *field, struct text *error)
{
    struct conf_spf *spf = field;
    struct endpoint e = {.port = 53};

    (void)o;
    if ((!addr_parse(span_of(text), &e.addr) && !endpoint_parse(span_of(text), &e)) ||
        e.port == 0 || addr_is_v4_mapped(&e.addr)) {
        return wrong(
            error, text, "is not allowed",
            "ADDRESS or ADDRESS:PORT, such as \"192.0.2.53\" or \"[2001:db8::53]:5353\"");
    }
    if (spf->resolver_count == CONF_RESOLVERS) {
        add_quoted(error, text);
        text_addf(error, " is one too many; allowed: up to %d in a list", CONF_RESOLVERS);
        return false;
    }
    spf->resolvers[spf->resolver_count++] = e;
    return true;
}

bool option_set(const struct option *o, const char *text, void *target, struct text *error)
{
    static bool (*const setters[])(
        const struct option *o, const char *text, void *field, struct text *error) = {
        [OPTION_NUMBER] = set_number,
        [OPTION_MILLISECONDS] = set_duration,
        [OPTION_SECONDS] = set_duration,
        [OPTION_CHOICE] = set_choice,
        [OPTION_FLAG] = set_flag,
        [OPTION_NAME] = set_name,
        [OPTION_WEB] = set_web,
        [OPTION_PATH] = set_path,
        [OPTION_REDIS] = set_redis,
        [OPTION_COUNT] = set_number,
        [OPTION_RATES] = add_rate,
        [OPTION_PREFIXES] = add_prefix,
        [OPTION_ENDPOINTS] = add_endpoint,
        [OPTION_SERVERS] = add_server,
        [OPTION_ADDRESSES] = add_service,
        [OPTION_RESOLVERS] = add_resolver,
    };

    return setters[o->type](o, text, (char *)target + o->offset, error);
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
