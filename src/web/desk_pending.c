/* Registrations that wait for the desk: the checks' results, and the decision. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "desk_subscriber.h"
#include "svc/registrations.h"
#include "web/signup.h"

#define SHOWN       25
#define REASON_MOST (REGISTRATION_WHY - 1)
#define NUMBER      24

/* A question about one registration that is out. */
struct one {
    struct site *site;
    uint64_t ticket;
    size_t at; /* its place in the list */
    char id[DESK_ID];
};

/* The pending ones of the page: `more`. */
struct pending {
    json_t *list;
    const char *notice;
    int status;
};

static struct one *one_new(struct visit *v, struct span id, size_t at)
{
    struct one *o = calloc(1, sizeof(*o));

    if (!o) {
        log_error("out of memory");
        abort();
    }
    o->site = v->site;
    o->ticket = visit_wait(v);
    o->at = at;
    snprintf(o->id, sizeof(o->id), "%.*s", (int)id.len, id.at);
    return o;
}

static json_t *registration_json(const struct registration_seen *seen)
{
    json_t *out = signup_json(&seen->registration);
    char version[NUMBER];

    /* What the operator saw: a form about it brings it back. */
    snprintf(version, sizeof(version), "%llu", (unsigned long long)seen->registration.version);
    json_object_set_new(out, "version", json_string(version));
    return out;
}

/* --- the list --- */

static void on_seen(void *context, const struct registration_seen *seen)
{
    struct one *o = context;
    struct visit *v = visit_of(o->site, o->ticket);

    if (v && !seen) {
        desk_lose(v);
    } else if (v && seen->found && seen->registration.state == REGISTRATION_PENDING) {
        struct pending *p = desk_view(v)->more;
        json_t *one = registration_json(seen);

        json_object_set_new(one, "id", visit_text(span_of(o->id)));
        json_object_set_new(one, "at", json_integer((json_int_t)o->at));
        json_array_set_new(p->list, o->at, one);
    }
    if (v) {
        visit_got(v);
    }
    free(o);
}

static void on_list(void *context, const struct span *ids, size_t count, bool ok)
{
    struct one *o = context;
    struct visit *v = visit_of(o->site, o->ticket);

    free(o);
    if (!v) {
        return;
    }
    struct pending *p = desk_view(v)->more;

    if (!ok) {
        desk_lose(v);
    }
    for (size_t i = 0; ok && i < count; i++) {
        json_array_append_new(p->list, json_null());
    }
    for (size_t i = 0; ok && i < count; i++) {
        registrations_read(site_redis(v->site), ids[i], on_seen, one_new(v, ids[i], i));
    }
    visit_got(v);
}

static void take_count(struct visit *v, const struct redis_reply *reply)
{
    int64_t n = 0;

    (void)redis_reply_integer(reply, &n);
    desk_put(v, "pending", json_integer(n));
    desk_put(v, "any_pending", json_boolean(n > 0));
}

void desk_ask_pending_count(struct visit *v)
{
    const struct span words[] = {SPAN_LITERAL("ZCARD"), SPAN_LITERAL(STORE_PENDING)};

    visit_ask(v, words, 2, take_count);
}

static void show(struct visit *v)
{
    struct pending *p = desk_view(v)->more;
    json_t *there = json_array();

    /* One that was decided between the two questions is a hole. */
    for (size_t i = 0; i < json_array_size(p->list); i++) {
        if (json_is_object(json_array_get(p->list, i))) {
            json_array_append(there, json_array_get(p->list, i));
        }
    }
    desk_put(v, "entries", there);
    desk_put(v, "shown", json_integer(SHOWN));
    desk_put(v, "notice", json_string(p->notice));
    desk_show(v, p->status, "desk_pending");
}

static void ask_list(struct visit *v, int status, const char *notice)
{
    struct pending *p = visit_alloc(v, sizeof(*p));

    desk_view(v)->more = p;
    p->list = json_array();
    visit_own(v, p->list);
    p->notice = notice;
    p->status = status;
    desk_ask_pending_count(v);
    registrations_list_pending(
        site_redis(v->site), 0, SHOWN, on_list, one_new(v, SPAN_LITERAL(""), 0));
    visit_then(v, show);
}

void desk_pending(struct visit *v)
{
    struct span done = form_value(&v->query, "done");
    bool approved = span_equal(done, SPAN_LITERAL("approved"));
    bool refused = span_equal(done, SPAN_LITERAL("refused"));

    ask_list(v, 200, approved ? "approved" : refused ? "refused" : "");
}

/* --- the decision --- */

struct decision {
    enum registration_event event;
    struct span id, why, version;
    bool stale, answered;
    enum registration_answer answer;
};

static void again(struct visit *v, int status, const char *notice)
{
    struct decision d = *(struct decision *)desk_view(v)->more;

    desk_put(
        v, "typed", json_pack("{s:o, s:o}", "id", visit_text(d.id), "reason", visit_text(d.why)));
    ask_list(v, status, notice);
}

static void leave(struct visit *v)
{
    const struct decision *d = desk_view(v)->more;

    visit_redirect(
        v, d->event == REGISTRATION_APPROVE ? "/desk/pending?done=approved"
                                            : "/desk/pending?done=refused");
}

static void tell(struct visit *v)
{
    static const struct {
        int status;
        const char *notice;
    } notices[] = {
        [REGISTRATION_DONE] = {0, NULL},
        [REGISTRATION_NOTHING] = {409, "meanwhile"},
        [REGISTRATION_QUARANTINED] = {409, "quarantined"},
        [REGISTRATION_ALREADY] = {409, "already"},
        [REGISTRATION_NOT_PENDING] = {409, "meanwhile"},
        [REGISTRATION_NOT_THERE] = {409, "meanwhile"},
        [REGISTRATION_TOO_EARLY] = {409, "meanwhile"},
    };
    const struct decision *d = desk_view(v)->more;

    if (d->answer == REGISTRATION_DONE) {
        desk_trail(v, d->event == REGISTRATION_APPROVE ? "approve" : "refuse", d->id, d->why);
        visit_then(v, leave);
    } else {
        again(v, notices[d->answer].status, notices[d->answer].notice);
    }
}
static void on_decided(
    void *context, bool ok, enum registration_answer answer, const struct registration *now)
{
    struct one *o = context;
    struct visit *v = visit_of(o->site, o->ticket);

    (void)now;
    free(o);
    if (!v) {
        return;
    }
    struct decision *d = desk_view(v)->more;

    d->answer = answer;
    if (!ok) {
        desk_lose(v);
    }
    visit_got(v);
}

/* The registration is the one that the operator saw, or he has to look again. */
static void decide(struct visit *v)
{
    const struct decision *d = desk_view(v)->more;

    if (d->stale) {
        again(v, 409, "meanwhile");
        return;
    }
    signup_decide(
        v->site, d->id, d->event, span_of(v->operator), d->why, on_decided, one_new(v, d->id, 0));
    visit_then(v, tell);
}

static void on_checked(void *context, const struct registration_seen *seen)
{
    struct one *o = context;
    struct visit *v = visit_of(o->site, o->ticket);
    char version[NUMBER];

    free(o);
    if (!v) {
        return;
    }
    struct decision *d = desk_view(v)->more;

    if (!seen) {
        desk_lose(v);
    } else {
        snprintf(version, sizeof(version), "%llu", (unsigned long long)seen->registration.version);
        d->stale = !seen->found || !span_equal(span_of(version), d->version);
    }
    visit_got(v);
}

static void start(struct visit *v, enum registration_event event)
{
    struct decision *d = visit_alloc(v, sizeof(*d));

    desk_view(v)->more = d;
    d->event = event;
    d->id = form_value(&v->form, "id");
    d->why = form_value(&v->form, "reason");
    d->version = form_value(&v->form, "version");
    if (!desk_id_is_good(d->id)) {
        visit_fail(v, 404);
    } else if (event == REGISTRATION_REFUSE && d->why.len == 0) {
        again(v, 422, "no_reason");
    } else if (d->why.len > REASON_MOST || !text_is_plain(d->why, false)) {
        d->why = SPAN_LITERAL("");
        again(v, 422, "bad_reason");
    } else {
        registrations_read(site_redis(v->site), d->id, on_checked, one_new(v, d->id, 0));
        visit_then(v, decide);
    }
}

void desk_approve(struct visit *v)
{
    start(v, REGISTRATION_APPROVE);
}

void desk_refuse(struct visit *v)
{
    start(v, REGISTRATION_REFUSE);
}

/* --- of one subscriber --- */

static void on_registration(void *context, const struct registration_seen *seen)
{
    struct one *o = context;
    struct visit *v = visit_of(o->site, o->ticket);

    free(o);
    if (v && !seen) {
        desk_lose(v);
    } else if (v && seen->found) {
        desk_put(v, "registration", registration_json(seen));
    }
    if (v) {
        visit_got(v);
    }
}

void desk_ask_registration(struct visit *v, struct span id)
{
    registrations_read(site_redis(v->site), id, on_registration, one_new(v, id, 0));
}
