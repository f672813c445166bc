/* How long things took, in the buckets that Prometheus counts: one writer, any number of readers,
 * in memory that processes share. */
#ifndef GATE25_BASE_HISTOGRAM_H
#define GATE25_BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS 15

/* Upper bounds, microseconds, inclusive and rising; what is longer is in the bucket behind. */
extern const uint32_t histogram_bounds_us[HISTOGRAM_BUCKETS];

struct histogram {
    _Atomic uint64_t bucket[HISTOGRAM_BUCKETS + 1];
    _Atomic uint64_t sum_us;
};

/* A copy that can be added up. */
struct histogram_sum {
    uint64_t bucket[HISTOGRAM_BUCKETS + 1];
    uint64_t sum_us;
};

void histogram_add(struct histogram *h, int64_t us); /* less than none counts as none */
void histogram_sum(const struct histogram *h, struct histogram_sum *total); /* adds to `total` */

#endif
