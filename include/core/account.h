/* Names of accounts, as a RADIUS or DHCP server gives them with a lease. */
#ifndef GATE25_CORE_ACCOUNT_H
#define GATE25_CORE_ACCOUNT_H

#include "base/str.h"

#define ACCOUNT_TEXT 64 /* room for any of them, terminator included */

#define ACCOUNT_ALLOWED                                                                            \
    "1 to 63 letters, digits and . _ @ + - : / = #, beginning with a letter or a digit, and not "  \
    "in the form of an address"

/* Writes the name as it stands in ids: ASCII letters become small ones. "Alice" and "alice" are one
 * account, since most servers let a customer log in as either. False: it is none. What could be
 * taken for an address or a prefix is none: nobody gets another's standing by his name. */
bool account_parse(struct span s, char out[ACCOUNT_TEXT]);

#endif
