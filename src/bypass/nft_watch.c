#include "bypass/nft_watch.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

struct nft_watch {
    struct mnl_socket *socket;
    struct event *readable;
    nft_watch_cb changed;
    void *context;
};

/* What exactly was changed is not asked here, so it does not matter if some of it was lost. */
static void on_readable(evutil_socket_t fd, short what, void *context)
{
    const struct nft_watch *w = context;
    char room[8192];

    (void)fd;
    (void)what;
    while (recv(mnl_socket_get_fd(w->socket), room, sizeof(room), MSG_DONTWAIT) >= 0 ||
           errno == ENOBUFS || errno == EINTR) {
    }
    w->changed(w->context);
}

struct nft_watch *nft_watch_new(
    struct event_base *base, nft_watch_cb changed, void *context, struct text *error)
{
    struct nft_watch *w = calloc(1, sizeof(*w));

    if (w == NULL) {
        text_addf(error, "out of memory");
        return NULL;
    }
    w->changed = changed;
    w->context = context;
    w->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (w->socket != NULL && mnl_socket_bind(w->socket, 0, MNL_SOCKET_AUTOPID) == 0) {
        w->readable =
            event_new(base, mnl_socket_get_fd(w->socket), EV_READ | EV_PERSIST, on_readable, w);
    }
    if (w->readable == NULL || event_add(w->readable, NULL) != 0) {
        text_addf(error, "netlink: %s", strerror(errno));
        nft_watch_free(w);
        return NULL;
    }
    return w;
}

void nft_watch_free(struct nft_watch *w)
{
    if (w != NULL && w->readable != NULL) {
        event_free(w->readable);
    }
    if (w != NULL && w->socket != NULL) {
        mnl_socket_close(w->socket);
    }
    free(w);
}

void nft_watch_listen(struct nft_watch *w, bool listen)
{
    int group = NFNLGRP_NFTABLES;

    /* Where it fails, the loop's ticks notice the change instead. */
    (void)mnl_socket_setsockopt(
        w->socket, listen ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP, &group,
        sizeof(group));
}
