/* What this process knows of subscribers without asking Redis: bounded, those heard of last. */
#ifndef GATE25_SVC_METER_NOTES_H
#define GATE25_SVC_METER_NOTES_H

#include "core/denial.h"
#include "core/purse.h"

struct meter_notes;

/* Bursts of sessions and of envelopes are bursts of their own. */
enum { METER_PURSE_SESSIONS, METER_PURSE_ENVELOPES, METER_PURSES };

struct meter_note {
    struct denial denial;
    struct purse purse[METER_PURSES];
};

/* Of `most` subscribers. NULL: out of memory. */
struct meter_notes *meter_notes_new(size_t most) __attribute__((warn_unused_result));
void meter_notes_free(struct meter_notes *n); /* NULL is fine */
size_t meter_notes_count(const struct meter_notes *n);

/* What notes know of a class: one number for its name and limits. A class of that name with other
 * limits is another one. */
uint64_t meter_notes_class(const struct conf_class *class);
/* The note of `id`, valid until the next call. One that was made for another class is forgotten: a
 * subscriber who is given a class may have been given full buckets with it. NULL: there is none. */
struct meter_note *meter_notes_find(struct meter_notes *n, const char *id, uint64_t class);
/* The same, or a new and empty one. NULL: out of memory. */
struct meter_note *meter_notes_take(struct meter_notes *n, const char *id, uint64_t class);

/* Forgets all: what they rest on may have changed. What was asked before must not be noted any
 * more: meter_notes_epoch() is another one then. */
void meter_notes_forget(struct meter_notes *n);
unsigned meter_notes_epoch(const struct meter_notes *n);

#endif
