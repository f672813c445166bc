/* Mails on their way to the smarthost: a bounded queue in memory, tried again for a while. */
#ifndef GATE25_SVC_MAILER_H
#define GATE25_SVC_MAILER_H

#include <event2/event.h>

#include "core/mail_message.h"
#include "net/smtp_client.h"

struct mailer;

#define MAILER_MOST 1000 /* mails that wait */

struct mailer_options {
    struct smtp_host host; /* of which all is copied */
    const char *from;      /* the address that mails come from, copied */
    uint32_t retry_ms;     /* after the first failure; doubles up to MAILER_RETRY_MOST times it */
    uint32_t give_up_ms;   /* from a mail's first try */
};

#define MAILER_RETRY_MOST 16

enum mailer_state {
    MAILER_WAITING, /* could not be handed over so far, and is tried again */
    MAILER_SENT,
    MAILER_REFUSED, /* the smarthost does not take it */
    MAILER_GIVEN_UP
};

/* What has become of the mail with this ticket; the last state but WAITING is its end. */
typedef void (*mailer_told_cb)(void *context, uint64_t ticket, enum mailer_state state);

struct mailer *mailer_new(
    struct event_base *base, const struct mailer_options *options, mailer_told_cb told,
    void *context) __attribute__((warn_unused_result)); /* NULL: out of memory */
/* What waits is lost; the number of such mails. */
size_t mailer_free(struct mailer *m);

/* Queues it; `message->from` is set here. The ticket of it, never 0, with which `told` will be
 * called from the loop. 0: the queue is full, or the message is none; nothing will be told. */
uint64_t mailer_send(struct mailer *m, const struct mail_message *message)
    __attribute__((warn_unused_result));
size_t mailer_waiting(const struct mailer *m);

#endif
