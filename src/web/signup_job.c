/* What becomes of registrations with time: probations end, reminders go out, registrations end. Any
 * number of sites may do it: of those that see the same one due, one writes. */
#include <stdlib.h>

#include "net/clock.h"
#include "signup_internal.h"

#define EVERY_MS 5000
#define AT_ONCE  50

static void on_changed(
    void *context, bool ok, enum registration_answer answer, const struct registration *now)
{
    (void)context, (void)ok, (void)answer, (void)now;
}

static void on_list(void *context, const struct span *ids, size_t count, bool ok)
{
    struct signup *s = context;

    (void)ok; /* the next turn asks again */
    for (size_t i = 0; i < count && !s->stopped; i++) {
        const struct signup_event tick = {
            .id = ids[i], .event = REGISTRATION_TICK, .by = SPAN_LITERAL("gate25-web")};
        signup_change(s, &tick, on_changed, NULL);
    }
    signup_release(s);
}

static void arm(struct signup *s)
{
    struct timeval wait = {EVERY_MS / 1000, EVERY_MS % 1000 * 1000};

    evtimer_add(&s->job, &wait);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct signup *s = context;

    (void)fd, (void)what;
    if (redis_is_up(site_redis(s->site))) {
        registrations_list_due(
            site_redis(s->site), clock_unix_ms() / 1000, AT_ONCE, on_list, signup_hold(s));
    }
    arm(s);
}

int signup_job_start(struct signup *s)
{
    if (evtimer_assign(&s->job, site_base(s->site), on_timer, s) < 0) {
        return -1;
    }
    arm(s);
    return 0;
}
