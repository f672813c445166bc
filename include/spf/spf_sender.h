/* The identity that SPF is asked about, as it stands in MAIL and HELO, made what RFC 7208 works
 * with: a local part and a domain. Pure. */
#ifndef GATE25_SPF_SPF_SENDER_H
#define GATE25_SPF_SPF_SENDER_H

#include "base/str.h"

/* `path` is what stands between the brackets of MAIL, in any spelling that servers understand:
 * source route, comments, blanks, a quoted local part, a dot at the end, U-labels (RFC 8616). What
 * no two servers need to read alike is read as nobody's.
 *
 * Writes "local@domain" with the local part unquoted and the domain in A-labels. False: there is no
 * such domain (RFC 7208 section 4.3): an address literal, one label, bytes that no name has. An
 * empty path is written as "". */
bool spf_sender_read(struct span path, struct text *out);

/* The same of the argument of HELO or EHLO: the domain alone, in A-labels. */
bool spf_sender_read_helo(struct span argument, struct text *out);

#endif
