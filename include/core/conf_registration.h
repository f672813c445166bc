/* The parts of the configuration that registering reads: sections `registration` and `mail`. */
#ifndef GATE25_CORE_CONF_REGISTRATION_H
#define GATE25_CORE_CONF_REGISTRATION_H

#include <stdint.h>

/* Who approves a confirmed registration. */
enum registration_approve {
    APPROVE_CHECKS, /* at once where the required checks are good, else the desk */
    APPROVE_DESK,
    APPROVE_ALWAYS /* at once */
};

struct conf_registration {
    enum registration_approve approve;
    unsigned required; /* bits (1 << enum signup_check) */
    uint64_t link_s;   /* life of a link that confirms */
    uint64_t term_s, reminder_s, probation_s;
    char probation_class[32];
};

enum smtp_tls {
    SMTP_TLS_TRY,     /* STARTTLS where it is offered, whatever the certificate */
    SMTP_TLS_REQUIRE, /* TLS with a certificate that is valid for the host, or no mail */
    SMTP_TLS_OFF
};

struct conf_mail {
    char smarthost[512]; /* smtp://[USER:PASSWORD@]HOST[:PORT], or smtps://; empty: no mail */
    char from[256];      /* the address of the site's mails */
    char name[128];      /* shown with it; may be empty */
    enum smtp_tls tls;
    uint32_t retry_ms, give_up_ms, deadline_ms;
};

#endif
