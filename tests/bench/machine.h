/* What the bench's programs ask of the machine: the time, their own CPU, and open files. */
#ifndef GATE25_BENCH_MACHINE_H
#define GATE25_BENCH_MACHINE_H

#include <stdint.h>
#include <time.h>

#define SECOND_NS INT64_C(1000000000)

/* Now, by the monotonic clock. */
static inline int64_t machine_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* The CPU that this process has used so far, user and system, in seconds. */
double machine_cpu_s(void);

/* Raises the limit of open files to `wanted`, or as far as this process may; what it is now. */
uint64_t machine_raise_files(uint64_t wanted);

#endif
