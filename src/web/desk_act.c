/* Quarantine and release, by an operator who has seen the subscriber's page. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "desk_subscriber.h"

#define REASON_MOST 200 /* bytes: a longer one may be cut in the reply */
#define NOTE_MOST   1000
#define DAY_S       86400
#define PATH_MOST   1024

/* A change on its way: visit.data's `more` stays the subject. */
struct act {
    struct site *site;
    uint64_t ticket;
    const char *done;
};

/* Text of one line, within `most` bytes. False: it is not, and *out is what it is all the same. */
static bool read_text(const struct visit *v, const char *name, size_t most, struct span *out)
{
    *out = form_value(&v->form, name);
    return out->len <= most && text_is_plain(*out, false);
}

/* A reply of SMTP is printable ASCII: what else is in a reason would be cut there. */
static bool is_ascii(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < ' ' || s.at[i] > '~') {
            return false;
        }
    }
    return true;
}

/* Days from now, "0" for no end: nothing is for ever because a field was left empty. */
static bool read_until(const struct visit *v, int64_t *out_s)
{
    struct span text = form_value(&v->form, "days");
    uint64_t days = 0;

    *out_s = 0;
    if (!span_number(text, 3660, &days)) {
        return false;
    }
    if (days > 0) {
        *out_s = v->now_ms / 1000 + (int64_t)days * DAY_S;
    }
    return true;
}

/* What was typed comes back with the page. */
static void keep_form(struct visit *v)
{
    static const char *const names[] = {"reason", "note", "days", "class"};
    json_t *kept = json_object();

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        json_object_set_new(kept, names[i], desk_typed(form_value(&v->form, names[i])));
    }
    desk_put(v, "typed", kept);
}

static void again(struct visit *v, int status, const char *notice)
{
    keep_form(v);
    desk_subscriber_again(v, status, notice);
}

static void on_changed(void *context, enum standing_outcome outcome, struct span error)
{
    struct act *act = context;
    struct visit *v = visit_of(act->site, act->ticket);
    char path[PATH_MOST];
    struct text t;

    if (outcome == STANDING_FAILED) {
        log_warning("desk: %.*s", (int)error.len, error.at);
    }
    if (v) {
        visit_got(v);
    }
    if (v && outcome == STANDING_DONE) {
        const struct desk_subject *s = desk_view(v)->more;

        text_init(&t, path, sizeof(path));
        desk_path(&t, "/desk/subscriber", span_of(s->id));
        text_addf(&t, "&done=%s", act->done);
        visit_redirect(v, path);
    } else if (v && outcome == STANDING_MEANWHILE) {
        again(v, 409, "meanwhile");
    } else if (v) {
        visit_fail(v, 503);
    }
    free(act);
}

static void change(struct visit *v, const struct standing *standing, const char *done)
{
    struct span seen = form_value(&v->form, "seen");
    struct act *act = malloc(sizeof(*act));

    if (!act) {
        visit_fail(v, 503);
        return;
    }
    *act = (struct act){v->site, visit_wait(v), done};
    standing_change(site_redis(v->site), standing, seen, SITE_REDIS_MS, on_changed, act);
}

/* The subject and the texts of both forms. What is said of a unit that is handed out by lease would
 * count for nothing; that can only be ended. False: it is answered. */
static bool read_form(struct visit *v, bool quarantines, struct standing *out)
{
    const struct desk_subject *s;

    if (!desk_subject_of(v, form_value(&v->form, "id"))) {
        return false;
    }
    s = desk_view(v)->more;
    if (quarantines && s->is_prefix && desk_is_passed_over(v, &s->prefix)) {
        again(v, 409, "leased");
        return false;
    }
    *out = (struct standing){
        .id = span_of(s->id), .since_s = v->now_ms / 1000, .by = span_of(v->operator)};
    if (!read_text(v, "reason", REASON_MOST, &out->reason) || !is_ascii(out->reason)) {
        again(v, 422, "bad_reason");
        return false;
    }
    if (!read_text(v, "note", NOTE_MOST, &out->note)) {
        again(v, 422, "bad_note");
        return false;
    }
    return true;
}

/* Over more than one line: it has to be said that this is meant. */
static bool is_wide(struct visit *v)
{
    const struct desk_subject *s = desk_view(v)->more;

    return s->is_prefix && desk_lines(v, &s->prefix) > 1;
}

void desk_quarantine(struct visit *v)
{
    struct standing s;
    struct span class;

    if (!read_form(v, true, &s)) {
        return;
    }
    class = form_value(&v->form, "class");
    if (class.len == 0) {
        class = SPAN_LITERAL("quarantined");
    }
    if (s.reason.len == 0) {
        again(v, 422, "no_reason");
    } else if (!read_until(v, &s.until_s)) {
        again(v, 422, "bad_days");
    } else if (
        !conf_class_named(v->conf, class) ||
        !desk_is_quarantine(conf_class_named(v->conf, class), class)) {
        again(v, 422, "bad_class");
    } else if (is_wide(v) && !form_has(&v->form, "wide")) {
        again(v, 422, "wide");
    } else {
        s.class = class;
        s.verb = SPAN_LITERAL("quarantine");
        change(v, &s, "quarantined");
    }
}

static void take_seen(struct visit *v, const struct redis_reply *reply)
{
    struct desk_subject *s = desk_view(v)->more;
    struct standing seen;

    if (!standing_seen(reply, &seen, s->digest)) {
        desk_lose(v);
        return;
    }
    s->quarantine =
        seen.class.len > 0 && desk_is_quarantine(conf_class_named(v->conf, seen.class), seen.class);
}

/* A registration is not ended by this. */
static void release_seen(struct visit *v)
{
    const struct desk_subject *s = desk_view(v)->more;
    struct standing standing;

    if (!s->quarantine) {
        again(v, 409, "meanwhile");
    } else if (read_form(v, false, &standing)) {
        standing.verb = SPAN_LITERAL("release");
        change(v, &standing, "released");
    }
}

void desk_release(struct visit *v)
{
    struct standing standing;
    char key[STORE_KEY];

    if (!read_form(v, false, &standing)) {
        return;
    }
    const struct span words[] = {
        SPAN_LITERAL("FCALL_RO"), SPAN_LITERAL("gate25_site_look"), SPAN_LITERAL("1"),
        store_key(STORE_KEY_STANDING, standing.id, key)};

    visit_ask(v, words, 4, take_seen);
    visit_then(v, release_seen);
}
