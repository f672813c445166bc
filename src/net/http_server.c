#include "net/http_server.h"

#include <errno.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "http_internal.h"
#include "net/address.h"

#define BACKLOG 512
#define REST_MS 100 /* when descriptors or memory are short */
/* Where others are closed for new ones: so many times the limit until those are gone. */
#define MOST_AT_ONCE 4

static void set_listeners(struct http_server *s)
{
    for (struct http_door *d = s->doors; d; d = d->next) {
        if (!d->listener) {
            continue;
        }
        if (s->full || s->held) {
            evconnlistener_disable(d->listener);
        } else {
            evconnlistener_enable(d->listener);
        }
    }
}

void http_server_count(struct http_server *s)
{
    unsigned most = s->options.connections * (s->options.replace_idle ? MOST_AT_ONCE : 1);
    bool full = s->count >= most;

    if (full != s->full) {
        s->full = full;
        set_listeners(s);
    }
}

/* Without descriptors the listener would be called again and again for the same connection. Its
 * argument is evhttp's, not ours: the timer below lets it go on. */
static void on_accept_error(struct evconnlistener *listener, void *context)
{
    (void)context;
    log_warning("cannot accept a connection: %m; resting");
    evconnlistener_disable(listener);
}

static void on_rested(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    set_listeners(context);
}

struct http_server *http_server_new(struct event_base *base, const struct http_options *options)
{
    struct http_server *s = calloc(1, sizeof(*s));
    struct timeval rest = http_after(REST_MS);

    if (!s) {
        return NULL;
    }
    s->base = base;
    s->options = *options;
    TAILQ_INIT(&s->connections);
    s->rest = event_new(base, -1, EV_PERSIST, on_rested, s);
    if (!s->rest || evtimer_add(s->rest, &rest) != 0) {
        http_server_free(s);
        return NULL;
    }
    return s;
}

static void apply(struct http_door *d)
{
    const struct http_options *o = &d->server->options;

    evhttp_set_max_headers_size(d->evhttp, (ev_ssize_t)o->header_bytes);
    evhttp_set_max_body_size(d->evhttp, (ev_ssize_t)o->body_bytes);
    evhttp_set_timeout(d->evhttp, (int)(o->deadline_ms / 1000) + 1);
}

void http_server_set(struct http_server *s, const struct http_options *options)
{
    s->options = *options;
    for (struct http_door *d = s->doors; d; d = d->next) {
        apply(d);
    }
    http_server_count(s);
}

static int open_socket(const struct endpoint *where)
{
    struct sockaddr_storage address;
    socklen_t len = address_write(where, &address);
    int on = 1;
    int fd = socket(
        address_family(&where->addr), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (where->addr.family == ADDR_IPV6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    }
    if (bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, BACKLOG) != 0) {
        int fault = errno;

        close(fd);
        errno = fault;
        return -1;
    }
    return fd;
}

static struct http_door *door_new(struct http_server *s, int fd)
{
    struct http_door *d = calloc(1, sizeof(*d));

    if (!d) {
        close(fd);
        return NULL;
    }
    d->server = s;
    d->evhttp = evhttp_new(s->base);
    d->listener =
        d->evhttp ? evconnlistener_new(
                        s->base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd)
                  : NULL;
    d->bound = d->listener ? evhttp_bind_listener(d->evhttp, d->listener) : NULL;
    if (!d->bound) {
        if (d->listener) {
            evconnlistener_free(d->listener);
        } else {
            close(fd);
        }
        if (d->evhttp) {
            evhttp_free(d->evhttp);
        }
        free(d);
        return NULL;
    }
    return d;
}

int http_server_listen(
    struct http_server *s, const struct endpoint *where, const struct tls_server *tls,
    unsigned door, struct text *error)
{
    char address[ENDPOINT_TEXT];
    int fd = open_socket(where);

    if (fd < 0) {
        int fault = errno;

        endpoint_format(where, address);
        text_addf(error, "cannot listen on %s: %s", address, strerror(fault));
        return -1;
    }
    return http_server_listen_on(s, fd, tls, door, error);
}

int http_server_listen_on(
    struct http_server *s, int fd, const struct tls_server *tls, unsigned door, struct text *error)
{
    struct http_door *d = door_new(s, fd);

    if (!d) {
        text_addf(error, "cannot serve HTTP: out of memory");
        return -1;
    }
    d->tls = tls;
    d->number = door;
    evconnlistener_set_error_cb(d->listener, on_accept_error);
    evhttp_set_bevcb(d->evhttp, http_connection_accept, d);
    evhttp_set_gencb(d->evhttp, http_exchange_begin, d);
    evhttp_set_allowed_methods(d->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST);
    d->next = s->doors;
    s->doors = d;
    apply(d);
    set_listeners(s);
    return 0;
}

size_t http_server_sockets(const struct http_server *s, int *out, size_t room)
{
    size_t count = 0;

    for (struct http_door *d = s->doors; d && count < room; d = d->next) {
        if (d->listener) {
            out[count++] = evconnlistener_get_fd(d->listener);
        }
    }
    return count;
}

void http_server_leave(struct http_server *s)
{
    s->left = true;
    for (struct http_door *d = s->doors; d; d = d->next) {
        if (d->listener) {
            evhttp_del_accept_socket(d->evhttp, d->bound); /* which closes our copy of it */
            d->listener = NULL;
        }
    }
}

void http_server_hold(struct http_server *s, bool hold)
{
    s->held = hold;
    set_listeners(s);
}

void http_server_set_tls(struct http_server *s, const struct tls_server *tls)
{
    for (struct http_door *d = s->doors; d; d = d->next) {
        if (d->tls) {
            d->tls = tls;
        }
    }
}

void http_server_free(struct http_server *s)
{
    struct http_door *next;

    if (!s) {
        return;
    }
    s->closing = true;
    for (struct http_door *d = s->doors; d; d = next) {
        next = d->next;
        evhttp_free(d->evhttp); /* its listener and its connections with it */
        free(d);
    }
    http_connections_free(s);
    if (s->rest) {
        event_free(s->rest);
    }
    free(s);
}
