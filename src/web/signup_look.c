/* What DNS says of a mail server, asked while its owner waits for the page: the addresses of its
 * host name, the names of its address, their addresses, and SPF. */
#include <arpa/nameser.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "signup_internal.h"

#define LOOK_MS    4000 /* for one question; there are three rounds of them at most */
#define NAMES_MOST 4    /* of one address; more are nobody's honest mail server */

enum lookup_kind { LOOKUP_HOST, LOOKUP_REVERSE, LOOKUP_BACK };

/* A question on its way. Who is answered late, or whose visitor has gone, is found no more. */
struct lookup {
    struct signup *signup;
    uint64_t id, visit;
    enum lookup_kind kind;
    struct event timer;
};

/* What is known so far, in the visit's memory. */
struct look {
    struct signup_request request;
    struct signup_checks checks;
    struct signup_addresses host, back;
    char name[NAMES_MOST][SIGNUP_DOMAIN];
    size_t names;
    bool reverse_failed;
    signup_looked_cb looked;
};

static struct look *look_of(struct visit *v)
{
    return signup_view(v)->look;
}

static void take_record(struct look *look, enum lookup_kind kind, struct span record)
{
    if (kind != LOOKUP_REVERSE) {
        signup_addresses_add(kind == LOOKUP_HOST ? &look->host : &look->back, record);
    } else if (look->names < NAMES_MOST && signup_reverse_take(record, look->name[look->names])) {
        look->names++;
    }
}

static void fail(struct look *look, enum lookup_kind kind)
{
    if (kind == LOOKUP_REVERSE) {
        look->reverse_failed = true;
    } else {
        (kind == LOOKUP_HOST ? &look->host : &look->back)->failed = true;
    }
}

static void end_lookup(struct lookup *l, bool failed)
{
    struct visit *v = visit_of(l->signup->site, l->visit);

    idmap_remove(&l->signup->lookups, l->id);
    event_del(&l->timer);
    if (v && failed) {
        fail(look_of(v), l->kind);
    }
    free(l);
    if (v) {
        visit_got(v);
    }
}

static void on_resolved(void *context, uint64_t ticket, const struct resolved *answer)
{
    struct signup *s = context;
    struct lookup *l = idmap_get(&s->lookups, ticket);

    if (!l) {
        return;
    }
    if (answer->end) {
        end_lookup(l, answer->state == RESOLVE_FAILED);
        return;
    }
    struct visit *v = visit_of(s->site, l->visit);
    if (v) {
        take_record(look_of(v), l->kind, answer->record);
    }
}

static void on_late(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    end_lookup(context, true);
}

static void ask(struct visit *v, enum lookup_kind kind, const char *name, uint16_t type)
{
    struct signup *s = signup_of(v->site);
    struct timeval wait = {LOOK_MS / 1000, LOOK_MS % 1000 * 1000};
    struct lookup *l = calloc(1, sizeof(*l));
    uint64_t id = l ? idmap_add(&s->lookups, l) : IDMAP_NONE;

    if (id == IDMAP_NONE) {
        free(l);
        fail(look_of(v), kind);
        return;
    }
    *l = (struct lookup){.signup = s, .id = id, .visit = visit_wait(v), .kind = kind};
    evtimer_assign(&l->timer, site_base(v->site), on_late, l);
    evtimer_add(&l->timer, &wait);
    resolver_ask(s->resolver, id, name, type);
}

/* --- the rounds --- */

static void conclude(struct visit *v)
{
    struct look *look = look_of(v);

    look->checks.result[SIGNUP_CHECK_REVERSE] =
        signup_judge_reverse(look->reverse_failed, look->names, &look->back, &look->checks.server);
    look->looked(v, &look->checks);
}

static void ask_back(struct visit *v)
{
    struct look *look = look_of(v);
    uint16_t type = look->checks.server.family == ADDR_IPV6 ? ns_t_aaaa : ns_t_a;

    if (look->names > 0) {
        memcpy(look->checks.reverse, look->name[0], sizeof(look->checks.reverse));
    }
    for (size_t i = 0; i < look->names; i++) {
        /* Of several names the one that the form gives is the one to tell. */
        if (strcmp(look->name[i], look->request.host) == 0) {
            memcpy(look->checks.reverse, look->name[i], sizeof(look->checks.reverse));
        }
        ask(v, LOOKUP_BACK, look->name[i], type);
    }
    visit_then(v, conclude);
}

static void take_spf(struct visit *v, enum spf_result result, struct span explanation)
{
    struct look *look = look_of(v);

    (void)explanation;
    look->checks.spf = result;
    look->checks.result[SIGNUP_CHECK_SPF] = signup_judge_spf(result);
}

static void ask_reverse(struct visit *v)
{
    struct look *look = look_of(v);
    char name[SIGNUP_REVERSE_NAME], sender[SIGNUP_DOMAIN + 16];
    struct text t;

    look->checks.result[SIGNUP_CHECK_HOST] =
        signup_judge_host(&look->host, &v->unit, &v->client, &look->checks.server);
    signup_reverse_name(&look->checks.server, name);
    ask(v, LOOKUP_REVERSE, name, ns_t_ptr);
    text_init(&t, sender, sizeof(sender));
    text_addf(&t, "postmaster@%s", look->request.domain);
    visit_ask_spf_of(v, &look->checks.server, span_of(look->request.host), text_span(&t), take_spf);
    visit_then(v, ask_back);
}

void signup_look(struct visit *v, const struct signup_request *request, signup_looked_cb looked)
{
    struct look *look = visit_alloc(v, sizeof(*look));

    look->request = *request;
    look->looked = looked;
    signup_view(v)->look = look;
    ask(v, LOOKUP_HOST, request->host, ns_t_a);
    ask(v, LOOKUP_HOST, request->host, ns_t_aaaa);
    visit_then(v, ask_reverse);
}

/* --- life --- */

int signup_look_start(struct signup *s, const struct conf *conf, struct text *error)
{
    s->resolver = resolver_new(
        site_base(s->site), conf->spf.resolvers, conf->spf.resolver_count, on_resolved, s, error);
    return s->resolver ? 0 : -1;
}

static void drop(void *object, void *context)
{
    struct lookup *l = object;

    (void)context;
    idmap_remove(&l->signup->lookups, l->id);
    event_del(&l->timer);
    free(l);
}

void signup_look_stop(struct signup *s)
{
    idmap_each(&s->lookups, drop, NULL);
    if (s->resolver) {
        resolver_free(s->resolver);
        s->resolver = NULL;
    }
}
