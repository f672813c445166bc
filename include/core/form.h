/* What browsers send beside the body's bytes: forms and queries (WHATWG URL, 5.1,
 * application/x-www-form-urlencoded), cookies (RFC 6265 section 5.4) and X-Forwarded-For. */
#ifndef GATE25_CORE_FORM_H
#define GATE25_CORE_FORM_H

#include "core/prefix.h"

#define FORM_FIELDS 40 /* more are no form of ours */

struct form_field {
    struct span name, value; /* decoded; any byte but NUL */
};

struct form {
    size_t count;
    struct form_field field[FORM_FIELDS];
};

/* Decodes a form or a query. `room` takes the decoded bytes, `cap` of at least encoded.len, and
 * lives as long as `out`. False: a "%" without two hexadecimal digits, a zero byte, too many
 * fields, or no room; `out` is empty then. */
bool form_decode(struct span encoded, char *room, size_t cap, struct form *out);
/* The value of the first field of that name, without blanks at both ends; empty: there is none. */
struct span form_value(const struct form *f, const char *name);
bool form_has(const struct form *f, const char *name);

/* The value of the first cookie called `name` in a Cookie header. */
bool cookie_find(struct span header, const char *name, struct span *out);

/* Who stands behind trusted proxies: `peer` itself when it is none of them; else the last address
 * in `forwarded` (all X-Forwarded-For headers, joined by commas) that is no trusted proxy. False: a
 * trusted proxy names nobody, or something that is no address. */
bool forwarded_client(
    const struct addr *peer, struct span forwarded, const struct prefix *trusted, size_t count,
    struct addr *out);

/* The language in `known` (two-letter tags) that an Accept-Language header (RFC 9110 section
 * 12.5.4) prefers; its index, or -1: none of them. */
int language_choose(struct span accept, const char known[][8], size_t count);

/* Whether `s` is text of one line (or of several, with `lines`): UTF-8 without control characters.
 */
bool text_is_plain(struct span s, bool lines);

#endif
