#include "web/visit.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/clock.h"
#include "site_internal.h"
#include "svc/conf_file.h"
#include "svc/gate_ask.h"

#define SPF_MARGIN_MS 1000 /* beyond what the gate itself waits */

struct piece {
    struct piece *next;
    max_align_t bytes[];
};

struct owned {
    struct owned *next;
    json_t *value;
};

struct visit_question {
    struct site *site;
    uint64_t visit;
    visit_take_cb take;
    visit_spf_cb spf;
    bool lenient;
};

void *visit_alloc(struct visit *v, size_t size)
{
    struct piece *p = calloc(1, sizeof(*p) + size);

    if (!p) {
        log_error("out of memory");
        abort();
    }
    p->next = v->in->pieces;
    v->in->pieces = p;
    return p->bytes;
}

char *visit_copy(struct visit *v, struct span s)
{
    char *copy = visit_alloc(v, s.len + 1);

    memcpy(copy, s.at, s.len);
    return copy;
}

void visit_own(struct visit *v, json_t *value)
{
    struct owned *o = visit_alloc(v, sizeof(*o));

    *o = (struct owned){v->in->owned, value};
    v->in->owned = o;
}

/* --- questions --- */

static void go_on(struct visit *v)
{
    visit_next_cb next = v->in->next;

    if (v->in->waiting > 0 || !next) {
        return;
    }
    v->in->next = NULL;
    if (v->in->failed) {
        visit_fail(v, 503);
    } else {
        next(v);
    }
}

static bool is_answer(const struct redis_reply *reply, bool lenient)
{
    struct span message;

    if (!reply) {
        return false;
    }
    if (redis_reply_is_error(reply, &message)) {
        if (!lenient) {
            log_warning("Redis: %.*s", (int)message.len, message.at);
        }
        return false;
    }
    return true;
}

static void on_reply(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct visit_question *q = context;
    struct visit *v = visit_of(q->site, q->visit);
    bool good;

    (void)ticket;
    if (v) {
        good = is_answer(reply, q->lenient);
        v->in->failed = v->in->failed || (!good && !q->lenient);
        if (q->take && !v->in->failed) {
            q->take(v, reply);
        }
        v->in->waiting--;
        go_on(v);
    }
    free(q);
}

static struct visit_question *question_new(struct visit *v)
{
    struct visit_question *q = calloc(1, sizeof(*q));

    if (!q) {
        log_error("out of memory");
        abort();
    }
    *q = (struct visit_question){.site = v->site, .visit = v->in->ticket};
    return q;
}

static void ask(
    struct visit *v, const struct span *words, size_t count, visit_take_cb take, bool lenient)
{
    struct visit_question *q = question_new(v);

    q->take = take;
    q->lenient = lenient;
    if (redis_call(v->site->redis, words, count, SITE_REDIS_MS, on_reply, q, 0) == 0) {
        v->in->waiting++;
        return;
    }
    free(q);
    v->in->failed = v->in->failed || !lenient;
    if (lenient && take && !v->in->failed) {
        take(v, NULL);
    }
}

void visit_ask(struct visit *v, const struct span *words, size_t count, visit_take_cb take)
{
    ask(v, words, count, take, false);
}

void visit_try(struct visit *v, const struct span *words, size_t count, visit_take_cb take)
{
    ask(v, words, count, take, true);
}

void visit_then(struct visit *v, visit_next_cb next)
{
    v->in->next = next;
    go_on(v);
}

uint64_t visit_wait(struct visit *v)
{
    v->in->waiting++;
    return v->in->ticket;
}

struct visit *visit_of(struct site *s, uint64_t ticket)
{
    return idmap_get(&s->visits, ticket);
}

void visit_got(struct visit *v)
{
    v->in->waiting--;
    go_on(v);
}

/* --- SPF --- */

static enum spf_result result_named(const char *name)
{
    for (enum spf_result r = SPF_UNKNOWN; name && r < SPF_RESULTS; r++) {
        if (strcmp(name, spf_result_name(r)) == 0) {
            return r;
        }
    }
    return SPF_UNKNOWN;
}

static void on_spf(void *context, uint64_t ticket, struct span line)
{
    struct visit_question *q = context;
    struct visit *v = visit_of(q->site, q->visit);
    json_t *said = v && line.len > 0 ? json_loadb(line.at, line.len, 0, NULL) : NULL;
    const char *words = json_string_value(json_object_get(said, "explanation"));

    (void)ticket;
    if (v) {
        if (!v->in->failed) {
            q->spf(
                v, result_named(json_string_value(json_object_get(said, "result"))),
                span_of(words ? words : ""));
        }
        visit_got(v);
    }
    json_decref(said);
    free(q);
}

void visit_ask_spf(struct visit *v, struct span helo, struct span sender, visit_spf_cb take)
{
    visit_ask_spf_of(v, &v->client, helo, sender, take);
}

void visit_ask_spf_of(
    struct visit *v, const struct addr *client, struct span helo, struct span sender,
    visit_spf_cb take)
{
    const char *path = v->conf->control_socket;
    struct visit_question *q = question_new(v);
    char line[512], address[ADDR_TEXT];
    struct text t;

    q->spf = take;
    addr_format(client, address);
    text_init(&t, line, sizeof(line));
    text_addf(&t, "spf %s ", address);
    text_add(&t, sender.len > 0 ? sender : SPAN_LITERAL("<>"));
    text_add(&t, SPAN_LITERAL(" "));
    text_add(&t, helo);
    if (!path || t.cut || strpbrk(line, "\r\n") ||
        gate_ask(
            v->site->base, path, line, v->conf->spf.deadline_ms + SPF_MARGIN_MS, on_spf, q, 0) !=
            0) {
        free(q);
        take(v, SPF_UNKNOWN, SPAN_LITERAL(""));
        return;
    }
    visit_wait(v);
}

/* --- life --- */

/* A handler that never comes to its end, for whatever reason. */
static void on_deadline(evutil_socket_t fd, short what, void *context)
{
    struct visit *v = context;

    (void)fd, (void)what;
    log_warning("%.*s: no answer in time", (int)v->path.len, v->path.at);
    visit_fail(v, 503);
}

static bool form_of(struct visit *v, struct span encoded, struct form *out)
{
    return form_decode(encoded, visit_alloc(v, encoded.len + 1), encoded.len, out);
}

static void find_subscriber(struct visit *v)
{
    v->unit = prefix_unit(&v->client, v->conf->ipv6_unit);
    for (size_t i = 0; i < v->conf->prefix_count; i++) {
        v->is_subscriber = v->is_subscriber || prefix_contains(&v->conf->prefixes[i], &v->client);
    }
    registry_find(v->site->registry, v->conf, &v->client, v->now_ms / 1000, &v->entry);
    registry_id(&v->entry, v->id);
    v->entry.account = v->entry.account ? v->id : NULL; /* the mirror's may change */
    v->holder_unknown = !v->entry.account && conf_is_leased(v->conf, &v->client);
    v->own = v->entry.account ? v->entry.over.addr.family == ADDR_NONE
                              : v->entry.unit.len >= v->unit.len;
}

static void find_language(struct visit *v)
{
    const struct language_list *l = &v->conf->web.languages;
    struct span asked = form_value(&v->query, "lang");
    struct span kept = visit_cookie(v, "g25lang");
    int chosen = language_choose(http_header(v->exchange, "Accept-Language"), l->at, l->count);

    for (size_t i = 0; i < l->count && asked.len == 0; i++) {
        if (span_equal(kept, span_of(l->at[i]))) {
            chosen = (int)i;
        }
    }
    for (size_t i = 0; i < l->count; i++) {
        if (span_equal(asked, span_of(l->at[i]))) {
            chosen = (int)i;
            visit_set_cookie(v, "g25lang", l->at[i], 366 * 86400);
        }
    }
    v->lang = chosen < 0 ? 0 : (size_t)chosen;
}

static void find_cookie(struct visit *v)
{
    struct span cookie = visit_cookie(v, COOKIE_SEED);

    if (token_is(cookie)) {
        memcpy(v->cookie, cookie.at, cookie.len);
        return;
    }
    token_random(v->cookie);
    v->in->fresh_cookie = true;
}

static int start_deadline(struct visit *v)
{
    uint32_t ms = v->conf->web.deadline_ms / 4 * 3;
    struct timeval wait = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};

    v->in->deadline = evtimer_new(v->site->base, on_deadline, v);
    return v->in->deadline ? evtimer_add(v->in->deadline, &wait) : -1;
}

struct visit *visit_new(struct site *s, struct http_exchange *x)
{
    struct visit *v = calloc(1, sizeof(*v));

    if (v) {
        v->in = calloc(1, sizeof(*v->in));
    }
    if (!v || !v->in || (v->in->ticket = idmap_add(&s->visits, v)) == IDMAP_NONE) {
        free(v ? v->in : NULL);
        free(v);
        http_answer(x, 503, NULL, 0, SPAN_LITERAL(""));
        return NULL;
    }
    v->site = s;
    v->conf = conf_hold(s->conf);
    v->exchange = x;
    v->method = http_method(x);
    v->path = http_path(x);
    v->now_ms = clock_unix_ms();
    if (start_deadline(v) != 0) {
        http_answer(x, 503, NULL, 0, SPAN_LITERAL(""));
        visit_free(v);
        return NULL;
    }
    (void)form_of(v, http_query(x), &v->query);
    if (!http_client(x, &v->client)) {
        v->client = (struct addr){0};
    } else {
        find_subscriber(v);
    }
    find_language(v);
    find_cookie(v);
    return v;
}

void visit_free(struct visit *v)
{
    struct piece *next;

    idmap_remove(&v->site->visits, v->in->ticket);
    for (const struct owned *o = v->in->owned; o; o = o->next) {
        json_decref(o->value);
    }
    for (struct piece *p = v->in->pieces; p; p = next) {
        next = p->next;
        free(p);
    }
    if (v->in->deadline) {
        event_free(v->in->deadline);
    }
    conf_release(v->conf);
    free(v->in);
    free(v);
}
