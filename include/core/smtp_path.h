/* The sender of a MAIL, where it matters that all servers read the same one. Beyond RFC 5321 they
 * do not: Postfix takes "(<x@pass.example>)<u@fail.example>" and "<group:u@fail.example;>" for a
 * mail of u@fail.example, others for another's or for nobody's. */
#ifndef GATE25_CORE_SMTP_PATH_H
#define GATE25_CORE_SMTP_PATH_H

#include "base/str.h"

/* Is this argument of MAIL one that every server reads alike, or refuses? So are: a path in angle
 * brackets as RFC 5321 section 4.1.2 has it (and blanks at its ends), empty, or with a source
 * route; a name without a domain; a mailbox of plain characters without brackets, as simple devices
 * send it; parameters behind a blank. Octets beyond ASCII are those of SMTPUTF8. */
bool smtp_path_is_plain_mail(struct span argument);

/* The same of what stands between the brackets. */
bool smtp_path_is_plain(struct span path);

#endif
