/* The life of a daemon with one event loop: it says that it is ready, reads its configuration anew
 * with SIGHUP, and ends with SIGTERM or SIGINT. */
#ifndef GATE25_SVC_DAEMON_LOOP_H
#define GATE25_SVC_DAEMON_LOOP_H

#include <event2/event.h>

struct daemon_loop {
    struct event_base *base;
    void (*reload)(void *context);
    void *context;
};

/* Runs until a signal ends it. The program's exit status. */
int daemon_loop_run(struct daemon_loop *loop);
/* Logs it, and tells whoever has started the program (sd_notify). */
void daemon_loop_ready(void);

#endif
