/* What this process was started with: listening sockets from systemd (socket activation,
 * sd_listen_fds(3)) or from the gate that it takes over from, and the way to that gate. */
#ifndef GATE25_PROXY_INHERITED_H
#define GATE25_PROXY_INHERITED_H

#include <stddef.h>

#include "core/conf.h"

enum inherited_kind {
    INHERITED_LISTEN,  /* a listening socket for intercepted connections */
    INHERITED_PAGES,   /* one of metrics.listen */
    INHERITED_CONTROL, /* that of control.socket */
    INHERITED_ELDER,   /* the way to the gate that is taken over from */
    INHERITED_OLDER    /* the way to one before it, which still has sessions */
};

struct inherited {
    struct inherited_socket {
        enum inherited_kind kind;
        int fd;             /* -1: taken */
        struct endpoint at; /* of LISTEN and PAGES */
    } * sockets;
    size_t count;
    int elder; /* -1: nobody is taken over from */
};

/* Looks once, at the start; children of this process inherit nothing any more. Sockets of an older
 * gate must be all those, and of the mode, that `conf` wants, and are left as they are where they
 * are not: the rules that steer traffic to them are as they were. -1: `error` says what was given
 * that cannot be used; `elder` is set all the same. */
int inherited_read(struct inherited *in, const struct conf *conf, struct text *error)
    __attribute__((warn_unused_result));
/* The next socket of that kind, the caller's from now on; `at` NULL: wherever it is. -1: there is
 * none left. */
int inherited_take(struct inherited *in, enum inherited_kind kind, const struct endpoint *at);
/* Says in the log which sockets for intercepted connections nobody has taken. */
void inherited_warn(const struct inherited *in);
/* Closes what nobody has taken. */
void inherited_fini(struct inherited *in);

struct inherited_gift {
    enum inherited_kind kind;
    int fd;
};

/* In the forked child that is to become the next gate: moves the descriptors to where the program
 * looks for them and closes all others; those for intercepted connections are of `mode`. -1: errno.
 */
int inherited_hand_on(enum intercept_mode mode, const struct inherited_gift *gifts, size_t count)
    __attribute__((warn_unused_result));

#endif
