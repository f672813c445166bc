/* Finds registrations by a domain, a mail server's name or a contact address: g25:named:{NAME}, a
 * set of ids. A name that a registration no longer has leaves the set when somebody looks for it.
 */
#ifndef GATE25_SVC_REGISTRATION_NAMES_H
#define GATE25_SVC_REGISTRATION_NAMES_H

#include "core/registration.h"
#include "core/store_keys.h"
#include "svc/redis.h"

/* The set of that name, in any case of letters. False: too long to be one. */
bool registration_names_key(struct span name, char array[STORE_KEY], struct span *out);
/* Whether the registration is found by that name. */
bool registration_names_fit(const struct registration *r, struct span name);
/* Puts the id where its registration's names lead to; what is lost is found by its id alone. */
void registration_names_add(struct redis *redis, struct span id, const struct registration *r);

#endif
