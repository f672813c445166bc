/* Between the core's endpoints and the kernel's socket addresses. */
#ifndef GATE25_NET_ADDRESS_H
#define GATE25_NET_ADDRESS_H

#include <sys/socket.h>

#include "core/prefix.h"

/* False: neither IPv4 nor IPv6. */
bool address_read(const struct sockaddr_storage *from, struct endpoint *out);
socklen_t address_write(const struct endpoint *from, struct sockaddr_storage *out);
int address_family(const struct addr *a); /* AF_INET or AF_INET6 */

#endif
