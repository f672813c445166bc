/* From standings to what the kernel's sets shall hold: whoever's class passes, and nobody else.
 *
 * The standing with the longest prefix over an address holds, as in svc/registry.h: a quarantined
 * line in a business customer's registered prefix is a hole in its range. What does not lie in the
 * subscribers' address space is left out: gate25d refuses it. What is handed out by lease
 * (`leases.prefixes`) is left out, too: who holds an address there is not told by standings. */
#ifndef GATE25_BYPASS_BYPASS_WANTED_H
#define GATE25_BYPASS_BYPASS_WANTED_H

#include "bypass/bypass_sets.h"
#include "core/conf.h"

/* A standing that matters for ranges. */
struct bypass_entry {
    struct prefix prefix;
    bool pass;
    int64_t end_s;
};

struct bypass_entries {
    struct bypass_entry *at;
    size_t count, room;
};

/* Zeroed but for the first three at the beginning. */
struct bypass_wanted {
    const struct conf *conf;
    int64_t unix_s, clock_s; /* now, by both clocks: ends are told to the kernel by the second */
    struct bypass_sets sets; /* the result; the caller's to keep */
    /* When the first of the standings in force ends, Unix seconds: then it is time to look again.
     * 0: none does. */
    int64_t next_end_s;
    struct bypass_entries odd;   /* prefixes that are no units */
    struct bypass_entries holes; /* units of classes that do not pass */
    bool failed;
};

/* One standing; `class` NULL: the configuration does not know it, and it does not count. */
void bypass_wanted_add(
    struct bypass_wanted *w, const struct prefix *p, const struct conf_class *class,
    int64_t until_s);
/* Makes `sets` of what was added; `odd` stays, the caller's to free. -1: out of memory, both are
 * empty. */
int bypass_wanted_finish(struct bypass_wanted *w) __attribute__((warn_unused_result));

/* Is the standing of `p` all that matters for it? True of units that no other prefix with a
 * standing has an address in common with, where nobody passes without a standing. */
bool bypass_is_plain(
    const struct conf *conf, const struct bypass_entries *odd, const struct prefix *p);

#endif
