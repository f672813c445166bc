/* How much the kernel let by, per subscriber: made of the counters that it keeps for each unit that
 * sends, and forgets when the unit rests. */
#ifndef GATE25_BYPASS_BYPASS_COUNTS_H
#define GATE25_BYPASS_BYPASS_COUNTS_H

#include "bypass/bypass_sets.h"

enum bypass_count {
    BYPASS_OPENED, /* connections: first packets, repeated ones too */
    BYPASS_UP,     /* bytes to servers, with their IP headers */
    BYPASS_DOWN,   /* bytes to the subscriber */
    BYPASS_COUNTS
};

/* Where it is read: counters of the table's, and of the fast path's. */
enum bypass_reading {
    READING_OPENED,
    READING_UP,
    READING_DOWN,
    READING_FAST_OPENED,
    READING_FAST_UP,
    READING_FAST_DOWN,
    BYPASS_READINGS
};

/* Subscribers that are remembered; of more, what they do is counted in the total alone. */
#define BYPASS_COUNTED 1000000

struct bypass_figures {
    struct prefix subscriber; /* of the standing that lets it by */
    uint64_t count[BYPASS_COUNTS];
    uint64_t heard; /* of BYPASS_DOWN, when bypass_counts_hear() was asked last */
};

struct bypass_counts {
    struct prefix_map seen[BYPASS_READINGS]; /* unit -> what its counter said (as until_s), round */
    struct prefix_map index;                 /* subscriber -> its figures */
    struct bypass_figures *figures;
    size_t count, room;
    uint32_t round;
    bool counting; /* false in the first round: what stands there was counted by who was before */
};

void bypass_counts_fini(struct bypass_counts *c);
/* A round of readings begins, and ends: who was not read has been forgotten by the kernel. */
void bypass_counts_begin(struct bypass_counts *c);
void bypass_counts_end(struct bypass_counts *c);
/* One reading; what is new since the last goes to the subscriber. Returns it. Without memory it is
 * lost. */
uint64_t bypass_counts_take(
    struct bypass_counts *c, enum bypass_reading reading, const struct prefix *unit, uint64_t value,
    const struct prefix *subscriber);
/* The counters of this reading are gone: that of the unit, or (NULL) all. */
void bypass_counts_forget(
    struct bypass_counts *c, enum bypass_reading reading, const struct prefix *unit);
/* Has anything come back to the subscriber since this was asked last? */
bool bypass_counts_hear(struct bypass_counts *c, const struct prefix *subscriber);
/* What a reading tells of. */
enum bypass_count bypass_counts_kind(enum bypass_reading reading);
/* NULL: nothing was counted of it. */
const struct bypass_figures *bypass_counts_of(
    const struct bypass_counts *c, const struct prefix *subscriber);
/* Those with most bytes to servers, largest first; the number of them. */
size_t bypass_counts_top(
    const struct bypass_counts *c, const struct bypass_figures **out, size_t most);

#endif
