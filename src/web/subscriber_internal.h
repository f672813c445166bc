/* What the subscriber's pages share. */
#ifndef GATE25_WEB_SUBSCRIBER_INTERNAL_H
#define GATE25_WEB_SUBSCRIBER_INTERNAL_H

#include "web/subscriber.h"
#include "web/visit.h"

#define SUBSCRIBER_NUMBER 24

/* What is known so far of the visitor: visit.data of these pages. */
struct subscriber_view {
    json_t *page; /* the values; the page's in the end */
    /* The standing in force as Redis has it; class empty: none. */
    char class[CONF_NAME], since[SUBSCRIBER_NUMBER], until[SUBSCRIBER_NUMBER];
    const struct conf_class *refuses; /* the standing is a quarantine */
    unsigned releases_used;           /* by himself, that still count */
    void *more;                       /* a page's own */
};

struct subscriber_view *subscriber_view(struct visit *v); /* made with the first call */
/* visit_page() with the view's values. */
void subscriber_show(struct visit *v, int status, const char *page);

/* Asks for the standing over the line: `standing` {class, action, since, until, reason}. */
void subscriber_ask_standing(struct visit *v);
/* Asks for the levels of the class's limits: `limits`, a list of {kind, count, amount, left, used,
 * counts_up, period, full}; where Redis cannot tell, without what is not in the configuration. */
void subscriber_ask_limits(struct visit *v);
/* The limits of a class as values, without levels. */
json_t *subscriber_limits(const struct visit *v, const struct conf_class *class);
/* limit_amount_words() as a value. */
json_t *subscriber_amount(enum limit_kind kind, uint64_t n);

/* Asks for the newest `count` entries of the throttling log, those at or before `from` (an entry's
 * position; NULL: the end). */
void subscriber_ask_log(struct visit *v, unsigned count, const char *from, visit_take_cb take);
/* The i-th entry of the reply, the newest first: the journal's line as it was written. NULL: it is
 * none, or of another subscriber than the visitor (below a standing over a wider prefix, many
 * share a log). `position` (may be NULL) is where it is in the log. */
json_t *subscriber_line(
    const struct visit *v, const struct redis_reply *reply, size_t i, struct span *position);
/* It has this case, or stands for one that has (svc/journal.h). */
bool subscriber_has_case(const json_t *line, struct span case_id);
/* Lines of the journal that it stands for. */
json_int_t subscriber_times(const json_t *line);
/* The line for people: {time, event, done (forward, defer, refuse, submit), shadow, rule, limit
 * {kind, count, period}, wait, case, server, from, to, helo, messages, recipients, bytes, tls}, and
 * where it stands for several: times, since (as time), others {count, one, cases}, its own case not
 * among them, and other_servers {count, one, servers} likewise. */
json_t *subscriber_entry(const struct visit *v, const json_t *line);

void subscriber_home(struct visit *v);
void subscriber_activity(struct visit *v);
void subscriber_activity_json(struct visit *v);
void subscriber_quarantine(struct visit *v);
void subscriber_release(struct visit *v);
void subscriber_policy(struct visit *v);
void subscriber_feedback(struct visit *v);
void subscriber_feedback_post(struct visit *v);

#endif
