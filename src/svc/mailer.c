#include "svc/mailer.h"

#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "net/clock.h"

#define AT_ONCE 4 /* connections to the smarthost */
#define ADDRESS 256

struct mail {
    TAILQ_ENTRY(mail) next;
    struct mailer *mailer;
    uint64_t ticket;
    int64_t due_ms, give_up_ms;
    uint32_t wait_ms; /* after the next failure */
    bool on_its_way;
    char to[ADDRESS];
    size_t len;
    char message[];
};

struct mailer {
    struct event_base *base;
    struct smtp_client *client;
    char from[ADDRESS];
    uint32_t retry_ms, give_up_ms;
    mailer_told_cb told;
    void *context;
    TAILQ_HEAD(mails, mail) mails; /* in the order in which they came */
    size_t count, on_their_way;
    uint64_t tickets;
    struct event timer;
};

static void arm(struct mailer *m);

static void remove_mail(struct mailer *m, struct mail *mail)
{
    TAILQ_REMOVE(&m->mails, mail, next);
    m->count--;
    free(mail);
}

static void end(struct mailer *m, struct mail *mail, enum mailer_state state)
{
    uint64_t ticket = mail->ticket;

    remove_mail(m, mail);
    m->told(m->context, ticket, state);
}

static void on_done(void *context, enum smtp_result result, struct span why)
{
    struct mail *mail = context;
    struct mailer *m = mail->mailer;
    int64_t now_ms = clock_monotonic_ms();

    mail->on_its_way = false;
    m->on_their_way--;
    if (result == SMTP_SENT) {
        end(m, mail, MAILER_SENT);
    } else if (result == SMTP_REFUSED) {
        log_warning("mail to %s refused: %.*s", mail->to, (int)why.len, why.at);
        end(m, mail, MAILER_REFUSED);
    } else if (now_ms >= mail->give_up_ms) {
        log_warning("mail to %s given up: %.*s", mail->to, (int)why.len, why.at);
        end(m, mail, MAILER_GIVEN_UP);
    } else {
        log_warning("mail to %s has to wait: %.*s", mail->to, (int)why.len, why.at);
        mail->due_ms = now_ms + mail->wait_ms;
        if (mail->wait_ms / MAILER_RETRY_MOST < m->retry_ms) {
            mail->wait_ms *= 2;
        }
        m->told(m->context, mail->ticket, MAILER_WAITING);
    }
    arm(m);
}

static void send_due(struct mailer *m)
{
    int64_t now_ms = clock_monotonic_ms();
    struct mail *mail;

    TAILQ_FOREACH(mail, &m->mails, next)
    {
        if (m->on_their_way == AT_ONCE) {
            return;
        }
        if (mail->on_its_way || mail->due_ms > now_ms) {
            continue;
        }
        struct span message = {mail->message, mail->len};
        if (smtp_client_send(m->client, m->from, mail->to, message, on_done, mail) == 0) {
            mail->on_its_way = true;
            m->on_their_way++;
        } else {
            mail->due_ms = now_ms + mail->wait_ms;
        }
    }
}

/* For the next mail that is due, unless enough are on their way: their end arms it again. */
static void arm(struct mailer *m)
{
    int64_t next_ms = INT64_MAX;
    struct mail *mail;

    TAILQ_FOREACH(mail, &m->mails, next)
    {
        if (!mail->on_its_way && mail->due_ms < next_ms) {
            next_ms = mail->due_ms;
        }
    }
    if (next_ms == INT64_MAX || m->on_their_way == AT_ONCE) {
        event_del(&m->timer);
        return;
    }
    int64_t wait_ms = next_ms - clock_monotonic_ms();
    wait_ms = wait_ms > 0 ? wait_ms : 0;
    struct timeval wait = {wait_ms / 1000, wait_ms % 1000 * 1000};
    event_add(&m->timer, &wait);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct mailer *m = context;

    (void)fd, (void)what;
    send_due(m);
    arm(m);
}

uint64_t mailer_send(struct mailer *m, const struct mail_message *message)
{
    static const char too_many[] = "mail to %.*s not sent: %u wait already";
    struct mail_message from_us = *message;
    char written[MAIL_MESSAGE];
    struct text t;

    text_init(&t, written, sizeof(written));
    from_us.from = span_of(m->from);
    if (!mail_message_write(&from_us, &t) || message->to.len >= ADDRESS) {
        return 0;
    }
    struct mail *mail = m->count < MAILER_MOST ? malloc(sizeof(*mail) + t.len) : NULL;
    if (!mail) {
        log_warning(too_many, (int)message->to.len, message->to.at, (unsigned)m->count);
        return 0;
    }
    int64_t now_ms = clock_monotonic_ms();
    *mail = (struct mail){
        .mailer = m,
        .ticket = ++m->tickets,
        .due_ms = now_ms,
        .give_up_ms = now_ms + m->give_up_ms,
        .wait_ms = m->retry_ms,
        .len = t.len};
    memcpy(mail->to, message->to.at, message->to.len);
    memcpy(mail->message, written, t.len);
    TAILQ_INSERT_TAIL(&m->mails, mail, next);
    m->count++;
    arm(m);
    return mail->ticket;
}

size_t mailer_waiting(const struct mailer *m)
{
    return m->count;
}

struct mailer *mailer_new(
    struct event_base *base, const struct mailer_options *options, mailer_told_cb told,
    void *context)
{
    struct mailer *m = calloc(1, sizeof(*m));

    if (!m) {
        return NULL;
    }
    TAILQ_INIT(&m->mails);
    m->base = base;
    m->retry_ms = options->retry_ms > 0 ? options->retry_ms : 1;
    m->give_up_ms = options->give_up_ms;
    m->told = told;
    m->context = context;
    snprintf(m->from, sizeof(m->from), "%s", options->from);
    m->client = smtp_client_new(base, &options->host);
    if (!m->client || evtimer_assign(&m->timer, base, on_timer, m) < 0) {
        smtp_client_free(m->client);
        free(m);
        return NULL;
    }
    return m;
}

size_t mailer_free(struct mailer *m)
{
    size_t lost = m ? m->count : 0;

    if (!m) {
        return 0;
    }
    smtp_client_free(m->client);
    event_del(&m->timer);
    for (struct mail *mail = TAILQ_FIRST(&m->mails), *after; mail; mail = after) {
        after = TAILQ_NEXT(mail, next);
        free(mail);
    }
    free(m);
    return lost;
}
