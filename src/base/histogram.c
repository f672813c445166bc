#include "base/histogram.h"

const uint32_t histogram_bounds_us[HISTOGRAM_BUCKETS] = {
    100,   250,    500,    1000,   2500,    5000,    10000,   25000,
    50000, 100000, 250000, 500000, 1000000, 5000000, 30000000};

void histogram_add(struct histogram *h, int64_t us)
{
    uint64_t took = us > 0 ? (uint64_t)us : 0;
    unsigned i = 0;
    while (i < HISTOGRAM_BUCKETS && took > histogram_bounds_us[i]) {
        i++;
    }
    atomic_fetch_add_explicit(&h->bucket[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, took, memory_order_relaxed);
}

void histogram_sum(const struct histogram *h, struct histogram_sum *total)
{
    for (unsigned i = 0; i <= HISTOGRAM_BUCKETS; i++) {
        total->bucket[i] += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
    }
    total->sum_us += atomic_load_explicit(&h->sum_us, memory_order_relaxed);
}
