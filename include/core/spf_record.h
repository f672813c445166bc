/* A domain's SPF record by the grammar of RFC 7208 section 12, before libspf2 sees it: an empty
 * domain-spec alone makes that read through a null pointer. Pure. */
#ifndef GATE25_CORE_SPF_RECORD_H
#define GATE25_CORE_SPF_RECORD_H

#include "core/prefix.h"

#define SPF_RECORD_MOST 2048 /* bytes of the longest record that is looked at */

/* Is this text a record at all (section 4.5)? */
bool spf_record_is(struct span text);

/* Writes the record `text` into `out` as libspf2 reads it rightly, and as it is meant for a client
 * of `family`: first the mechanisms in their order, without networks of the other family; behind
 * them "exp", and "redirect" where no "all" stands (section 5.1); no modifiers that mean nothing.
 * `out` has room for SPF_RECORD_MOST bytes and a terminator, and is enough: nothing becomes longer.
 *
 * NULL, or what is wrong with it, for good: then the result is permerror (section 4.6). */
const char *spf_record_rewrite(struct span text, enum addr_family family, struct text *out);

/* Is `text` an explain-string (section 6.2)? */
bool spf_record_explains(struct span text);

#endif
