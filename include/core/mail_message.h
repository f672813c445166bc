/* A short mail of plain text as it goes to a smarthost (RFC 5322): a header of known fields and a
 * body in UTF-8. Nothing that a field holds can end its line. */
#ifndef GATE25_CORE_MAIL_MESSAGE_H
#define GATE25_CORE_MAIL_MESSAGE_H

#include "base/str.h"

#define MAIL_MESSAGE      32768 /* room for a whole one */
#define MAIL_MESSAGE_BODY 8000  /* bytes of text; a longer one is cut */

struct mail_message {
    struct span from;      /* an address */
    struct span from_name; /* shown with it; may be empty; UTF-8 */
    struct span to;        /* an address */
    struct span subject;   /* UTF-8 */
    struct span id;        /* of the Message-ID, without its brackets: letters, digits, . - @ */
    int64_t date_s;        /* Unix seconds; told in UTC */
    struct span language;  /* Content-Language: "en"; may be empty */
    struct span body;      /* UTF-8; its lines end in LF or CR LF */
};

/* Writes the mail with CR LF line ends. False: from, to or id is not what it has to be, or `out` is
 * too small. Other fields are made to fit: control characters become blanks, what is not UTF-8
 * question marks, and what is not ASCII encoded words (RFC 2047). The body is quoted-printable. */
bool mail_message_write(const struct mail_message *m, struct text *out);

/* LOCAL-PART@DOMAIN of printable ASCII without blanks and brackets, up to 254 characters: may stand
 * in a header and in an SMTP command. */
bool mail_address_is_plain(struct span address);

/* "Sat, 28 Nov 2026 17:42:55 +0000". */
#define MAIL_DATE 40
void mail_date(int64_t unix_s, char out[MAIL_DATE]);

#endif
