/* The desk's decision about a registration, from the list of those that wait or from the
 * subscriber's own page. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "desk_pending.h"
#include "web/signup.h"

#define REASON_MOST (REGISTRATION_WHY - 1)
#define SUBSCRIBER  "subscriber" /* `back`: the form was on his page; else the place in the list */
#define PATH_MOST   1024

struct decision {
    enum registration_event event;
    struct span id, why, version, back;
    bool stale;
    enum registration_answer answer;
};

static bool is_of_subscriber(const struct decision *d)
{
    return span_equal(d->back, SPAN_LITERAL(SUBSCRIBER));
}

/* Nothing was done: the page that the form was on, with what was typed. */
static void again(struct visit *v, int status, const char *why)
{
    const struct decision *d = desk_view(v)->more;
    struct desk_undecided *u = visit_alloc(v, sizeof(*u));

    *u = (struct desk_undecided){d->id, d->why, why};
    if (!is_of_subscriber(d)) {
        desk_pending_again(v, status, d->back, u);
    } else if (desk_subject_of(v, d->id)) {
        desk_put(v, "undecided", json_string(why));
        desk_put(v, "fault", json_string(why));
        desk_put(v, "about", visit_text(u->id));
        desk_put(v, "typed_reason", desk_typed(u->reason));
        desk_subscriber_again(v, status, "");
    }
}

static void leave(struct visit *v)
{
    const struct decision *d = desk_view(v)->more;
    char path[PATH_MOST];
    uint64_t from;
    struct text t;

    text_init(&t, path, sizeof(path));
    desk_path(&t, is_of_subscriber(d) ? "/desk/subscriber" : "/desk/pending", d->id);
    text_addf(&t, "&done=%s", d->event == REGISTRATION_APPROVE ? "approved" : "refused");
    if (span_number(d->back, UINT32_MAX, &from)) {
        text_addf(&t, "&from=%" PRIu64, from);
    }
    visit_redirect(v, path);
}

static void tell(struct visit *v)
{
    static const char *const words[] = {
        [REGISTRATION_DONE] = NULL,
        [REGISTRATION_NOTHING] = "meanwhile",
        [REGISTRATION_QUARANTINED] = "quarantined",
        [REGISTRATION_ALREADY] = "already",
        [REGISTRATION_NOT_PENDING] = "meanwhile",
        [REGISTRATION_NOT_THERE] = "meanwhile",
        [REGISTRATION_TOO_EARLY] = "meanwhile",
    };
    const struct decision *d = desk_view(v)->more;

    if (d->answer == REGISTRATION_DONE) {
        desk_trail(v, d->event == REGISTRATION_APPROVE ? "approve" : "refuse", d->id, d->why);
        visit_then(v, leave);
    } else {
        again(v, 409, words[d->answer]);
    }
}

static void on_decided(
    void *context, bool ok, enum registration_answer answer, const struct registration *now)
{
    struct desk_one *o = context;
    struct visit *v = visit_of(o->site, o->ticket);

    (void)now;
    free(o);
    if (!v) {
        return;
    }
    ((struct decision *)desk_view(v)->more)->answer = answer;
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
        v->site, d->id, d->event, span_of(v->operator), d->why, on_decided,
        desk_one_new(v, d->id, 0));
    visit_then(v, tell);
}

static void on_checked(void *context, const struct registration_seen *seen)
{
    struct desk_one *o = context;
    struct visit *v = visit_of(o->site, o->ticket);
    char version[DESK_VERSION];

    free(o);
    if (!v) {
        return;
    }
    struct decision *d = desk_view(v)->more;

    if (!seen) {
        desk_lose(v);
    } else {
        desk_version(&seen->registration, version);
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
    d->back = form_value(&v->form, "back");
    if (!desk_id_is_good(d->id)) {
        desk_fault(v, 404, "account", d->id);
    } else if (event == REGISTRATION_REFUSE && d->why.len == 0) {
        again(v, 422, "no_reason");
    } else if (d->why.len > REASON_MOST || !text_is_plain(d->why, false)) {
        again(v, 422, "bad_reason");
    } else {
        registrations_read(site_redis(v->site), d->id, on_checked, desk_one_new(v, d->id, 0));
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
