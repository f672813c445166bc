#include "net/address.h"

#include <netinet/in.h>
#include <string.h>

bool address_read(const struct sockaddr_storage *from, struct endpoint *out)
{
    memset(out, 0, sizeof(*out));
    if (from->ss_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, from, sizeof(v4));
        out->addr.family = ADDR_IPV4;
        memcpy(out->addr.bytes, &v4.sin_addr, 4);
        out->port = ntohs(v4.sin_port);
        return true;
    }
    if (from->ss_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, from, sizeof(v6));
        out->addr.family = ADDR_IPV6;
        memcpy(out->addr.bytes, &v6.sin6_addr, 16);
        out->port = ntohs(v6.sin6_port);
        return true;
    }
    return false;
}

socklen_t address_write(const struct endpoint *from, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (from->addr.family == ADDR_IPV4) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(from->port)};
        memcpy(&v4.sin_addr, from->addr.bytes, 4);
        memcpy(out, &v4, sizeof(v4));
        return sizeof(v4);
    }
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(from->port)};
    memcpy(&v6.sin6_addr, from->addr.bytes, 16);
    memcpy(out, &v6, sizeof(v6));
    return sizeof(v6);
}

int address_family(const struct addr *a)
{
    return a->family == ADDR_IPV4 ? AF_INET : AF_INET6;
}
