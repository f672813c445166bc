#include "web/signup.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "signup_internal.h"

struct signup *signup_of(const struct site *site)
{
    return site_state(site, &signup_module);
}

struct signup *signup_hold(struct signup *s)
{
    s->references++;
    return s;
}

void signup_release(struct signup *s)
{
    if (--s->references > 0) {
        return;
    }
    idmap_fini(&s->lookups);
    free(s);
}

/* The name for EHLO and Message-ID: the site's own. */
static void name_of(const struct conf *conf, char *out, size_t cap)
{
    struct span host = span_skip(span_of(conf->web.url), sizeof("https://") - 1);
    struct text t;
    size_t len = 0;

    while (len < host.len && host.at[len] != ':') {
        len++;
    }
    text_init(&t, out, cap);
    text_add(&t, (struct span){host.at, len});
}

static int start_mailer(struct signup *s, const struct conf *conf)
{
    char name[sizeof(conf->web.url)];
    const struct mailer_options options = {
        .host =
            {.url = conf->mail.smarthost,
             .helo = name,
             .tls = conf->mail.tls,
             .deadline_ms = conf->mail.deadline_ms},
        .from = conf->mail.from,
        .retry_ms = conf->mail.retry_ms,
        .give_up_ms = conf->mail.give_up_ms};

    if (!conf->mail.smarthost[0]) {
        return 0;
    }
    name_of(conf, name, sizeof(name));
    s->mailer = mailer_new(site_base(s->site), &options, signup_on_told, s);
    return s->mailer ? 0 : -1;
}

static void stop(void *state)
{
    struct signup *s = state;

    s->stopped = true;
    if (event_initialized(&s->job)) {
        event_del(&s->job);
    }
    size_t lost = mailer_free(s->mailer);
    if (lost > 0) {
        log_warning("%zu mails were not sent: they were waiting when the site ended", lost);
    }
    s->mailer = NULL;
    while (!LIST_EMPTY(&s->sent)) {
        struct signup_sent *sent = LIST_FIRST(&s->sent);
        LIST_REMOVE(sent, next);
        free(sent);
    }
    signup_look_stop(s);
    signup_release(s);
}

static int start(struct site *site, void **state, struct text *error)
{
    const struct conf *conf = site_conf(site);
    struct signup *s = calloc(1, sizeof(*s));

    if (!s) {
        text_addf(error, "out of memory");
        return -1;
    }
    s->site = site;
    s->references = 1;
    LIST_INIT(&s->sent);
    idmap_init(&s->lookups);
    if (signup_look_start(s, conf, error) != 0) {
        signup_release(s);
        return -1;
    }
    if (start_mailer(s, conf) != 0 || signup_job_start(s) != 0) {
        text_addf(error, "mails cannot be sent: out of memory");
        stop(s);
        return -1;
    }
    if (!s->mailer) {
        log_warning("mail.smarthost is not set: nobody can register a mail server by himself");
    }
    *state = s;
    return 0;
}

static const struct route routes[] = {
    {HTTP_GET, "/register", WHO_SUBSCRIBER, signup_page},
    {HTTP_POST, "/register", WHO_SUBSCRIBER, signup_post},
    {HTTP_GET, "/confirm", WHO_SUBSCRIBER, signup_confirm_page},
    {HTTP_POST, "/confirm", WHO_SUBSCRIBER, signup_confirm_post},
    {HTTP_GET, "/renew", WHO_SUBSCRIBER, signup_renew_page},
    {HTTP_POST, "/renew", WHO_SUBSCRIBER, signup_renew_post},
    {HTTP_GET, "/withdraw", WHO_SUBSCRIBER, signup_withdraw_page},
    {HTTP_POST, "/withdraw", WHO_SUBSCRIBER, signup_withdraw_post},
    {0},
};

static const char *const pages[] = {
    "register",
    "confirm",
    "renew",
    "withdraw",
    "link_invalid",
    "mail_confirm.txt",
    "mail_approved.txt",
    "mail_refused.txt",
    "mail_reminder.txt",
    "mail_renewed.txt",
    "mail_withdrawn.txt",
    "mail_expired.txt",
    NULL,
};

const struct site_module signup_module = {
    .name = "signup",
    .routes = routes,
    .pages = pages,
    .start = start,
    .stop = stop,
};
