/* A verdict, why it fell, and how it is told to the one it hits. */
#ifndef GATE25_CORE_VERDICT_H
#define GATE25_CORE_VERDICT_H

#include "core/conf.h"

enum verdict_action {
    VERDICT_FORWARD,
    VERDICT_DEFER,  /* 4xx: come back */
    VERDICT_REFUSE, /* 5xx: do not */
    VERDICT_SUBMIT  /* bridged to authenticated submission, before anything was said */
};

/* The rule behind a verdict; its name in the journal is verdict_rule_name(). */
enum rule {
    RULE_NONE,
    RULE_LIMIT,       /* `limit` and `window` say which */
    RULE_CLASS,       /* the class's action is refuse or submit */
    RULE_STORE_DOWN,  /* Redis is away and when-down = "refuse" */
    RULE_DIRECT,      /* connected to the listener itself */
    RULE_LOOP,        /* our own connection came back to us */
    RULE_SOURCE,      /* not a subscriber's address */
    RULE_DESTINATION, /* not an address one can send mail to */
    RULE_CONNECT,     /* the destination did not take the connection */
    RULE_TIMEOUT,     /* RFC 5321 4.5.3.2 */
    RULE_LINE,        /* a line longer than any server must take */
    RULE_NEWLINE,     /* an end of line or of data that servers disagree on (smuggling) */
    RULE_CHUNK,       /* a BDAT whose size servers disagree on */
    RULE_SEQUENCE,    /* a command that servers disagree on where it stands (RFC 3030) */
    RULE_STARTTLS,    /* plaintext behind STARTTLS (injection) */
    RULE_TLS,         /* TLS where no STARTTLS was answered 220 */
    RULE_NO_STARTTLS, /* the class's sessions may not be encrypted */
    RULE_REPLY,       /* the server's words are no SMTP */
    RULE_SHUTDOWN,    /* the gate is being stopped */
    RULE_STANDING,    /* the subscriber's standing has changed while the session was open */
    RULE_RESOURCES,   /* out of memory or descriptors */
    RULE_HALF_CLOSE,  /* a direction ended before what it carried was complete */
    RULE_SENDER,      /* MAIL names a sender that servers disagree on */
    RULE_SPF,         /* the sender's domain says that this address may not send for it */
    RULE_SPF_HELO,    /* the HELO name's domain says that this address is none of its hosts */
    RULE_COUNT
};

struct verdict {
    enum verdict_action action : 8; /* each session holds two of them */
    enum rule rule : 8;
    enum limit_kind limit : 8;
    enum verdict_action would : 8; /* with shadow: what it would have been */
    uint8_t window;
    bool advise; /* told with the way to authenticated submission */
    bool shadow; /* the class does not enforce: action is FORWARD, this is the log line */
    uint32_t retry_after_s; /* 0: no time to name */
    /* RULE_LIMIT: the messages that one mail counts as, since SPF fails it; 0: one */
    uint32_t cost;
};

/* Where in the dialogue the refusal is spoken; decides the reply code. */
enum verdict_place {
    PLACE_GREETING, /* in the banner's place; the session ends: 421 or 554 */
    PLACE_MAIL,     /* 450 or 550 */
    PLACE_RCPT,     /* 452 or 550 */
    PLACE_DATA,     /* DATA or BDAT after a refused MAIL: 450 or 554 */
    PLACE_SESSION   /* between commands; the session ends: 421 or 554 */
};

#define CASE_TEXT     11  /* ten characters of Crockford's base 32 */
#define VERDICT_REPLY 513 /* RFC 5321 4.5.3.1.5, and a terminator */

/* The case id of a session: `random` written down. */
void case_format(uint64_t random, char out[CASE_TEXT]);

const char *verdict_action_name(enum verdict_action a); /* forward defer refuse submit */
const char *verdict_rule_name(enum rule r);
/* The rule as the journal names it: "messages:10/1m" for a limit, else verdict_rule_name(). */
void verdict_rule_text(const struct verdict *v, const struct conf_class *class, struct text *out);

struct verdict_context {
    const struct conf_class *class; /* NULL where none was found yet */
    const char *subscriber;         /* id as text */
    const char *help_url;
    const char *case_id;
    const char *detail; /* "198.51.100.7 port 25: connection refused"; NULL: none */
    const struct conf_submission *submission; /* for a verdict that advises */
};

/* The whole reply with its CRLF, one line of at most VERDICT_REPLY bytes: enhanced status code
 * (RFC 3463), the limit in words, seconds to wait, help URL, case id. */
void verdict_reply(
    const struct verdict *v, enum verdict_place place, const struct verdict_context *context,
    struct text *out);

#endif
