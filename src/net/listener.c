#include "net/listener.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/address.h"
#include "net/shortage.h"

static void rest(struct listener *l, int error)
{
    static const struct timeval pause = {.tv_usec = LISTENER_REST_MS * 1000};
    event_del(&l->event);
    /* A timer that cannot be armed would leave the listener deaf; better a busy turn. */
    if (event_add(&l->timer, &pause) < 0) {
        event_add(&l->event, NULL);
    }
    l->options->rested(l->options->context, error);
}

/* False: there is none now, or none can be had. */
static bool accept_one(struct listener *l)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof(from);
    struct endpoint peer;
    int got = accept4(l->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (got < 0 && is_shortage(errno)) {
        rest(l, errno);
        return false;
    }
    if (got < 0) { /* or that one connection died in the queue */
        return errno != EAGAIN && errno != EINVAL;
    }
    if (address_read(&from, &peer)) {
        l->options->accepted(l->options->context, got, &peer);
    } else {
        close(got);
    }
    return true;
}

/* Where the last ones came one by one, the next one is not asked for until the kernel tells of it:
 * the call would be in vain. */
static void on_connections(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct listener *l = context;
    unsigned taken = 0;
    while (taken < l->batch && !l->held && accept_one(l)) {
        taken++;
    }
    unsigned more = 2 * l->batch < LISTENER_BATCH ? 2 * l->batch : LISTENER_BATCH;
    l->batch = taken == l->batch ? more : taken + (taken == 0);
}

static void on_rested(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct listener *l = context;
    if (!l->held && event_add(&l->event, NULL) < 0) {
        rest(l, ENOMEM);
    }
}

int listener_init(
    struct listener *l, struct event_base *base, int fd, const struct listener_options *options)
{
    l->options = options;
    l->fd = fd;
    l->held = false;
    l->batch = 1;
    if (event_assign(&l->event, base, fd, EV_READ | EV_PERSIST, on_connections, l) < 0 ||
        evtimer_assign(&l->timer, base, on_rested, l) < 0 || event_add(&l->event, NULL) < 0) {
        return -1;
    }
    return 0;
}

void listener_fini(struct listener *l)
{
    event_del(&l->event);
    event_del(&l->timer);
    close(l->fd);
}

void listener_hold(struct listener *l, bool hold)
{
    if (l->held == hold) {
        return;
    }
    l->held = hold;
    if (hold) {
        event_del(&l->event);
        event_del(&l->timer);
    } else if (event_add(&l->event, NULL) < 0) {
        rest(l, ENOMEM);
    }
}
