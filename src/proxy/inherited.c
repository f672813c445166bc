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

/* As the configuration names them, and the older gate its sockets. */
static const char *const mode_names[] = {
    [INTERCEPT_TPROXY] = "tproxy", [INTERCEPT_REDIRECT] = "redirect"};
/* In LISTEN_FDNAMES; whatever has another name is for intercepted connections. */
static const char *const kind_names[] = {
    [INHERITED_LISTEN] = NULL, /* by their mode */
    [INHERITED_PAGES] = "gate25-pages",
    [INHERITED_CONTROL] = "gate25-control",
    [INHERITED_ELDER] = "gate25-elder",
    [INHERITED_OLDER] = "gate25-older"};

#define TAKES_A_RESTART                                                                            \
    "this takes a restart of gate25d, and rules that go with it; an upgrade works with the old "   \
    "value"

/* Of systemd's sockets, whatever they are called, nobody says what mode they are of. */
static bool is_of_other_mode(const char *name, enum intercept_mode mode)
{
    for (size_t i = 0; i < sizeof(mode_names) / sizeof(mode_names[0]); i++) {
        if (i != mode && strcmp(name, mode_names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void explain(int fd, enum intercept_mode mode, struct text *error)
{
    if (errno == EINVAL || errno == ENOTSOCK) {
        text_addf(
            error, "descriptor %d, which this was started with, is no listening TCP socket", fd);
    } else {
        text_addf(
            error, "descriptor %d, a listening socket which this was started with: %s%s", fd,
            strerror(errno),
            errno == EPERM && mode == INTERCEPT_TPROXY
                ? " (mode = \"tproxy\" needs CAP_NET_RAW, or root)"
                : "");
    }
}

static enum inherited_kind kind_of(const char *name)
{
    for (size_t i = INHERITED_LISTEN + 1; i < sizeof(kind_names) / sizeof(kind_names[0]); i++) {
        if (strcmp(name, kind_names[i]) == 0) {
            return (enum inherited_kind)i;
        }
    }
    return INHERITED_LISTEN;
}

static int take_listener(
    const struct inherited *in, struct inherited_socket *s, const char *name,
    enum intercept_mode mode, struct text *error)
{
    if (in->elder >= 0 && is_of_other_mode(name, mode)) {
        text_addf(
            error, "intercept.mode has changed from \"%s\" to \"%s\": " TAKES_A_RESTART, name,
            mode_names[mode]);
        return -1;
    }
    if (intercept_adopt(mode, s->fd, &s->at) < 0) {
        explain(s->fd, mode, error);
        return -1;
    }
    return 0;
}

static int take_in(
    struct inherited *in, int fd, const char *name, enum intercept_mode mode, struct text *error)
{
    struct inherited_socket *s = &in->sockets[in->count];
    *s = (struct inherited_socket){.kind = kind_of(name), .fd = fd};
    if (s->kind == INHERITED_ELDER) {
        return 0;
    }
    if (s->kind == INHERITED_LISTEN && take_listener(in, s, name, mode, error) < 0) {
        return -1;
    }
    if (s->kind == INHERITED_PAGES && !intercept_local(fd, &s->at)) {
        close(fd); /* not a socket of the older gate's: its place is opened anew */
        return 0;
    }
    in->count++;
    return 0;
}

static bool has(const struct inherited *in, const struct endpoint *at)
{
    for (size_t i = 0; i < in->count; i++) {
        if (in->sockets[i].kind == INHERITED_LISTEN && endpoint_equal(&in->sockets[i].at, at)) {
            return true;
        }
    }
    return false;
}

static bool wants(const struct conf *conf, const struct endpoint *at)
{
    for (size_t i = 0; i < conf->listen_count; i++) {
        if (endpoint_equal(&conf->listen[i], at)) {
            return true;
        }
    }
    return false;
}

static int refuse_listen(const struct endpoint *at, const char *what, struct text *error)
{
    char where[ENDPOINT_TEXT];
    endpoint_format(at, where);
    text_addf(error, "intercept.listen has changed (%s %s): " TAKES_A_RESTART, where, what);
    return -1;
}

/* What the older gate hands over is what the configuration wants, neither more nor less. */
static int compare_listen(const struct inherited *in, const struct conf *conf, struct text *error)
{
    for (size_t i = 0; i < conf->listen_count; i++) {
        if (!has(in, &conf->listen[i])) {
            return refuse_listen(&conf->listen[i], "is new", error);
        }
    }
    for (size_t i = 0; i < in->count; i++) {
        if (in->sockets[i].kind == INHERITED_LISTEN && !wants(conf, &in->sockets[i].at)) {
            return refuse_listen(&in->sockets[i].at, "is missing", error);
        }
    }
    return 0;
}

static int take_all(
    struct inherited *in, int given, char **names, const struct conf *conf, struct text *error)
{
    in->sockets = calloc((size_t)given + 1, sizeof(*in->sockets));
    if (!in->sockets) {
        text_addf(error, "out of memory");
        return -1;
    }
    for (int i = 0; i < given; i++) {
        if (kind_of(names[i]) == INHERITED_ELDER) {
            in->elder = SD_LISTEN_FDS_START + i;
        }
    }
    for (int i = 0; i < given; i++) {
        if (take_in(in, SD_LISTEN_FDS_START + i, names[i], conf->mode, error) < 0) {
            return -1;
        }
    }
    return in->elder >= 0 ? compare_listen(in, conf, error) : 0;
}

int inherited_read(struct inherited *in, const struct conf *conf, struct text *error)
{
    char **names = NULL;
    int given = sd_listen_fds_with_names(1, &names);
    *in = (struct inherited){.elder = -1};
    if (given < 0) {
        text_addf(error, "sd_listen_fds: %s", strerror(-given));
        return -1;
    }
    int result = take_all(in, given, names, conf, error);
    for (int i = 0; names && i < given; i++) {
        free(names[i]);
    }
    free(names);
    return result;
}

int inherited_take(struct inherited *in, enum inherited_kind kind, const struct endpoint *at)
{
    for (size_t i = 0; i < in->count; i++) {
        struct inherited_socket *s = &in->sockets[i];
        if (s->kind == kind && s->fd >= 0 && (!at || endpoint_equal(&s->at, at))) {
            int fd = s->fd;
            s->fd = -1;
            return fd;
        }
    }
    return -1;
}

void inherited_warn(const struct inherited *in)
{
    for (size_t i = 0; i < in->count; i++) {
        if (in->sockets[i].kind == INHERITED_LISTEN && in->sockets[i].fd >= 0) {
            char at[ENDPOINT_TEXT];
            endpoint_format(&in->sockets[i].at, at);
            log_warning("the socket listening on %s is closed: intercept.listen has no such", at);
        }
    }
}

void inherited_fini(struct inherited *in)
{
    for (size_t i = 0; i < in->count; i++) {
        if (in->sockets[i].fd >= 0) {
            close(in->sockets[i].fd);
        }
    }
    free(in->sockets);
    *in = (struct inherited){.elder = in->elder};
}

/* First away from where they are to be, then there. */
static int move(const struct inherited_gift *from, size_t count)
{
    int above = SD_LISTEN_FDS_START + (int)count;
    int *parked = calloc(count, sizeof(*parked));
    bool good = parked != NULL;
    for (size_t i = 0; i < count && good; i++) {
        parked[i] = fcntl(from[i].fd, F_DUPFD, above);
        good = parked[i] >= 0;
    }
    for (size_t i = 0; i < count && good; i++) {
        good = dup2(parked[i], SD_LISTEN_FDS_START + (int)i) >= 0;
    }
    free(parked);
    return good ? close_range((unsigned)above, ~0U, 0) : -1;
}

#define NAME_MOST 16 /* with the colon */

static int set_environment(
    enum intercept_mode mode, const struct inherited_gift *gifts, size_t count)
{
    char number[16], pid[16];
    char *array = malloc(count * NAME_MOST + 1);
    struct text names;
    if (!array) {
        return -1;
    }
    text_init(&names, array, count * NAME_MOST + 1);
    for (size_t i = 0; i < count; i++) {
        const char *name = kind_names[gifts[i].kind];
        text_addf(&names, "%s%s", i > 0 ? ":" : "", name ? name : mode_names[mode]);
    }
    (void)snprintf(number, sizeof(number), "%zu", count);
    (void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    int result = names.cut || setenv("LISTEN_FDNAMES", array, 1) < 0 ||
                         setenv("LISTEN_FDS", number, 1) < 0 || setenv("LISTEN_PID", pid, 1) < 0
                     ? -1
                     : 0;
    free(array);
    return result;
}

int inherited_hand_on(enum intercept_mode mode, const struct inherited_gift *gifts, size_t count)
{
    return move(gifts, count) < 0 ? -1 : set_environment(mode, gifts, count);
}
