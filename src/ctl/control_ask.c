#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "ctl/control.h"
#include "net/clock.h"

#define ANSWER_MOST (16U << 20)
#define CHUNK       4096

/* Waits until `fd` is ready. False: the deadline has passed. */
static bool wait_for(int fd, short events, int64_t deadline_ms)
{
    struct pollfd p = {fd, events, 0};

    for (;;) {
        int64_t left = deadline_ms - clock_monotonic_ms();
        int ready = poll(&p, 1, left > 0 ? (int)left : 0);

        if (ready > 0) {
            return true;
        }
        if (ready == 0 || errno != EINTR) {
            errno = ETIMEDOUT;
            return false;
        }
    }
}

static int send_verb(int fd, const char *verb, int64_t deadline_ms)
{
    char line[1100];
    int len = snprintf(line, sizeof(line), "%s\n", verb);

    for (int sent = 0; sent < len;) {
        ssize_t n = send(fd, line + sent, (size_t)(len - sent), MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0) {
            sent += (int)n;
        } else if ((errno != EAGAIN && errno != EINTR) || !wait_for(fd, POLLOUT, deadline_ms)) {
            return -1;
        }
    }
    return 0;
}

/* Reads up to the first newline. */
static int receive(int fd, struct buf *in, int64_t deadline_ms)
{
    while (buf_len(in) < ANSWER_MOST) {
        char *room = buf_reserve(in, CHUNK);
        ssize_t n;

        if (room == NULL) {
            errno = ENOMEM;
            return -1;
        }
        n = recv(fd, room, CHUNK, MSG_DONTWAIT);
        if (n == 0) {
            errno = ECONNRESET;
            return -1;
        }
        if (n > 0) {
            buf_grow(in, (size_t)n);
            if (memchr(room, '\n', (size_t)n) != NULL) {
                return 0;
            }
        } else if ((errno != EAGAIN && errno != EINTR) || !wait_for(fd, POLLIN, deadline_ms)) {
            return -1;
        }
    }
    errno = EMSGSIZE;
    return -1;
}

static int exchange(
    const struct sockaddr_un *address, const char *verb, int64_t deadline_ms, struct buf *in)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int result = -1, error;

    if (fd < 0) {
        return -1;
    }
    while (connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0) {
        /* EAGAIN: the listener's queue is full. */
        if (errno != EAGAIN || clock_monotonic_ms() >= deadline_ms) {
            goto out;
        }
        poll(NULL, 0, 10);
    }
    if (send_verb(fd, verb, deadline_ms) == 0) {
        result = receive(fd, in, deadline_ms);
    }
out:
    error = errno;
    close(fd);
    errno = error;
    return result;
}

int control_ask(
    const char *path, const char *verb, unsigned timeout_ms, char **answer, struct text *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct buf in = BUF_INIT;
    struct span line;

    if (strlen(path) >= sizeof(address.sun_path)) {
        text_addf(error, "%s: too long for a socket's path", path);
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (exchange(&address, verb, clock_monotonic_ms() + timeout_ms, &in) != 0) {
        text_addf(error, "%s: %s", path, strerror(errno));
        buf_clear(&in);
        return -1;
    }
    line = buf_span(&in);
    *answer = strndup(line.at, strcspn(line.at, "\n"));
    buf_clear(&in);
    if (*answer == NULL) {
        text_addf(error, "out of memory");
        return -1;
    }
    return 0;
}
