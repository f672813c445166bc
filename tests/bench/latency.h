/* How long things took: a log-linear histogram, whose quantiles are wrong by less than 1 %. */
#ifndef GATE25_BENCH_LATENCY_H
#define GATE25_BENCH_LATENCY_H

#include <stdint.h>

/* Each doubling is cut into 64 equal parts: a value lies within 1/128 of its part's middle. */
#define LATENCY_PART_BITS 6
#define LATENCY_PARTS     (1u << LATENCY_PART_BITS)
#define LATENCY_DOUBLINGS 36 /* up to 2^41 ns, half an hour; what is longer counts as that */

struct latency {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t part[LATENCY_DOUBLINGS * LATENCY_PARTS];
};

void latency_add(struct latency *l, int64_t ns); /* less than none counts as none */

/* What the fraction `quantile` (0 to 1) of all was not longer than, in microseconds; 0 of none. */
double latency_quantile_us(const struct latency *l, double quantile);

double latency_mean_us(const struct latency *l);

#endif
