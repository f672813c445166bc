#include "base/thread.h"

#include <signal.h>

int thread_start(pthread_t *out, void *(*run)(void *), void *context)
{
    pthread_t thread;
    sigset_t all, before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, NULL, run, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        return -1;
    }
    if (out) {
        *out = thread;
    } else {
        pthread_detach(thread);
    }
    return 0;
}
