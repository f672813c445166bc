/* How the files of the HTTP server share it: doors listen (http_server.c), connections come by them
 * (http_connection.c), exchanges by those (http_exchange.c). */
#ifndef GATE25_NET_HTTP_INTERNAL_H
#define GATE25_NET_HTTP_INTERNAL_H

#include <event2/http.h>
#include <sys/queue.h>
#include <sys/time.h>

#include "net/http_server.h"

struct http_connection {
    TAILQ_ENTRY(http_connection) next;
    struct http_server *server;
    struct bufferevent *stream;       /* held until `begin` has run */
    struct evhttp_connection *evhttp; /* NULL before */
    struct event *begin, *deadline;
    struct prefix unit;
    struct addr peer;
    unsigned requests;
    bool proxy;
    bool cut; /* it is being closed, and counts no more */
};

/* Those that have been idle longest are first. */
TAILQ_HEAD(http_connections, http_connection);

struct http_door {
    struct http_door *next;
    struct http_server *server;
    struct evhttp *evhttp;
    struct evconnlistener *listener; /* NULL: another process serves it */
    struct evhttp_bound_socket *bound;
    const struct tls_server *tls;
    unsigned number;
};

struct http_server {
    struct event_base *base;
    struct http_options options;
    struct http_door *doors;
    struct event *rest;
    struct http_connections connections;
    unsigned count, cut; /* all of them; those that are being closed */
    bool full, held, left, closing;
};

static inline struct timeval http_after(uint32_t ms)
{
    return (struct timeval){ms / 1000, (suseconds_t)(ms % 1000) * 1000};
}

/* --- http_server.c --- */

/* The number of connections has changed: listens, or lets new ones wait. */
void http_server_count(struct http_server *s);

/* --- http_connection.c --- */

/* evhttp's callback for a stream of a new connection; `context` is its door. */
struct bufferevent *http_connection_accept(struct event_base *base, void *context);
/* NULL: the request came by a connection that we could not keep. */
struct http_connection *http_connection_of(struct http_server *s, struct evhttp_request *request);
/* An answer has left: the deadline begins anew. */
void http_connection_extend(struct http_connection *c);
void http_connections_free(struct http_server *s);

/* --- http_exchange.c --- */

/* evhttp's callback for a whole request; `context` is its door. */
void http_exchange_begin(struct evhttp_request *request, void *context);

#endif
