#include "session_internal.h"

#include <stdlib.h>
#include <string.h>

#include "core/policy.h"
#include "net/clock.h"
#include "net/intercept.h"
#include "net/shortage.h"

#define DETAIL 160

/* A session goes on without a word that there is no memory for: see ask_spf(). */
static void keep_words(struct session *s, const struct dialog_actions *actions)
{
    for (unsigned i = 0; i < DIALOG_WORDS; i++) {
        struct span text = actions->word[i].text;
        if (!actions->word[i].renewed) {
            continue;
        }
        free(s->word[i]);
        s->word[i] = text.len > 0 ? strndup(text.at, text.len) : NULL;
        s->words_lost = s->words_lost || (text.len > 0 && !s->word[i]);
    }
}

/* True: the dialog had more to say than there was room for. */
static bool tell_dialog(struct session *s, struct dialog_event *event)
{
    struct dialog_actions actions;
    event->now_ms = clock_monotonic_ms();
    event->client = stream_input(&s->stream[SIDE_CLIENT]);
    event->server = stream_input(&s->stream[SIDE_SERVER]);
    event->client_eof = stream_at_eof(&s->stream[SIDE_CLIENT]);
    event->server_eof = stream_at_eof(&s->stream[SIDE_SERVER]);
    event->server_lost = s->stream[SIDE_SERVER].failed;
    event->client_full = session_is_full(s, SIDE_CLIENT);
    event->server_full = session_is_full(s, SIDE_SERVER);
    event->bytes_up = s->bytes_up;
    event->active_ms = s->active_ms;
    event->explanation = s->word[WORD_EXPLANATION];
    dialog_step(&s->dialog, event, &actions);
    keep_words(s, &actions);
    session_act(s, &actions);
    return actions.more && !s->ended;
}

/* True: the dialog lets the client go on. Else it stays held, or has ended. */
static bool may_go_on(struct session *s)
{
    struct dialog_event event = {.kind = DIALOG_TURN};
    (void)tell_dialog(s, &event);
    if (!s->ended && s->dialog.asking) {
        stream_rest(&s->stream[SIDE_CLIENT], STREAM_REST_ANSWER, true);
    }
    return !s->ended && s->dialog.turns.held == TURNS_FREE;
}

/* Opaque, encrypted: what comes goes on turn by turn. */
static void pump_turns(struct session *s, enum dialog_side side)
{
    struct span input = stream_input(&s->stream[side]);
    if (side == SIDE_SERVER) {
        turns_server(&s->dialog.turns, input);
        session_forward(s, side, input.len);
        return;
    }
    do {
        size_t count = turns_client(&s->dialog.turns, input);
        session_forward(s, side, count);
        input = stream_input(&s->stream[side]);
    } while (s->dialog.turns.held != TURNS_FREE && may_go_on(s));
}

static void pump_side(struct session *s, enum dialog_side side)
{
    size_t waiting = stream_input(&s->stream[side]).len;
    if (waiting > 0 && s->dialog.record.tls) {
        pump_turns(s, side);
    } else if (waiting > 0) {
        s->ending[session_other(side)] = stream_at_eof(&s->stream[side]);
        session_forward(s, side, waiting);
        s->ending[session_other(side)] = false;
    }
}

/* This side has said its last, and all of it went on. */
static bool has_ended(const struct session *s, enum dialog_side side)
{
    const struct stream *source = &s->stream[side];
    return stream_at_eof(source) && stream_input(source).len == 0;
}

/* Opaque: all that came goes on, ends included. */
static void pump(struct session *s)
{
    for (enum dialog_side side = SIDE_CLIENT; side <= SIDE_SERVER && !s->ended; side++) {
        pump_side(s, side);
    }
    if (s->ended) {
        return;
    }
    if (has_ended(s, SIDE_CLIENT) && has_ended(s, SIDE_SERVER)) {
        session_close(s, &s->dialog.admitted);
        return;
    }
    for (enum dialog_side side = SIDE_CLIENT; side <= SIDE_SERVER; side++) {
        if (has_ended(s, side)) {
            stream_finish(&s->stream[session_other(side)]);
        }
    }
}

/* A connection that is gone in both directions ends the session, once the dialog has let through
 * what the server said last. */
static void notice_lost(struct session *s)
{
    const struct stream *client = &s->stream[SIDE_CLIENT], *server = &s->stream[SIDE_SERVER];
    bool server_lost = server->failed && s->connect_error == 0 && stream_input(server).len == 0;
    if (client->failed || server_lost) {
        session_close(s, &s->dialog.admitted);
    }
}

/* Whoever does not take what is for him is not read from either, unless the two ways have nothing
 * to do with each other. */
static void bound_reading(struct session *s)
{
    for (enum dialog_side side = SIDE_CLIENT; side <= SIDE_SERVER; side++) {
        struct stream *stream = &s->stream[side];
        bool own = side == SIDE_CLIENT && !s->opaque && session_is_full(s, side);
        bool enough = stream_input(stream).len >= SESSION_INPUT_MOST;
        stream_rest(stream, STREAM_REST_INPUT, enough);
        stream_rest(stream, STREAM_REST_PEER, own || session_is_full(s, session_other(side)));
    }
}

/* Where it is the gate that has no room for the connection, nothing is said of the server. */
static void tell_connect_failed(struct session *s)
{
    s->connect_failed = false;
    if (is_shortage(s->connect_error)) {
        session_close_without_memory(s);
        return;
    }
    char array[DETAIL];
    struct text detail;
    text_init(&detail, array, sizeof(array));
    session_connect_detail(s, &detail);
    struct dialog_event event = {.kind = DIALOG_CONNECT_FAILED, .detail = array};
    (void)tell_dialog(s, &event);
}

void session_step(struct session *s, struct dialog_event *event)
{
    if (s->ended) {
        return;
    }
    while (tell_dialog(s, event)) {
        event->kind = DIALOG_BYTES;
    }
    if (!s->ended && s->connect_failed) {
        tell_connect_failed(s);
    }
    if (!s->ended && s->opaque) {
        pump(s);
    }
    if (!s->ended) {
        notice_lost(s);
    }
    if (!s->ended) {
        bound_reading(s);
        session_set_timer(s);
    }
}

static void step_on(struct session *s, enum dialog_event_kind kind)
{
    struct dialog_event event = {.kind = kind};
    session_step(s, &event);
}

static void on_opaque_input(struct session *s)
{
    pump(s);
    if (s->ended) {
        return;
    }
    bound_reading(s);
    session_set_timer(s);
    if (!s->asked || s->bytes_up < s->tick_at) {
        return;
    }
    if (s->dialog.asking) { /* what overruns a limit is bounded, however fast the line */
        stream_rest(&s->stream[SIDE_CLIENT], STREAM_REST_ANSWER, true);
        return;
    }
    s->tick_at = s->bytes_up + s->tick_every;
    step_on(s, DIALOG_TICK);
}

static void on_input(struct session *s, enum dialog_side side)
{
    s->active_ms = clock_monotonic_ms();
    if (side == SIDE_SERVER && s->loop_mark != 0) {
        loopguard_clear(s->gate->loopguard, s->gate->worker, s->loop_mark);
        s->loop_mark = 0;
    }
    if (s->opaque) {
        on_opaque_input(s);
    } else {
        step_on(s, DIALOG_BYTES);
    }
}

static void on_end(struct session *s)
{
    if (!s->opaque) {
        step_on(s, DIALOG_BYTES);
        return;
    }
    pump(s);
    if (!s->ended) {
        notice_lost(s);
    }
    if (!s->ended) {
        session_set_timer(s);
    }
}

static void on_failed(struct session *s, enum dialog_side side)
{
    if (side == SIDE_SERVER && s->stream[side].connecting) {
        s->connect_error = stream_errno(&s->stream[side]);
        tell_connect_failed(s);
        return;
    }
    on_end(s);
}

static void on_flushed(struct session *s)
{
    s->active_ms = clock_monotonic_ms();
    on_end(s); /* there is room again for what was held back */
    if (!s->ended) {
        bound_reading(s);
    }
}

void session_on_stream(void *context, struct stream *stream, enum stream_event event)
{
    struct session *s = context;
    enum dialog_side side = stream == &s->stream[SIDE_CLIENT] ? SIDE_CLIENT : SIDE_SERVER;
    if (s->dead) {
        return;
    }
    if (s->ended) {
        stream_consume(stream, stream_input(stream).len);
        session_linger(s);
        return;
    }
    switch (event) {
    case STREAM_CONNECTED:
        intercept_answer_acknowledges(stream->fd);
        s->active_ms = clock_monotonic_ms();
        metrics_time(s->gate->metrics, LATENCY_CONNECT, clock_monotonic_us() - s->connect_us);
        step_on(s, DIALOG_CONNECTED);
        break;
    case STREAM_INPUT:
        on_input(s, side);
        break;
    case STREAM_EOF:
        on_end(s);
        break;
    case STREAM_FLUSHED:
        on_flushed(s);
        break;
    case STREAM_UNWATCHED:
        session_set_timer(s);
        break;
    case STREAM_FAILED:
        on_failed(s, side);
        break;
    }
}

/* The one whose end was read, or who is not to be read from now, may be gone unnoticed. What a
 * server said before it went is still to be read. */
static bool is_unwatched(const struct session *s, enum dialog_side side)
{
    const struct stream *stream = &s->stream[side];
    bool at_rest = side == SIDE_CLIENT && !stream_is_watched(stream);
    return stream_is_open(stream) && (stream_at_eof(stream) || at_rest);
}

static int64_t due_ms(const struct session *s)
{
    int64_t due = s->ended ? s->close_ms : dialog_deadline(&s->dialog);
    bool looks =
        s->ended ? s->left > 0 : is_unwatched(s, SIDE_CLIENT) || is_unwatched(s, SIDE_SERVER);
    if (looks) {
        int64_t look = clock_monotonic_ms() + SESSION_LOOK_MS;
        due = look < due ? look : due;
    }
    return due;
}

/* Deadlines mostly move away: the timer is left alone then, and looks again when it fires. */
void session_set_timer(struct session *s)
{
    int64_t due = due_ms(s);
    if (due == DIALOG_NO_DEADLINE || (s->armed_ms != 0 && s->armed_ms <= due)) {
        return;
    }
    int64_t wait = due - clock_monotonic_ms();
    if (wait < 1) {
        wait = 1;
    }
    struct timeval tv = {.tv_sec = wait / 1000, .tv_usec = wait % 1000 * 1000};
    s->armed_ms = event_add(&s->timer, &tv) == 0 ? due : 0;
}

/* True: a connection that nobody reads from was reset, and the session has ended with it. */
static bool notice_reset(struct session *s)
{
    for (enum dialog_side side = SIDE_CLIENT; side <= SIDE_SERVER; side++) {
        if (is_unwatched(s, side) && stream_notice_reset(&s->stream[side])) {
            on_failed(s, side);
            return true;
        }
    }
    return false;
}

void session_on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct session *s = context;
    s->armed_ms = 0;
    if (s->ended) {
        session_linger(s);
        return;
    }
    if (notice_reset(s)) {
        return;
    }
    if (clock_monotonic_ms() < dialog_deadline(&s->dialog)) {
        session_set_timer(s);
    } else {
        step_on(s, DIALOG_TICK);
    }
}

void session_reason(struct session *s, struct span reason)
{
    if (reason.len > 0) {
        s->reason = strndup(reason.at, reason.len); /* without it the refusal just says less */
        s->setup.reason = s->reason;
    }
    stream_rest(&s->stream[SIDE_CLIENT], STREAM_REST_ANSWER, false);
    step_on(s, DIALOG_START);
}

/* Behind SPF's answer the meter may have to be asked before the command has its verdict; behind the
 * meter's a question is the next command's. */
static void step_on_answer(struct session *s, struct dialog_event *event, enum latency asked)
{
    struct metrics *m = s->gate->metrics;
    int64_t now_us = clock_monotonic_us();
    metrics_time(m, asked, now_us - s->question_us);
    session_step(s, event);
    bool waits = s->dialog.asking && !s->ended;
    if (asked != LATENCY_SPF || !waits) {
        metrics_time(m, LATENCY_VERDICT, now_us - s->verdict_us);
        s->verdict_us = waits ? s->question_us : 0;
    }
}

void session_answer(struct session *s, const struct answer *answer)
{
    struct dialog_event event = {.kind = DIALOG_ANSWER, .answer = *answer};
    if (!s->ended) {
        stream_rest(&s->stream[SIDE_CLIENT], STREAM_REST_ANSWER, false);
    }
    /* Who is turned away at the door was given no slot in `concurrent`: there is none to give back.
     */
    if (s->dialog.asking && s->dialog.question.kind == QUESTION_SESSION &&
        answer->state == METER_OVER && !answer->stand_in && s->setup.class->enforce) {
        s->asked = false;
    }
    step_on_answer(s, &event, LATENCY_STORE);
}

void session_spf(struct session *s, const struct spf_answer *answer)
{
    struct dialog_event event = {.kind = DIALOG_ANSWER, .spf = *answer};
    step_on_answer(s, &event, LATENCY_SPF);
}

void session_shut_down(struct session *s)
{
    step_on(s, DIALOG_SHUTDOWN);
}

void session_look_again(struct session *s)
{
    struct registry_entry now;
    if (s->ended || !s->setup.class) {
        return;
    }
    registry_find(s->gate->registry, s->conf, &s->client.addr, clock_unix_ms() / 1000, &now);
    if (policy_ends(s->setup.class, now.class)) {
        step_on(s, DIALOG_STANDING);
    }
}

void session_free(struct session *s)
{
    conf_release(s->conf);
    free(s->reason);
    for (unsigned i = 0; i < DIALOG_WORDS; i++) {
        free(s->word[i]);
    }
    free(s);
}

uint64_t session_id(const struct session *s)
{
    return s->id;
}

struct session **session_next(struct session *s)
{
    return &s->next_dead;
}
