/* Requests of the HTTP server and their answers. */
#include "http_internal.h"

#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/form.h"

#define FORWARDED 1024

struct http_exchange {
    struct http_server *server;
    struct evhttp_request *request;
    unsigned door;
    struct addr client;
    bool known; /* client is */
    bool proxy; /* it came by one */
};

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

/* RFC 9110 section 5.6.2. */
static bool is_token(struct span s)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

        if (!plain && (c == '\0' || !strchr(others, c))) {
            return false;
        }
    }
    return s.len > 0;
}

/* What a proxy before us may read in another way than evhttp does, which takes the first of several
 * headers and no blank for a part of a name: RFC 9112 section 3.2 (Host), 5.1 (names), 6.3
 * (length).
 */
static bool is_ambiguous(struct evhttp_request *request)
{
    static const char *const single[] = {"Host", "Content-Length", "Transfer-Encoding"};
    struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
    unsigned seen[sizeof(single) / sizeof(single[0])] = {0};
    struct evkeyval *header;

    TAILQ_FOREACH(header, headers, next)
    {
        struct span name = span_of(header->key);

        if (!is_token(name)) {
            return true;
        }
        for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++) {
            seen[i] += span_equal_nocase(name, span_of(single[i]));
        }
    }
    return seen[0] > 1 || seen[1] + seen[2] > 1;
}

void http_exchange_begin(struct evhttp_request *request, void *context)
{
    struct http_door *d = context;
    struct http_server *s = d->server;
    struct http_connection *c = http_connection_of(s, request);
    struct http_exchange *x = c ? calloc(1, sizeof(*x)) : NULL;
    char array[FORWARDED];

    if (!x || is_ambiguous(request)) {
        evhttp_send_error(request, x ? HTTP_BADREQUEST : HTTP_SERVUNAVAIL, NULL);
        free(x);
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

size_t http_header_count(const struct http_exchange *x, const char *name)
{
    struct evkeyvalq *headers = evhttp_request_get_input_headers(x->request);
    struct evkeyval *header;
    size_t count = 0;

    TAILQ_FOREACH(header, headers, next)
    {
        count += span_equal_nocase(span_of(header->key), span_of(name));
    }
    return count;
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
    struct http_connection *c = http_connection_of(s, request);

    if (c) {
        http_connection_extend(c);
    }
}

/* To HEAD an answer has the length that it would have, and no body (RFC 9110 section 9.3.2): evhttp
 * would send what it is given, and a client that keeps the connection read it as the next answer.
 */
static bool add_body(
    struct http_exchange *x, int status, struct evbuffer *content, struct span body)
{
    char length[24];

    if (http_method(x) != HTTP_HEAD) {
        return evbuffer_add(content, body.at, body.len) == 0;
    }
    snprintf(length, sizeof(length), "%zu", body.len);
    return status == HTTP_NOTMODIFIED ||
           evhttp_add_header(
               evhttp_request_get_output_headers(x->request), "Content-Length", length) == 0;
}

void http_answer(
    struct http_exchange *x, int status, const struct http_header *headers, size_t count,
    struct span body)
{
    struct evkeyvalq *out = evhttp_request_get_output_headers(x->request);
    struct evbuffer *content = evbuffer_new();
    struct http_connection *c = evhttp_request_get_connection(x->request)
                                    ? http_connection_of(x->server, x->request)
                                    : NULL;

    for (size_t i = 0; i < count; i++) {
        (void)evhttp_add_header(out, headers[i].name, headers[i].value);
    }
    if (!c || c->requests >= HTTP_REQUESTS || x->server->left) {
        (void)evhttp_add_header(out, "Connection", "close");
    }
    if (!content || !add_body(x, status, content, body)) {
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
