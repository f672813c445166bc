/* What stands behind an option: each type's check of a text, and its way into the field. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_options_internal.h"
#include "core/admission.h"
#include "core/submission.h"
#include "svc/conf_options.h"
#include "svc/redis_url.h"

#define SCHEME_SHOWN 64
#define FASTEST      1000 /* tokens a microsecond: above it rate_available() would be slow */

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

bool conf_wrong(struct text *error, const char *text, const char *what, const char *allowed)
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
    if (choice->name) {
        memcpy(field, &choice->value, sizeof(choice->value));
        return true;
    }
    add_quoted(error, text);
    text_addf(error, " is not allowed; allowed: ");
    for (const struct option_choice *c = o->choices; c->name; c++) {
        text_addf(error, "%s%s", c == o->choices ? "" : ", ", c->name);
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
    return conf_wrong(error, text, "is not allowed", "true, false");
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
        return conf_wrong(error, text, "is not allowed", "an absolute path");
    }
    copy = strdup(text);
    if (!copy) {
        return no_memory(error);
    }
    free(*(char **)field);
    *(char **)field = copy;
    return true;
}

static bool set_file(const struct option *o, const char *text, void *field, struct text *error)
{
    size_t len = strlen(text);

    if (text[0] != '/' || len >= o->most) {
        add_quoted(error, text);
        text_addf(
            error, " is not allowed; allowed: an absolute path of up to %" PRIu64 " bytes",
            o->most - 1);
        return false;
    }
    memcpy(field, text, len + 1);
    return true;
}

static bool set_secret(const struct option *o, const char *text, void *field, struct text *error)
{
    size_t len = strlen(text);
    bool good = len > 0 && len < o->most;

    for (size_t i = 0; i < len; i++) {
        good = good && text[i] >= ' ' && text[i] < 0x7f;
    }
    if (!good) {
        text_addf(
            error, "is not allowed; allowed: 1 to %" PRIu64 " printable ASCII characters",
            o->most - 1);
        return false;
    }
    memcpy(field, text, len + 1);
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

bool conf_set_rate(const struct option *o, const char *text, void *field, struct text *error)
{
    struct rate rate;

    (void)o;
    if (!conf_parse_rate(span_of(text), &rate) || rate.period_us % SECOND != 0 ||
        rate.period_us > 366 * DAY || rate.count / rate.period_us >= FASTEST) {
        return conf_wrong(
            error, text, "is not allowed",
            "COUNT/PERIOD, such as \"30/1m\": a count of 1 or more (k, M, G), fewer than 1G a "
            "second,"
            " and whole seconds from 1s to 366d (s, m, h, d)");
    }
    *(struct rate *)field = rate;
    return true;
}

static bool add_rate(const struct option *o, const char *text, void *field, struct text *error)
{
    struct limit *limit = field;
    struct rate rate;

    if (!conf_set_rate(o, text, &rate, error)) {
        return false;
    }
    for (unsigned i = 0; i < limit->windows; i++) {
        if (limit->window[i].period_us == rate.period_us) {
            return conf_wrong(
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

bool conf_add_prefix(struct prefix **list, size_t *count, const char *text, struct text *error)
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
        return conf_wrong(error, text, faults[fault], nearest);
    }
    if (fault != PREFIX_OK) {
        return conf_wrong(error, text, faults[fault], allowed);
    }
    if (addr_is_v4_mapped(&p.addr) && p.len >= 96) {
        return conf_wrong(error, text, "is an IPv4 address in an IPv6 one", allowed);
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
    return conf_add_prefix(&c->prefixes, &c->prefix_count, text, error);
}

static bool add_server(const struct option *o, const char *text, void *target, struct text *error)
{
    struct conf_submission *s = &((struct conf *)target)->submission;

    (void)o;
    return conf_add_prefix(&s->own, &s->own_count, text, error);
}

static bool add_service(const struct option *o, const char *text, void *target, struct text *error)
{
    static const char allowed[] = "an IPv4 and an IPv6 address of the submission service";
    struct conf_submission *s = &((struct conf *)target)->submission;
    struct addr a, *more;

    (void)o;
    if (!addr_parse(span_of(text), &a) || addr_is_v4_mapped(&a)) {
        return conf_wrong(error, text, "is no address", allowed);
    }
    if (admission_takes_no_mail(&a)) {
        return conf_wrong(error, text, "is no address of a server", allowed);
    }
    if (submission_service(s, a.family)) {
        return conf_wrong(error, text, "is a second one of its family", allowed);
    }
    more = reallocarray(s->service, s->service_count + 1, sizeof(*more));
    if (!more) {
        return no_memory(error);
    }
    s->service = more;
    s->service[s->service_count++] = a;
    return true;
}

bool conf_add_endpoint(struct endpoint **list, size_t *count, const char *text, struct text *error)
{
    static const char allowed[] = "ADDRESS:PORT, such as \"127.0.0.1:2525\" or \"[::1]:2525\"";
    struct endpoint e, *more;

    if (!endpoint_parse(span_of(text), &e) || e.port == 0 || addr_is_v4_mapped(&e.addr)) {
        return conf_wrong(error, text, "is not allowed", allowed);
    }
    for (size_t i = 0; i < *count; i++) {
        if (endpoint_equal(&(*list)[i], &e)) {
            return conf_wrong(error, text, "is there twice", "each address and port once");
        }
    }
    more = reallocarray(*list, *count + 1, sizeof(*more));
    if (!more) {
        return no_memory(error);
    }
    *list = more;
    more[(*count)++] = e;
    return true;
}

static bool add_endpoint(const struct option *o, const char *text, void *target, struct text *error)
{
    struct conf *c = target;

    (void)o;
    return conf_add_endpoint(&c->listen, &c->listen_count, text, error);
}

static bool add_resolver(const struct option *o, const char *text, void *field, struct text *error)
{
    struct conf_spf *spf = field;
    struct endpoint e = {.port = 53};

    (void)o;
    if ((!addr_parse(span_of(text), &e.addr) && !endpoint_parse(span_of(text), &e)) ||
        e.port == 0 || addr_is_v4_mapped(&e.addr)) {
        return conf_wrong(
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

/* What the kernel takes for a name; whether there is such a link shows when it is needed. */
static bool add_link(const struct option *o, const char *text, void *field, struct text *error)
{
    struct link_list *list = field;
    size_t len = strlen(text);

    (void)o;
    if (len == 0 || len >= CONF_LINK || strpbrk(text, " \t\r\n/:") || strcmp(text, ".") == 0 ||
        strcmp(text, "..") == 0) {
        return conf_wrong(
            error, text, "is no network interface's name", "1 to 15 bytes, such as \"eth0\"");
    }
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->at[i], text) == 0) {
            return conf_wrong(error, text, "is there twice", "each network interface once");
        }
    }
    if (list->count == CONF_LINKS) {
        return conf_wrong(error, text, "is one too many", "up to 16 in a list");
    }
    memcpy(list->at[list->count++], text, len + 1);
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
        [OPTION_FILE] = set_file,
        [OPTION_SECRET] = set_secret,
        [OPTION_PATH] = set_path,
        [OPTION_REDIS] = set_redis,
        [OPTION_COUNT] = set_number,
        [OPTION_RATES] = add_rate,
        [OPTION_PREFIXES] = add_prefix,
        [OPTION_ENDPOINTS] = add_endpoint,
        [OPTION_SERVERS] = add_server,
        [OPTION_ADDRESSES] = add_service,
        [OPTION_RESOLVERS] = add_resolver,
        [OPTION_TEXT] = conf_set_text,
        [OPTION_DATE] = conf_set_date,
        [OPTION_SITE] = conf_set_site,
        [OPTION_RATE] = conf_set_rate,
        [OPTION_DOORS] = conf_add_door,
        [OPTION_PROXIES] = conf_add_proxy,
        [OPTION_LANGUAGES] = conf_add_language,
        [OPTION_LINKS] = add_link,
        [OPTION_CHECKS] = conf_add_check,
        [OPTION_SMARTHOST] = conf_set_smarthost,
        [OPTION_MAILBOX] = conf_set_mailbox,
    };

    return setters[o->type](o, text, (char *)target + o->offset, error);
}
