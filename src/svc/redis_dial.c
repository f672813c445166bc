#include "svc/redis_dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static int use_path(struct redis_dial *d, const char *path, struct text *error)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof un.sun_path) {
        text_addf(error, "the socket's path is too long");
        return -1;
    }
    memcpy(un.sun_path, path, strlen(path) + 1);
    memcpy(&d->at[0], &un, sizeof un);
    d->len[0] = sizeof un;
    d->count = 1;
    return 0;
}

int redis_dial_resolve(struct redis_dial *d, const struct conf_redis *where, struct text *error)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char port[8];

    if (where->path[0]) {
        return use_path(d, where->path, error);
    }
    snprintf(port, sizeof port, "%u", (unsigned)where->port);
    int rc = getaddrinfo(where->host, port, &hints, &found);
    if (rc != 0) {
        text_addf(error, "cannot resolve the name: %s", gai_strerror(rc));
        return -1;
    }
    d->count = 0;
    d->next = 0;
    for (struct addrinfo *a = found; a && d->count < REDIS_DIAL_ADDRESSES; a = a->ai_next) {
        memcpy(&d->at[d->count], a->ai_addr, a->ai_addrlen);
        d->len[d->count++] = a->ai_addrlen;
    }
    freeaddrinfo(found);
    if (d->count == 0) {
        text_addf(error, "the name has no address");
        return -1;
    }
    return 0;
}

/* Without these, a Redis whose machine vanished would be missed only by requests with a deadline.
 */
static void watch_peer(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},  {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, 5}, {IPPROTO_TCP, TCP_KEEPINTVL, 5},
        {IPPROTO_TCP, TCP_KEEPCNT, 3},  {IPPROTO_TCP, TCP_USER_TIMEOUT, 15000},
    };

    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        /* A kernel that lacks one leaves us with slower detection, nothing worse. */
        (void)setsockopt(
            fd, options[i].level, options[i].name, &options[i].value, sizeof options[i].value);
    }
}

int redis_dial_open(struct redis_dial *d, const struct conf_redis *where, struct text *error)
{
    if (d->count == 0 && redis_dial_resolve(d, where, error) != 0) {
        return -1;
    }
    unsigned i = d->next;
    d->next = i + 1 < d->count ? i + 1 : 0;
    int fd = socket(d->at[i].ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        text_addf(error, "socket: %s", strerror(errno));
        return -1;
    }
    if (d->at[i].ss_family != AF_UNIX) {
        watch_peer(fd);
    }
    if (connect(fd, (const struct sockaddr *)&d->at[i], d->len[i]) != 0 && errno != EINPROGRESS) {
        text_addf(error, "%s", strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

void redis_dial_name(const struct conf_redis *where, struct text *out)
{
    if (where->path[0]) {
        text_addf(out, "%s", where->path);
    } else {
        text_addf(out, "%s:%u", where->host, (unsigned)where->port);
    }
}
