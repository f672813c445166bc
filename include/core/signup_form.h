/* What a subscriber fills in to have a mail server registered, and what may stand there. */
#ifndef GATE25_CORE_SIGNUP_FORM_H
#define GATE25_CORE_SIGNUP_FORM_H

#include "base/str.h"

/* Room, terminator included. RFC 5321 section 4.5.3.1: 254 octets of a path, 64 of a local part. */
#define SIGNUP_CONTACT      255
#define SIGNUP_DOMAIN       254 /* RFC 1035: 253 characters of a name without its last dot */
#define SIGNUP_REASON       1001
#define SIGNUP_REASON_LEAST 10 /* characters: "yes" explains nothing to the desk */

/* Each as it was sent; spaces around it do not count. */
struct signup_form {
    struct span contact, domain, host, reason;
};

enum signup_field {
    SIGNUP_FIELD_CONTACT,
    SIGNUP_FIELD_DOMAIN,
    SIGNUP_FIELD_HOST,
    SIGNUP_FIELD_REASON,
    SIGNUP_FIELDS
};

/* What is wrong with a field; the words are the templates'. */
enum signup_fault {
    SIGNUP_OK,
    SIGNUP_MISSING,
    SIGNUP_TOO_LONG,
    SIGNUP_TOO_SHORT,  /* a reason */
    SIGNUP_CONTROL,    /* a control character; CR and LF are allowed in a reason alone */
    SIGNUP_NOT_UTF8,   /* a reason */
    SIGNUP_NO_ADDRESS, /* contact: not LOCAL-PART@DOMAIN */
    SIGNUP_BAD_LOCAL,  /* contact: its local part is none that every server takes */
    SIGNUP_BAD_DOMAIN, /* not a domain name of letters, digits, hyphens and a dot at least */
    SIGNUP_FAULTS
};

/* A form that is good, in its plainest spelling: domains in lower case and without the last dot,
 * a reason of one line. All of it fits into a mail's header and a Redis hash as it stands. */
struct signup_request {
    char contact[SIGNUP_CONTACT];
    char domain[SIGNUP_DOMAIN];
    char host[SIGNUP_DOMAIN];
    char reason[SIGNUP_REASON];
};

/* True: the form is good and `out` is filled. Else `faults` says of each field what is wrong. */
bool signup_form_check(
    const struct signup_form *form, struct signup_request *out,
    enum signup_fault faults[SIGNUP_FIELDS]);

/* "contact", "domain", "host", "reason": the names of the form's fields. */
const char *signup_field_name(enum signup_field f);
/* "missing", "too-long": by which templates know a fault. "ok" for none. */
const char *signup_fault_name(enum signup_fault f);

/* What a contact address counts as when mails are counted: without case, and without what stands
 * behind a "+" in its local part. */
void signup_contact_key(struct span contact, char out[SIGNUP_CONTACT]);

#endif
