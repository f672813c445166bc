#include "proxy/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"
#include "net/intercept.h"

static int take_in(
    struct inherited *in, int fd, const char *name, enum intercept_mode mode, struct text *error)
{
    if (strcmp(name, INHERITED_ELDER) == 0) {
        in->elder = fd;
        return 0;
    }
    struct inherited_socket *s = &in->sockets[in->count];
    if (intercept_adopt(mode, fd, &s->at) < 0) {
        text_addf(
            error, "descriptor %d, which this was started with, is no listening TCP socket: %s", fd,
            strerror(errno));
        return -1;
    }
    s->fd = fd;
    in->count++;
    return 0;
}

int inherited_read(struct inherited *in, enum intercept_mode mode, struct text *error)
{
    char **names = NULL;
    int given = sd_listen_fds_with_names(1, &names);
    int result = 0;
    *in = (struct inherited){.elder = -1};
    if (given < 0) {
        text_addf(error, "sd_listen_fds: %s", strerror(-given));
        return -1;
    }
    in->sockets = calloc((size_t)given + 1, sizeof(*in->sockets));
    if (!in->sockets) {
        text_addf(error, "out of memory");
        result = -1;
    }
    for (int i = 0; i < given && result == 0; i++) {
        result = take_in(in, SD_LISTEN_FDS_START + i, names[i], mode, error);
    }
    for (int i = 0; names && i < given; i++) {
        free(names[i]);
    }
    free(names);
    return result;
}

int inherited_take(struct inherited *in, const struct endpoint *at)
{
    for (size_t i = 0; i < in->count; i++) {
        struct inherited_socket *s = &in->sockets[i];
        if (s->fd >= 0 && endpoint_equal(&s->at, at)) {
            int fd = s->fd;
            s->fd = -1;
            return fd;
        }
    }
    return -1;
}

void inherited_fini(struct inherited *in)
{
    for (size_t i = 0; i < in->count; i++) {
        if (in->sockets[i].fd >= 0) {
            char at[ENDPOINT_TEXT];
            endpoint_format(&in->sockets[i].at, at);
            log_warning("the socket listening on %s is closed: intercept.listen has no such", at);
            close(in->sockets[i].fd);
        }
    }
    free(in->sockets);
    *in = (struct inherited){.elder = in->elder};
}

/* First away from where they are to be, then there. */
static int move(const int *from, size_t count)
{
    int above = SD_LISTEN_FDS_START + (int)count;
    int *parked = calloc(count, sizeof(*parked));
    bool good = parked != NULL;
    for (size_t i = 0; i < count && good; i++) {
        parked[i] = fcntl(from[i], F_DUPFD, above);
        good = parked[i] >= 0;
    }
    for (size_t i = 0; i < count && good; i++) {
        good = dup2(parked[i], SD_LISTEN_FDS_START + (int)i) >= 0;
    }
    free(parked);
    return good ? close_range((unsigned)above, ~0U, 0) : -1;
}

static int set_environment(size_t sockets)
{
    char number[16], pid[16];
    size_t size = sockets * sizeof(INHERITED_SOCKET ":") + sizeof(INHERITED_ELDER);
    char *array = malloc(size);
    struct text names;
    if (!array) {
        return -1;
    }
    text_init(&names, array, size);
    for (size_t i = 0; i < sockets; i++) {
        text_addf(&names, INHERITED_SOCKET ":");
    }
    text_addf(&names, INHERITED_ELDER);
    (void)snprintf(number, sizeof(number), "%zu", sockets + 1);
    (void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    int result = setenv("LISTEN_FDNAMES", array, 1) < 0 || setenv("LISTEN_FDS", number, 1) < 0 ||
                         setenv("LISTEN_PID", pid, 1) < 0
                     ? -1
                     : 0;
    free(array);
    return result;
}

int inherited_hand_on(const int *sockets, size_t count, int elder)
{
    int *all = calloc(count + 1, sizeof(*all));
    if (!all) {
        return -1;
    }
    memcpy(all, sockets, count * sizeof(*all));
    all[count] = elder;
    int result = move(all, count + 1);
    free(all);
    return result < 0 ? -1 : set_environment(count);
}
