/* The mails about registrations, and what the page tells of their way. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/clock.h"
#include "signup_internal.h"

#define ANSWER_MS 3000

static size_t language_of(const struct conf *conf, const char *tag)
{
    const struct language_list *l = &conf->web.languages;

    for (size_t i = 0; i < l->count; i++) {
        if (strcmp(l->at[i], tag) == 0) {
            return i;
        }
    }
    return 0;
}

static json_t *values_of(
    const struct signup *s, const struct registration *r, struct span id, const char *link)
{
    const struct conf *conf = site_conf(s->site);
    json_t *values = signup_json(r);

    json_object_set_new(values, "id", visit_text(id));
    json_object_set_new(values, "url", json_string(conf->web.url));
    json_object_set_new(values, "link", json_string(link));
    json_object_set_new(values, "sender", visit_text(span_of(conf->mail.name)));
    json_object_set_new(
        values, "link_until",
        visit_time(clock_unix_ms() + (int64_t)conf->registration.link_s * 1000));
    return values;
}

/* Links begin with the configured URL, never with what a request says. */
static void link_of(
    const struct conf *conf, enum registration_mail mail, const char *token, char *out, size_t cap)
{
    const char *page = mail == REGISTRATION_MAIL_CONFIRM ? "confirm" : "renew";

    snprintf(out, cap, "%s/%s?token=%s", conf->web.url, page, token ? token : "");
}

static void id_of(const struct conf *conf, char *out, size_t cap)
{
    const char *at = strchr(conf->mail.from, '@');
    char token[TOKEN_TEXT];

    token_random(token);
    snprintf(out, cap, "%s%s", token, at ? at : "@localhost");
}

uint64_t signup_mail(
    struct signup *s, enum registration_mail mail, const struct registration *r, struct span id,
    const char *token)
{
    const struct conf *conf = site_conf(s->site);
    size_t language = language_of(conf, r->language);
    char link[sizeof(conf->web.url) + TOKEN_TEXT + 32], message_id[TOKEN_TEXT + 256], name[64];
    struct buf text = BUF_INIT;
    uint64_t ticket = 0;

    if (!s->mailer) {
        return 0;
    }
    link_of(conf, mail, token, link, sizeof(link));
    id_of(conf, message_id, sizeof(message_id));
    snprintf(name, sizeof(name), "mail_%s", registration_mail_name(mail));
    json_t *values = values_of(s, r, id, link);
    if (pages_render_text(site_pages(s->site), language, name, values, &text) == 0 &&
        buf_len(&text) > 0) {
        /* The first line is the subject, and a blank one follows it. */
        struct span all = buf_span(&text);
        const char *end = memchr(all.at, '\n', all.len);
        struct span subject = {all.at, end ? (size_t)(end - all.at) : all.len};
        struct span body = span_skip(all, subject.len + 1);
        while (body.len > 0 && (body.at[0] == '\n' || body.at[0] == '\r')) {
            body = span_skip(body, 1);
        }
        struct mail_message message = {
            .from_name = span_of(conf->mail.name),
            .to = span_of(r->request.contact),
            .subject = subject,
            .id = span_of(message_id),
            .date_s = clock_unix_ms() / 1000,
            .language = span_of(conf->web.languages.at[language]),
            .body = body};
        ticket = mailer_send(s->mailer, &message);
    } else {
        log_error("the mail %s cannot be written", name);
    }
    json_decref(values);
    buf_clear(&text);
    return ticket;
}

/* --- the reminder --- */

struct reminder {
    struct signup *signup;
    struct registration registration;
    char id[SIGNUP_ID], token[TOKEN_TEXT];
};

static void on_put(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct reminder *m = context;
    struct span message = SPAN_LITERAL("Redis did not answer");

    (void)ticket;
    if (m->signup->stopped) {
        /* Nobody is there to send it. */
    } else if (!reply || redis_reply_is_error(reply, &message)) {
        log_warning("no reminder for %s: %.*s", m->id, (int)message.len, message.at);
    } else {
        (void)signup_mail(
            m->signup, REGISTRATION_MAIL_REMINDER, &m->registration, span_of(m->id), m->token);
    }
    signup_release(m->signup);
    free(m);
}

void signup_mail_reminder(struct signup *s, const struct registration *r, struct span id)
{
    struct reminder *m = calloc(1, sizeof(*m));
    char hash[TOKEN_TEXT], key[STORE_KEY], life[24];
    int64_t life_s = r->until_s - clock_unix_ms() / 1000;

    if (!m) {
        return;
    }
    snprintf(m->id, sizeof(m->id), "%.*s", (int)id.len, id.at);
    m->registration = *r;
    token_random(m->token);
    token_hash(span_of(m->token), hash);
    snprintf(life, sizeof(life), "%lld", (long long)(life_s > 0 ? life_s : 1));
    struct span words[] = {SPAN_LITERAL("FCALL"), SPAN_LITERAL("gate25_signup_put"),
                           SPAN_LITERAL("1"),     store_key(STORE_KEY_SIGNUP, span_of(hash), key),
                           span_of(life),         SPAN_LITERAL("id"),
                           span_of(m->id),        SPAN_LITERAL("purpose"),
                           SPAN_LITERAL("renew")};
    m->signup = signup_hold(s);
    if (redis_call(
            site_redis(s->site), words, sizeof(words) / sizeof(*words), ANSWER_MS, on_put, m, 0) !=
        0) {
        on_put(m, 0, NULL);
    }
}

/* --- what the page tells --- */

/* `function` about a mail that was sent, and, if it is not NULL, what has become of it. */
static void note(
    const struct signup *s, const char *function, const char *key, const char *token,
    const char *state)
{
    const struct span words[] = {SPAN_LITERAL("FCALL"), span_of(function),
                                 SPAN_LITERAL("1"),     span_of(key),
                                 span_of(token),        span_of(state ? state : "")};

    (void)redis_call(site_redis(s->site), words, state ? 6 : 5, ANSWER_MS, NULL, NULL, 0);
}

void signup_on_told(void *signup, uint64_t ticket, enum mailer_state state)
{
    static const char *const names[] = {
        [MAILER_WAITING] = "waiting",
        [MAILER_SENT] = "sent",
        [MAILER_REFUSED] = "failed",
        [MAILER_GIVEN_UP] = "failed"};
    struct signup *s = signup;
    struct signup_sent *sent;

    LIST_FOREACH(sent, &s->sent, next)
    {
        if (sent->ticket == ticket) {
            break;
        }
    }
    if (!sent) {
        return;
    }
    note(s, "gate25_signup_tell", sent->asked, sent->token, names[state]);
    if (state == MAILER_REFUSED || state == MAILER_GIVEN_UP) {
        /* A mail that never left does not count. */
        note(s, "gate25_signup_unmail", sent->contact, sent->token, NULL);
    }
    if (state != MAILER_WAITING) {
        LIST_REMOVE(sent, next);
        free(sent);
    }
}
