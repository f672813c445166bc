/* What this process was started with: listening sockets from systemd (socket activation,
 * sd_listen_fds(3)) or from the gate that it takes over from, and the way to that gate. */
#ifndef GATE25_PROXY_INHERITED_H
#define GATE25_PROXY_INHERITED_H

#include <stddef.h>

#include "core/conf.h"

#define INHERITED_ELDER  "elder"  /* in LISTEN_FDNAMES: the way to the older gate */
#define INHERITED_SOCKET "listen" /* a listening socket */

struct inherited {
    struct inherited_socket {
        int fd; /* -1: taken */
        struct endpoint at;
    } * sockets;
    size_t count;
    int elder; /* -1: nobody is taken over from */
};

/* Looks once, at the start; children of this process inherit nothing any more. -1: `error` says
 * what was given that cannot be used. */
int inherited_read(struct inherited *in, enum intercept_mode mode, struct text *error)
    __attribute__((warn_unused_result));
/* The next socket that listens at `at`, the caller's from now on; -1: there is none left. */
int inherited_take(struct inherited *in, const struct endpoint *at);
/* Closes what nobody has taken, and says so in the log. */
void inherited_fini(struct inherited *in);

/* In the forked child that is to become the next gate: moves the listening sockets and `elder` to
 * where the program looks for them and closes all others. -1: errno. */
int inherited_hand_on(const int *sockets, size_t count, int elder)
    __attribute__((warn_unused_result));

#endif
