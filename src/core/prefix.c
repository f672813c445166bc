#include "core/prefix.h"

#include <arpa/inet.h>
#include <string.h>

unsigned addr_bits(enum addr_family family)
{
    switch (family) {
    case ADDR_IPV4:
        return 32;
    case ADDR_IPV6:
        return 128;
    case ADDR_NONE:
        break;
    }
    return 0;
}

static int addr_af(const struct addr *a)
{
    return a->family == ADDR_IPV4 ? AF_INET : AF_INET6;
}

bool addr_parse(struct span s, struct addr *out)
{
    char text[ADDR_TEXT];
    struct addr a = {0};

    if (s.len == 0 || s.len >= sizeof(text) || memchr(s.at, '\0', s.len)) {
        return false;
    }
    memcpy(text, s.at, s.len);
    text[s.len] = '\0';
    a.family = memchr(s.at, ':', s.len) ? ADDR_IPV6 : ADDR_IPV4;
    if (inet_pton(addr_af(&a), text, a.bytes) != 1) {
        return false;
    }
    *out = a;
    return true;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool addr_is_v4_mapped(const struct addr *a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    return a->family == ADDR_IPV6 && memcmp(a->bytes, mapped, sizeof(mapped)) == 0;
}

/* The C library's way takes a thousand instructions, and IPv4 is what most sessions have. */
static void add_v4(struct text *t, const uint8_t *bytes)
{
    char array[INET_ADDRSTRLEN + NUMBER_DIGITS];
    size_t len = number_write(bytes[0], array);

    for (unsigned i = 1; i < 4; i++) {
        array[len++] = '.';
        len += number_write(bytes[i], array + len);
    }
    text_add(t, (struct span){array, len});
}

static void add_addr(struct text *t, const struct addr *a)
{
    char v6[INET6_ADDRSTRLEN];

    if (a->family == ADDR_IPV4) {
        add_v4(t, a->bytes);
    } else if (a->family != ADDR_NONE && inet_ntop(AF_INET6, a->bytes, v6, sizeof(v6))) {
        text_add(t, span_of(v6));
    } else {
        text_add(t, SPAN_LITERAL("-"));
    }
}

void addr_format(const struct addr *a, char out[ADDR_TEXT])
{
    struct text t;

    text_init(&t, out, ADDR_TEXT);
    add_addr(&t, a);
}

static bool port_parse(struct span s, uint16_t *out)
{
    uint64_t port;

    if (!span_number(s, UINT16_MAX, &port)) {
        return false;
    }
    *out = (uint16_t)port;
    return true;
}

bool endpoint_parse(struct span s, struct endpoint *out)
{
    struct endpoint e;
    struct span host;
    const char *colon = s.len ? memrchr(s.at, ':', s.len) : NULL;
    bool brackets;

    if (!colon) {
        return false;
    }
    host = (struct span){s.at, (size_t)(colon - s.at)};
    brackets = host.len >= 2 && host.at[0] == '[' && host.at[host.len - 1] == ']';
    if (brackets) {
        host = (struct span){host.at + 1, host.len - 2};
    }
    if (!addr_parse(host, &e.addr) || brackets != (e.addr.family == ADDR_IPV6) ||
        !port_parse(span_skip(s, (size_t)(colon - s.at) + 1), &e.port)) {
        return false;
    }
    *out = e;
    return true;
}

void endpoint_format(const struct endpoint *e, char out[ENDPOINT_TEXT])
{
    bool brackets = e->addr.family == ADDR_IPV6;
    struct text t;

    text_init(&t, out, ENDPOINT_TEXT);
    text_add(&t, brackets ? SPAN_LITERAL("[") : SPAN_LITERAL(""));
    add_addr(&t, &e->addr);
    text_add(&t, brackets ? SPAN_LITERAL("]:") : SPAN_LITERAL(":"));
    text_add_number(&t, e->port);
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    return a->port == b->port && addr_equal(&a->addr, &b->addr);
}

/* The bits of byte `i` that belong to the first `len` bits of an address. */
static uint8_t byte_mask(unsigned len, unsigned i)
{
    if (len >= 8 * (i + 1)) {
        return 0xff;
    }
    if (len <= 8 * i) {
        return 0;
    }
    return (uint8_t)(0xff << (8 * (i + 1) - len));
}

struct prefix prefix_of(const struct addr *a, unsigned len)
{
    struct prefix p = {.addr = *a};
    unsigned bits = addr_bits(a->family);

    p.len = (uint8_t)(len < bits ? len : bits);
    for (unsigned i = 0; i < sizeof(p.addr.bytes); i++) {
        p.addr.bytes[i] &= byte_mask(p.len, i);
    }
    return p;
}

enum prefix_error prefix_parse(struct span s, struct prefix *out)
{
    const char *slash = s.len ? memchr(s.at, '/', s.len) : NULL;
    struct addr a;
    uint64_t len;

    if (!addr_parse(slash ? (struct span){s.at, (size_t)(slash - s.at)} : s, &a)) {
        return PREFIX_BAD_ADDRESS;
    }
    len = addr_bits(a.family);
    if (slash && !span_number(span_skip(s, (size_t)(slash - s.at) + 1), len, &len)) {
        return PREFIX_BAD_LENGTH;
    }
    *out = prefix_of(&a, (unsigned)len);
    return addr_equal(&out->addr, &a) ? PREFIX_OK : PREFIX_HOST_BITS;
}

bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
    return a->len == b->len && addr_equal(&a->addr, &b->addr);
}

bool prefix_contains(const struct prefix *p, const struct addr *a)
{
    if (p->addr.family != a->family) {
        return false;
    }
    for (unsigned i = 0; 8 * i < p->len; i++) {
        if ((p->addr.bytes[i] ^ a->bytes[i]) & byte_mask(p->len, i)) {
            return false;
        }
    }
    return true;
}

bool prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
    return a->len <= b->len ? prefix_contains(a, &b->addr) : prefix_contains(b, &a->addr);
}

void prefix_format(const struct prefix *p, char out[PREFIX_TEXT])
{
    struct text t;

    text_init(&t, out, PREFIX_TEXT);
    add_addr(&t, &p->addr);
    if (p->len != addr_bits(p->addr.family)) {
        text_add(&t, SPAN_LITERAL("/"));
        text_add_number(&t, p->len);
    }
}

struct prefix prefix_unit(const struct addr *a, unsigned ipv6_unit)
{
    return prefix_of(a, a->family == ADDR_IPV6 ? ipv6_unit : addr_bits(a->family));
}
