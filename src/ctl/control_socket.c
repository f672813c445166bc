#include "ctl/control_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 32

static bool address_of(const char *path, struct sockaddr_un *out, struct text *error)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(out->sun_path)) {
        text_addf(
            error, "%s: longer than the %zu bytes that a socket's path may have", path,
            sizeof(out->sun_path) - 1);
        return false;
    }
    memcpy(out->sun_path, path, strlen(path) + 1);
    return true;
}

/* Removes a socket that nobody listens to any more. */
static void remove_dead(const struct sockaddr_un *address)
{
    struct stat st;
    int fd;

    if (lstat(address->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        return;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return;
    }
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
        errno == ECONNREFUSED) {
        unlink(address->sun_path);
    }
    close(fd);
}

int control_socket_open(const char *path, struct text *error)
{
    struct sockaddr_un address;
    mode_t mask;
    int fd, failed;

    if (!address_of(path, &address, error)) {
        return -1;
    }
    remove_dead(&address);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        mask = umask(0117);
        failed = bind(fd, (const struct sockaddr *)&address, sizeof(address));
        umask(mask);
        if (failed == 0 && listen(fd, BACKLOG) == 0) {
            return fd;
        }
    }
    text_addf(error, "%s: %s", path, strerror(errno));
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

bool control_socket_path(int fd, struct sockaddr_un *out)
{
    socklen_t len = sizeof(*out);

    *out = (struct sockaddr_un){0};
    return fd >= 0 && getsockname(fd, (struct sockaddr *)out, &len) == 0 &&
           out->sun_family == AF_UNIX && out->sun_path[0] == '/';
}

void control_socket_remove(int fd)
{
    struct sockaddr_un address;

    if (control_socket_path(fd, &address)) {
        unlink(address.sun_path);
    }
    close(fd);
}
