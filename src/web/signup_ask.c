/* The page `register`: how things stand, the form, and what its sending does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "signup_internal.h"

#define MAILS_FROM_LINE "3" /* an hour: a slip of the pen can be put right */
#define HOUR_S          "3600"

struct signup_view *signup_view(struct visit *v)
{
    if (!v->data) {
        v->data = visit_alloc(v, sizeof(struct signup_view));
    }
    return v->data;
}

struct span signup_line_id(const struct visit *v, char out[SIGNUP_ID])
{
    /* A standing over a wider prefix is no line. */
    if (v->entry.account) {
        snprintf(out, SIGNUP_ID, "%s", v->id);
    } else {
        prefix_format(&v->unit, out);
    }
    return span_of(out);
}

struct span signup_link_key(const struct visit *v, const char *token_hash, char out[STORE_KEY])
{
    char id[SIGNUP_ID], name[STORE_KEY];
    struct text t;

    text_init(&t, name, sizeof(name));
    text_add(&t, span_of(token_hash));
    text_add(&t, SPAN_LITERAL(":"));
    text_add(&t, signup_line_id(v, id));
    return store_key(STORE_KEY_SIGNUP, text_span(&t), out);
}

struct span signup_contact_count(const char *contact, char out[STORE_KEY])
{
    char key[SIGNUP_CONTACT], hash[TOKEN_TEXT];

    signup_contact_key(span_of(contact), key);
    token_hash(span_of(key), hash);
    return store_key(STORE_KEY_CONTACT, span_of(hash), out);
}

bool signup_range_refuses(const struct visit *v)
{
    return v->entry.account && v->entry.over.addr.family != ADDR_NONE &&
           v->entry.class->action == ACTION_REFUSE;
}

struct registration_line signup_visit_line(const struct visit *v, const char *class)
{
    char id[SIGNUP_ID];
    struct registration_line line = signup_line(v->site, signup_line_id(v, id), class);

    line.refused = line.refused || signup_range_refuses(v);
    return line;
}

void signup_fresh_by(struct visit *v, char out[REGISTRATION_WHO])
{
    char address[ADDR_TEXT];

    addr_format(&v->client, address);
    snprintf(out, REGISTRATION_WHO, "subscriber %s", address);
}

/* --- what is known of the line --- */

static void on_line(struct visit *v, const struct redis_reply *reply)
{
    (void)signup_seen(reply, &signup_view(v)->seen);
}

static void on_asked(struct visit *v, const struct redis_reply *reply)
{
    struct signup_view *view = signup_view(v);
    struct span mail = redis_reply_field(reply, "mail");
    struct span token = redis_reply_field(reply, "token");
    uint64_t at;

    view->asked = registration_decode(reply, &view->fresh) && view->fresh.request.contact[0];
    snprintf(view->mail, sizeof(view->mail), "%.*s", (int)mail.len, mail.at);
    if (token_is(token)) {
        memcpy(view->old_token, token.at, token.len);
    }
    if (span_number(redis_reply_field(reply, "at"), INT64_MAX / 1000, &at)) {
        view->asked_s = (int64_t)at;
    }
}

void signup_ask_line(struct visit *v)
{
    char id[SIGNUP_ID], key[3][STORE_KEY];
    struct span line = signup_line_id(v, id);
    const struct span read[] = {
        SPAN_LITERAL("FCALL_RO"), SPAN_LITERAL("gate25_registration_read"), SPAN_LITERAL("2"),
        store_key(STORE_KEY_REGISTRATION, line, key[0]),
        store_key(STORE_KEY_STANDING, line, key[1])};
    const struct span asked[] = {SPAN_LITERAL("HGETALL"), store_key(STORE_KEY_ASKED, line, key[2])};

    visit_ask(v, read, sizeof(read) / sizeof(*read), on_line);
    visit_ask(v, asked, sizeof(asked) / sizeof(*asked), on_asked);
}

/* --- the page --- */

static void show_page(struct visit *v)
{
    signup_show(v, 200, NULL);
}

void signup_page(struct visit *v)
{
    signup_ask_line(v);
    visit_then(v, show_page);
}

/* --- sending the form --- */

struct words {
    struct registration_words fields;
    char at[24];
};

/* What is kept of the question: by the line, for its page, and by the link. */
static void words_of(struct visit *v, struct words *w)
{
    struct signup_view *view = signup_view(v);

    registration_words_init(&w->fields);
    registration_words_of(&w->fields, &view->fresh);
    snprintf(w->at, sizeof(w->at), "%lld", (long long)(v->now_ms / 1000));
}

static size_t add_fields(struct span *words, size_t count, const struct words *w)
{
    memcpy(words + count, w->fields.at, w->fields.count * sizeof(*words));
    return count + w->fields.count;
}

static void remember_mail(struct visit *v, uint64_t ticket)
{
    struct signup *s = signup_of(v->site);
    const struct signup_view *view = signup_view(v);
    struct signup_sent *sent = calloc(1, sizeof(*sent));
    char id[SIGNUP_ID];

    if (!sent) {
        return; /* the page will say that the mail is on its way */
    }
    sent->ticket = ticket;
    (void)store_key(STORE_KEY_ASKED, signup_line_id(v, id), sent->asked);
    (void)signup_contact_count(view->fresh.request.contact, sent->contact);
    memcpy(sent->token, view->token_hash, sizeof(sent->token));
    LIST_INSERT_HEAD(&s->sent, sent, next);
}

static void keep_asked(struct visit *v, const char *mail)
{
    struct signup_view *view = signup_view(v);
    char id[SIGNUP_ID], key[STORE_KEY], life[24];
    struct span words[REGISTRATION_WORDS + 16] = {
        SPAN_LITERAL("FCALL"), SPAN_LITERAL("gate25_signup_put"), SPAN_LITERAL("1")};
    size_t n = 3;
    struct words w;

    words_of(v, &w);
    snprintf(life, sizeof(life), "%llu", (unsigned long long)v->conf->registration.link_s);
    words[n++] = store_key(STORE_KEY_ASKED, signup_line_id(v, id), key);
    words[n++] = span_of(life);
    words[n++] = SPAN_LITERAL("mail");
    words[n++] = span_of(mail);
    words[n++] = SPAN_LITERAL("at");
    words[n++] = span_of(w.at);
    if (view->token_hash[0]) {
        words[n++] = SPAN_LITERAL("token");
        words[n++] = span_of(view->token_hash);
    }
    n = add_fields(words, n, &w);
    visit_ask(v, words, n, NULL);
}

static void go_to_page(struct visit *v)
{
    visit_redirect(v, "/register?done=asked");
}

/* The link is there: the mail may go. */
static void send_mail(struct visit *v)
{
    struct signup *s = signup_of(v->site);
    struct signup_view *view = signup_view(v);
    char line[PREFIX_TEXT], contact[STORE_KEY];
    uint64_t ticket;

    /* Whose address that is has yet to be seen: it is not told the account's name. */
    prefix_format(&v->unit, line);
    ticket = signup_mail(s, REGISTRATION_MAIL_CONFIRM, &view->fresh, span_of(line), view->token);

    if (ticket != 0) {
        remember_mail(v, ticket);
    } else {
        const struct span words[] = {
            SPAN_LITERAL("FCALL"), SPAN_LITERAL("gate25_signup_unmail"), SPAN_LITERAL("1"),
            signup_contact_count(view->fresh.request.contact, contact), span_of(view->token_hash)};
        visit_try(v, words, sizeof(words) / sizeof(*words), NULL);
    }
    keep_asked(v, ticket != 0 ? "queued" : "failed");
    visit_then(v, go_to_page);
}

/* Puts what was asked for behind the link of view->token_hash, for this line. */
static void put_link(struct visit *v)
{
    struct signup_view *view = signup_view(v);
    char id[SIGNUP_ID], key[STORE_KEY], life[24];
    struct span words[REGISTRATION_WORDS + 16] = {
        SPAN_LITERAL("FCALL"), SPAN_LITERAL("gate25_signup_put"), SPAN_LITERAL("1")};
    size_t n = 3;
    struct words w;

    words_of(v, &w);
    snprintf(life, sizeof(life), "%lld", (long long)view->link_s);
    words[n++] = signup_link_key(v, view->token_hash, key);
    words[n++] = span_of(life);
    words[n++] = SPAN_LITERAL("id");
    words[n++] = signup_line_id(v, id);
    words[n++] = SPAN_LITERAL("purpose");
    words[n++] = SPAN_LITERAL("confirm");
    n = add_fields(words, n, &w);
    visit_ask(v, words, n, NULL);
}

/* Of several links of a line the last one is good. */
static void drop_old_link(struct visit *v)
{
    const struct signup_view *view = signup_view(v);
    char key[STORE_KEY];
    const struct span drop[] = {SPAN_LITERAL("DEL"), signup_link_key(v, view->old_token, key)};

    if (view->old_token[0] && strcmp(view->old_token, view->token_hash) != 0) {
        visit_try(v, drop, 2, NULL);
    }
}

static void on_contact_asked(struct visit *v, const struct redis_reply *reply)
{
    struct signup_view *view = signup_view(v);
    struct span last = SPAN_LITERAL("");
    int64_t wait_s = 0;

    view->mailed_before = redis_reply_count(reply) == 3 &&
                          redis_reply_integer(redis_reply_at(reply, 0), &wait_s) && wait_s > 0;
    if (!view->mailed_before) {
        return;
    }
    view->token[0] = view->token_hash[0] = '\0'; /* it was never used */
    if (redis_reply_integer(redis_reply_at(reply, 2), &view->link_s) && view->link_s > 0 &&
        redis_reply_text(redis_reply_at(reply, 1), &last) && token_is(last)) {
        memcpy(view->token_hash, last.at, last.len);
        view->token_hash[last.len] = '\0';
    }
}

/* Whether that address had a mail lately is nobody's business: the answer is the same. Where it had
 * one, the link in it confirms what is asked for now too, from this line: whoever reads that
 * mailbox has it, and an IPv4 address and an IPv6 network of the same server are two lines. */
static void after_contact(struct visit *v)
{
    struct signup_view *view = signup_view(v);

    drop_old_link(v);
    if (view->token_hash[0]) {
        put_link(v);
    }
    if (!view->mailed_before) {
        visit_then(v, send_mail);
        return;
    }
    keep_asked(v, strcmp(view->token_hash, view->old_token) == 0 ? view->old_mail : "sent");
    visit_then(v, go_to_page);
}

static void ask_contact(struct visit *v)
{
    struct signup_view *view = signup_view(v);
    char contact[STORE_KEY], life[24];

    token_random(view->token);
    token_hash(span_of(view->token), view->token_hash);
    view->link_s = (int64_t)v->conf->registration.link_s;
    snprintf(life, sizeof(life), "%lld", (long long)view->link_s);
    const struct span words[] = {
        SPAN_LITERAL("FCALL"),
        SPAN_LITERAL("gate25_signup_mail"),
        SPAN_LITERAL("1"),
        signup_contact_count(view->fresh.request.contact, contact),
        span_of(view->token_hash),
        span_of(life),
        SPAN_LITERAL(SIGNUP_MAIL_EVERY)};
    visit_ask(v, words, sizeof(words) / sizeof(*words), on_contact_asked);
    visit_then(v, after_contact);
}

static void on_line_allowed(struct visit *v, const struct redis_reply *reply)
{
    (void)redis_reply_integer(reply, &signup_view(v)->wait_s);
}

static void after_line(struct visit *v)
{
    if (signup_view(v)->wait_s > 0) {
        signup_show(v, 429, &signup_view(v)->fresh.checks);
    } else {
        ask_contact(v);
    }
}

static void count_mail(struct visit *v)
{
    char id[SIGNUP_ID], counter[STORE_KEY];
    const struct span words[] = {
        SPAN_LITERAL("FCALL"),
        SPAN_LITERAL("gate25_signup_allow"),
        SPAN_LITERAL("1"),
        store_key(STORE_KEY_MAILED, signup_line_id(v, id), counter),
        SPAN_LITERAL(MAILS_FROM_LINE),
        SPAN_LITERAL(HOUR_S)};

    visit_ask(v, words, sizeof(words) / sizeof(*words), on_line_allowed);
    visit_then(v, after_line);
}

static void on_looked(struct visit *v, const struct signup_checks *checks)
{
    struct signup_view *view = signup_view(v);

    view->fresh.checks = *checks;
    if (span_equal(form_value(&v->form, "action"), SPAN_LITERAL("check"))) {
        signup_show(v, 200, checks);
        return;
    }
    count_mail(v);
}

static void after_read(struct visit *v)
{
    struct signup_view *view = signup_view(v);
    struct registration_line line = signup_visit_line(v, view->seen.class);

    view->asked = false;
    memcpy(view->old_mail, view->mail, sizeof(view->old_mail));
    view->fresh = (struct registration){.version = 0};
    bool good = signup_form_check(&view->form, &view->fresh.request, view->faults);
    if (line.refused ||
        registration_is_active(
            registration_now(&view->seen.registration, &line, v->now_ms / 1000)) ||
        strcmp(view->seen.class, REGISTRATION_CLASS) == 0) {
        signup_show(v, 409, NULL);
        return;
    }
    if (!good || span_equal(form_value(&v->form, "action"), SPAN_LITERAL("language"))) {
        signup_show(v, good ? 200 : 422, NULL);
        return;
    }
    snprintf(
        view->fresh.language, sizeof(view->fresh.language), "%s",
        v->conf->web.languages.at[v->lang]);
    signup_look(v, &view->fresh.request, on_looked);
}

void signup_post(struct visit *v)
{
    struct signup_view *view = signup_view(v);

    if (!signup_of(v->site)->mailer) {
        signup_page(v);
        return;
    }
    view->form = (struct signup_form){
        form_value(&v->form, "contact"), form_value(&v->form, "domain"),
        form_value(&v->form, "host"), form_value(&v->form, "reason")};
    view->sent = true;
    signup_ask_line(v);
    visit_then(v, after_read);
}
