/* A line of a server's reply (RFC 5321 4.2). */
#ifndef GATE25_CORE_SMTP_REPLY_H
#define GATE25_CORE_SMTP_REPLY_H

#include "base/str.h"

struct smtp_reply {
    unsigned code; /* 0: the line is no reply line */
    bool last;     /* no continuation "250-" */
};

/* `line` without its end. */
struct smtp_reply smtp_reply_parse(struct span line);

#endif
