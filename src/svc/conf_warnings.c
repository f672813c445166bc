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
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].holds(c)) {
            say(context, rows[i].words);
        }
    }
}
