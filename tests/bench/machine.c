#include "bench/machine.h"

#include <sys/resource.h>

double machine_cpu_s(void)
{
    struct timespec used;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / SECOND_NS;
}

uint64_t machine_raise_files(uint64_t wanted)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return 0;
    }
    if (limit.rlim_cur >= wanted) {
        return limit.rlim_cur;
    }
    struct rlimit higher = {wanted, limit.rlim_max > wanted ? limit.rlim_max : wanted};
    if (setrlimit(RLIMIT_NOFILE, &higher) < 0) {
        /* Above the hard limit only root goes. */
        higher = (struct rlimit){limit.rlim_max, limit.rlim_max};
        (void)setrlimit(RLIMIT_NOFILE, &higher);
    }
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}
