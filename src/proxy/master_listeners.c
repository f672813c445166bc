/* The listening sockets: opened or inherited, held by the master, so that a worker that dies, and a
 * gate that is replaced, leave no connection waiting in a queue that nobody serves. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master_internal.h"
#include "net/intercept.h"

void master_close_listeners(struct master *m)
{
    for (unsigned i = 0; m->workers && i < m->worker_count; i++) {
        struct master_worker *w = &m->workers[i];
        for (size_t j = 0; j < w->listener_count; j++) {
            close(w->listeners[j]);
        }
        free(w->listeners);
        w->listeners = NULL;
        w->listener_count = 0;
    }
}

/* Takes `fd` over, or closes it. */
static int add_listener(struct master_worker *w, int fd)
{
    int *more = fd < 0 ? NULL : reallocarray(w->listeners, w->listener_count + 1, sizeof(*more));
    if (!more) {
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    w->listeners = more;
    w->listeners[w->listener_count++] = fd;
    return 0;
}

/* Each socket has a queue of its own that somebody must serve, and each worker wants to have one to
 * serve: whichever are fewer are shared. 0 where nothing was inherited. */
static int share_inherited(struct master *m, const struct endpoint *at, size_t *shared)
{
    size_t count = 0, least = m->worker_count;
    int *found = calloc(m->inherited.count + 1, sizeof(*found));
    int result = found ? 0 : -1;
    for (int fd; found && (fd = inherited_take(&m->inherited, INHERITED_LISTEN, at)) >= 0;) {
        found[count++] = fd;
    }
    for (size_t i = 0; i < (count > least ? count : least) && count > 0 && result == 0; i++) {
        int fd = i < count ? found[i] : fcntl(found[i % count], F_DUPFD_CLOEXEC, 0);
        result = add_listener(&m->workers[i % m->worker_count], fd);
    }
    free(found);
    *shared = count;
    return result;
}

static int open_fresh(struct master *m, const struct endpoint *at)
{
    if (intercept_probe(m->boot->mode, at) < 0) {
        return -1;
    }
    for (unsigned i = 0; i < m->worker_count; i++) {
        if (add_listener(&m->workers[i], intercept_listen(m->boot->mode, at)) < 0) {
            return -1;
        }
    }
    return 0;
}

static void explain(const struct master *m, const struct endpoint *at, struct text *error)
{
    bool rights = errno == EPERM && m->boot->mode == INTERCEPT_TPROXY;
    char where[ENDPOINT_TEXT];
    endpoint_format(at, where);
    text_addf(
        error, "cannot listen on %s: %s%s", where, strerror(errno),
        rights ? " (mode = \"tproxy\" needs CAP_NET_RAW, or root)" : "");
}

int master_open_listeners(struct master *m, struct text *error)
{
    int result = 0;
    for (size_t j = 0; j < m->boot->listen_count && result == 0; j++) {
        const struct endpoint *at = &m->boot->listen[j];
        size_t shared;
        result = share_inherited(m, at, &shared);
        if (result == 0 && shared == 0) {
            result = open_fresh(m, at);
        }
        if (result < 0) {
            explain(m, at, error);
        }
    }
    if (result == 0) {
        inherited_warn(&m->inherited);
    }
    return result;
}

size_t master_listeners(const struct master *m, int *out, size_t room)
{
    size_t count = 0;
    for (unsigned i = 0; i < m->worker_count; i++) {
        for (size_t j = 0; j < m->workers[i].listener_count; j++, count++) {
            if (count < room) {
                out[count] = m->workers[i].listeners[j];
            }
        }
    }
    return count;
}
