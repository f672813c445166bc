/* What went through while Redis could not be asked, until Redis has it in its books. Of each bucket
 * it keeps what a bucket of its own would still have to refill (its outstanding time: TAT - now):
 * that can be added to any other bucket of the same kind and period, and never is more than what
 * the subscriber would owe if Redis had been asked all along. Bounded; time is an argument. */
#ifndef GATE25_SVC_METER_OWED_H
#define GATE25_SVC_METER_OWED_H

#include "svc/meter_codec.h"

/* Of more destinations of one subscriber the oldest are forgotten. */
#define METER_OWED_CONTACTS 256

struct meter_owed; /* the book */
struct meter_debt; /* one subscriber's page */

/* What one question was granted. */
struct meter_passed {
    uint64_t sessions, messages, recipients, bytes;
    const struct addr *destination; /* NULL: none */
};

/* Remembers `most` subscribers, those heard of last. NULL: out of memory. */
struct meter_owed *meter_owed_new(size_t most) __attribute__((warn_unused_result));
void meter_owed_free(struct meter_owed *o); /* NULL is fine */
size_t meter_owed_count(const struct meter_owed *o);

/* Writes down what went through, for those of `windows` that it touches. Out of memory: it is let
 * go. */
void meter_owed_add(
    struct meter_owed *o, const char *id, const struct meter_passed *passed,
    const struct meter_windows *windows, double now_us);

/* Takes the page of `id`, or the oldest one, out of the book. NULL: there is none. */
struct meter_debt *meter_owed_take(struct meter_owed *o, const char *id)
    __attribute__((warn_unused_result));
struct meter_debt *meter_owed_take_oldest(struct meter_owed *o) __attribute__((warn_unused_result));
/* Puts it back: Redis could not be told. What was added meanwhile stays beside it. */
void meter_owed_put_back(struct meter_owed *o, struct meter_debt *debt, double now_us);
void meter_debt_free(struct meter_debt *debt);
const char *meter_debt_id(const struct meter_debt *debt);

/* gate25_settle as words for redis_call(), as struct meter_words. */
#define METER_OWED_ITEMS (METER_WINDOWS + METER_OWED_CONTACTS)
struct meter_owed_words {
    size_t count;
    struct span at[6 + 3 * METER_OWED_ITEMS];
    size_t used;
    char text[2 * STORE_KEY + METER_OWED_ITEMS * 80 + 64];
};

/* False: nothing is left of it, all has been refilled. */
bool meter_debt_words(const struct meter_debt *debt, double now_us, struct meter_owed_words *out);

#endif
