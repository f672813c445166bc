#include "core/proxy_v2.h"

#include <string.h>

#define SIGNATURE     "\r\n\r\n\0\r\nQUIT\n"
#define VERSION_PROXY 0x21 /* version 2, command PROXY */
#define TCP_OVER_IPV4 0x11
#define TCP_OVER_IPV6 0x21

static uint8_t *put(uint8_t *at, const void *bytes, size_t n)
{
    memcpy(at, bytes, n);
    return at + n;
}

static uint8_t *put_number(uint8_t *at, unsigned number)
{
    *at++ = (uint8_t)(number >> 8);
    *at++ = (uint8_t)number;
    return at;
}

size_t proxy_v2_encode(
    const struct endpoint *from, const struct endpoint *to, uint8_t out[PROXY_V2_MOST])
{
    size_t size = addr_bits(from->addr.family) / 8;
    uint8_t *at = put(out, SIGNATURE, sizeof SIGNATURE - 1);
    *at++ = VERSION_PROXY;
    *at++ = from->addr.family == ADDR_IPV4 ? TCP_OVER_IPV4 : TCP_OVER_IPV6;
    at = put_number(at, (unsigned)(2 * (size + sizeof from->port)));
    at = put(at, from->addr.bytes, size);
    at = put(at, to->addr.bytes, size);
    at = put_number(at, from->port);
    at = put_number(at, to->port);
    return (size_t)(at - out);
}
