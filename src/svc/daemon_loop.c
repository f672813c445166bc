#include "svc/daemon_loop.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

#include "base/log.h"

#define SIGNALS 3

static void on_signal(evutil_socket_t number, short what, void *context)
{
    struct daemon_loop *loop = context;

    (void)what;
    if (number == SIGHUP) {
        loop->reload(loop->context);
    } else {
        event_base_loopbreak(loop->base);
    }
}

int daemon_loop_run(struct daemon_loop *loop)
{
    static const int numbers[SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
    struct event *events[SIGNALS] = {NULL};
    bool good = true;

    for (size_t i = 0; i < SIGNALS; i++) {
        events[i] = evsignal_new(loop->base, numbers[i], on_signal, loop);
        good = good && events[i] && event_add(events[i], NULL) == 0;
    }
    if (good) {
        good = event_base_dispatch(loop->base) >= 0;
    }
    for (size_t i = 0; i < SIGNALS; i++) {
        if (events[i]) {
            event_free(events[i]);
        }
    }
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

void daemon_loop_ready(void)
{
    log_info("ready");
    sd_notify(0, "READY=1");
}
