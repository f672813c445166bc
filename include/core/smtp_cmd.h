/* A client's command line taken apart (RFC 5321, 3030, 3207, 4954), as leniently as the most
 * lenient server reads it: what a server may execute must not go uncounted. */
#ifndef GATE25_CORE_SMTP_CMD_H
#define GATE25_CORE_SMTP_CMD_H

#include "base/str.h"

enum smtp_verb {
    VERB_UNKNOWN,
    VERB_HELO,
    VERB_EHLO,
    VERB_MAIL,
    VERB_RCPT,
    VERB_DATA,
    VERB_BDAT,
    VERB_RSET,
    VERB_NOOP,
    VERB_VRFY,
    VERB_EXPN,
    VERB_HELP,
    VERB_AUTH,
    VERB_STARTTLS,
    VERB_QUIT,
    VERB_BURL,    /* RFC 4468 */
    VERB_XEXCH50, /* Exchange: octets behind a 354 */
    VERB_COUNT
};

struct smtp_cmd {
    enum smtp_verb verb;
    struct span argument; /* behind the verb, trimmed */
    struct span path; /* MAIL and RCPT: what stands between the brackets, source route left away */
    bool chunk_valid; /* BDAT, XEXCH50: a size was understood */
    uint64_t chunk;   /* BDAT, XEXCH50: octets that follow */
    bool last;        /* BDAT, BURL: ... LAST */
    bool prdr;        /* MAIL: with the parameter PRDR, a reply for each recipient is asked for */
};

/* Servers that read a size into 32 bits take a larger one for another one. */
#define SMTP_CMD_CHUNK_MAX INT32_MAX

/* `line` without its end. The spans of `out` look into it. */
void smtp_cmd_parse(struct span line, struct smtp_cmd *out);

#endif
