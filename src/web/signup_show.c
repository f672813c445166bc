/* The page `register` as values for its template. */
#include <string.h>

#include "signup_internal.h"

static json_t *time_of(int64_t unix_s)
{
    return visit_time(unix_s * 1000);
}

static json_t *check_of(const struct registration *r, enum signup_check check)
{
    const struct signup_checks *c = &r->checks;
    char server[ADDR_TEXT] = "";

    if (c->server.family != ADDR_NONE) {
        addr_format(&c->server, server);
    }
    const char *spf = spf_result_name(c->spf);
    return json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:s, s:s, s:b}", "name", signup_check_name(check), "result",
        signup_result_name(c->result[check]), "host", visit_text(span_of(r->request.host)),
        "domain", visit_text(span_of(r->request.domain)), "reverse",
        visit_text(span_of(c->reverse)), "server", server, "spf", spf ? spf : "unknown",
        "other_name", strcmp(c->reverse, r->request.host) != 0);
}

static json_t *checks_of(const struct registration *r)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < SIGNUP_CHECKS; i++) {
        json_array_append_new(list, check_of(r, i));
    }
    return list;
}

json_t *signup_json(const struct registration *r)
{
    return json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "state",
        registration_state_name(r->state), "contact", visit_text(span_of(r->request.contact)),
        "domain", visit_text(span_of(r->request.domain)), "host",
        visit_text(span_of(r->request.host)), "reason", visit_text(span_of(r->request.reason)),
        "checks", checks_of(r), "confirmed", time_of(r->confirmed_s), "decided",
        time_of(r->decided_s), "until", time_of(r->until_s), "probation_until",
        time_of(r->probation_until_s), "why", visit_text(span_of(r->why)), "class",
        visit_text(span_of(r->class)));
}

/* What the form shows: what was just sent, else what waits for its link, or was given before. */
static json_t *form_of(const struct signup_view *view)
{
    const struct signup_request *r =
        view->asked ? &view->fresh.request : &view->seen.registration.request;
    struct signup_form form = view->sent ? view->form
                                         : (struct signup_form){
                                               span_of(r->contact), span_of(r->domain),
                                               span_of(r->host), span_of(r->reason)};

    return json_pack(
        "{s:o, s:o, s:o, s:o}", "contact", visit_text(form.contact), "domain",
        visit_text(form.domain), "host", visit_text(form.host), "reason", visit_text(form.reason));
}

static json_t *faults_of(const struct signup_view *view)
{
    json_t *faults = json_object();

    for (unsigned f = 0; f < SIGNUP_FIELDS; f++) {
        if (view->faults[f] != SIGNUP_OK) {
            json_object_set_new(
                faults, signup_field_name(f), json_string(signup_fault_name(view->faults[f])));
        }
    }
    return faults;
}

/* In what case the page finds the line; `asked`: something waits for its link. */
static const char *case_of(
    const struct visit *v, const struct registration_line *line, enum registration_state now,
    bool asked)
{
    if (line->refused) {
        return "quarantined";
    }
    if (registration_is_active(now)) {
        return "active";
    }
    if (strcmp(line->class, REGISTRATION_CLASS) == 0) {
        return "by-desk"; /* by an operator, without a registration */
    }
    if (!signup_of(v->site)->mailer) {
        return "closed";
    }
    if (now == REGISTRATION_PENDING) {
        return "pending";
    }
    return asked ? "asked" : "none";
}

/* The page shows the form then. */
static bool has_form(const char *how)
{
    return strcmp(how, "none") == 0 || strcmp(how, "asked") == 0 || strcmp(how, "pending") == 0;
}

enum { IS_PENDING = 1, IS_EARLY = 2, IS_RENEWABLE = 4, IS_WITHDRAWN = 8, IS_NONE = 16 };

static unsigned kind_of(enum registration_state now, bool renewable)
{
    if (registration_is_active(now)) {
        return renewable ? IS_RENEWABLE : IS_EARLY;
    }
    return now == REGISTRATION_PENDING     ? IS_PENDING
           : now == REGISTRATION_WITHDRAWN ? IS_WITHDRAWN
                                           : IS_NONE;
}

/* What has just been done, by the address that the visitor was sent to: one that anybody can write.
 * So it is told only where things stand as they do then. */
static const char *done_of(const struct visit *v, unsigned kind)
{
    static const struct {
        const char *word;
        unsigned kinds;
    } words[] = {
        {"approved", IS_EARLY | IS_RENEWABLE},
        {"pending", IS_PENDING},
        {"renewed", IS_EARLY},
        {"mailed", IS_RENEWABLE},
        {"early", IS_EARLY},
        {"withdrawn", IS_WITHDRAWN},
        {"nothing", IS_WITHDRAWN | IS_NONE},
    };
    struct span done = form_value(&v->query, "done");

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (span_equal(done, span_of(words[i].word)) && (words[i].kinds & kind)) {
            return words[i].word;
        }
    }
    return "";
}

void signup_show(struct visit *v, int status, const struct signup_checks *checks)
{
    struct signup_view *view = signup_view(v);
    const struct registration *r = &view->seen.registration;
    char unit[PREFIX_TEXT];
    struct registration_line line = signup_visit_line(v, view->seen.class);
    struct registration_rules rules = signup_rules(v->conf);
    int64_t now_s = v->now_ms / 1000;
    enum registration_state now = registration_now(r, &line, now_s);
    bool renewable = registration_renewable(r, &rules, now_s);
    const char *how = case_of(v, &line, now, view->asked);
    bool show_checks = checks || view->asked;

    prefix_format(&v->unit, unit);
    json_t *values = json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:o, s:b, s:b, s:b, s:s, s:s, s:b, s:b, s:o}", "case", how,
        "was", registration_state_name(now), "done",
        line.refused ? "" : done_of(v, kind_of(now, renewable)), "registration", signup_json(r),
        "form", form_of(view), "faults", faults_of(view), "wrong", view->sent && status == 422,
        "early", view->wait_s > 0, "renewable", registration_renewable(r, &rules, now_s), "mail",
        view->mail, "line", unit, "checked", show_checks, "shared", !v->own, "term",
        visit_duration(v, v->conf->registration.term_s * 1000000));

    if (view->sent && has_form(how)) {
        json_object_set_new(values, "page_form", json_string("page-form"));
    }
    if (show_checks) {
        json_object_set_new(values, "checks", checks_of(&view->fresh));
        json_object_set_new(
            values, "at_once",
            json_boolean(
                !rules.desk_only && now != REGISTRATION_REFUSED && !line.class[0] &&
                signup_checks_hold(&view->fresh.checks, rules.required)));
    }
    if (view->asked) {
        json_object_set_new(
            values, "asked",
            json_pack(
                "{s:o, s:o}", "contact", visit_text(span_of(view->fresh.request.contact)), "at",
                time_of(view->asked_s)));
    }
    if (view->wait_s > 0) {
        json_object_set_new(values, "wait", visit_duration(v, (uint64_t)view->wait_s * 1000000));
    }
    if (rules.probation_s > 0) {
        json_object_set_new(values, "probation", visit_duration(v, rules.probation_s * 1000000));
    }
    visit_page(v, status, "register", values);
}

void signup_ask_registration(struct visit *v, visit_take_cb take)
{
    char id[SIGNUP_ID], key[2][STORE_KEY];
    struct span line = signup_line_id(v, id);
    const struct span words[] = {
        SPAN_LITERAL("FCALL_RO"), SPAN_LITERAL("gate25_registration_read"), SPAN_LITERAL("2"),
        store_key(STORE_KEY_REGISTRATION, line, key[0]),
        store_key(STORE_KEY_STANDING, line, key[1])};

    visit_try(v, words, sizeof(words) / sizeof(*words), take);
}

bool signup_seen(const struct redis_reply *reply, struct registration_seen *out)
{
    struct span class;
    struct text t;

    *out = (struct registration_seen){.found = false};
    if (!reply || redis_reply_count(reply) != 2 ||
        !redis_reply_text(redis_reply_at(reply, 0), &class)) {
        return false;
    }
    text_init(&t, out->class, sizeof(out->class));
    text_add(&t, class);
    out->found = registration_decode(redis_reply_at(reply, 1), &out->registration);
    return true;
}

json_t *signup_summary(const struct visit *v, const struct redis_reply *reply)
{
    struct registration_seen seen;

    if (!signup_seen(reply, &seen)) {
        return NULL;
    }
    struct registration_line line = signup_visit_line(v, seen.class);
    enum registration_state now = registration_now(&seen.registration, &line, v->now_ms / 1000);
    uint64_t probation_s = v->conf->registration.probation_s;
    return json_pack(
        "{s:s, s:s, s:o, s:o}", "case", case_of(v, &line, now, false), "was",
        line.refused ? "" : registration_state_name(now), "registration",
        signup_json(&seen.registration), "probation",
        probation_s > 0 ? visit_duration(v, probation_s * 1000000) : json_null());
}
