/* Connections of the HTTP server: accepted, counted, cut at their deadline. */
#include "http_internal.h"

#include <event2/bufferevent.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/log.h"
#include "net/address.h"

#define UNIT6 56 /* connections are counted by this much of an IPv6 address */

static void connection_free(struct http_connection *c)
{
    struct http_server *s = c->server;

    TAILQ_REMOVE(&s->connections, c, next);
    s->count--;
    s->cut -= c->cut;
    if (c->stream) {
        bufferevent_decref(c->stream);
    }
    if (c->begin) {
        event_free(c->begin);
    }
    if (c->deadline) {
        event_free(c->deadline);
    }
    free(c);
    if (!s->closing) {
        http_server_count(s);
    }
}

static void on_close(struct evhttp_connection *evhttp, void *context)
{
    (void)evhttp;
    connection_free(context);
}

/* evhttp notices, and cleans up by its own rules: a request that is being handled stays valid. */
static void cut(struct http_connection *c)
{
    int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(c->evhttp));

    (void)shutdown(fd, SHUT_RDWR);
    c->server->cut += !c->cut;
    c->cut = true;
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    cut(context);
}

static bool is_proxy(const struct http_server *s, const struct addr *a)
{
    for (size_t i = 0; i < s->options.trusted_count; i++) {
        if (prefix_contains(&s->options.trusted[i], a)) {
            return true;
        }
    }
    return false;
}

static unsigned count_unit(const struct http_connection *mine)
{
    struct http_connection *c;
    unsigned n = 0;

    TAILQ_FOREACH(c, &mine->server->connections, next)
    {
        n += c->evhttp && !c->cut && prefix_equal(&c->unit, &mine->unit);
    }
    return n;
}

/* Closes the connection that has been idle longest; with `unit`, of that one's. */
static void cut_idle(struct http_server *s, const struct prefix *unit)
{
    struct http_connection *c;

    TAILQ_FOREACH(c, &s->connections, next)
    {
        if (c->evhttp && !c->cut && (!unit || prefix_equal(&c->unit, unit))) {
            cut(c);
            return;
        }
    }
}

/* Is there room for it? It is not counted yet, having no evhttp. */
static bool make_room(struct http_connection *c)
{
    struct http_server *s = c->server;
    bool fits = c->proxy || count_unit(c) < s->options.connections_each;

    if (!s->options.replace_idle) {
        return fits;
    }
    if (!fits) {
        cut_idle(s, &c->unit);
    } else if (s->count - s->cut > s->options.connections) {
        cut_idle(s, NULL);
    }
    return true;
}

static bool find_peer(struct http_connection *c)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof(from);
    struct endpoint peer;

    if (getpeername(bufferevent_getfd(c->stream), (struct sockaddr *)&from, &len) != 0 ||
        !address_read(&from, &peer)) {
        return false;
    }
    c->peer = peer.addr;
    c->unit = prefix_unit(&peer.addr, UNIT6);
    c->proxy = is_proxy(c->server, &peer.addr);
    return true;
}

/* By now evhttp has made its connection of the stream, whose callbacks it is the argument of. That
 * is the one way to it before its first request has come whole. */
static void on_begin(evutil_socket_t fd, short what, void *context)
{
    struct http_connection *c = context;
    struct timeval deadline = http_after(c->server->options.deadline_ms);
    void *evhttp = NULL;
    bool fits;

    (void)fd, (void)what;
    bufferevent_getcb(c->stream, NULL, NULL, NULL, &evhttp);
    if (!evhttp) {
        connection_free(c);
        return;
    }
    fits = find_peer(c) && make_room(c);
    c->evhttp = evhttp;
    bufferevent_decref(c->stream);
    c->stream = NULL;
    evhttp_connection_set_closecb(c->evhttp, on_close, c);
    if (!fits || evtimer_add(c->deadline, &deadline) != 0) {
        cut(c);
    }
}

static void give_back(struct http_connection *c, struct bufferevent *stream)
{
    if (stream) {
        bufferevent_free(stream);
    }
    if (c && c->begin) {
        event_free(c->begin);
    }
    if (c && c->deadline) {
        event_free(c->deadline);
    }
    free(c);
}

/* evhttp wants a stream for a connection that it has accepted. Without memory it gets NULL and
 * makes a plain one of its own: what comes by that is none of ours, and is answered 503. */
struct bufferevent *http_connection_accept(struct event_base *base, void *context)
{
    struct http_door *d = context;
    struct http_server *s = d->server;
    struct http_connection *c = calloc(1, sizeof(*c));
    struct bufferevent *stream = d->tls ? tls_server_stream(d->tls, base)
                                        : bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);

    if (c && stream) {
        c->begin = event_new(base, -1, 0, on_begin, c);
        c->deadline = evtimer_new(base, on_deadline, c);
    }
    if (!c || !stream || !c->begin || !c->deadline) {
        log_error("out of memory: a connection is not served");
        give_back(c, stream);
        return NULL;
    }
    c->server = s;
    c->stream = stream;
    bufferevent_incref(stream);
    TAILQ_INSERT_TAIL(&s->connections, c, next);
    s->count++;
    http_server_count(s);
    event_active(c->begin, EV_TIMEOUT, 1); /* before anything is read from it */
    return stream;
}

struct http_connection *http_connection_of(struct http_server *s, struct evhttp_request *request)
{
    struct evhttp_connection *evhttp = evhttp_request_get_connection(request);
    struct http_connection *c;

    TAILQ_FOREACH(c, &s->connections, next)
    {
        if (c->evhttp == evhttp) {
            return c;
        }
    }
    return NULL;
}

void http_connection_extend(struct http_connection *c)
{
    struct timeval deadline = http_after(c->server->options.deadline_ms);

    (void)evtimer_add(c->deadline, &deadline);
    TAILQ_REMOVE(&c->server->connections, c, next);
    TAILQ_INSERT_TAIL(&c->server->connections, c, next);
}

void http_connections_free(struct http_server *s)
{
    for (struct http_connection *c = TAILQ_FIRST(&s->connections), *behind; c; c = behind) {
        behind = TAILQ_NEXT(c, next);
        connection_free(c);
    }
}
