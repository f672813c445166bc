/* This process's mirror of the standings in Redis: a class for an address without a round trip. */
#ifndef GATE25_SVC_REGISTRY_H
#define GATE25_SVC_REGISTRY_H

#include <event2/event.h>

#include "core/conf.h"

struct registry;

/* Reads the copy on disk (where there is one), then mirrors Redis over two connections of its own:
 * one that scans, one that waits for changes. `keeper`: this process also writes the copy.
 * Works on without Redis with what it has. NULL: out of memory. `conf` is held. */
struct registry *registry_new(struct event_base *base, struct conf *conf, bool keeper)
    __attribute__((warn_unused_result));
void registry_free(struct registry *r);
void registry_set_conf(struct registry *r, struct conf *conf); /* after a reload */

/* What a lookup finds. */
struct registry_entry {
    struct prefix
        unit; /* the standing's prefix; of the unit itself when there is none, or a lease */
    const struct conf_class *class; /* in the configuration passed to the lookup; never NULL */
    bool standing;                  /* false: nothing is said of this unit, class is the default */
    const char *account; /* that holds the unit by a lease: it is the id. NULL: none, the id is
                          * `unit`. Valid until the loop's next turn */
    struct prefix over;  /* with an account: the wider prefix that its class comes from */
};

/* Who is at `a` at `now_s` (Unix seconds), and what his standing is. A standing that has ended, or
 * whose class the configuration does not know, counts as none.
 *
 * Outside of leases.prefixes: the standing with the longest prefix over `a`. Within: where a lease
 * names an account, the account's standing; without one, as where there is no lease, the longest
 * one over more than a unit. What was said of a unit itself, or of a part of it, was said of
 * somebody who was there once, and is passed over. */
void registry_find(
    const struct registry *r, const struct conf *conf, const struct addr *a, int64_t now_s,
    struct registry_entry *out);
/* registry_find() will be asked about `a` soon: has the memory come that it will look at, and does
 * not wait for it. */
void registry_prefetch(const struct registry *r, const struct conf *conf, const struct addr *a);
/* The standing of an account, wherever it is: true, and `class` is set. */
bool registry_find_account(
    const struct registry *r, const struct conf *conf, const char *account, int64_t now_s,
    const struct conf_class **class);
#define REGISTRY_ID 64 /* room for the id of any entry */
void registry_id(const struct registry_entry *e, char out[REGISTRY_ID]);

/* --- for who keeps something made of the standings --- */

/* Grows whenever any may have changed. */
uint64_t registry_changes(const struct registry *r);

/* Called from the loop when the standing of `unit` has changed; NULL: any may have. */
typedef void (*registry_changed_cb)(void *context, const struct prefix *unit);
void registry_watch(struct registry *r, registry_changed_cb changed, void *context);

/* One standing of a unit or prefix. `class` NULL: `conf` does not know it. until_s 0: no end; else
 * it may have passed. */
typedef void (*registry_each_cb)(
    void *context, const struct prefix *unit, const struct conf_class *class, int64_t until_s);
/* Calls `each` for every standing, in no order. -1: out of memory, nobody was called. */
int registry_each(
    const struct registry *r, const struct conf *conf, registry_each_cb each, void *context)
    __attribute__((warn_unused_result));
/* The standing of exactly this unit or prefix. False: there is none. */
bool registry_get(
    const struct registry *r, const struct conf *conf, const struct prefix *unit,
    const struct conf_class **class, int64_t *until_s);

size_t registry_size(const struct registry *r);
/* Standings in force that Redis has lost, at the last scan. */
size_t registry_kept(const struct registry *r);
/* Standings, and leases where there are any, are read, and changes are followed. */
bool registry_is_current(const struct registry *r);
size_t registry_leases(const struct registry *r);

#endif
