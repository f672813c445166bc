#include "web/site.h"

#include <stdlib.h>

#include "base/log.h"
#include "site_internal.h"
#include "svc/conf_file.h"

#define HEADER_BYTES 16384
#define BODY_BYTES   32768

#define OPENING_TICK_US 10000
#define OPENING_TICKS   100

static const char *const own_pages[] = {"bad_request", "expired",       "forbidden",
                                        "no_lease",    "no_subscriber", "not_found",
                                        "too_many",    "unavailable",   NULL};

#define LISTS 16

static struct pages *read_pages(
    const struct conf *conf, const struct site_module *const *modules, struct text *error)
{
    const char *const *lists[LISTS + 1] = {own_pages};
    size_t n = 1;

    for (; *modules && n < LISTS; modules++) {
        if ((*modules)->pages) {
            lists[n++] = (*modules)->pages;
        }
    }
    return pages_new(conf->web.pages, &conf->web.languages, lists, error);
}

/* True with *out NULL: the configuration has no certificate. */
static bool read_certificate(const struct conf *conf, struct tls_server **out, struct text *error)
{
    *out = NULL;
    if (!conf->web.certificate) {
        return true;
    }
    *out = tls_server_new(conf->web.certificate, conf->web.key, error);
    return *out != NULL;
}

int site_check(
    const struct conf *conf, const struct site_module *const *modules, struct text *error)
{
    struct pages *pages = read_pages(conf, modules, error);
    struct tls_server *tls = NULL;
    bool good = pages && read_certificate(conf, &tls, error);

    tls_server_free(tls);
    pages_free(pages);
    return good ? 0 : -1;
}

static struct http_options http_options(struct site *s)
{
    const struct conf_web *w = &s->conf->web;

    return (struct http_options){
        .request = site_on_request,
        .context = s,
        .trusted = w->trusted.at,
        .trusted_count = w->trusted.count,
        .header_bytes = HEADER_BYTES,
        .body_bytes = BODY_BYTES,
        .connections = w->connections,
        .connections_each = w->connections_each,
        .deadline_ms = w->deadline_ms,
    };
}

static int listen_at(
    struct site *s, const struct endpoint_list *list, const struct tls_server *tls, unsigned door,
    struct text *error)
{
    for (size_t i = 0; i < list->count; i++) {
        if (http_server_listen(s->http, &list->at[i], tls, door, error) != 0) {
            return -1;
        }
    }
    return 0;
}

static int start_modules(struct site *s, struct text *error)
{
    size_t n = 0;

    while (s->modules[n]) {
        n++;
    }
    s->states = calloc(n + 1, sizeof(*s->states));
    if (!s->states) {
        text_addf(error, "out of memory");
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (s->modules[i]->start && s->modules[i]->start(s, &s->states[i], error) != 0) {
            return -1;
        }
    }
    return 0;
}

static void on_redis(void *context, bool up)
{
    (void)context;
    if (up) {
        log_info("Redis is there");
    } else {
        log_warning("Redis is away: most pages will say so");
    }
}

/* Who came before the standings are known would be told of a wrong one. */
static void on_opening(evutil_socket_t fd, short what, void *context)
{
    struct site *s = context;

    (void)fd, (void)what;
    if ((!redis_is_up(s->redis) || !registry_is_current(s->registry)) &&
        ++s->ticks < OPENING_TICKS) {
        return;
    }
    event_free(s->opening);
    s->opening = NULL;
    http_server_hold(s->http, false);
    if (s->ready) {
        s->ready(s->context);
    }
}

static int open_later(struct site *s, struct text *error)
{
    struct timeval tick = {0, OPENING_TICK_US};

    http_server_hold(s->http, true);
    s->opening = event_new(s->base, -1, EV_PERSIST, on_opening, s);
    if (!s->opening || evtimer_add(s->opening, &tick) != 0) {
        text_addf(error, "out of memory");
        return -1;
    }
    return 0;
}

static int start(struct site *s, struct text *error)
{
    const struct redis_options redis = {
        .where = &s->conf->redis,
        .functions = site_functions,
        .state = on_redis,
        .context = s,
        .speaks = true};
    struct http_options http = http_options(s);

    s->pages = read_pages(s->conf, s->modules, error);
    if (!s->pages || !read_certificate(s->conf, &s->tls, error)) {
        return -1;
    }
    s->rates = rate_table_new();
    s->redis = redis_new(s->base, &redis);
    s->registry = registry_new(s->base, s->conf, false);
    s->http = http_server_new(s->base, &http);
    if (!s->rates || !s->redis || !s->registry || !s->http) {
        text_addf(error, "out of memory");
        return -1;
    }
    if (open_later(s, error) != 0 || start_modules(s, error) != 0) {
        return -1;
    }
    return listen_at(s, &s->conf->web.listen, s->tls, SITE_DOOR, error) != 0 ||
                   listen_at(s, &s->conf->web.garden, NULL, SITE_GARDEN, error) != 0
               ? -1
               : 0;
}

struct site *site_new(const struct site_options *options, struct text *error)
{
    struct site *s = calloc(1, sizeof(*s));

    if (!s) {
        text_addf(error, "out of memory");
        return NULL;
    }
    s->base = options->base;
    s->conf = conf_hold(options->conf);
    s->modules = options->modules;
    s->ready = options->ready;
    s->context = options->context;
    idmap_init(&s->visits);
    if (start(s, error) != 0) {
        site_free(s);
        return NULL;
    }
    return s;
}

static void forget_visit(void *visit, void *context)
{
    struct visit *v = visit;

    (void)context;
    http_answer(v->exchange, 503, NULL, 0, SPAN_LITERAL(""));
    visit_free(v);
}

void site_free(struct site *s)
{
    if (!s) {
        return;
    }
    for (size_t i = 0; s->states && s->modules[i]; i++) {
        if (s->modules[i]->stop && s->states[i]) {
            s->modules[i]->stop(s->states[i]);
        }
    }
    if (s->opening) {
        event_free(s->opening);
    }
    idmap_each(&s->visits, forget_visit, NULL);
    if (s->redis) {
        redis_free(s->redis);
    }
    http_server_free(s->http);
    registry_free(s->registry);
    rate_table_free(s->rates);
    tls_server_free(s->tls);
    pages_free(s->pages);
    idmap_fini(&s->visits);
    conf_release(s->conf);
    free(s->states);
    free(s);
}

static void say_restart(const struct conf *old, const struct conf *new)
{
    const struct endpoint_list *lists[][2] = {
        {&old->web.listen, &new->web.listen}, {&old->web.garden, &new->web.garden}};
    bool same = !old->web.certificate == !new->web.certificate;

    for (size_t i = 0; i < 2; i++) {
        same = same && lists[i][0]->count == lists[i][1]->count;
        for (size_t j = 0; same && j < lists[i][0]->count; j++) {
            same = endpoint_equal(&lists[i][0]->at[j], &lists[i][1]->at[j]);
        }
    }
    if (!same) {
        log_warning("web.listen, web.garden and the change between TLS and plain take a restart");
    }
}

int site_set_conf(struct site *s, struct conf *conf, struct text *error)
{
    struct pages *pages = read_pages(conf, s->modules, error);
    struct tls_server *tls = NULL;
    struct conf *old = s->conf;
    struct http_options http;

    if (!pages || !read_certificate(conf, &tls, error)) {
        pages_free(pages);
        return -1;
    }
    say_restart(old, conf);
    s->conf = conf_hold(conf);
    pages_free(s->pages);
    s->pages = pages;
    http = http_options(s);
    http_server_set(s->http, &http);
    if (s->tls && tls) {
        http_server_set_tls(s->http, tls);
        tls_server_free(s->tls);
        s->tls = tls;
    } else {
        tls_server_free(tls);
    }
    registry_set_conf(s->registry, conf);
    for (size_t i = 0; s->modules[i]; i++) {
        if (s->modules[i]->reload) {
            s->modules[i]->reload(s, s->states[i]);
        }
    }
    conf_release(old);
    return 0;
}

struct event_base *site_base(const struct site *s)
{
    return s->base;
}

struct conf *site_conf(const struct site *s)
{
    return s->conf;
}

struct redis *site_redis(const struct site *s)
{
    return s->redis;
}

struct registry *site_registry(const struct site *s)
{
    return s->registry;
}

const struct pages *site_pages(const struct site *s)
{
    return s->pages;
}

void *site_state(const struct site *s, const struct site_module *m)
{
    for (size_t i = 0; s->modules[i]; i++) {
        if (s->modules[i] == m) {
            return s->states[i];
        }
    }
    return NULL;
}
