/* Tokens that one process has taken ahead for one subscriber in a burst (redis.tokens-ahead), and
 * hands out without asking again.
 *
 * They were taken from the shared buckets, so no more is ever handed out than is taken there. But
 * they may be handed out later than they were taken, while the bucket is filling again: within any
 * time T a subscriber gets at most what the bucket holds, what comes back in T, and what all
 * processes held at the beginning, which is PROCESSES * (tokens-ahead - 1). With 1 it is nothing.
 *
 * Kinds: `sessions` where neither `spread` nor `concurrent` is limited, `messages`, `recipients`.
 */
#ifndef GATE25_CORE_PURSE_H
#define GATE25_CORE_PURSE_H

#include "core/facts.h"

/* A burst goes on while questions come within that time; so long tokens are held. What is not
 * spent by then is lost: given back, it would make remembered denials (core/denial.h) untrue. */
#define PURSE_LIFE_US 2e6
/* With `bytes` limited, nothing is paid once so many of a session are not charged: Redis has to be
 * told of them. */
#define PURSE_BYTES_MOST 65536

struct purse_tokens {
    uint32_t sessions, messages, recipients;
};

struct purse {
    struct purse_tokens held;
    uint32_t step; /* asked for ahead last time: the burst makes it grow */
    uint32_t due;  /* under way */
    double burst_us, until_us;
};

/* How many to ask for beyond what the question asks for, now that Redis is asked: none for the
 * first question of a burst, then 1, 3, 7 ..., and never more than `most` - 1 held at once. Each
 * answer is told to purse_fill(). */
uint32_t purse_wants(
    struct purse *p, const struct conf_class *class, const struct question *question, uint32_t most,
    double now_us);
/* Of `wanted` these have come; the question was asked at `asked_us`. No answer: none. */
void purse_fill(
    struct purse *p, uint32_t wanted, const struct purse_tokens *come, uint32_t most,
    double asked_us, double now_us);
/* True: the question is paid for, `out` is the answer. */
bool purse_pays(
    struct purse *p, const struct conf_class *class, const struct question *question, double now_us,
    struct answer *out);

#endif
