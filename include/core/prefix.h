/* Addresses and prefixes of both families as plain values. */
#ifndef GATE25_CORE_PREFIX_H
#define GATE25_CORE_PREFIX_H

#include "base/str.h"

enum addr_family { ADDR_NONE = 0, ADDR_IPV4 = 4, ADDR_IPV6 = 6 };

struct addr {
    uint8_t family;    /* enum addr_family */
    uint8_t bytes[16]; /* network order; IPv4 in the first four, the rest zero */
};

struct endpoint {
    struct addr addr;
    uint16_t port; /* host order */
};

struct prefix {
    struct addr addr; /* host bits zero */
    uint8_t len;
};

#define ADDR_TEXT     46 /* room for any address as text, terminator included */
#define PREFIX_TEXT   50
#define ENDPOINT_TEXT 56

unsigned addr_bits(enum addr_family family);      /* 32, 128, or 0 */
bool addr_parse(struct span s, struct addr *out); /* v4 dotted quad or v6; no zone, no brackets */
bool addr_equal(const struct addr *a, const struct addr *b);
bool addr_is_v4_mapped(const struct addr *a); /* ::ffff:0:0/96 */
void addr_format(const struct addr *a, char out[ADDR_TEXT]);

/* "ADDRESS:PORT", IPv6 in brackets. */
bool endpoint_parse(struct span s, struct endpoint *out);
void endpoint_format(const struct endpoint *e, char out[ENDPOINT_TEXT]);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);

/* What keeps a text from being a prefix. */
enum prefix_error { PREFIX_OK, PREFIX_BAD_ADDRESS, PREFIX_BAD_LENGTH, PREFIX_HOST_BITS };

/* "ADDRESS" (a prefix of full length) or "ADDRESS/LENGTH". PREFIX_HOST_BITS: `out` is set, masked.
 */
enum prefix_error prefix_parse(struct span s, struct prefix *out);
struct prefix prefix_of(const struct addr *a, unsigned len); /* masks; `len` is capped */
bool prefix_equal(const struct prefix *a, const struct prefix *b);
bool prefix_contains(const struct prefix *p, const struct addr *a);
bool prefix_overlaps(const struct prefix *a, const struct prefix *b);
void prefix_format(const struct prefix *p, char out[PREFIX_TEXT]); /* no "/32", no "/128" */

/* The unit of `a` (DESIGN, who is a subscriber): the IPv4 address, the IPv6 prefix of `ipv6_unit`.
 */
struct prefix prefix_unit(const struct addr *a, unsigned ipv6_unit);

#endif
