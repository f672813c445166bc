/* HTTP/1.1 for a small site, on evhttp: TLS or plain, requests of bounded size, an absolute
 * deadline for each, a bounded number of connections, one answer for each request. */
#ifndef GATE25_NET_HTTP_SERVER_H
#define GATE25_NET_HTTP_SERVER_H

#include <event2/event.h>

#include "core/prefix.h"
#include "net/tls.h"

struct http_server;
struct http_exchange; /* one request, until http_answer() */

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST }; /* others are answered 501 */

/* A request is whole. It is answered by http_answer(), at once or later. */
typedef void (*http_request_cb)(void *context, struct http_exchange *x);

struct http_options {
    http_request_cb request;
    void *context;
    const struct prefix *trusted; /* proxies whose X-Forwarded-For counts */
    size_t trusted_count;
    size_t header_bytes, body_bytes; /* longer ones are answered 400, 413 */
    unsigned connections;            /* above it new ones wait in the listen queue */
    unsigned
        connections_each; /* of one IPv4 address or IPv6 /56; more are closed. Not of proxies */
    /* What is idle longest is closed for a new connection, of all or of the same address, instead
     * of letting the new one wait, or closing it: for pages that must never be shut out. */
    bool replace_idle;
    /* From the connection, or from the end of the answer before, until the answer has left: then
     * the connection is closed, whatever its state. */
    uint32_t deadline_ms;
};

#define HTTP_REQUESTS 100 /* a connection's; then it is closed, and a browser makes another */

/* `options` is copied, what it points to outlives the server. SIGPIPE must be ignored in this
 * process. NULL: out of memory. */
struct http_server *http_server_new(struct event_base *base, const struct http_options *options)
    __attribute__((warn_unused_result));
/* Closes all connections; exchanges that are not answered are gone with them. */
void http_server_free(struct http_server *s);
/* For connections and requests from now on. */
void http_server_set(struct http_server *s, const struct http_options *options);

/* Listens at `where`; `tls` NULL: plain. `door` comes back with http_door(). -1: `error`. */
int http_server_listen(
    struct http_server *s, const struct endpoint *where, const struct tls_server *tls,
    unsigned door, struct text *error) __attribute__((warn_unused_result));
/* The same with a socket that listens already, which the server takes over, be it that it fails. */
int http_server_listen_on(
    struct http_server *s, int fd, const struct tls_server *tls, unsigned door, struct text *error)
    __attribute__((warn_unused_result));
/* The listening sockets into `out`, as many as there is room for; their number. */
size_t http_server_sockets(const struct http_server *s, int *out, size_t room);
/* Leaves the doors to another process; the connections that are there end with their next answer.
 */
void http_server_leave(struct http_server *s);
/* While held, new connections wait in the kernel's queue. */
void http_server_hold(struct http_server *s, bool hold);
/* New connections at the doors that have TLS get this certificate; it outlives the server. */
void http_server_set_tls(struct http_server *s, const struct tls_server *tls);

/* All spans and pointers are valid until http_answer(). */
enum http_method http_method(const struct http_exchange *x);
struct span http_path(const struct http_exchange *x);  /* as it was sent, without the query */
struct span http_query(const struct http_exchange *x); /* as it was sent; empty: none */
struct span http_body(struct http_exchange *x);
/* The first header of that name; empty: none. */
struct span http_header(const struct http_exchange *x, const char *name);
size_t http_header_count(const struct http_exchange *x, const char *name); /* with that name */
/* Whose connection this is, by trusted proxies' word where one brought it. False: a trusted proxy
 * did not say. */
bool http_client(const struct http_exchange *x, struct addr *out);
bool http_from_proxy(const struct http_exchange *x); /* the connection is a trusted proxy's */
unsigned http_door(const struct http_exchange *x);

struct http_header {
    const char *name, *value; /* a value with CR or LF is left out */
};

/* Answers and forgets the exchange. The client may be gone: nothing happens then. */
void http_answer(
    struct http_exchange *x, int status, const struct http_header *headers, size_t count,
    struct span body);

#endif
