#include "core/rate.h"

#include <stdbool.h>

#define EXACT 9007199254740992.0 /* 2^53: from here on every double is a whole number */

/* floor() of what is not negative, without the mathematics library. */
static double whole(double x)
{
    return x < EXACT ? (double)(uint64_t)x : x;
}

/* What `n` tokens move the arrival time by. */
static double increment(const struct rate *r, double n)
{
    return whole(n * (double)r->period_us / (double)r->count + 0.5);
}

static double base_of(const struct rate *r, double tat_us, double now_us)
{
    double most = now_us + 2 * (double)r->period_us;
    double base = tat_us > now_us ? tat_us : now_us;

    return base < most ? base : most;
}

static bool fits(const struct rate *r, double base, double now_us, double n)
{
    return base + increment(r, n) - now_us <= (double)r->period_us;
}

uint64_t rate_available(const struct rate *r, double tat_us, double now_us, uint64_t want)
{
    double base = base_of(r, tat_us, now_us);
    double period = (double)r->period_us;
    double most = (double)want;
    double n = (period - (base - now_us)) * (double)r->count / period;

    n = n > 0 ? whole(n) : 0;
    n = n > most ? most : n;
    if (n < most && fits(r, base, now_us, n + 1)) {
        n += 1;
    }
    while (n > 0 && !fits(r, base, now_us, n)) {
        n -= 1;
    }
    return (uint64_t)n;
}

double rate_take(const struct rate *r, double tat_us, double now_us, uint64_t n)
{
    double tat = base_of(r, tat_us, now_us) + increment(r, (double)n);
    double most = now_us + 2 * (double)r->period_us;

    return tat < most ? tat : most;
}

double rate_wait_us(const struct rate *r, double tat_us, double now_us, uint64_t n)
{
    double need = increment(r, (double)(n < r->count ? n : r->count));
    double wait = base_of(r, tat_us, now_us) + need - now_us - (double)r->period_us;

    return wait > 0 ? wait : 0;
}

double rate_full_us(double tat_us, double now_us)
{
    return tat_us > now_us ? tat_us - now_us : 0;
}
