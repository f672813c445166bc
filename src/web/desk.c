#include "web/desk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "chart.h"
#include "desk_internal.h"

#define QUARANTINED "quarantined" /* a class of this name is a quarantine, whatever it does */
#define TYPED_MOST  2000          /* bytes: longer than any field of a form may be */

/* --- what the pages share --- */

struct desk *desk_of(const struct visit *v)
{
    return site_state(v->site, &desk_module);
}

struct desk_view *desk_view(struct visit *v)
{
    struct desk_view *view = v->data;

    if (!view) {
        view = v->data = visit_alloc(v, sizeof(*view));
        view->page = json_object();
        visit_own(v, view->page);
    }
    return view;
}

void desk_put(struct visit *v, const char *name, json_t *value)
{
    json_object_set_new(desk_view(v)->page, name, value);
}

void desk_show(struct visit *v, int status, const char *page)
{
    json_t *values = desk_view(v)->page;

    json_object_set_new(
        values, "may",
        json_pack("{s:b, s:b}", "act", v->role >= WHO_AGENT, "audit", v->role >= WHO_ADMIN));
    visit_page(v, status, page, json_incref(values));
}

const struct conf_class *desk_class(const struct visit *v, struct span id, bool *standing)
{
    const struct conf_class *ordinary = &v->conf->classes[v->conf->default_class];
    struct registry_entry entry;
    struct prefix p;

    *standing = false;
    if (prefix_parse(id, &p) != PREFIX_OK) {
        return ordinary;
    }
    registry_find(site_registry(v->site), v->conf, &p.addr, v->now_ms / 1000, &entry);
    /* A standing over a part of it says nothing of the whole. */
    if (!entry.standing || entry.unit.len > p.len) {
        return ordinary;
    }
    *standing = true;
    return entry.class;
}

bool desk_is_quarantine(const struct conf_class *class, struct span name)
{
    return span_equal(name, SPAN_LITERAL(QUARANTINED)) ||
           (class != NULL && class->action == ACTION_REFUSE);
}

json_t *desk_typed(struct span s)
{
    if (s.len > TYPED_MOST) {
        s.len = TYPED_MOST;
        while (s.len > 0 && (s.at[s.len] & 0xc0) == 0x80) {
            s.len--;
        }
    }
    return visit_text(s);
}

void desk_trail(struct visit *v, const char *what, struct span about, struct span detail)
{
    char address[ADDR_TEXT];

    addr_format(&v->client, address);
    struct trail_entry e = {
        .what = span_of(what),
        .by = span_of(v->operator),
        .from = span_of(address),
        .about = about,
        .detail = detail};

    struct span words[TRAIL_WORDS];

    visit_ask(v, words, trail_words(&e, words), NULL);
}

void desk_encode(struct text *out, struct span s)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/:";

    for (size_t i = 0; i < s.len; i++) {
        if (memchr(plain, s.at[i], sizeof(plain) - 1)) {
            text_add(out, (struct span){s.at + i, 1});
        } else {
            text_addf(out, "%%%02X", (uint8_t)s.at[i]);
        }
    }
}

void desk_path(struct text *out, const char *path, struct span id)
{
    text_addf(out, "%s?id=", path);
    desk_encode(out, id);
}

/* --- the tally --- */

struct rows_question {
    struct site *site;
    uint64_t ticket;
    desk_rows_cb take;
};

static void on_rows(void *context, const struct tally_row *rows, size_t count, struct span fault)
{
    (void)fault;
    struct rows_question *q = context;
    struct visit *v = visit_of(q->site, q->ticket);

    if (v && rows && !v->in->failed) {
        q->take(v, rows, count);
    }
    if (v && !rows) {
        desk_lose(v);
    }
    if (v) {
        visit_got(v);
    }
    free(q);
}

static struct rows_question *question_new(struct visit *v, desk_rows_cb take)
{
    struct rows_question *q = malloc(sizeof(*q));

    if (!q) {
        log_error("out of memory");
        abort();
    }
    *q = (struct rows_question){v->site, visit_wait(v), take};
    return q;
}

static void settle(struct visit *v, struct rows_question *q, int asked)
{
    if (asked != 0) {
        free(q);
        desk_lose(v);
        visit_got(v);
    }
}

void desk_ask_top(struct visit *v, enum tally_kind by, size_t most, desk_rows_cb take)
{
    struct rows_question *q = question_new(v, take);

    settle(
        v, q,
        tally_read_top(
            site_redis(v->site), by, most, TALLY_HOURS, v->now_ms / 1000, SITE_REDIS_MS, on_rows,
            q));
}

void desk_ask_row(struct visit *v, struct span id, desk_rows_cb take)
{
    struct rows_question *q = question_new(v, take);

    settle(
        v, q, tally_read(site_redis(v->site), &id, 1, v->now_ms / 1000, SITE_REDIS_MS, on_rows, q));
}

json_t *desk_row(const struct visit *v, const struct tally_row *row)
{
    bool standing;
    const struct conf_class *class = desk_class(v, span_of(row->id), &standing);
    json_t *out = json_pack(
        "{s:o, s:s, s:b, s:b, s:b, s:o}", "id", visit_text(span_of(row->id)), "class", class->name,
        "standing", standing, "counted", class->action != ACTION_PASS, "quarantine",
        desk_is_quarantine(class, span_of(class->name)), "chart", chart_of(row, v->now_ms / 1000));

    for (enum tally_kind k = 0; k < TALLY_OF_SUBSCRIBERS; k++) {
        json_object_set_new(out, tally_kind_name(k), json_integer((json_int_t)row->total[k]));
    }
    return out;
}

/* --- the module --- */

static int start(struct site *site, void **state, struct text *error)
{
    struct desk *d = calloc(1, sizeof(*d));

    if (d) {
        *state = d;
        d->site = site;
        d->hasher = hasher_new(site_base(site));
        d->rates = rate_table_new();
    }
    if (!d || !d->hasher || !d->rates) {
        text_addf(error, "the desk cannot start: no memory, or no threads");
        return -1;
    }
    return 0;
}

static void stop(void *state)
{
    struct desk *d = state;

    hasher_free(d->hasher);
    rate_table_free(d->rates);
    free(d);
}

/* Who may what stands here, and nowhere else. */
static const struct route routes[] = {
    {HTTP_GET, "/desk/login", WHO_ANYONE, desk_login},
    {HTTP_POST, "/desk/login", WHO_ANYONE, desk_login_post},
    {HTTP_POST, "/desk/logout", WHO_VIEWER, desk_logout},
    {HTTP_GET, "/desk", WHO_VIEWER, desk_overview},
    {HTTP_GET, "/desk/pending", WHO_VIEWER, desk_pending},
    {HTTP_POST, "/desk/approve", WHO_AGENT, desk_approve},
    {HTTP_POST, "/desk/refuse", WHO_AGENT, desk_refuse},
    {HTTP_GET, "/desk/subscriber", WHO_VIEWER, desk_subscriber},
    {HTTP_POST, "/desk/quarantine", WHO_AGENT, desk_quarantine},
    {HTTP_POST, "/desk/release", WHO_AGENT, desk_release},
    {HTTP_GET, "/desk/search", WHO_VIEWER, desk_search},
    {HTTP_GET, "/desk/feedback", WHO_AGENT, desk_feedback},
    {HTTP_GET, "/desk/export/log", WHO_AGENT, desk_log_export},
    {HTTP_GET, "/desk/export/tally", WHO_AGENT, desk_tally_export},
    {HTTP_GET, "/desk/audit", WHO_ADMIN, desk_audit},
    {HTTP_GET, "/desk/export/audit", WHO_ADMIN, desk_audit_export},
    {0, NULL, WHO_ANYONE, NULL},
};

static const char *const pages[] = {
    "desk_login",  "desk_unknown",  "desk_overview", "desk_pending", "desk_subscriber",
    "desk_search", "desk_feedback", "desk_audit",    "desk_fault",   "desk_lapsed",
    NULL};

const struct site_module desk_module = {
    .name = "desk",
    .routes = routes,
    .pages = pages,
    .start = start,
    .stop = stop,
    .guard = desk_guard,
};
