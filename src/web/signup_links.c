/* What links in mails lead to, and the withdrawal. A link alone does nothing: mail programs and
 * scanners open links too. Its page has a button, and the answer to it is the same whether the link
 * never was or is another line's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "signup_internal.h"

static void show_button(struct visit *v, const char *page)
{
    struct span token = form_value(&v->query, "token");

    if (!token_is(token)) {
        visit_page(v, 404, "link_invalid", NULL);
        return;
    }
    visit_page(v, 200, page, json_pack("{s:o}", "token", visit_text(token)));
}

void signup_confirm_page(struct visit *v)
{
    show_button(v, "confirm");
}

void signup_renew_page(struct visit *v)
{
    show_button(v, "renew");
}

/* --- the link --- */

static struct span key_of_link(
    const struct visit *v, enum registration_event event, char out[STORE_KEY])
{
    char hash[TOKEN_TEXT];

    token_hash(form_value(&v->form, "token"), hash);
    return event == REGISTRATION_CONFIRM ? signup_link_key(v, hash, out)
                                         : store_key(STORE_KEY_SIGNUP, span_of(hash), out);
}

static void ask_link(
    struct visit *v, const char *call, const char *function, enum registration_event event,
    visit_take_cb take)
{
    char key[STORE_KEY], id[SIGNUP_ID];
    const struct span words[] = {
        span_of(call),         span_of(function),
        SPAN_LITERAL("1"),     key_of_link(v, event, key),
        signup_line_id(v, id), span_of(event == REGISTRATION_CONFIRM ? "confirm" : "renew")};

    visit_ask(v, words, sizeof(words) / sizeof(*words), take);
}

static void on_link(struct visit *v, const struct redis_reply *reply)
{
    struct signup_view *view = signup_view(v);

    view->used = redis_reply_field(reply, "used").len > 0;
    view->asked = registration_decode(reply, &view->fresh) && !view->used;
}

/* Looks at the link, which must be this line's; view->asked says so then, view->used that it is
 * used up. It is used up once all is done: whoever got no answer can press the button again. */
static void look_at_link(struct visit *v, enum registration_event event, visit_next_cb next)
{
    if (!token_is(form_value(&v->form, "token"))) {
        visit_page(v, 404, "link_invalid", NULL);
        return;
    }
    ask_link(v, "FCALL_RO", "gate25_signup_look", event, on_link);
    visit_then(v, next);
}

/* --- a change, and the visit that waits for it --- */

struct waiting {
    struct signup *signup;
    uint64_t visit;
};

static void on_changed(
    void *context, bool ok, enum registration_answer answer, const struct registration *now)
{
    struct waiting w = *(struct waiting *)context;
    struct visit *v = w.signup->stopped ? NULL : visit_of(w.signup->site, w.visit);

    free(context);
    if (v) {
        struct signup_view *view = signup_view(v);
        view->changed = ok;
        view->answer = answer;
        view->seen.registration = *now;
        visit_got(v);
    }
    signup_release(w.signup);
}

static void change(
    struct visit *v, enum registration_event event, const struct registration *fresh,
    visit_next_cb next)
{
    struct signup *s = signup_of(v->site);
    struct waiting *w = malloc(sizeof(*w));
    char id[SIGNUP_ID], by[REGISTRATION_WHO];

    if (!w) {
        visit_fail(v, 503);
        return;
    }
    signup_fresh_by(v, by);
    *w = (struct waiting){signup_hold(s), visit_wait(v)};
    const struct signup_event e = {
        .id = signup_line_id(v, id), .event = event, .fresh = fresh, .by = span_of(by)};
    signup_change(s, &e, on_changed, w);
    visit_then(v, next);
}

/* Where to go with what has come of it. */
static void answer(struct visit *v, const char *done)
{
    const struct signup_view *view = signup_view(v);
    char path[64] = "/register";

    if (!view->changed) {
        visit_fail(v, 503);
        return;
    }
    if (view->answer == REGISTRATION_DONE) {
        snprintf(path, sizeof(path), "/register?done=%s", done);
    } else if (view->answer == REGISTRATION_TOO_EARLY) {
        snprintf(path, sizeof(path), "/register?done=early");
    } else if (view->answer == REGISTRATION_NOT_THERE) {
        snprintf(path, sizeof(path), "/register?done=nothing");
    }
    /* All else stands on the page itself: a quarantine, a registration that is there already. */
    visit_redirect(v, path);
}

/* --- confirm --- */

static enum registration_state state_now(struct visit *v)
{
    struct signup_view *view = signup_view(v);
    struct registration_line line = signup_visit_line(v, view->seen.class);

    return registration_now(&view->seen.registration, &line, v->now_ms / 1000);
}

static void answer_confirmed(struct visit *v)
{
    bool pending = signup_view(v)->seen.registration.state == REGISTRATION_PENDING;

    answer(v, pending ? "pending" : "approved");
}

/* Where it could not be done, the link stays: a quarantine may end before it does. */
static bool is_confirmed(const struct signup_view *view)
{
    return view->changed &&
           (view->answer == REGISTRATION_DONE || view->answer == REGISTRATION_ALREADY);
}

static void after_confirm(struct visit *v)
{
    char id[SIGNUP_ID], key[STORE_KEY];
    const struct span forget[] = {
        SPAN_LITERAL("DEL"), store_key(STORE_KEY_ASKED, signup_line_id(v, id), key)};

    if (is_confirmed(signup_view(v))) {
        ask_link(v, "FCALL", "gate25_signup_use", REGISTRATION_CONFIRM, NULL);
        visit_try(v, forget, 2, NULL);
    }
    visit_then(v, answer_confirmed);
}

/* The button was pressed twice: the second time nothing is done, and said what the first one did.
 */
static void answer_used(struct visit *v)
{
    enum registration_state now = state_now(v);

    if (now == REGISTRATION_PENDING || registration_is_active(now)) {
        visit_redirect(
            v, now == REGISTRATION_PENDING ? "/register?done=pending" : "/register?done=approved");
    } else {
        visit_page(v, 404, "link_invalid", NULL);
    }
}

static void on_confirm_link(struct visit *v)
{
    struct signup_view *view = signup_view(v);

    if (view->used) {
        signup_ask_line(v);
        visit_then(v, answer_used);
    } else if (view->asked) {
        change(v, REGISTRATION_CONFIRM, &view->fresh, after_confirm);
    } else {
        visit_page(v, 404, "link_invalid", NULL);
    }
}

void signup_confirm_post(struct visit *v)
{
    if (signup_range_refuses(v)) {
        visit_redirect(v, "/register"); /* which says why; the link stays good */
        return;
    }
    look_at_link(v, REGISTRATION_CONFIRM, on_confirm_link);
}

/* --- renew --- */

static void answer_renewed(struct visit *v)
{
    answer(v, "renewed");
}

static void after_renew(struct visit *v)
{
    if (signup_view(v)->changed) {
        ask_link(v, "FCALL", "gate25_signup_use", REGISTRATION_RENEW, NULL);
    }
    visit_then(v, answer_renewed);
}

static void on_renew_link(struct visit *v)
{
    if (!signup_view(v)->asked) {
        visit_page(v, 404, "link_invalid", NULL);
        return;
    }
    change(v, REGISTRATION_RENEW, NULL, after_renew);
}

static void after_allowed(struct visit *v)
{
    struct signup_view *view = signup_view(v);
    char id[SIGNUP_ID];

    if (view->wait_s == 0) {
        signup_mail_reminder(signup_of(v->site), &view->seen.registration, signup_line_id(v, id));
    }
    visit_redirect(v, "/register?done=mailed");
}

static void on_allowed(struct visit *v, const struct redis_reply *reply)
{
    (void)redis_reply_integer(redis_reply_at(reply, 0), &signup_view(v)->wait_s);
}

/* The link of the reminder once more, to the same address. */
static void mail_again(struct visit *v)
{
    struct signup_view *view = signup_view(v);
    struct registration_rules rules = signup_rules(v->conf);
    char contact[STORE_KEY];

    if (!registration_is_active(state_now(v))) {
        visit_redirect(v, "/register?done=nothing");
        return;
    }
    if (!registration_renewable(&view->seen.registration, &rules, v->now_ms / 1000)) {
        visit_redirect(v, "/register?done=early");
        return;
    }
    const struct span words[] = {
        SPAN_LITERAL("FCALL"),
        SPAN_LITERAL("gate25_signup_mail"),
        SPAN_LITERAL("1"),
        signup_contact_count(view->seen.registration.request.contact, contact),
        SPAN_LITERAL(""),
        SPAN_LITERAL("0"),
        SPAN_LITERAL(SIGNUP_MAIL_EVERY)};
    visit_ask(v, words, sizeof(words) / sizeof(*words), on_allowed);
    visit_then(v, after_allowed);
}

void signup_renew_post(struct visit *v)
{
    if (form_has(&v->form, "token")) {
        look_at_link(v, REGISTRATION_RENEW, on_renew_link);
        return;
    }
    signup_ask_line(v);
    visit_then(v, mail_again);
}

/* --- withdraw --- */

static void after_withdraw(struct visit *v)
{
    answer(v, "withdrawn");
}

static void show_withdraw(struct visit *v)
{
    enum registration_state now = state_now(v);

    if (now == REGISTRATION_PENDING || registration_is_active(now)) {
        visit_page(v, 200, "withdraw", NULL);
    } else {
        visit_redirect(v, "/register?done=nothing");
    }
}

void signup_withdraw_page(struct visit *v)
{
    signup_ask_line(v);
    visit_then(v, show_withdraw);
}

void signup_withdraw_post(struct visit *v)
{
    change(v, REGISTRATION_WITHDRAW, NULL, after_withdraw);
}
