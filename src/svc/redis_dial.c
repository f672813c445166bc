#include "svc/redis_dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static int begin(const struct sockaddr *to, socklen_t len, struct text *error)
{
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        text_addf(error, "socket: %s", strerror(errno));
        return -1;
    }
    if (connect(fd, to, len) != 0 && errno != EINPROGRESS) {
        text_addf(error, "%s", strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

int redis_dial_path(const char *path, struct text *error)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof un.sun_path) {
        text_addf(error, "the socket's path is too long");
        return -1;
    }
    memcpy(un.sun_path, path, strlen(path) + 1);
    return begin((const struct sockaddr *)&un, sizeof un, error);
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

int redis_dial_tcp(const struct redis_addresses *to, unsigned try, struct text *error)
{
    unsigned i = try % to->count;
    int fd = begin((const struct sockaddr *)&to->at[i], to->len[i], error);

    if (fd >= 0) {
        watch_peer(fd);
    }
    return fd;
}
