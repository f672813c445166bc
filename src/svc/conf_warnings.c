#include "svc/conf_warnings.h"

#include <stddef.h>

#include "core/submission.h"

static bool submits(const struct conf *c)
{
    for (size_t i = 0; i < c->class_count; i++) {
        const struct conf_class *class = &c->classes[i];
        if (class->action == ACTION_SUBMIT ||
            (class->action == ACTION_METER && class->over == OVER_SUBMIT)) {
            return true;
        }
    }
    return false;
}

static bool is_given(const struct conf_submission *s)
{
    return s->host[0] || s->port != SUBMISSION_PORT || s->own_count > 0 || s->service_count > 0 ||
           s->proxy_protocol;
}

static bool no_class(const struct conf *c)
{
    return is_given(&c->submission) && !submits(c);
}

static bool no_host(const struct conf *c)
{
    return !c->submission.host[0] && submits(c);
}

static bool address_alone(const struct conf *c)
{
    return c->submission.service_count > 0 && c->submission.own_count == 0;
}

static bool header_alone(const struct conf *c)
{
    return c->submission.proxy_protocol &&
           (c->submission.own_count == 0 || c->submission.service_count == 0);
}

/* An address of the service whose family no own server has. */
static bool family_alone(const struct conf *c, enum addr_family family)
{
    const struct conf_submission *s = &c->submission;
    for (size_t i = 0; i < s->own_count; i++) {
        if (s->own[i].addr.family == family) {
            return false;
        }
    }
    return s->own_count > 0 && submission_service(s, family);
}

static bool ipv4_alone(const struct conf *c)
{
    return family_alone(c, ADDR_IPV4);
}

static bool ipv6_alone(const struct conf *c)
{
    return family_alone(c, ADDR_IPV6);
}

static bool helpless(const struct conf *c)
{
    return c->submission.host[0] && submits(c) && !c->help_url[0];
}

/* Sessions to whichever server would go to the service. */
static bool owns_everything(const struct conf *c)
{
    for (size_t i = 0; i < c->submission.own_count; i++) {
        if (c->submission.own[i].len == 0) {
            return true;
        }
    }
    return false;
}

/* A client on port 25 does not begin with TLS. */
static bool bridged_to_tls(const struct conf *c)
{
    return c->submission.port == SUBMISSION_TLS_PORT && c->submission.service_count > 0;
}

static bool is_metered(const struct conf_class *class)
{
    return class->action == ACTION_METER;
}

static bool counts_messages(const struct conf_class *class)
{
    return is_metered(class) && class->limit[LIMIT_MESSAGES].windows > 0;
}

static bool charges_sessions(const struct conf_class *class)
{
    return is_metered(class) && class->opaque_messages == OPAQUE_SESSION;
}

static bool any_class(const struct conf *c, bool (*is)(const struct conf_class *class))
{
    for (size_t i = 0; i < c->class_count; i++) {
        if (is(&c->classes[i])) {
            return true;
        }
    }
    return false;
}

static bool opaque_uncounted(const struct conf *c)
{
    for (size_t i = 0; i < c->class_count; i++) {
        if (charges_sessions(&c->classes[i]) && !counts_messages(&c->classes[i])) {
            return true;
        }
    }
    return false;
}

static bool spf_of_nobody(const struct conf *c)
{
    return c->spf.use != SPF_USE_OFF && !any_class(c, is_metered);
}

static bool spf_uncounted(const struct conf *c)
{
    return c->spf.use == SPF_USE_METER && any_class(c, is_metered) &&
           !any_class(c, counts_messages);
}

static bool spf_cost_alone(const struct conf *c)
{
    return c->spf.use != SPF_USE_METER && c->spf.fail_cost != CONF_SPF_FAIL_COST;
}

static bool spf_deadline_alone(const struct conf *c)
{
    return c->spf.use == SPF_USE_OFF && c->spf.deadline_ms != CONF_SPF_DEADLINE_MS;
}

/* The sign-up site asks them for names. */
static bool spf_resolvers_alone(const struct conf *c)
{
    bool site = c->web.listen.count > 0 && c->mail.smarthost[0];
    return c->spf.use == SPF_USE_OFF && c->spf.resolver_count > 0 && !site;
}

void conf_warnings(const struct conf *c, conf_warning_cb say, void *context)
{
    static const struct {
        bool (*holds)(const struct conf *c);
        const char *words;
    } rows[] = {
        {no_class,
         "submission: has no effect; no class has action = \"submit\", nor \"meter\" with "
         "over = \"submit\""},
        {no_host, "submission.host: is missing; subscribers who are to submit are told \"your mail "
                  "provider's server\" instead of a name"},
        {address_alone, "submission.address: has no effect; it is for sessions to the servers in "
                        "submission.for, and there are none"},
        {header_alone, "submission.proxy-protocol: has no effect; it is for connections to "
                       "submission.address, for the servers in submission.for"},
        {ipv4_alone, "submission.address: its IPv4 address has no effect; submission.for has no "
                     "IPv4 server"},
        {ipv6_alone, "submission.address: its IPv6 address has no effect; submission.for has no "
                     "IPv6 server"},
        {helpless, "help.url: is missing; the advice to submit names no page that explains it"},
        {owns_everything, "submission.for: a length of 0 is every server; all sessions that submit "
                          "go to submission.address, whichever host they named"},
        {bridged_to_tls, "submission.port: 465 is for TLS from the first byte, which no client on "
                         "port 25 begins with; bridges to submission.address will fail"},
        {opaque_uncounted, "opaque-messages = \"session\": has no effect in a class without "
                           "`messages`"},
        {spf_of_nobody, "spf.use: has no effect on mail; no class has action = \"meter\""},
        {spf_uncounted, "spf.use = \"meter\": has no effect; no class with action = \"meter\" has "
                        "`messages`"},
        {spf_cost_alone, "spf.fail-cost: has no effect; it is for use = \"meter\""},
        {spf_deadline_alone, "spf.deadline: has no effect with use = \"off\""},
        {spf_resolvers_alone, "spf.resolvers: has no effect with use = \"off\", and without "
                              "registration on the site"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].holds(c)) {
            say(context, rows[i].words);
        }
    }
}
