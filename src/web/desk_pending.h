/* What the pages about registrations share: the list of those that wait, and the decision. */
#ifndef GATE25_WEB_DESK_PENDING_H
#define GATE25_WEB_DESK_PENDING_H

#include "desk_subscriber.h"
#include "svc/registrations.h"

/* A question about one registration that is out. */
struct desk_one {
    struct site *site;
    uint64_t ticket;
    size_t at; /* its place in the list */
    char id[DESK_ID];
};

/* Never NULL; the visit waits for one more visit_got(). */
struct desk_one *desk_one_new(struct visit *v, struct span id, size_t at);

#define DESK_VERSION 24
/* What the operator saw of a registration: a form about it brings it back. */
void desk_version(const struct registration *r, char out[DESK_VERSION]);

/* A decision that did not come about, for the page to show again: what was wrong is a word that the
 * template desk_decision knows. */
struct desk_undecided {
    struct span id, reason; /* as they were typed */
    const char *why;
};

/* Shows the list again, from the `from`-th on, with what was typed where it was typed. */
void desk_pending_again(
    struct visit *v, int status, struct span from, const struct desk_undecided *u);

#endif
