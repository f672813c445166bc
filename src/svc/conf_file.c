#include "svc/conf_file.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/registration.h"
#include "core/submission.h"
#include "net/tls_client.h"
#include "svc/conf_options.h"
#include "svc/conf_syntax.h"

#define MESSAGE 1024

struct reader {
    const char *file;
    cfg_t *cfg;
    struct conf *conf;
    struct text *error;
};

static bool __attribute__((format(printf, 3, 4)))
fail(const struct reader *r, int line, const char *format, ...)
{
    char array[MESSAGE];
    va_list arguments;

    va_start(arguments, format);
    if (vsnprintf(array, sizeof(array), format, arguments) < 0) {
        array[0] = '\0';
    }
    va_end(arguments);
    text_addf(r->error, "%s:%d: %s", r->file, line > 0 ? line : 1, array);
    return false;
}

static bool set_values(
    const struct reader *r, const struct option *o, const cfg_t *section, const cfg_opt_t *opt,
    void *target)
{
    char array[MESSAGE];
    struct text error;

    text_init(&error, array, sizeof(array));
    if (opt->nvalues == 0) {
        return option_set_default(o, target, &error) ||
               fail(r, conf_syntax_line(section), "%s", array);
    }
    for (unsigned i = 0; i < opt->nvalues; i++) {
        const struct conf_value *value = opt->values[i]->ptr;

        if (option_set(o, value->text, target, &error)) {
            continue;
        }
        return section->title
                   ? fail(r, value->line, "class %s: %s: %s", section->title, o->name, array)
                   : fail(r, value->line, "%s.%s: %s", section->name, o->name, array);
    }
    return true;
}

static bool set_section(const struct reader *r, cfg_t *section, void *target)
{
    for (const struct option *o = conf_options; o->name; o++) {
        if (strcmp(o->section, section->name) == 0 &&
            !set_values(r, o, section, cfg_getopt(section, o->name), target)) {
            return false;
        }
    }
    return true;
}

static bool check_class(const struct reader *r, cfg_t *section, const struct conf_class *class)
{
    const cfg_opt_t *action = cfg_getopt(section, "action");

    if (action->nvalues == 0) {
        return fail(
            r, conf_syntax_line(section),
            "class %s: has no action; allowed: action = \"pass\", \"meter\", \"submit\" or "
            "\"refuse\"",
            class->name);
    }
    if (class->action != ACTION_METER) {
        return true;
    }
    for (unsigned kind = 0; kind < LIMIT_KINDS; kind++) {
        if (class->limit[kind].windows > 0) {
            return true;
        }
    }
    return fail(
        r, ((const struct conf_value *)action->values[0]->ptr)->line,
        "class %s: action \"meter\" without any limit; allowed: one or more of sessions, messages, "
        "recipients, bytes, spread, concurrent",
        class->name);
}

static bool set_class(const struct reader *r, cfg_t *section, struct conf_class *class)
{
    size_t len = strlen(section->title);

    if (len == 0 || len >= sizeof(class->name) ||
        strspn(section->title, "abcdefghijklmnopqrstuvwxyz0123456789-_") != len) {
        return fail(
            r, conf_syntax_line(section),
            "class: this name is not allowed; allowed: 1 to %d of a-z, 0-9, \"-\", \"_\"",
            CONF_NAME - 1);
    }
    memcpy(class->name, section->title, len + 1);
    return set_section(r, section, class) && check_class(r, section, class);
}

static bool set_classes(const struct reader *r)
{
    cfg_opt_t *opt = cfg_getopt(r->cfg, OPTION_CLASS);
    const struct conf_class *ordinary;

    r->conf->classes = calloc(opt->nvalues + 1, sizeof(*r->conf->classes));
    if (!r->conf->classes) {
        return fail(r, 1, "out of memory");
    }
    for (unsigned i = 0; i < opt->nvalues; i++) {
        if (!set_class(r, opt->values[i]->section, &r->conf->classes[i])) {
            return false;
        }
        r->conf->class_count++;
    }
    ordinary = conf_class_named(r->conf, SPAN_LITERAL(CONF_DEFAULT_CLASS));
    if (!ordinary) {
        return fail(
            r, 1,
            "class " CONF_DEFAULT_CLASS " is missing, which is that of every subscriber of "
            "whom nothing else is known; allowed: class " CONF_DEFAULT_CLASS " { ... }");
    }
    r->conf->default_class = (size_t)(ordinary - r->conf->classes);
    return true;
}

/* A session keeps its family on its way: the subscriber's own address is of one. */
static bool check_submission(const struct reader *r)
{
    const struct conf_submission *s = &r->conf->submission;
    char server[PREFIX_TEXT];

    for (size_t i = 0; i < s->own_count; i++) {
        if (!submission_service(s, s->own[i].addr.family)) {
            prefix_format(&s->own[i], server);
            return fail(
                r, conf_syntax_line(cfg_getsec(r->cfg, "submission")),
                "submission.for: %s has no submission service of its family; allowed: with `for`, "
                "address = { ... } with an address of the service for each family in it",
                server);
        }
    }
    return true;
}

/* One subscriber is all of a unit: a part of it cannot be one, with the rest somebody else's. */
static bool check_units(const struct reader *r)
{
    cfg_t *section = cfg_getsec(r->cfg, "subscribers");
    const cfg_opt_t *opt = cfg_getopt(section, "prefixes");

    for (size_t i = 0; i < r->conf->prefix_count; i++) {
        const struct prefix *p = &r->conf->prefixes[i];

        if (p->addr.family == ADDR_IPV6 && p->len > r->conf->ipv6_unit) {
            const struct conf_value *value = opt->values[i]->ptr;

            return fail(
                r, value->line,
                "subscribers.prefixes: \"%s\" is smaller than one subscriber's prefix "
                "(ipv6-unit = %u); allowed: a length of up to %u, or a larger ipv6-unit (up to 64)",
                value->text, r->conf->ipv6_unit, r->conf->ipv6_unit);
        }
    }
    return true;
}

static bool is_subscribers(const struct conf *c, const struct prefix *p)
{
    for (size_t i = 0; i < c->prefix_count; i++) {
        if (p->len >= c->prefixes[i].len && prefix_contains(&c->prefixes[i], &p->addr)) {
            return true;
        }
    }
    return false;
}

/* A unit is leased as a whole or not at all. */
static bool check_leases(const struct reader *r)
{
    cfg_t *section = cfg_getsec(r->cfg, "leases");
    const cfg_opt_t *opt = cfg_getopt(section, "prefixes");

    for (size_t i = 0; i < r->conf->leased.count; i++) {
        const struct prefix *p = &r->conf->leased.at[i];
        const struct conf_value *value = opt->values[i]->ptr;

        if (!is_subscribers(r->conf, p)) {
            return fail(
                r, value->line,
                "leases.prefixes: \"%s\" is not within the subscribers' prefixes; allowed: those "
                "in "
                "subscribers.prefixes, and parts of them",
                value->text);
        }
        if (p->addr.family == ADDR_IPV6 && p->len > r->conf->ipv6_unit) {
            return fail(
                r, value->line,
                "leases.prefixes: \"%s\" is smaller than one subscriber's prefix (ipv6-unit = %u); "
                "allowed: a length of up to %u",
                value->text, r->conf->ipv6_unit, r->conf->ipv6_unit);
        }
    }
    return true;
}

static bool check_web(const struct reader *r)
{
    const struct conf_web *w = &r->conf->web;
    int line = conf_syntax_line(cfg_getsec(r->cfg, "web"));

    if (w->listen.count == 0) {
        return w->garden.count == 0 ||
               fail(
                   r, line, "web.garden: there is no site; allowed: with `garden`, listen and url");
    }
    if (!w->url[0]) {
        return fail(
            r, line,
            "web.url: is missing; allowed: url = \"https://HOST\", as subscribers reach the site");
    }
    if (!w->certificate != !w->key) {
        return fail(
            r, line, "web.%s: is missing; allowed: certificate and key, or neither of them",
            w->certificate ? "key" : "certificate");
    }
    if (!w->certificate && w->trusted.count == 0) {
        return fail(
            r, line,
            "web.certificate: is missing; allowed: certificate and key, or trusted-proxies = { ... "
            "}, the proxy that speaks TLS for the site");
    }
    if (strcmp(w->languages.at[0], "en") != 0) {
        return fail(
            r, line,
            "web.languages: does not begin with \"en\", the language of pages that others lack; "
            "allowed: languages = { \"en\", ... }");
    }
    return true;
}

/* Says of a TLS that could never work what is wrong with it, before anybody relies on it. */
static bool check_redis(const struct reader *r)
{
    const struct conf_redis *c = &r->conf->redis;
    const struct tls_client_files files = {
        .ca = c->tls_ca, .certificate = c->tls_certificate, .key = c->tls_key};
    int line = conf_syntax_line(cfg_getsec(r->cfg, "redis"));
    struct tls_client_context *tls;
    char why[CONF_FILE_NAME + 100];
    struct text error;

    if (!c->tls && (c->tls_ca[0] || c->tls_certificate[0] || c->tls_key[0] || c->tls_name[0])) {
        return fail(
            r, line,
            "redis: ca, certificate, key and tls-name are for TLS; allowed: with them, a url that "
            "begins with rediss://, rediss-sentinel:// or rediss-cluster://");
    }
    if (c->kind != REDIS_SENTINEL && (c->sentinel_user[0] || c->sentinel_password[0])) {
        return fail(
            r, line,
            "redis: sentinel-user and sentinel-password are for sentinels; allowed: with them, a "
            "url that begins with redis-sentinel:// or rediss-sentinel://");
    }
    if (c->tls_key[0] && !c->tls_certificate[0]) {
        return fail(r, line, "redis.key: is of no use; allowed: with it, certificate = FILE");
    }
    if (!c->tls) {
        return true;
    }
    text_init(&error, why, sizeof(why));
    tls = tls_client_context_new(&files, &error);
    tls_client_context_free(tls);
    return tls != NULL || fail(r, line, "redis: %s; allowed: files in PEM form", why);
}

static bool check_desk(const struct reader *r)
{
    int line = conf_syntax_line(cfg_getsec(r->cfg, "desk"));

    if (r->conf->desk.sso_header[0] && r->conf->web.trusted.count == 0) {
        return fail(
            r, line,
            "desk.sso-header: nobody may send it; allowed: with web.trusted-proxies = { ... }, the "
            "proxy that logs operators in");
    }
    return true;
}

/* Without a smarthost nobody registers, and nothing of it has to be there. */
static bool check_registration(const struct reader *r)
{
    const struct conf_registration *g = &r->conf->registration;
    const char *wanted[] = {REGISTRATION_CLASS, g->probation_s > 0 ? g->probation_class : NULL};

    if (!r->conf->mail.smarthost[0] || r->conf->web.listen.count == 0) {
        return true;
    }
    if (!r->conf->mail.from[0]) {
        return fail(
            r, conf_syntax_line(cfg_getsec(r->cfg, "mail")),
            "mail.from: is missing; allowed: with `smarthost`, from = \"NAME@DOMAIN\"");
    }
    for (size_t i = 0; i < 2; i++) {
        if (wanted[i] && !conf_class_named(r->conf, span_of(wanted[i]))) {
            return fail(
                r, conf_syntax_line(cfg_getsec(r->cfg, "registration")),
                "registration: there is no class %s for registered lines; allowed: class %s { ... "
                "}%s",
                wanted[i], wanted[i], i == 0 ? "" : ", or probation = 0s");
        }
    }
    if (g->reminder_s >= g->term_s) {
        return fail(
            r, conf_syntax_line(cfg_getsec(r->cfg, "registration")),
            "registration.reminder: is not shorter than term; allowed: a time before its end");
    }
    return true;
}

static bool set_all(const struct reader *r)
{
    for (cfg_opt_t *opt = r->cfg->opts; opt->name; opt++) {
        if (opt->type == CFGT_SEC && strcmp(opt->name, OPTION_CLASS) != 0 &&
            !set_section(r, opt->values[0]->section, r->conf)) {
            return false;
        }
    }
    if (r->conf->prefix_count == 0) {
        return fail(
            r, conf_syntax_line(cfg_getsec(r->cfg, "subscribers")),
            "subscribers.prefixes: is missing; allowed: prefixes = { \"192.0.2.0/24\", ... }, the "
            "subscribers' address space");
    }
    if (!r->conf->node[0] && gethostname(r->conf->node, sizeof(r->conf->node) - 1) != 0) {
        memcpy(r->conf->node, "localhost", sizeof("localhost"));
    }
    return check_units(r) && check_leases(r) && check_submission(r) && check_redis(r) &&
           check_web(r) && check_desk(r) && set_classes(r) && check_registration(r);
}

struct conf *conf_file_read(const char *file, struct text *error)
{
    struct reader r = {.file = file, .error = error, .cfg = conf_syntax_read(file, error)};
    bool good;

    if (!r.cfg) {
        return NULL;
    }
    r.conf = calloc(1, sizeof(*r.conf));
    if (r.conf) {
        r.conf->references = 1;
    }
    good = r.conf ? set_all(&r) : fail(&r, 1, "out of memory");
    cfg_free(r.cfg);
    if (good) {
        return r.conf;
    }
    conf_release(r.conf);
    return NULL;
}

struct conf *conf_hold(struct conf *c)
{
    c->references++;
    return c;
}

void conf_release(struct conf *c)
{
    if (!c || --c->references > 0) {
        return;
    }
    free(c->prefixes);
    free(c->leased.at);
    free(c->submission.own);
    free(c->submission.service);
    free(c->listen);
    free(c->classes);
    free(c->journal_file);
    free(c->registry_copy);
    free(c->control_socket);
    free(c->metrics.at);
    free(c->web.listen.at);
    free(c->web.garden.at);
    free(c->web.trusted.at);
    free(c->desk.from.at);
    free(c->web.certificate);
    free(c->web.key);
    free(c->web.pages);
    explicit_bzero(c, sizeof(*c));
    free(c);
}

static bool same_endpoints(const struct endpoint *a, const struct endpoint *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!endpoint_equal(&a[i], &b[i])) {
            return false;
        }
    }
    return true;
}

static bool same_intercept(const struct conf *a, const struct conf *b)
{
    if (a->mode != b->mode || a->workers != b->workers || a->max_sessions != b->max_sessions ||
        a->listen_count != b->listen_count) {
        return false;
    }
    return same_endpoints(a->listen, b->listen, a->listen_count);
}

static bool same_metrics(const struct endpoint_list *a, const struct endpoint_list *b)
{
    return a->count == b->count && same_endpoints(a->at, b->at, a->count);
}

static bool same_places(const struct conf_redis *a, const struct conf_redis *b)
{
    if (a->places != b->places) {
        return false;
    }
    for (unsigned i = 0; i < a->places; i++) {
        if (strcmp(a->place[i].host, b->place[i].host) != 0 ||
            a->place[i].port != b->place[i].port) {
            return false;
        }
    }
    return true;
}

static bool same_redis(const struct conf_redis *a, const struct conf_redis *b)
{
    const struct {
        const char *a, *b;
    } texts[] = {
        {a->path, b->path},
        {a->master, b->master},
        {a->user, b->user},
        {a->password, b->password},
        {a->sentinel_user, b->sentinel_user},
        {a->sentinel_password, b->sentinel_password},
        {a->tls_ca, b->tls_ca},
        {a->tls_certificate, b->tls_certificate},
        {a->tls_key, b->tls_key},
        {a->tls_name, b->tls_name},
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strcmp(texts[i].a, texts[i].b) != 0) {
            return false;
        }
    }
    return a->kind == b->kind && a->tls == b->tls && a->database == b->database &&
           same_places(a, b);
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

void conf_needs_restart(const struct conf *old, const struct conf *new, struct text *out)
{
    const struct {
        const char *name;
        bool same;
    } parts[] = {
        {"intercept", same_intercept(old, new)},
        {"redis", same_redis(&old->redis, &new->redis)},
        {"control", same_text(old->control_socket, new->control_socket)},
        {"metrics", same_metrics(&old->metrics, &new->metrics)},
    };
    const char *between = "";

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (!parts[i].same) {
            text_addf(out, "%s%s", between, parts[i].name);
            between = ", ";
        }
    }
}
