/* The PROXY protocol, version 2: the header that names a connection's two ends to a server behind
 * a relay. https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt */
#ifndef GATE25_CORE_PROXY_V2_H
#define GATE25_CORE_PROXY_V2_H

#include "core/prefix.h"

#define PROXY_V2_MOST 52 /* signature, four bytes, two IPv6 addresses and ports */

/* Writes the header of the TCP connection `from` -> `to`, both of one family; returns its size. */
size_t proxy_v2_encode(
    const struct endpoint *from, const struct endpoint *to, uint8_t out[PROXY_V2_MOST]);

#endif
