/* What links in mails lead to, and the withdrawal. A link alone does nothing: mail programs and
 * scanners open links too. Its page has a button, and the answer to it is the same whether the link
 * never was, is used up, or is another line's. */
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

/* Uses the link up, if it is this line's; view->asked says so then. */
static void take_link(struct visit *v, const char *purpose, visit_take_cb take, visit_next_cb next)
{
    struct span token = form_value(&v->form, "token");
    char hash[TOKEN_TEXT], key[STORE_KEY], id[SIGNUP_ID];

    if (!token_is(token)) {
        visit_page(v, 404, "link_invalid", NULL);
        return;
    }
    token_hash(token, hash);
    const struct span words[] = {
        SPAN_LITERAL("FCALL"), SPAN_LITERAL("gate25_signup_take"),
        SPAN_LITERAL("1"),     store_key(STORE_KEY_SIGNUP, span_of(hash), key),
        signup_line_id(v, id), span_of(purpose)};
    visit_ask(v, words, sizeof(words) / sizeof(*words), take);
    visit_then(v, next);
}

static void on_taken(struct visit *v, const struct redis_reply *reply)
{
    struct signup_view *view = signup_view(v);

    view->asked = registration_decode(reply, &view->fresh);
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
    }
    /* All else stands on the page itself: a quarantine, a registration that is there already. */
    visit_redirect(v, path);
}

/* --- confirm --- */

static void after_confirm(struct visit *v)
{
    bool pending = signup_view(v)->seen.registration.state == REGISTRATION_PENDING;

    answer(v, pending ? "pending" : "approved");
}

static void on_confirm_link(struct visit *v)
{
    struct signup_view *view = signup_view(v);
    char id[SIGNUP_ID], key[STORE_KEY];

    if (!view->asked) {
        visit_page(v, 404, "link_invalid", NULL);
        return;
    }
    const struct span forget[] = {
        SPAN_LITERAL("DEL"), store_key(STORE_KEY_ASKED, signup_line_id(v, id), key)};
    visit_try(v, forget, 2, NULL);
    change(v, REGISTRATION_CONFIRM, &view->fresh, after_confirm);
}

void signup_confirm_post(struct visit *v)
{
    if (signup_range_refuses(v)) {
        visit_redirect(v, "/register"); /* which says why; the link stays good */
        return;
    }
    take_link(v, "confirm", on_taken, on_confirm_link);
}

/* --- renew --- */

static void after_renew(struct visit *v)
{
    answer(v, "renewed");
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
    (void)redis_reply_integer(reply, &signup_view(v)->wait_s);
}

/* The link of the reminder once more, to the same address. */
static void mail_again(struct visit *v)
{
    struct signup_view *view = signup_view(v);
    struct registration_rules rules = signup_rules(v->conf);
    char contact[SIGNUP_CONTACT], hash[TOKEN_TEXT], counter[STORE_KEY];
    struct registration_line line = signup_visit_line(v, view->seen.class);

    if (!registration_is_active(
            registration_now(&view->seen.registration, &line, v->now_ms / 1000)) ||
        !registration_renewable(&view->seen.registration, &rules, v->now_ms / 1000)) {
        visit_redirect(v, "/register?done=early");
        return;
    }
    signup_contact_key(span_of(view->seen.registration.request.contact), contact);
    token_hash(span_of(contact), hash);
    const struct span words[] = {
        SPAN_LITERAL("FCALL"), SPAN_LITERAL("gate25_signup_allow"),
        SPAN_LITERAL("1"),     store_key(STORE_KEY_MAILED, span_of(hash), counter),
        SPAN_LITERAL("1"),     SPAN_LITERAL("3600")};
    visit_ask(v, words, sizeof(words) / sizeof(*words), on_allowed);
    visit_then(v, after_allowed);
}

void signup_renew_post(struct visit *v)
{
    if (form_has(&v->form, "token")) {
        take_link(v, "renew", on_taken, on_renew_link);
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

void signup_withdraw_page(struct visit *v)
{
    visit_page(v, 200, "withdraw", NULL);
}

void signup_withdraw_post(struct visit *v)
{
    change(v, REGISTRATION_WITHDRAW, NULL, after_withdraw);
}
