/* Addresses of both families, alone, with a port, and in ranges, as options give them. */
#ifndef GATE25_BENCH_ADDRESS_H
#define GATE25_BENCH_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

union address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

#define ADDRESS_TEXT_SIZE (INET6_ADDRSTRLEN + sizeof "[]:65535")
#define ADDRESS_PORT      "PORT a whole number from 1 to 65535" /* behind the forms that are allowed */

struct address_range {
    union address first; /* port 0 */
    uint32_t count;      /* 1 or more */
};

socklen_t address_length(const union address *a);

/* Reads ADDR:PORT or [ADDR6]:PORT, and ADDR or ADDR6 with `port` where that is not 0. False for
 * anything else. */
bool address_read(const char *text, uint16_t port, union address *out);

/* Writes it as address_read() reads it; returns `out`. Leaves errno as it is. */
const char *address_text(const union address *a, char out[ADDRESS_TEXT_SIZE]);

/* Reads FIRST or FIRST+COUNT: COUNT addresses, each the next one of the one before. */
bool address_range_read(const char *text, struct address_range *out);

/* The address at `index`, less than the range's count. */
void address_range_at(const struct address_range *range, uint32_t index, union address *out);

#endif
