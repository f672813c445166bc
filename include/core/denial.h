/* Denials of one subscriber, remembered until they can change: which questions the shared meter is
 * sure to refuse, told without asking it.
 *
 * What makes it sure: nobody gives tokens back, so a bucket's theoretical arrival time
 * (core/rate.h) never goes down. A refusal tells how long it lasts, and with that what the arrival
 * time was at least. With this lower bound rate.c refuses only what it would refuse with the real
 * one. Of `spread` a refused destination stays refused until the contact that has to go first has
 * gone. `concurrent` is not remembered: slots are given back. Nor is a question that takes
 * something even when it is refused (checkpoint, content); but a content that was refused keeps
 * sessions out until there is a token for it, and that is. */
#ifndef GATE25_CORE_DENIAL_H
#define GATE25_CORE_DENIAL_H

#include "core/facts.h"

#define DENIAL_ENTRIES 8

/* So long at most, whatever was said: what the rule above does not know of (keys that somebody
 * deletes in Redis, a clock of Redis that is set) is noticed after a minute, and the slot in
 * `concurrent` of a session that goes on asking is renewed. */
#define DENIAL_MOST_US 60e6

struct denial_entry {
    enum limit_kind kind;
    struct rate rate;
    struct addr destination; /* LIMIT_SPREAD alone */
    bool awaited;            /* a content was refused: sessions wait for its token */
    double since_us;         /* when the meter was asked */
    double tat_us; /* at least, by the local clock; of LIMIT_SPREAD: when it is open again */
};

struct denial {
    unsigned count; /* those remembered last */
    struct denial_entry entry[DENIAL_ENTRIES];
};

/* Remembers what the meter has answered to a question that was sent at `asked_us` (local monotonic
 * time, which no answer can be older than). `rate` is that of the window that the answer names;
 * NULL: the question asked of no such window. `destination` is that of QUESTION_SESSION. */
void denial_learn(
    struct denial *d, const struct rate *rate, const struct question *question,
    const struct addr *destination, double asked_us, const struct answer *answer);

/* True: the meter would refuse this; `out` is what it would say, with the time that is left. */
bool denial_holds(
    const struct denial *d, const struct conf_class *class, const struct question *question,
    const struct addr *destination, double now_us, struct answer *out);

#endif
