/* One request to the site, from the line it came from to its answer. A handler ends with exactly
 * one of visit_page(), visit_redirect(), visit_json(), visit_bytes(), visit_fail(), at once or
 * after visit_then(). */
#ifndef GATE25_WEB_VISIT_H
#define GATE25_WEB_VISIT_H

#include <jansson.h>

#include "core/facts.h"
#include "core/form.h"
#include "core/store_keys.h"
#include "web/site.h"
#include "web/token.h"

#define VISIT_ID       STORE_KEY
#define VISIT_OPERATOR 64

struct visit {
    struct site *site;
    struct conf *conf; /* held until the answer */
    struct http_exchange *exchange;
    const struct route *route;
    enum http_method method;
    struct span path;
    struct form query, form; /* `form` of a POST */

    /* Who connects. The id is the account that holds the address by a lease, or that of the
     * standing over the address, or of the unit. */
    struct addr client;
    struct prefix unit;  /* what the subscriber has been given */
    bool is_subscriber;  /* the address is of the subscribers' space */
    bool holder_unknown; /* it is handed out by lease, and nobody knows to whom: the unit's
                          * standing, log and registration may be somebody else's */
    struct registry_entry entry;
    char id[VISIT_ID];
    bool own; /* the id is the subscriber's alone, not of a standing over a wider prefix */

    enum who role; /* WHO_VIEWER and up: an operator, called ... */
    char operator[VISIT_OPERATOR];

    size_t lang;               /* index in conf->web.languages */
    char cookie[TOKEN_TEXT];   /* secret of this browser */
    int64_t now_ms;            /* Unix, of the request */
    void *data;                /* the handler's: visit_alloc() it */
    struct visit_internal *in; /* visit.c's own */
};

/* Zeroed memory that lives until the answer. Never NULL: out of memory ends the process, which
 * systemd starts again. */
void *visit_alloc(struct visit *v, size_t size);
char *visit_copy(struct visit *v, struct span s); /* terminated */

void visit_own(struct visit *v, json_t *value); /* json_decref() with the answer */

/* --- questions --- */

/* Several questions may be on their way at once; the function given to visit_then() is called when
 * all are answered, each having been given to its `take`. Where one is not answered (Redis is away,
 * or says an error), the visitor gets the page "unavailable" (503), and neither `take` nor `next`
 * is called any more. `take` may be NULL. */
typedef void (*visit_take_cb)(struct visit *v, const struct redis_reply *reply);
typedef void (*visit_next_cb)(struct visit *v);
void visit_ask(struct visit *v, const struct span *words, size_t count, visit_take_cb take);
/* The same; no answer and an error are given to `take` as NULL and as they are. */
void visit_try(struct visit *v, const struct span *words, size_t count, visit_take_cb take);
/* May call `next` at once. A `next` may ask again, and call visit_then() again. */
void visit_then(struct visit *v, visit_next_cb next);

/* For other questions than Redis's: visit_wait() makes visit_then() wait for one more visit_got().
 * The visit may end before (deadline): keep the ticket, not the visit. */
uint64_t visit_wait(struct visit *v);
struct visit *visit_of(struct site *s, uint64_t ticket); /* NULL: it has been answered */
void visit_got(struct visit *v);

/* Asks gate25-spfd, through gate25d's control socket, whether v->client may send for `sender`
 * ("" for the null reverse-path). `take` is called once, before `next`; SPF_UNKNOWN: no answer. */
typedef void (*visit_spf_cb)(struct visit *v, enum spf_result result, struct span explanation);
void visit_ask_spf(struct visit *v, struct span helo, struct span sender, visit_spf_cb take);
/* The same for another address, of the visitor's own line. */
void visit_ask_spf_of(
    struct visit *v, const struct addr *client, struct span helo, struct span sender,
    visit_spf_cb take);

/* --- answers --- */

/* Renders `page` in "layout" with `values` (stolen; NULL: none) and these beside them: `csrf` (the
 * token), `me` {address, family, unit, id, class, class_name, subscriber, own}, `operator` {name,
 * role}, `language`, `languages`, `path`, `here` (the page's path and query, for links back),
 * `help`, `url`. A page that sets `page_form` to the id of its form keeps what is typed there when
 * the language is changed; `action` is "language" then. */
void visit_page(struct visit *v, int status, const char *page, json_t *values);
/* 303 to a path of this site. */
void visit_redirect(struct visit *v, const char *path);
void visit_json(struct visit *v, json_t *body, const char *filename); /* stolen; NULL: shown */
void visit_bytes(struct visit *v, int status, const char *type, struct span body);
/* A page of words: 403 "forbidden", 404 "not_found", 405 "not_found", 400 "bad_request", 429
 * "too_many", 503 "unavailable", 500. */
void visit_fail(struct visit *v, int status);
/* For the answer to come. */
void visit_header(struct visit *v, const char *name, const char *value);
/* "__Host-NAME=VALUE; Path=/; Secure; HttpOnly; SameSite=Lax"; max_age_s 0: of the browser's
 * session, -1: forget it. */
void visit_set_cookie(struct visit *v, const char *name, const char *value, int64_t max_age_s);
/* The cookie "__Host-NAME"; empty: none. */
struct span visit_cookie(const struct visit *v, const char *name);
/* From site_module.guard: it is this operator, and the route's handler is called if it may. */
void visit_admit(struct visit *v, enum who role, const char *name);

/* --- values for pages --- */

/* A string of what may be anything: bytes that are not UTF-8 become "?". */
json_t *visit_text(struct span s);
/* {"iso": "2026-11-28T17:42:23Z", "text": "2026-11-28 17:42 UTC", "date": "2026-11-28", "clock":
 * "17:42:23"}; NULL for 0: none. */
json_t *visit_time(int64_t unix_ms);
/* "5 minutes" in the visitor's language, to the second, upwards. */
json_t *visit_duration(const struct visit *v, uint64_t us);
/* What a class is called on pages, by the word "class-NAME"; its name where there is none. */
const char *visit_class_name(const struct visit *v, const char *class);
/* A word of the language's words.txt; the key itself where there is none. */
const char *visit_word(const struct visit *v, const char *key);

/* The browser itself says that the request was sent from a page of this site. Whoever lures a
 * visitor's browser into sending a form must not find it on a page of ours. */
bool visit_is_from_here(const struct visit *v);

#endif
