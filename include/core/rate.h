/* GCRA (ITU-T I.371 virtual scheduling): a bucket of `count` tokens refilled evenly over `period`.
 * One number is the whole state: the theoretical arrival time (TAT), microseconds.
 * The Redis Function gate25_take does the same arithmetic, and tests compare the two to the
 * microsecond. So this is the contract, every step an IEEE double, from left to right:
 *
 *   inc(n)          = floor(n * period / count + 0.5)
 *   base            = min(max(tat, now), now + 2 * period): a TAT further ahead was written by a
 * clock that was set back since fits(n)         = base + inc(n) - now <= period available(want) : n
 * = min(want, floor((period - (base - now)) * count / period)), at least 0; n + 1 when n < want and
 * fits(n + 1); then n - 1 while n > 0 and not fits(n) take(n)         : tat = min(base + inc(n),
 * now + 2 * period) wait(n)         = max(0, base + inc(min(n, count)) - now - period)
 *
 * Numbers stay exact as long as times and counts are below 2^53 (the configuration sees to it). */
#ifndef GATE25_CORE_RATE_H
#define GATE25_CORE_RATE_H

#include <stdint.h>

struct rate {
    uint64_t count;     /* tokens; at least 1 */
    uint64_t period_us; /* time in which an empty bucket fills; at least 1 */
};

/* How many of `want` tokens the bucket holds at `now`. Takes nothing. */
uint64_t rate_available(const struct rate *r, double tat_us, double now_us, uint64_t want);
/* The TAT after `n` tokens were taken, whether the bucket held them or not (debt). The debt is
 * bounded to one period, so that no single large message silences a subscriber for days. */
double rate_take(const struct rate *r, double tat_us, double now_us, uint64_t n);
/* Microseconds until `n` tokens are there; 0: they are. `n` over the count: as for the count. */
double rate_wait_us(const struct rate *r, double tat_us, double now_us, uint64_t n);
/* Microseconds until the bucket is full. */
double rate_full_us(double tat_us, double now_us);

#endif
