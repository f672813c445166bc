/* What site.c, site_doors.c (from request to handler), visit.c and visit_answer.c share. */
#ifndef GATE25_WEB_SITE_INTERNAL_H
#define GATE25_WEB_SITE_INTERNAL_H

#include "base/idmap.h"
#include "rate_table.h"
#include "web/site.h"
#include "web/visit.h"

#define SITE_HEADERS 24
#define COOKIE_SEED  "g25"

struct site {
    struct event_base *base;
    struct conf *conf;
    const struct site_module *const *modules;
    void **states; /* one a module */
    struct pages *pages;
    struct tls_server *tls; /* NULL: plain, behind a proxy */
    struct http_server *http;
    struct redis *redis;
    struct registry *registry;
    struct rate_table *rates;
    struct idmap visits;
    struct event *opening; /* ticks until visitors are let in */
    unsigned ticks;
    void (*ready)(void *context);
    void *context;
};

/* The library of Redis Functions in site.lua. */
extern const char site_functions[];

struct piece; /* of memory */
struct owned; /* values */

struct visit_internal {
    uint64_t ticket;
    struct piece *pieces;
    struct owned *owned;
    unsigned waiting; /* answers still due */
    bool failed;      /* one of them never comes */
    bool answered;
    bool form_read;     /* visit.form holds what was sent */
    visit_next_cb next; /* NULL: none yet */
    struct event *deadline;
    struct http_header header[SITE_HEADERS];
    size_t headers;
    bool fresh_cookie; /* visit.cookie was made for this answer */
};

/* The server has a request. */
void site_on_request(void *site, struct http_exchange *x);

/* A visit for the request; NULL: out of memory, and the request is answered. */
struct visit *visit_new(struct site *s, struct http_exchange *x)
    __attribute__((warn_unused_result));
void visit_free(struct visit *v);
/* The token that a POST of this visitor must bring. */
void visit_csrf(const struct visit *v, char out[TOKEN_TEXT]);

#endif
