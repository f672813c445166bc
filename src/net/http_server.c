#include "net/http_server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "core/form.h"
#include "net/address.h"

#define BACKLOG   512
#define REST_MS   100 /* when descriptors or memory are short */
#define FORWARDED 1024
#define UNIT6     56 /* connections are counted by this much of an IPv6 address */

struct connection {
    TAILQ_ENTRY(connection) next;
    struct http_server *server;
    struct bufferevent *stream;       /* held until `begin` has run */
    struct evhttp_connection *evhttp; /* NULL before */
    struct event *begin, *deadline;
    struct prefix unit;
    struct addr peer;
    unsigned requests;
    bool proxy;
};

TAILQ_HEAD(connections, connection);

struct door {
    struct door *next;
    struct http_server *server;
    struct evhttp *evhttp;
    struct evconnlistener *listener;
    const struct tls_server *tls;
    unsigned number;
};

struct http_server {
    struct event_base *base;
    struct http_options options;
    struct door *doors;
    struct event *rest;
    struct connections connections;
    unsigned count;
    bool full, held, closing;
};

struct http_exchange {
    struct http_server *server;
    struct evhttp_request *request;
    unsigned door;
    struct addr client;
    bool known; /* client is */
    bool proxy; /* it came by one */
};

static struct timeval after(uint32_t ms)
{
    return (struct timeval){ms / 1000, (suseconds_t)(ms % 1000) * 1000};
}

/* --- listening --- */

static void set_listeners(struct http_server *s)
{
    for (struct door *d = s->doors; d; d = d->next) {
        if (s->full || s->held) {
            evconnlistener_disable(d->listener);
        } else {
            evconnlistener_enable(d->listener);
        }
    }
}

static void set_full(struct http_server *s)
{
    bool full = s->count >= s->options.connections;

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

/* --- connections --- */

static void connection_free(struct connection *c)
{
    struct http_server *s = c->server;

    TAILQ_REMOVE(&s->connections, c, next);
    s->count--;
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
        set_full(s);
    }
}

static void on_close(struct evhttp_connection *evhttp, void *context)
{
    (void)evhttp;
    connection_free(context);
}

/* evhttp notices, and cleans up by its own rules: a request that is being handled stays valid. */
static void cut(struct connection *c)
{
    int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(c->evhttp));

    (void)shutdown(fd, SHUT_RDWR);
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

static unsigned count_unit(const struct connection *mine)
{
    struct connection *c;
    unsigned n = 0;

    TAILQ_FOREACH(c, &mine->server->connections, next)
    {
        n += c->evhttp && prefix_equal(&c->unit, &mine->unit);
    }
    return n;
}

static bool find_peer(struct connection *c)
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
    struct connection *c = context;
    struct timeval deadline = after(c->server->options.deadline_ms);
    void *evhttp = NULL;
    bool fits;

    (void)fd, (void)what;
    bufferevent_getcb(c->stream, NULL, NULL, NULL, &evhttp);
    if (!evhttp) {
        connection_free(c);
        return;
    }
    fits = find_peer(c) && (c->proxy || count_unit(c) < c->server->options.connections_each);
    c->evhttp = evhttp;
    bufferevent_decref(c->stream);
    c->stream = NULL;
    evhttp_connection_set_closecb(c->evhttp, on_close, c);
    if (!fits || evtimer_add(c->deadline, &deadline) != 0) {
        cut(c);
    }
}

static void give_back(struct connection *c, struct bufferevent *stream)
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
static struct bufferevent *on_accept(struct event_base *base, void *context)
{
    struct door *d = context;
    struct http_server *s = d->server;
    struct connection *c = calloc(1, sizeof(*c));
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
    set_full(s);
    event_active(c->begin, EV_TIMEOUT, 1); /* before anything is read from it */
    return stream;
}

/* --- requests --- */

/* A request that came with the connection may be read before the timer of on_begin() is looked at.
 */
static void begin_early(struct connection *c, const struct evhttp_connection *evhttp)
{
    void *argument = NULL;
    if (c->stream) {
        bufferevent_getcb(c->stream, NULL, NULL, NULL, &argument);
    }
    if (argument && argument == evhttp) {
        event_del(c->begin);
        on_begin(-1, EV_TIMEOUT, c);
    }
}

static struct connection *connection_of(struct http_server *s, struct evhttp_request *request)
{
    struct evhttp_connection *evhttp = evhttp_request_get_connection(request);
    struct connection *c;

    TAILQ_FOREACH(c, &s->connections, next)
    {
        begin_early(c, evhttp);
        if (c->evhttp == evhttp) {
            return c;
        }
    }
    return NULL;
}

/* All X-Forwarded-For headers in their order, as if they were one. */
static struct span forwarded(struct evhttp_request *request, char array[FORWARDED])
{
    struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
    struct evkeyval *header;
    struct text t;

    text_init(&t, array, FORWARDED);
    TAILQ_FOREACH(header, headers, next)
    {
        if (span_equal_nocase(span_of(header->key), SPAN_LITERAL("X-Forwarded-For"))) {
            text_addf(&t, "%s%s", t.len > 0 ? "," : "", header->value);
        }
    }
    /* Cut at its end it would name another one. */
    return t.cut ? SPAN_LITERAL("?") : text_span(&t);
}

static void on_request(struct evhttp_request *request, void *context)
{
    struct door *d = context;
    struct http_server *s = d->server;
    struct connection *c = connection_of(s, request);
    struct http_exchange *x = c ? calloc(1, sizeof(*x)) : NULL;
    char array[FORWARDED];

    if (!x) {
        evhttp_send_error(request, HTTP_SERVUNAVAIL, NULL);
        return;
    }
    x->server = s;
    x->request = request;
    x->door = d->number;
    x->proxy = c->proxy;
    x->known = forwarded_client(
        &c->peer, forwarded(request, array), s->options.trusted, s->options.trusted_count,
        &x->client);
    c->requests++;
    s->options.request(s->options.context, x);
}

enum http_method http_method(const struct http_exchange *x)
{
    switch (evhttp_request_get_command(x->request)) {
    case EVHTTP_REQ_POST:
        return HTTP_POST;
    case EVHTTP_REQ_HEAD:
        return HTTP_HEAD;
    default:
        return HTTP_GET;
    }
}

static struct span span_or_empty(const char *text)
{
    return text ? span_of(text) : SPAN_LITERAL("");
}

struct span http_path(const struct http_exchange *x)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(x->request);

    return span_or_empty(uri ? evhttp_uri_get_path(uri) : NULL);
}

struct span http_query(const struct http_exchange *x)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(x->request);

    return span_or_empty(uri ? evhttp_uri_get_query(uri) : NULL);
}

struct span http_body(struct http_exchange *x)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(x->request);
    size_t len = evbuffer_get_length(in);
    unsigned char *at = len > 0 ? evbuffer_pullup(in, -1) : NULL;

    return at ? (struct span){(const char *)at, len} : SPAN_LITERAL("");
}

struct span http_header(const struct http_exchange *x, const char *name)
{
    return span_or_empty(evhttp_find_header(evhttp_request_get_input_headers(x->request), name));
}

bool http_client(const struct http_exchange *x, struct addr *out)
{
    *out = x->client;
    return x->known;
}

bool http_from_proxy(const struct http_exchange *x)
{
    return x->proxy;
}

unsigned http_door(const struct http_exchange *x)
{
    return x->door;
}

static void on_complete(struct evhttp_request *request, void *context)
{
    struct http_server *s = context;
    struct connection *c = connection_of(s, request);
    struct timeval deadline = after(s->options.deadline_ms);

    if (c) {
        evtimer_add(c->deadline, &deadline);
    }
}

void http_answer(
    struct http_exchange *x, int status, const struct http_header *headers, size_t count,
    struct span body)
{
    struct evkeyvalq *out = evhttp_request_get_output_headers(x->request);
    struct evbuffer *content = evbuffer_new();
    struct connection *c =
        evhttp_request_get_connection(x->request) ? connection_of(x->server, x->request) : NULL;

    for (size_t i = 0; i < count; i++) {
        (void)evhttp_add_header(out, headers[i].name, headers[i].value);
    }
    if (!c || c->requests >= HTTP_REQUESTS) {
        (void)evhttp_add_header(out, "Connection", "close");
    }
    if (!content || evbuffer_add(content, body.at, body.len) != 0) {
        evhttp_send_error(x->request, HTTP_SERVUNAVAIL, NULL);
    } else {
        evhttp_request_set_on_complete_cb(x->request, on_complete, x->server);
        evhttp_send_reply(x->request, status, NULL, content);
    }
    if (content) {
        evbuffer_free(content);
    }
    free(x);
}

/* --- outside --- */

struct http_server *http_server_new(struct event_base *base, const struct http_options *options)
{
    struct http_server *s = calloc(1, sizeof(*s));
    struct timeval rest = after(REST_MS);

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

static void apply(struct door *d)
{
    const struct http_options *o = &d->server->options;

    evhttp_set_max_headers_size(d->evhttp, (ev_ssize_t)o->header_bytes);
    evhttp_set_max_body_size(d->evhttp, (ev_ssize_t)o->body_bytes);
    evhttp_set_timeout(d->evhttp, (int)(o->deadline_ms / 1000) + 1);
}

void http_server_set(struct http_server *s, const struct http_options *options)
{
    s->options = *options;
    for (struct door *d = s->doors; d; d = d->next) {
        apply(d);
    }
    set_full(s);
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

static struct door *door_new(struct http_server *s, int fd)
{
    struct door *d = calloc(1, sizeof(*d));

    if (!d) {
        return NULL;
    }
    d->server = s;
    d->evhttp = evhttp_new(s->base);
    d->listener =
        d->evhttp ? evconnlistener_new(
                        s->base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd)
                  : NULL;
    if (!d->listener || !evhttp_bind_listener(d->evhttp, d->listener)) {
        if (d->listener) {
            evconnlistener_free(d->listener);
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
    struct door *d = fd < 0 ? NULL : door_new(s, fd);

    if (!d) {
        endpoint_format(where, address);
        text_addf(error, "cannot listen on %s: %s", address, strerror(fd < 0 ? errno : ENOMEM));
        return -1;
    }
    d->tls = tls;
    d->number = door;
    evconnlistener_set_error_cb(d->listener, on_accept_error);
    evhttp_set_bevcb(d->evhttp, on_accept, d);
    evhttp_set_gencb(d->evhttp, on_request, d);
    evhttp_set_allowed_methods(d->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST);
    d->next = s->doors;
    s->doors = d;
    apply(d);
    set_listeners(s);
    return 0;
}

void http_server_hold(struct http_server *s, bool hold)
{
    s->held = hold;
    set_listeners(s);
}

void http_server_set_tls(struct http_server *s, const struct tls_server *tls)
{
    for (struct door *d = s->doors; d; d = d->next) {
        if (d->tls) {
            d->tls = tls;
        }
    }
}

void http_server_free(struct http_server *s)
{
    struct door *next;

    if (!s) {
        return;
    }
    s->closing = true;
    for (struct door *d = s->doors; d; d = next) {
        next = d->next;
        evhttp_free(d->evhttp); /* its listener and its connections with it */
        free(d);
    }
    for (struct connection *c = TAILQ_FIRST(&s->connections), *behind; c; c = behind) {
        behind = TAILQ_NEXT(c, next);
        connection_free(c);
    }
    if (s->rest) {
        event_free(s->rest);
    }
    free(s);
}
