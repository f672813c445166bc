/* Passwords as they are kept: scrypt (RFC 7914), in one line of text with its own parameters. */
#ifndef GATE25_SVC_PASSWORD_H
#define GATE25_SVC_PASSWORD_H

#include "base/str.h"

#define PASSWORD_LEAST 12 /* bytes */
#define PASSWORD_MOST  256
#define PASSWORD_HASH  128

/* False: `error` says what is wrong with it, and what is allowed. */
bool password_is_good(struct span password, struct text *error);
/* "$scrypt$ln=15,r=8,p=1$SALT$HASH" with a new salt; takes some 0.1 s and 32 MB. -1: no memory, or
 * no random numbers. */
int password_hash(struct span password, char out[PASSWORD_HASH])
    __attribute__((warn_unused_result));
/* As long for a wrong password as for the right one; hash "" is right for none, and takes as long
 * all the same. */
bool password_fits(struct span password, struct span hash);

#endif
