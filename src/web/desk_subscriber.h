/* The subscriber that a page or a form of the desk is about. */
#ifndef GATE25_WEB_DESK_SUBSCRIBER_H
#define GATE25_WEB_DESK_SUBSCRIBER_H

#include "desk_internal.h"
#include "svc/lease_feed.h"
#include "svc/meter_codec.h"
#include "web/standing_change.h"

#define DESK_ID 256

struct desk_subject {
    char id[DESK_ID];
    bool is_prefix; /* else it is an account */
    struct prefix prefix;
    const struct conf_class *class; /* that holds now */
    bool quarantine;                /* its own standing is one */
    bool passed_over;               /* ... counts for nothing: the unit is handed out by lease */
    char digest[STANDING_DIGEST];   /* of its own standing */
    struct meter_windows windows;
    json_t *history;
    char next[48]; /* where the next page of changes begins */
    size_t changes_seen;
    unsigned changes_pages;
    int status;
    struct lease_question *leases; /* that was asked */
};

/* What may be an id of a subscriber: text of one line without braces. */
bool desk_id_is_good(struct span id);
/* Reads an id from a form or a query into desk_view(v)->more. False: it is none. */
bool desk_subject_parse(struct visit *v, struct span id);

/* Is a standing of exactly this prefix passed over (svc/registry.h)? */
bool desk_is_passed_over(const struct visit *v, const struct prefix *p);
/* Asks for the subject's leases: `leases`, a list of unit, account, since, until. */
void desk_ask_leases(struct visit *v);

/* One entry of STORE_CHANGES or STORE_TRAIL for a page. */
json_t *desk_change(struct visit *v, struct span position, const struct redis_reply *fields);

/* Answers with the list (stolen): a file NAME.csv of these columns with format=csv in the query,
 * else NAME.json. */
void desk_export(struct visit *v, json_t *list, const char *const *columns, const char *name);

#endif
