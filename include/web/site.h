/* The sign-up site: what its parts (web/visit.h for one request, modules for groups of pages)
 * share. */
#ifndef GATE25_WEB_SITE_H
#define GATE25_WEB_SITE_H

#include <event2/event.h>

#include "net/http_server.h"
#include "svc/redis.h"
#include "svc/registry.h"
#include "web/pages.h"

struct site;
struct visit;

/* For whom a route is. Subscribers are who connects from an address of theirs; operators have
 * logged in (site_module.guard finds out), and a higher role may do what a lower one may. */
enum who { WHO_ANYONE, WHO_SUBSCRIBER, WHO_VIEWER, WHO_AGENT, WHO_ADMIN };

struct route {
    enum http_method method; /* HTTP_GET serves HEAD too */
    const char *path;        /* NULL: end of the table. The query tells things of a kind apart */
    enum who who;
    void (*handle)(struct visit *v); /* each POST's CSRF token is good by now */
};

/* A group of pages. Every pointer but the name may be NULL. */
struct site_module {
    const char *name;
    const struct route *routes;
    const char *const *pages; /* templates that must be there; ends with NULL */
    /* Once the site stands. *state comes back with site_state(). -1: `error`. */
    int (*start)(struct site *site, void **state, struct text *error);
    void (*stop)(void *state);
    void (*reload)(struct site *site, void *state); /* site_conf() is another one now */
    /* Of one module: finds out which operator is visiting, then visit_admit(); or answers itself,
     * with a page to log in. */
    void (*guard)(struct visit *v);
};

#define SITE_REDIS_MS 3000 /* no page waits longer for Redis */
#define SITE_DOOR     0    /* http_door(): the site itself */
#define SITE_GARDEN   1    /* leads all to the quarantine page */

struct site_options {
    struct event_base *base;
    struct conf *conf;                        /* held */
    const struct site_module *const *modules; /* ends with NULL */
    /* Once visitors are let in: when Redis and the standings are there, or after a second. */
    void (*ready)(void *context);
    void *context;
};

/* Reads the pages, connects to Redis and listens. NULL: `error`. */
struct site *site_new(const struct site_options *options, struct text *error)
    __attribute__((warn_unused_result));
void site_free(struct site *s);
/* After a reload. Pages and certificate are read anew. -1: nothing has changed, `error` says why.
 */
int site_set_conf(struct site *s, struct conf *conf, struct text *error)
    __attribute__((warn_unused_result));
/* All that can be checked without listening: pages, certificate. -1: `error`. */
int site_check(
    const struct conf *conf, const struct site_module *const *modules, struct text *error)
    __attribute__((warn_unused_result));

struct event_base *site_base(const struct site *s);
struct conf *site_conf(const struct site *s); /* conf_hold() it to keep it */
struct redis *site_redis(const struct site *s);
struct registry *site_registry(const struct site *s);
const struct pages *site_pages(const struct site *s);
void *site_state(const struct site *s, const struct site_module *m);

#endif
