/* What a configuration must be as a whole, beyond what each option allows. */
#include "conf_file_internal.h"

#include <string.h>

#include "core/registration.h"
#include "core/submission.h"
#include "net/tls_client.h"

/* A session keeps its family on its way: the subscriber's own address is of one. */
static bool check_submission(const struct conf_reader *r)
{
    const struct conf_submission *s = &r->conf->submission;
    int line = conf_syntax_line(cfg_getsec(r->cfg, "submission"));
    char server[PREFIX_TEXT];

    if (s->port == SMTP_PORT) {
        return conf_fail(
            r, line,
            "submission.port: 25 is where subscribers come from; allowed: the port of a submission "
            "service, such as 587");
    }
    for (size_t i = 0; i < s->own_count; i++) {
        if (!submission_service(s, s->own[i].addr.family)) {
            prefix_format(&s->own[i], server);
            return conf_fail(
                r, line,
                "submission.for: %s has no submission service of its family; allowed: with `for`, "
                "address = { ... } with an address of the service for each family in it",
                server);
        }
    }
    return true;
}

/* One subscriber is all of a unit: a part of it cannot be one, with the rest somebody else's. */
static bool check_units(const struct conf_reader *r)
{
    cfg_t *section = cfg_getsec(r->cfg, "subscribers");
    const cfg_opt_t *opt = cfg_getopt(section, "prefixes");

    for (size_t i = 0; i < r->conf->prefix_count; i++) {
        const struct prefix *p = &r->conf->prefixes[i];

        if (p->addr.family == ADDR_IPV6 && p->len > r->conf->ipv6_unit) {
            const struct conf_value *value = opt->values[i]->ptr;

            return conf_fail(
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
static bool check_leases(const struct conf_reader *r)
{
    cfg_t *section = cfg_getsec(r->cfg, "leases");
    const cfg_opt_t *opt = cfg_getopt(section, "prefixes");

    for (size_t i = 0; i < r->conf->leased.count; i++) {
        const struct prefix *p = &r->conf->leased.at[i];
        const struct conf_value *value = opt->values[i]->ptr;

        if (!is_subscribers(r->conf, p)) {
            return conf_fail(
                r, value->line,
                "leases.prefixes: \"%s\" is not within the subscribers' prefixes; allowed: those "
                "in subscribers.prefixes, and parts of them",
                value->text);
        }
        if (p->addr.family == ADDR_IPV6 && p->len > r->conf->ipv6_unit) {
            return conf_fail(
                r, value->line,
                "leases.prefixes: \"%s\" is smaller than one subscriber's prefix (ipv6-unit = %u); "
                "allowed: a length of up to %u",
                value->text, r->conf->ipv6_unit, r->conf->ipv6_unit);
        }
    }
    return true;
}

static bool check_web(const struct conf_reader *r)
{
    const struct conf_web *w = &r->conf->web;
    int line = conf_syntax_line(cfg_getsec(r->cfg, "web"));

    if (w->listen.count == 0) {
        return w->garden.count == 0 ||
               conf_fail(
                   r, line, "web.garden: there is no site; allowed: with `garden`, listen and url");
    }
    if (!w->url[0]) {
        return conf_fail(
            r, line,
            "web.url: is missing; allowed: url = \"https://HOST\", as subscribers reach the site");
    }
    if (!w->certificate != !w->key) {
        return conf_fail(
            r, line, "web.%s: is missing; allowed: certificate and key, or neither of them",
            w->certificate ? "key" : "certificate");
    }
    if (!w->certificate && w->trusted.count == 0) {
        return conf_fail(
            r, line,
            "web.certificate: is missing; allowed: certificate and key, or trusted-proxies = { ... "
            "}, the proxy that speaks TLS for the site");
    }
    if (strcmp(w->languages.at[0], "en") != 0) {
        return conf_fail(
            r, line,
            "web.languages: does not begin with \"en\", the language of pages that others lack; "
            "allowed: languages = { \"en\", ... }");
    }
    return true;
}

/* Says of a TLS that could never work what is wrong with it, before anybody relies on it. */
static bool check_redis(const struct conf_reader *r)
{
    const struct conf_redis *c = &r->conf->redis;
    const struct tls_client_files files = {
        .ca = c->tls_ca, .certificate = c->tls_certificate, .key = c->tls_key};
    int line = conf_syntax_line(cfg_getsec(r->cfg, "redis"));
    struct tls_client_context *tls;
    char why[CONF_FILE_NAME + 100];
    struct text error;

    if (!c->tls && (c->tls_ca[0] || c->tls_certificate[0] || c->tls_key[0] || c->tls_name[0])) {
        return conf_fail(
            r, line,
            "redis: ca, certificate, key and tls-name are for TLS; allowed: with them, a url that "
            "begins with rediss://, rediss-sentinel:// or rediss-cluster://");
    }
    if (c->kind != REDIS_SENTINEL && (c->sentinel_user[0] || c->sentinel_password[0])) {
        return conf_fail(
            r, line,
            "redis: sentinel-user and sentinel-password are for sentinels; allowed: with them, a "
            "url that begins with redis-sentinel:// or rediss-sentinel://");
    }
    if (!c->ctl_user[0] != !c->ctl_password[0]) {
        return conf_fail(
            r, line, "redis: ctl-user and ctl-password belong together; allowed: both or none");
    }
    if (c->tls_key[0] && !c->tls_certificate[0]) {
        return conf_fail(r, line, "redis.key: is of no use; allowed: with it, certificate = FILE");
    }
    if (!c->tls) {
        return true;
    }
    text_init(&error, why, sizeof(why));
    tls = tls_client_context_new(&files, &error);
    tls_client_context_free(tls);
    return tls != NULL || conf_fail(r, line, "redis: %s; allowed: files in PEM form", why);
}

static bool check_desk(const struct conf_reader *r)
{
    int line = conf_syntax_line(cfg_getsec(r->cfg, "desk"));

    if (r->conf->desk.sso_header[0] && r->conf->web.trusted.count == 0) {
        return conf_fail(
            r, line,
            "desk.sso-header: nobody may send it; allowed: with web.trusted-proxies = { ... }, the "
            "proxy that logs operators in");
    }
    return true;
}

/* Whoever is told that he is registered must get his mail out in that class. */
static bool check_registered_class(const struct conf_reader *r, const char *name, bool probation)
{
    const struct conf_class *class = conf_class_named(r->conf, span_of(name));
    const char *or_else = probation ? ", or probation = 0s" : "";
    int line = conf_syntax_line(cfg_getsec(r->cfg, "registration"));

    if (!class) {
        return conf_fail(
            r, line,
            "registration: there is no class %s for registered lines; allowed: class %s { ... }%s",
            name, name, or_else);
    }
    if (class->action != ACTION_PASS && class->action != ACTION_METER) {
        return conf_fail(
            r, line,
            "registration%s: class %s lets no mail out on port 25; allowed: a class with action = "
            "\"pass\" or \"meter\"%s",
            probation ? ".probation-class" : "", name, or_else);
    }
    return true;
}

/* Without a smarthost nobody registers, and nothing of it has to be there. */
bool conf_check_registration(const struct conf_reader *r)
{
    const struct conf_registration *g = &r->conf->registration;
    const char *wanted[] = {REGISTRATION_CLASS, g->probation_s > 0 ? g->probation_class : NULL};

    if (!r->conf->mail.smarthost[0] || r->conf->web.listen.count == 0) {
        return true;
    }
    if (!r->conf->mail.from[0]) {
        return conf_fail(
            r, conf_syntax_line(cfg_getsec(r->cfg, "mail")),
            "mail.from: is missing; allowed: with `smarthost`, from = \"NAME@DOMAIN\"");
    }
    for (size_t i = 0; i < 2; i++) {
        if (wanted[i] && !check_registered_class(r, wanted[i], i == 1)) {
            return false;
        }
    }
    if (g->probation_s >= g->term_s) {
        return conf_fail(
            r, conf_syntax_line(cfg_getsec(r->cfg, "registration")),
            "registration.probation: is not shorter than term; allowed: a part of it, or 0s");
    }
    if (g->reminder_s >= g->term_s) {
        return conf_fail(
            r, conf_syntax_line(cfg_getsec(r->cfg, "registration")),
            "registration.reminder: is not shorter than term; allowed: a time before its end");
    }
    return true;
}

/* With REDIRECT connection tracking alone knows what is the gate's. */
static bool check_bypass(const struct conf_reader *r)
{
    if (r->conf->bypass.fast_path.count > 0 && r->conf->mode != INTERCEPT_TPROXY) {
        return conf_fail(
            r, conf_syntax_line(cfg_getsec(r->cfg, "bypass")),
            "bypass.fast-path: works with intercept.mode = \"tproxy\" alone; allowed: that mode, "
            "or no fast-path");
    }
    return true;
}

bool conf_check_options(const struct conf_reader *r)
{
    return check_units(r) && check_leases(r) && check_submission(r) && check_redis(r) &&
           check_web(r) && check_desk(r) && check_bypass(r);
}
