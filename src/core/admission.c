#include "core/admission.h"

/* What no mail server can be reached at from outside: RFC 6890, the parts that are never hosts. */
static const struct prefix nowhere[] = {
    {{ADDR_IPV4, {0}}, 8},                  /* "this network", the unspecified address */
    {{ADDR_IPV4, {127}}, 8},                /* loopback */
    {{ADDR_IPV4, {169, 254}}, 16},          /* link-local */
    {{ADDR_IPV4, {224}}, 4},                /* multicast */
    {{ADDR_IPV4, {240}}, 4},                /* reserved, the broadcast address */
    {{ADDR_IPV6, {0}}, 128},                /* unspecified */
    {{ADDR_IPV6, {[15] = 1}}, 128},         /* loopback */
    {{ADDR_IPV6, {0xfe, 0x80}}, 10},        /* link-local */
    {{ADDR_IPV6, {0xff}}, 8},               /* multicast */
    {{ADDR_IPV6, {[10] = 0xff, 0xff}}, 96}, /* IPv4-mapped */
};

static bool within(const struct prefix *prefixes, size_t count, const struct addr *a)
{
    for (size_t i = 0; i < count; i++) {
        if (prefix_contains(&prefixes[i], a)) {
            return true;
        }
    }
    return false;
}

bool admission_takes_no_mail(const struct addr *a)
{
    return within(nowhere, sizeof(nowhere) / sizeof(nowhere[0]), a);
}

static bool is_own(const struct admission_facts *facts, const struct addr *a)
{
    for (size_t i = 0; i < facts->own_count; i++) {
        if (addr_equal(&facts->own[i], a)) {
            return true;
        }
    }
    return false;
}

/* The port alone tells: nothing that was steered here is meant for a listener's port. */
static bool is_direct(const struct admission_facts *facts)
{
    if (!facts->server_known) {
        return true;
    }
    for (size_t i = 0; i < facts->listen_count; i++) {
        if (facts->listen[i].port == facts->server.port) {
            return true;
        }
    }
    return false;
}

static struct verdict refuse(enum rule rule)
{
    return (struct verdict){.action = VERDICT_REFUSE, .rule = rule};
}

struct verdict admission_check(const struct conf *conf, const struct admission_facts *facts)
{
    const struct addr *client = &facts->client.addr, *server = &facts->server.addr;
    if (is_direct(facts)) {
        return refuse(RULE_DIRECT);
    }
    /* With REDIRECT the gate's connections carry its own address. */
    if (facts->mode == INTERCEPT_REDIRECT && is_own(facts, client)) {
        return refuse(RULE_LOOP);
    }
    if (addr_is_v4_mapped(client) || !within(conf->prefixes, conf->prefix_count, client)) {
        return refuse(RULE_SOURCE);
    }
    if (admission_takes_no_mail(server)) {
        return refuse(RULE_DESTINATION);
    }
    if (is_own(facts, server)) {
        return refuse(RULE_LOOP);
    }
    /* A port number that is used twice looks like a loop too: never bounce mail for that. */
    if (facts->returned) {
        return (struct verdict){.action = VERDICT_DEFER, .rule = RULE_LOOP};
    }
    return (struct verdict){.action = VERDICT_FORWARD};
}
