/* How a session begins: with what is known of the connection when it has been accepted. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/clock.h"
#include "proxy/arrival.h"
#include "session_internal.h"

static void count_start(const struct session *s)
{
    struct metrics *m = s->gate->metrics;
    metrics_add(m, METRIC_SESSIONS_TOTAL, 1);
    metrics_add(m, METRIC_SESSIONS_OPEN, 1);
    if (s->setup.class && s->setup.class->action == ACTION_PASS) {
        metrics_add(m, METRIC_PASSED, 1);
    }
    if (s->setup.class && s->setup.class->action == ACTION_METER) {
        metrics_add(m, METRIC_METERED, 1);
    }
}

static int open_session(struct session *s, struct gate *gate, int fd)
{
    s->gate = gate;
    stream_init(&s->stream[SIDE_CLIENT], &gate->streams, s);
    stream_init(&s->stream[SIDE_SERVER], &gate->streams, s);
    s->id = sessions_add(&gate->sessions, s);
    if (s->id == IDMAP_NONE) {
        return -1;
    }
    if (evtimer_assign(&s->timer, gate->base, session_on_timer, s) < 0 ||
        stream_open(&s->stream[SIDE_CLIENT], fd) < 0) {
        sessions_remove(&gate->sessions, s);
        return -1;
    }
    return 0;
}

static bool is_denied(const struct session *s)
{
    const struct meter_subject subject = {
        .id = s->subscriber, .destination = &s->server.addr, .class = s->setup.class};
    bool metered = s->setup.class && s->setup.class->action == ACTION_METER;
    return metered && meter_is_denied(s->gate->meter, &subject);
}

/* Whoever is refused for his standing is told its reason. Nothing is read before that is known. */
static void begin(struct session *s, const struct arrival *arrival)
{
    bool refuses = arrival->class && arrival->class->action == ACTION_REFUSE;
    if (refuses && gate_ask_reason(s->gate, s->id, arrival->standing) == 0) {
        stream_rest(&s->stream[SIDE_CLIENT], STREAM_REST_ANSWER, true);
        return;
    }
    struct dialog_event event = {
        .kind = DIALOG_START,
        .refused = arrival->refused,
        .likely_over = is_denied(s),
    };
    session_step(s, &event);
}

/* Its names stand behind it, once where both are the same. */
static struct session *session_new(struct gate *gate, const struct arrival *arrival)
{
    bool named = strcmp(arrival->subscriber, arrival->line) != 0;
    size_t id_len = strlen(arrival->subscriber) + 1;
    size_t line_len = named ? strlen(arrival->line) + 1 : 0;
    struct session *s = calloc(1, sizeof(*s) + id_len + line_len);
    if (!s) {
        return NULL;
    }
    memcpy(s->subscriber, arrival->subscriber, id_len);
    memcpy(s->subscriber + id_len, arrival->line, line_len);
    case_format(gate_case(gate), s->case_id);
    s->client = arrival->client;
    s->server = arrival->server;
    s->passages = arrival->passages;
    s->started_ms = s->active_ms = clock_monotonic_ms();
    s->setup = (struct dialog_setup){
        .class = arrival->class,
        .case_id = s->case_id,
        .subscriber = s->subscriber + (named ? id_len : 0),
    };
    return s;
}

int session_start(struct gate *gate, int fd, const struct endpoint *peer)
{
    struct arrival arrival;
    arrival_look(gate, fd, peer, &arrival);
    struct session *s = session_new(gate, &arrival);
    if (!s || open_session(s, gate, fd) < 0) {
        free(s);
        session_turn_away(gate, fd, peer);
        close(fd);
        errno = ENOMEM;
        return -1;
    }
    s->conf = conf_hold(gate->conf);
    s->setup.conf = s->conf;
    count_start(s);
    dialog_init(&s->dialog, &s->setup);
    begin(s, &arrival);
    return 0;
}
