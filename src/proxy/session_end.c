/* How a session ends: its record, and what has still to leave. */
#include <sys/socket.h>

#include "net/clock.h"
#include "session_internal.h"

/* For a peer to take more of what was said to it. */
#define FLUSH_MS 30000
/* For a peer to stop talking: closing earlier resets the connection, and a reset destroys what the
 * peer has not read yet. */
#define DISCARD_MS 2000
#define DETAIL     160

static const struct verdict no_memory = {.action = VERDICT_DEFER, .rule = RULE_RESOURCES};

static struct journal_line start_line(
    const struct session *s, enum journal_event event, const struct verdict *v)
{
    return (struct journal_line){
        .event = event,
        .time_ms = clock_unix_ms(),
        .case_id = s->case_id,
        .id = s->setup.class ? s->subscriber : NULL,
        .client = s->client,
        .server = s->server,
        .class = s->setup.class,
        .verdict = *v,
        .dialog = &s->dialog.record,
        .helo = s->word[WORD_HELO],
        .from = s->word[WORD_FROM],
        .to = s->word[WORD_TO],
        .turns = s->dialog.record.tls ? &s->dialog.turns : NULL,
        .bytes_up = s->bytes_up,
        .bytes_down = s->bytes_down,
        .duration_ms = clock_monotonic_ms() - s->started_ms,
        .detail = s->setup.reason,
    };
}

/* A class that does not enforce is tallied as if it did: that is what shadow mode is watched for.
 */
static void tally_refusal(const struct session *s, const struct verdict *v)
{
    static const enum tally_kind kinds[] = {
        [VERDICT_DEFER] = TALLY_DEFERRALS, [VERDICT_REFUSE] = TALLY_REFUSALS};
    enum verdict_action action = v->shadow ? v->would : v->action;
    int64_t now_s = clock_unix_ms() / 1000;

    if (!s->setup.class) {
        return;
    }
    if (action == VERDICT_DEFER || action == VERDICT_REFUSE) {
        tally_add(s->gate->tally, s->subscriber, kinds[action], 1, now_s);
    }
    tally_case(s->gate->tally, s->subscriber, s->case_id, now_s);
}

void session_record_refusal(struct session *s, const struct verdict *v)
{
    static const enum metric metrics[] = {
        [VERDICT_FORWARD] = METRIC_SHADOWED,
        [VERDICT_DEFER] = METRIC_DEFERRED,
        [VERDICT_REFUSE] = METRIC_REFUSED,
    };
    struct journal_line line = start_line(s, JOURNAL_REFUSAL, v);
    journal_write(s->gate->journal, &line);
    verdict_counts_add(s->gate->verdicts, JOURNAL_REFUSAL, s->setup.class, v);
    metrics_add(s->gate->metrics, metrics[v->action], 1);
    tally_refusal(s, v);
}

/* No journal line: that takes memory, and nobody is known yet. The worker's log tells of it. */
void session_turn_away(struct gate *gate, int fd, const struct endpoint *client)
{
    char address[ADDR_TEXT], case_id[CASE_TEXT], array[VERDICT_REPLY];
    const struct verdict_context context = {
        .subscriber = address, .help_url = gate->conf->help_url, .case_id = case_id};
    struct text reply;

    addr_format(&client->addr, address);
    case_format(gate_case(gate), case_id);
    text_init(&reply, array, sizeof(array));
    verdict_reply(&no_memory, PLACE_GREETING, &context, &reply);
    struct span words = text_span(&reply);
    (void)!send(fd, words.at, words.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    metrics_add(gate->metrics, METRIC_DEFERRED, 1);
}

static void write_session_line(struct session *s, const struct verdict *v)
{
    char array[DETAIL];
    struct text detail;
    text_init(&detail, array, sizeof(array));
    struct journal_line line = start_line(s, JOURNAL_SESSION, v);
    if (s->connect_error != 0) {
        session_connect_detail(s, &detail);
        line.detail = array;
    } else if (session_is_bridged(s)) {
        char upstream[ENDPOINT_TEXT];
        endpoint_format(&s->upstream, upstream);
        text_addf(&detail, "bridged to %s", upstream);
        line.detail = array;
    }
    journal_write(s->gate->journal, &line);
}

static void count_session(struct session *s, const struct verdict *v)
{
    struct metrics *m = s->gate->metrics;
    verdict_counts_add(s->gate->verdicts, JOURNAL_SESSION, s->setup.class, v);
    metrics_add(m, METRIC_MESSAGES, s->dialog.record.messages);
    metrics_add(m, METRIC_RECIPIENTS, s->dialog.record.recipients);
    metrics_add(m, METRIC_BYTES_UP, (int64_t)s->bytes_up);
    metrics_add(m, METRIC_BYTES_DOWN, (int64_t)s->bytes_down);
    if (v->rule == RULE_CONNECT) {
        metrics_add(m, METRIC_CONNECT_FAILED, 1);
    }
    if (v->rule == RULE_TIMEOUT) {
        metrics_add(m, METRIC_TIMED_OUT, 1);
    }
}

/* Behind STARTTLS the least that it must have carried counts. */
static void tally_session(const struct session *s)
{
    const struct dialog_record *record = &s->dialog.record;
    uint64_t messages = record->messages + (record->tls ? s->dialog.turns.least : 0);
    int64_t now_s = clock_unix_ms() / 1000;

    if (s->setup.class) {
        char destination[ADDR_TEXT];

        addr_format(&s->server.addr, destination);
        tally_add(s->gate->tally, s->subscriber, TALLY_SESSIONS, 1, now_s);
        tally_add(s->gate->tally, s->subscriber, TALLY_MESSAGES, messages, now_s);
        tally_add(s->gate->tally, destination, TALLY_DESTINATIONS, 1, now_s);
    }
}

/* It has no more to say, and its peer has none. */
static bool is_done(const struct session *s, enum dialog_side side)
{
    const struct stream *stream = &s->stream[side];
    bool parted = side == SIDE_SERVER && dialog_has_parted(&s->dialog);
    return !stream_is_open(stream) ||
           ((parted || stream_at_eof(stream)) && stream_unsent(stream) == 0);
}

static void leave_meter(struct session *s)
{
    struct session_subject subject;
    struct question last = {
        .messages = dialog_messages_due(&s->dialog),
        .bytes = s->bytes_up - s->dialog.bytes_charged,
    };
    session_subject(s, session_is_bridged(s), &subject);
    meter_leave(s->gate->meter, &subject.meter, &last);
}

void session_close(struct session *s, const struct verdict *v)
{
    if (s->ended) {
        return;
    }
    s->ended = true;
    s->close_ms = clock_monotonic_ms() + FLUSH_MS;
    loopguard_clear(s->gate->loopguard, s->gate->worker, s->loop_mark);
    s->loop_mark = 0;
    turns_end(&s->dialog.turns);
    write_session_line(s, v);
    count_session(s, v);
    tally_session(s);
    if (s->asked) {
        leave_meter(s);
    }
    s->undelivered = s->stream[SIDE_CLIENT].finish && stream_input(&s->stream[SIDE_CLIENT]).len > 0;
    for (enum dialog_side side = SIDE_CLIENT; side <= SIDE_SERVER; side++) {
        struct stream *stream = &s->stream[side];
        stream_consume(stream, stream_input(stream).len);
        if (!is_done(s, side)) { /* else it is closed in a moment: that is one call less */
            stream_finish(stream);
        }
        stream_rest(stream, STREAM_REST_ALL, false);
    }
    session_linger(s);
}

void session_close_without_memory(struct session *s)
{
    char array[VERDICT_REPLY];
    const struct verdict_context context = {
        .subscriber = s->setup.subscriber,
        .help_url = s->conf->help_url,
        .case_id = s->case_id,
    };
    struct text reply;

    if (!s->opaque && !s->stream[SIDE_CLIENT].finish) {
        text_init(&reply, array, sizeof(array));
        verdict_reply(
            &no_memory, s->bytes_down > 0 ? PLACE_SESSION : PLACE_GREETING, &context, &reply);
        stream_send_last(&s->stream[SIDE_CLIENT], text_span(&reply));
        session_record_refusal(s, &no_memory);
    }
    session_close(s, &no_memory);
}

static void bury(struct session *s)
{
    s->dead = true;
    event_del(&s->timer);
    (s->undelivered ? stream_abort : stream_close)(&s->stream[SIDE_CLIENT]);
    stream_close(&s->stream[SIDE_SERVER]);
    metrics_add(s->gate->metrics, METRIC_SESSIONS_OPEN, -1);
    sessions_bury(&s->gate->sessions, s);
}

/* The one who was told in no words that its last bytes went nowhere is told by a reset, once it has
 * heard the rest. */
static bool close_if_done(struct session *s, enum dialog_side side)
{
    struct stream *stream = &s->stream[side];
    if (side == SIDE_CLIENT && s->undelivered) {
        bool gone = !stream_is_open(stream) || stream_notice_reset(stream);
        if (!gone && stream_unacknowledged(stream) > 0) {
            return false;
        }
        stream_abort(stream);
        return true;
    }
    if (!is_done(s, side)) {
        return false;
    }
    stream_close(stream);
    return true;
}

/* As long as a peer takes something it has time. Behind a close with input unread the kernel throws
 * away what the peer has not taken yet, so that is waited for too. */
static void move_close(struct session *s, int64_t now_ms)
{
    size_t left = stream_unacknowledged(&s->stream[SIDE_CLIENT]) +
                  stream_unacknowledged(&s->stream[SIDE_SERVER]);
    if (left != 0 && left < s->left) {
        s->close_ms = now_ms + FLUSH_MS;
    } else if (left == 0 && s->close_ms > now_ms + DISCARD_MS) {
        s->close_ms = now_ms + DISCARD_MS;
    }
    s->left = left;
}

void session_linger(struct session *s)
{
    bool client_done = close_if_done(s, SIDE_CLIENT);
    bool server_done = close_if_done(s, SIDE_SERVER);
    int64_t now_ms = clock_monotonic_ms();
    if ((client_done && server_done) || now_ms >= s->close_ms) {
        bury(s);
        return;
    }
    move_close(s, now_ms);
    session_set_timer(s);
}

void session_abort(struct session *s)
{
    static const struct verdict stopped = {.action = VERDICT_DEFER, .rule = RULE_SHUTDOWN};
    session_close(s, &stopped);
    if (!s->dead) {
        bury(s);
    }
}
