#include "net/resolver.h"

#include <arpa/nameser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unbound-event.h>
#include <unbound.h>

#define TEXT_MOST 65536 /* no record is longer */

struct resolver {
    struct ub_ctx *unbound;
    resolved_cb resolved;
    void *context;
    char text[TEXT_MOST];
};

struct lookup {
    struct resolver *resolver;
    uint64_t ticket;
    uint16_t type;
};

static void end(const struct lookup *l, enum resolver_state state)
{
    struct resolved answer = {.end = true, .state = state};
    l->resolver->resolved(l->resolver->context, l->ticket, &answer);
}

static void give(const struct lookup *l, struct span record)
{
    struct resolved answer = {.record = record};
    l->resolver->resolved(l->resolver->context, l->ticket, &answer);
}

/* RFC 7208 section 3.3: the strings of a TXT record are one text. */
static void give_text(const struct lookup *l, struct span data)
{
    struct text t;
    text_init(&t, l->resolver->text, sizeof(l->resolver->text));
    while (data.len > 0) {
        size_t len = (uint8_t)data.at[0];
        data = span_skip(data, 1);
        if (len > data.len) {
            return;
        }
        text_add(&t, (struct span){data.at, len});
        data = span_skip(data, len);
    }
    give(l, text_span(&t));
}

static void give_name(const struct lookup *l, const ns_msg *message, const ns_rr *rr, size_t before)
{
    char name[NS_MAXDNAME];
    if (ns_rr_rdlen(*rr) > before && ns_name_uncompress(
                                         ns_msg_base(*message), ns_msg_end(*message),
                                         ns_rr_rdata(*rr) + before, name, sizeof(name)) > 0) {
        give(l, span_of(name));
    }
}

static void give_record(const struct lookup *l, const ns_msg *message, const ns_rr *rr)
{
    struct span data = {(const char *)ns_rr_rdata(*rr), ns_rr_rdlen(*rr)};
    switch (l->type) {
    case ns_t_txt:
        give_text(l, data);
        break;
    case ns_t_mx:
        give_name(l, message, rr, NS_INT16SZ); /* behind the preference */
        break;
    case ns_t_ptr:
        give_name(l, message, rr, 0);
        break;
    default:
        give(l, data);
        break;
    }
}

static enum resolver_state read_packet(const struct lookup *l, const void *packet, int len)
{
    ns_msg message;
    ns_rr rr;
    bool found = false;
    if (ns_initparse(packet, len, &message) < 0) {
        return RESOLVE_FAILED;
    }
    unsigned code = ns_msg_getflag(message, ns_f_rcode);
    if (code != ns_r_noerror && code != ns_r_nxdomain) {
        return RESOLVE_FAILED;
    }
    for (int i = 0; i < ns_msg_count(message, ns_s_an); i++) {
        if (ns_parserr(&message, ns_s_an, i, &rr) < 0) {
            return RESOLVE_FAILED;
        }
        if (ns_rr_type(rr) == l->type && ns_rr_class(rr) == ns_c_in) {
            found = true;
            give_record(l, &message, &rr);
        }
    }
    return found ? RESOLVED : RESOLVED_EMPTY;
}

static void on_resolved(
    void *context, int rcode, void *packet, int len, int secure, char *why_bogus, int limited)
{
    struct lookup *l = context;
    (void)secure, (void)why_bogus, (void)limited;
    enum resolver_state state = RESOLVE_FAILED;
    if ((rcode == ns_r_noerror || rcode == ns_r_nxdomain) && packet) {
        state = read_packet(l, packet, len);
    } else if (rcode == ns_r_nxdomain) {
        state = RESOLVED_EMPTY;
    }
    end(l, state);
    free(l);
}

void resolver_ask(struct resolver *r, uint64_t ticket, const char *name, uint16_t type)
{
    struct lookup *l = malloc(sizeof(*l));
    struct lookup failed = {r, ticket, type};
    if (!l) {
        end(&failed, RESOLVE_FAILED);
        return;
    }
    *l = failed;
    if (ub_resolve_event(r->unbound, name, type, ns_c_in, l, on_resolved, NULL) != 0) {
        free(l);
        end(&failed, RESOLVE_FAILED);
    }
}

static int set_servers(struct ub_ctx *unbound, const struct endpoint *servers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char address[ADDR_TEXT], where[ADDR_TEXT + 8];
        addr_format(&servers[i].addr, address);
        (void)snprintf(where, sizeof(where), "%s@%u", address, servers[i].port);
        if (ub_ctx_set_fwd(unbound, where) != 0) {
            return -1;
        }
    }
    return count > 0 ? 0 : ub_ctx_resolvconf(unbound, NULL);
}

static int set_options(struct ub_ctx *unbound)
{
    static const char *const options[][2] = {
        {"module-config:", "iterator"},    /* whom we ask validates, or nobody does */
        {"do-not-query-localhost:", "no"}, /* it may well run on this host */
        {"unblock-lan-zones:", "yes"},     /* subscribers have such addresses, and names */
        {"infra-host-ttl:", "30"},         /* a server that was dead is tried again soon */
        {"cache-max-negative-ttl:", "60"},
        {"msg-cache-size:", "4m"},
        {"rrset-cache-size:", "8m"},
        {"infra-cache-numhosts:", "1000"},
        {"use-syslog:", "no"},
        /* As a library it would ask 16 questions at a time, and names whose servers are silent
         * would keep all others waiting. */
        {"outgoing-range:", "600"},
        {"outgoing-num-tcp:", "60"},
        {"num-queries-per-thread:", "1200"},
        {"outbound-msg-retry:", "3"},
        {"infra-keep-probing:", "yes"},
    };
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (ub_ctx_set_option(unbound, options[i][0], options[i][1]) != 0) {
            return -1;
        }
    }
    return 0;
}

static void on_nothing(void *context, int rcode, void *packet, int len, int s, char *why, int l)
{
    (void)context, (void)rcode, (void)packet, (void)len, (void)s, (void)why, (void)l;
}

struct resolver *resolver_new(
    struct event_base *base, const struct endpoint *servers, size_t count, resolved_cb resolved,
    void *context, struct text *error)
{
    struct resolver *r = calloc(1, sizeof(*r));
    struct ub_ctx *unbound = r ? ub_ctx_create_event(base) : NULL;
    if (!unbound) {
        text_addf(error, "out of memory");
        free(r);
        return NULL;
    }
    *r = (struct resolver){.unbound = unbound, .resolved = resolved, .context = context};
    /* The first question makes libunbound set itself up, files included; this one it knows itself.
     */
    if (set_options(unbound) < 0 || set_servers(unbound, servers, count) < 0 ||
        ub_resolve_event(unbound, "localhost", ns_t_a, ns_c_in, NULL, on_nothing, NULL) != 0) {
        text_addf(error, "libunbound cannot be set up");
        resolver_free(r);
        return NULL;
    }
    return r;
}

void resolver_free(struct resolver *r)
{
    ub_ctx_delete(r->unbound);
    free(r);
}
