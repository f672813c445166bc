#include "bench/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/words.h"

socklen_t address_length(const union address *a)
{
    return a->any.sa_family == AF_INET6 ? sizeof a->six : sizeof a->four;
}

static bool read_host(const char *text, uint16_t port, union address *out)
{
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, text, &out->four.sin_addr) == 1) {
        out->four.sin_family = AF_INET;
        out->four.sin_port = htons(port);
        return true;
    }
    if (inet_pton(AF_INET6, text, &out->six.sin6_addr) == 1) {
        out->six.sin6_family = AF_INET6;
        out->six.sin6_port = htons(port);
        return true;
    }
    return false;
}

bool address_read(const char *text, uint16_t port, union address *out)
{
    char host[INET6_ADDRSTRLEN + 2];
    uint64_t given;

    if (port != 0 && read_host(text, port, out)) {
        return true;
    }
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;
    if (length == 0 || length >= sizeof host || !words_number(colon + 1, 1, UINT16_MAX, &given)) {
        return false;
    }
    memcpy(host, text, length);
    host[length] = '\0';
    if (host[0] != '[') {
        /* Without brackets the last group of an IPv6 address would be taken for a port. */
        return !strchr(host, ':') && read_host(host, (uint16_t)given, out);
    }
    if (host[length - 1] != ']') {
        return false;
    }
    host[length - 1] = '\0';
    return read_host(host + 1, (uint16_t)given, out) && out->any.sa_family == AF_INET6;
}

const char *address_text(const union address *a, char out[ADDRESS_TEXT_SIZE])
{
    const bool is_six = a->any.sa_family == AF_INET6;
    char host[INET6_ADDRSTRLEN];
    const int before = errno;

    (void)inet_ntop(
        a->any.sa_family, is_six ? (const void *)&a->six.sin6_addr : &a->four.sin_addr, host,
        sizeof host);
    (void)snprintf(
        out, ADDRESS_TEXT_SIZE, is_six ? "[%s]:%u" : "%s:%u", host,
        ntohs(is_six ? a->six.sin6_port : a->four.sin_port));
    errno = before;
    return out;
}

bool address_range_read(const char *text, struct address_range *out)
{
    char host[INET6_ADDRSTRLEN];
    const char *plus = strchrnul(text, '+');
    size_t length = (size_t)(plus - text);
    uint64_t count = 1;

    if (length >= sizeof host || (*plus && !words_number(plus + 1, 1, 1u << 24, &count))) {
        return false;
    }
    memcpy(host, text, length);
    host[length] = '\0';
    out->count = (uint32_t)count;
    return read_host(host, 0, &out->first);
}

void address_range_at(const struct address_range *range, uint32_t index, union address *out)
{
    *out = range->first;
    if (out->any.sa_family == AF_INET) {
        out->four.sin_addr.s_addr = htonl(ntohl(out->four.sin_addr.s_addr) + index);
        return;
    }
    uint8_t *bytes = out->six.sin6_addr.s6_addr;
    uint64_t carry = index;
    for (int i = 15; i >= 0 && carry; i--) {
        carry += bytes[i];
        bytes[i] = (uint8_t)carry;
        carry >>= 8;
    }
}
