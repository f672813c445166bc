#include "net/intercept.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/passage.h"
#include "net/address.h"

#define BACKLOG      4096 /* net.core.somaxconn caps it */
#define TCP_SYN_MOST 512
/* RFC 791, RFC 8200 */
#define IP_HEADER_LEAST 20
#define IPV4_TTL        8
#define IPV6_HOP_LIMIT  7
#define ORIGINAL_DST    80 /* SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST, linux/netfilter* */

struct option {
    int level, name;
};

static int switch_on(int fd, const struct option *options, size_t count)
{
    const int on = 1;
    for (size_t i = 0; i < count; i++) {
        if (setsockopt(fd, options[i].level, options[i].name, &on, sizeof(on)) < 0) {
            return -1;
        }
    }
    return 0;
}

static struct option transparent(const struct addr *a)
{
    return a->family == ADDR_IPV4 ? (struct option){SOL_IP, IP_TRANSPARENT}
                                  : (struct option){SOL_IPV6, IPV6_TRANSPARENT};
}

static int close_with_errno(int fd)
{
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int open_socket(const struct addr *a)
{
    return socket(address_family(a), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Bound to `where`, with `options` set before; -1 and errno. */
static int open_bound(
    enum intercept_mode mode, const struct endpoint *where, const struct option *options,
    size_t count)
{
    static const struct option v6only = {SOL_IPV6, IPV6_V6ONLY};
    struct option transparency = transparent(&where->addr);
    int fd = open_socket(&where->addr);
    if (fd < 0) {
        return -1;
    }
    struct sockaddr_storage address;
    socklen_t len = address_write(where, &address);
    if (switch_on(fd, options, count) < 0 ||
        (where->addr.family == ADDR_IPV6 && switch_on(fd, &v6only, 1) < 0) ||
        (mode == INTERCEPT_TPROXY && switch_on(fd, &transparency, 1) < 0) ||
        bind(fd, (struct sockaddr *)&address, len) < 0) {
        return close_with_errno(fd);
    }
    return fd;
}

int intercept_listen(enum intercept_mode mode, const struct endpoint *where)
{
    /* Accepted sockets inherit TCP_NODELAY. Never TCP_DEFER_ACCEPT: in SMTP the server speaks
     * first. TCP_SAVE_SYN for intercept_passages(). */
    static const struct option options[] = {
        {SOL_SOCKET, SO_REUSEADDR},
        {SOL_SOCKET, SO_REUSEPORT},
        {SOL_TCP, TCP_NODELAY},
        {SOL_TCP, TCP_SAVE_SYN}};
    size_t count = sizeof(options) / sizeof(options[0]);
    int fd = open_bound(mode, where, options, count - (mode != INTERCEPT_TPROXY));
    if (fd < 0) {
        return -1;
    }
    if (listen(fd, BACKLOG) < 0) {
        return close_with_errno(fd);
    }
    intercept_answer_acknowledges(fd);
    return fd;
}

void intercept_answer_acknowledges(int fd)
{
    const int off = 0;
    (void)setsockopt(fd, SOL_TCP, TCP_QUICKACK, &off, sizeof(off));
}

static bool is_listening(int fd)
{
    int listens = 0;
    socklen_t len = sizeof(listens);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens != 0;
}

int intercept_adopt(enum intercept_mode mode, int fd, struct endpoint *where)
{
    static const struct option nodelay = {SOL_TCP, TCP_NODELAY};
    if (!is_listening(fd) || !intercept_local(fd, where)) {
        errno = EINVAL;
        return -1;
    }
    struct option transparency = transparent(&where->addr);
    if (switch_on(fd, &nodelay, 1) < 0 ||
        (mode == INTERCEPT_TPROXY && switch_on(fd, &transparency, 1) < 0)) {
        return -1;
    }
    intercept_answer_acknowledges(fd);
    return fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -1 : 0;
}

int intercept_probe(enum intercept_mode mode, const struct endpoint *where)
{
    static const struct option reuse_address = {SOL_SOCKET, SO_REUSEADDR};
    int fd = open_bound(mode, where, &reuse_address, 1);
    if (fd < 0) {
        return -1;
    }
    close(fd);
    return 0;
}

static int set_ttl(int fd, const struct addr *as, int ttl)
{
    bool v4 = as->family == ADDR_IPV4;
    return setsockopt(
        fd, v4 ? SOL_IP : SOL_IPV6, v4 ? IP_TTL : IPV6_UNICAST_HOPS, &ttl, sizeof(ttl));
}

static int bind_as(int fd, const struct addr *as)
{
    /* Without IP_BIND_ADDRESS_NO_PORT the port would have to be free for every destination. */
    const struct option options[] = {transparent(as), {SOL_IP, IP_BIND_ADDRESS_NO_PORT}};
    struct endpoint source = {.addr = *as};
    struct sockaddr_storage address;
    socklen_t len = address_write(&source, &address);
    if (switch_on(fd, options, sizeof(options) / sizeof(options[0])) < 0) {
        return -1;
    }
    return bind(fd, (struct sockaddr *)&address, len);
}

int intercept_socket(enum intercept_mode mode, const struct addr *as, int passages)
{
    static const struct option nodelay = {SOL_TCP, TCP_NODELAY};
    int fd = open_socket(as);
    if (fd < 0) {
        return -1;
    }
    bool as_client = mode == INTERCEPT_TPROXY;
    if (switch_on(fd, &nodelay, 1) < 0 ||
        (as_client && (bind_as(fd, as) < 0 || set_ttl(fd, as, passages_to_ttl(passages)) < 0))) {
        return close_with_errno(fd);
    }
    return fd;
}

int intercept_passages(int fd)
{
    uint8_t syn[TCP_SYN_MOST]; /* from the IP header on; a SYN cookie leaves none */
    socklen_t len = sizeof(syn);
    if (getsockopt(fd, SOL_TCP, TCP_SAVED_SYN, syn, &len) < 0 || len < IP_HEADER_LEAST) {
        return PASSAGES_UNKNOWN;
    }
    return passages_of_ttl(syn[0] >> 4 == 4 ? syn[IPV4_TTL] : syn[IPV6_HOP_LIMIT]);
}

bool intercept_local(int fd, struct endpoint *out)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    return getsockname(fd, (struct sockaddr *)&address, &len) == 0 && address_read(&address, out);
}

bool intercept_destination(
    enum intercept_mode mode, int fd, const struct endpoint *peer, struct endpoint *out)
{
    if (mode == INTERCEPT_TPROXY) {
        return intercept_local(fd, out);
    }
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);
    int level = peer->addr.family == ADDR_IPV4 ? SOL_IP : SOL_IPV6;
    return getsockopt(fd, level, ORIGINAL_DST, &address, &len) == 0 && address_read(&address, out);
}

static bool is_worth_keeping(const struct ifaddrs *entry, struct addr *out)
{
    if (!entry->ifa_addr || (entry->ifa_flags & IFF_LOOPBACK)) {
        return false;
    }
    bool v4 = entry->ifa_addr->sa_family == AF_INET, v6 = entry->ifa_addr->sa_family == AF_INET6;
    if (!v4 && !v6) {
        return false;
    }
    struct sockaddr_storage address = {0};
    struct endpoint e;
    memcpy(
        &address, entry->ifa_addr, v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    if (!address_read(&address, &e)) {
        return false;
    }
    *out = e.addr;
    return !(v6 && e.addr.bytes[0] == 0xfe && (e.addr.bytes[1] & 0xc0) == 0x80);
}

int intercept_own_addresses(struct addr **list, size_t *count)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) < 0) {
        return -1;
    }
    size_t most = 0, n = 0;
    for (struct ifaddrs *e = all; e; e = e->ifa_next) {
        most++;
    }
    struct addr *found = calloc(most + 1, sizeof(*found));
    for (struct ifaddrs *e = all; found && e; e = e->ifa_next) {
        n += is_worth_keeping(e, &found[n]);
    }
    freeifaddrs(all);
    if (!found) {
        errno = ENOMEM;
        return -1;
    }
    *list = found;
    *count = n;
    return 0;
}
