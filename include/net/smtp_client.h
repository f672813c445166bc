/* Hands mails to a smarthost, with libcurl, beside the event loop. */
#ifndef GATE25_NET_SMTP_CLIENT_H
#define GATE25_NET_SMTP_CLIENT_H

#include <event2/event.h>

#include "base/str.h"
#include "core/conf_registration.h"

struct smtp_client;

struct smtp_host {
    const char *url; /* smtp://[USER:PASSWORD@]HOST[:PORT], or smtps:// */
    const char *helo;
    enum smtp_tls tls;    /* of smtp:// */
    uint32_t deadline_ms; /* for a whole delivery */
};

enum smtp_result {
    SMTP_SENT,   /* the smarthost has taken it */
    SMTP_LATER,  /* it cannot be reached, or says 4yz, or does not let us log in */
    SMTP_REFUSED /* it does not take this sender or this recipient: 5yz */
};

/* `why` is what went wrong, in one line of anything; empty: nothing did. */
typedef void (*smtp_done_cb)(void *context, enum smtp_result result, struct span why);

/* The host is copied. NULL: out of memory, or libcurl cannot be used. */
struct smtp_client *smtp_client_new(struct event_base *base, const struct smtp_host *host)
    __attribute__((warn_unused_result));
/* Ends what is on its way, which may take a second; its callbacks are not called. */
void smtp_client_free(struct smtp_client *c);

/* Sends `message` (CR LF line ends; copied) from and to these plain addresses
 * (core/mail_message.h). `done` is called once, from the loop, never from within this call. -1: out
 * of memory, it will not be called. */
int smtp_client_send(
    struct smtp_client *c, const char *from, const char *to, struct span message, smtp_done_cb done,
    void *context) __attribute__((warn_unused_result));

#endif
