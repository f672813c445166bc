#include "bench/latency.h"

#include <math.h>
#include <stddef.h>

/* Values below LATENCY_PARTS have a part each; above, a doubling's leading bit is left out. */
static size_t part_of(uint64_t ns)
{
    if (ns < LATENCY_PARTS) {
        return ns;
    }
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - LATENCY_PART_BITS;
    size_t part = (shift + 1) * LATENCY_PARTS + (ns >> shift) - LATENCY_PARTS;
    size_t last = (size_t)LATENCY_DOUBLINGS * LATENCY_PARTS - 1;
    return part < last ? part : last;
}

static double middle_of(size_t part)
{
    if (part < LATENCY_PARTS) {
        return (double)part;
    }
    unsigned shift = (unsigned)(part / LATENCY_PARTS) - 1;
    return ldexp((double)(part % LATENCY_PARTS + LATENCY_PARTS) + 0.5, (int)shift);
}

void latency_add(struct latency *l, int64_t ns)
{
    uint64_t value = ns > 0 ? (uint64_t)ns : 0;

    l->count++;
    l->sum_ns += value;
    l->part[part_of(value)]++;
}

double latency_quantile_us(const struct latency *l, double quantile)
{
    double wanted = ceil((double)l->count * quantile);
    uint64_t seen = 0;

    for (size_t i = 0; i < sizeof l->part / sizeof l->part[0]; i++) {
        seen += l->part[i];
        if (seen > 0 && (double)seen >= wanted) {
            return middle_of(i) / 1000;
        }
    }
    return 0;
}

double latency_mean_us(const struct latency *l)
{
    return l->count ? (double)l->sum_ns / (double)l->count / 1000 : 0;
}
