/* Threads beside an event loop, for calls that block. */
#ifndef GATE25_BASE_THREAD_H
#define GATE25_BASE_THREAD_H

#include <pthread.h>

/* Runs `run(context)` in a thread that no signal reaches: those are the loop's. `out` NULL: nobody
 * will join it. -1: it did not start. */
int thread_start(pthread_t *out, void *(*run)(void *), void *context)
    __attribute__((warn_unused_result));

#endif
