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
    bool tallied;                   /* has done something in the last hours */
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

/* What can be a part of a key: text of one line without braces. */
bool desk_id_is_good(struct span id);

/* Reads an id from a form or a query into desk_view(v)->more: an address, which stands for its unit
 * (or for itself, where it has a standing), a prefix, both of the subscribers' space; or an
 * account. False: it is none of these, and the visitor has been told so (404) and what is allowed.
 */
bool desk_subject_of(struct visit *v, struct span id);
/* Why `id` is no subscriber's, as a word that the template desk_fault knows: "foreign", "address",
 * "length", "account"; NULL: it is one, and in *out. */
const char *desk_subject_read(const struct visit *v, struct span id, struct desk_subject *out);
/* Answers with the page that says what is wrong with an id, or with another of a form's values:
 * `fault` is a word that its template knows, `words` what was given. */
void desk_fault(struct visit *v, int status, const char *fault, struct span words);
/* The prefixes of the subscribers, for a page: `prefixes`. */
void desk_put_prefixes(struct visit *v);
/* The lines (units) that a prefix covers; 1: it is within one. */
uint64_t desk_lines(const struct visit *v, const struct prefix *p);

/* Is a standing of exactly this prefix passed over (svc/registry.h)? */
bool desk_is_passed_over(const struct visit *v, const struct prefix *p);
/* Asks for the subject's leases: `leases`, a list of unit, account, since, until. */
void desk_ask_leases(struct visit *v);

/* One entry of STORE_CHANGES or STORE_TRAIL for a page. */
json_t *desk_change(struct visit *v, struct span position, const struct redis_reply *fields);

/* Whether the query names a format that there is, or none; else it is answered (400). Comes before
 * anything is written into the trail. */
bool desk_export_may_begin(struct visit *v);
/* Answers with the list (stolen): a file NAME.csv of these columns with format=csv in the query,
 * else NAME.json. */
void desk_export(struct visit *v, json_t *list, const char *const *columns, const char *name);

#endif
