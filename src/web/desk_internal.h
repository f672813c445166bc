/* What the desk's pages share. */
#ifndef GATE25_WEB_DESK_INTERNAL_H
#define GATE25_WEB_DESK_INTERNAL_H

#include "hasher.h"
#include "rate_table.h"
#include "site_internal.h"
#include "svc/tally.h"
#include "svc/trail.h"
#include "web/desk.h"
#include "web/visit.h"

struct desk {
    struct site *site;
    struct hasher *hasher;
    struct rate_table *rates; /* of log-ins */
};

struct desk *desk_of(const struct visit *v);

/* What is known so far of the page to come: visit.data of the desk's pages. */
struct desk_view {
    json_t *page; /* the values */
    void *more;   /* a page's own */
};

struct desk_view *desk_view(struct visit *v); /* made with the first call */
/* visit_page() with the view's values, and what the operator may do: `may` {act, audit}. */
void desk_show(struct visit *v, int status, const char *page);
/* Puts `value` (stolen) into the page. */
void desk_put(struct visit *v, const char *name, json_t *value);

/* Asks for rows of the tally; `take` gets them before visit_then()'s next. No answer: the visitor
 * gets the page "unavailable", as with visit_ask(). */
typedef void (*desk_rows_cb)(struct visit *v, const struct tally_row *rows, size_t count);
void desk_ask_top(struct visit *v, enum tally_kind by, size_t most, desk_rows_cb take);
void desk_ask_row(struct visit *v, struct span id, desk_rows_cb take);
/* A row for a page: id, class, standing, sessions, messages, deferrals, refusals, chart. */
json_t *desk_row(const struct visit *v, const struct tally_row *row);

/* The class that holds for an id as far as this site's mirror knows; the configuration's own. */
const struct conf_class *desk_class(const struct visit *v, struct span id, bool *standing);
bool desk_is_quarantine(const struct conf_class *class, struct span name);

/* Asks how many registrations wait: `pending`, `any_pending`. */
void desk_ask_pending_count(struct visit *v);
/* What `done` in a query says of a decision, if the page's registration says so too; else "". */
const char *desk_decided(struct visit *v, struct span done);
/* What was typed, for the form that shows it again; what no form of ours lets through is cut. */
json_t *desk_typed(struct span s);
/* Asks for the registration of an id: `registration`, as signup_json() says, and its version. */
void desk_ask_registration(struct visit *v, struct span id);

/* Writes into the audit trail, as the visiting operator and from his address. */
void desk_trail(struct visit *v, const char *what, struct span about, struct span detail);

/* "/desk/subscriber?id=...", percent-encoded. */
void desk_path(struct text *out, const char *path, struct span id);
/* A value for a query or a path's part, percent-encoded. */
void desk_encode(struct text *out, struct span s);

/* A question has no answer: the visitor gets the page "unavailable". */
static inline void desk_lose(struct visit *v)
{
    v->in->failed = true;
}

/* The guard and the pages. */
void desk_guard(struct visit *v);
void desk_login(struct visit *v);
void desk_login_post(struct visit *v);
void desk_logout(struct visit *v);
void desk_overview(struct visit *v);
void desk_pending(struct visit *v);
void desk_approve(struct visit *v);
void desk_refuse(struct visit *v);
void desk_subscriber(struct visit *v);
void desk_quarantine(struct visit *v);
void desk_release(struct visit *v);
void desk_search(struct visit *v);
void desk_feedback(struct visit *v);
void desk_audit(struct visit *v);
void desk_audit_export(struct visit *v);
void desk_log_export(struct visit *v);
void desk_tally_export(struct visit *v);

/* Shows the subscriber's page anew: what was wrong with a form, or that all has changed meanwhile.
 * `notice` is a word that the template knows. */
void desk_subscriber_again(struct visit *v, int status, const char *notice);

#endif
