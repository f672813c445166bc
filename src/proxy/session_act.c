/* The dialog's actions become operations on streams and services. */
#include <errno.h>
#include <string.h>

#include "core/proxy_v2.h"
#include "core/submission.h"
#include "net/clock.h"
#include "session_internal.h"

static void send_to(struct session *s, enum dialog_side to, struct span bytes)
{
    (s->ending[to] ? stream_send_last : stream_send)(&s->stream[to], bytes);
    if (to == SIDE_SERVER) {
        s->bytes_up += bytes.len;
    } else {
        s->bytes_down += bytes.len;
    }
}

void session_forward(struct session *s, enum dialog_side from, size_t count)
{
    struct stream *source = &s->stream[from];
    struct span input = stream_input(source);
    if (count > input.len) {
        count = input.len;
    }
    send_to(s, session_other(from), (struct span){input.at, count});
    stream_consume(source, count);
}

static void act_forward(struct session *s, const struct dialog_action *a)
{
    session_forward(s, a->side, a->count);
}

static void act_discard(struct session *s, const struct dialog_action *a)
{
    stream_consume(&s->stream[a->side], a->count);
}

static void act_replace(struct session *s, const struct dialog_action *a)
{
    send_to(s, session_other(a->side), a->text);
    stream_consume(&s->stream[a->side], a->count);
}

static void act_send(struct session *s, const struct dialog_action *a)
{
    send_to(s, SIDE_CLIENT, a->text);
}

/* A connection of ours that comes back must be known before it can be accepted. */
static void note_for_loopguard(struct session *s)
{
    struct gate *g = s->gate;
    struct endpoint local;
    if (g->boot->mode == INTERCEPT_TPROXY && intercept_local(s->stream[SIDE_SERVER].fd, &local)) {
        s->loop_mark = loopguard_set(g->loopguard, g->worker, &local, &s->upstream);
    }
}

static int connect_noted(struct session *s, int fd)
{
    struct gate *g = s->gate;
    loopguard_begin(g->loopguard, g->worker);
    int result = stream_connect(&s->stream[SIDE_SERVER], fd, &s->upstream);
    if (result == 0) {
        note_for_loopguard(s);
    }
    loopguard_end(g->loopguard, g->worker);
    return result;
}

static void send_proxy_header(struct session *s)
{
    uint8_t header[PROXY_V2_MOST];
    size_t size = proxy_v2_encode(&s->client, &s->server, header);
    stream_send(&s->stream[SIDE_SERVER], (struct span){(const char *)header, size});
}

static void act_connect(struct session *s, const struct dialog_action *a)
{
    struct submission_target target = {.server = s->server};
    if (a->target == TARGET_SUBMISSION) {
        submission_target(&s->conf->submission, &s->server, &target);
        /* It holds nothing of the meter's but a slot. */
        s->asked = s->setup.class->limit[LIMIT_CONCURRENT].windows > 0;
    }
    s->upstream = target.server;
    s->connect_us = clock_monotonic_us();
    int fd = intercept_socket(s->gate->boot->mode, &s->client.addr, s->passages);
    if (fd < 0) {
        s->connect_error = errno;
        s->connect_failed = true;
        return;
    }
    if (connect_noted(s, fd) < 0) {
        s->connect_error = stream_errno(&s->stream[SIDE_SERVER]);
        s->connect_failed = true;
    } else if (target.proxy_header) {
        send_proxy_header(s); /* goes out before anything of the client's */
    }
}

static void ask_spf(struct session *s)
{
    const char *helo = s->word[WORD_HELO], *from = s->word[WORD_FROM];
    if (s->words_lost || spf_ask(
                             s->gate->spf, s->id, &s->client.addr, span_of(helo ? helo : ""),
                             span_of(from ? from : ""), s->conf->spf.deadline_ms) < 0) {
        session_close_without_memory(s);
    }
}

static void act_ask(struct session *s, const struct dialog_action *a)
{
    s->question_us = clock_monotonic_us();
    s->verdict_us = s->verdict_us ? s->verdict_us : s->question_us;
    if (a->question.kind == QUESTION_SPF) {
        ask_spf(s);
        return;
    }
    struct question question = a->question;
    bool begins = question.kind == QUESTION_BRIDGE;
    struct session_subject subject;
    session_subject(s, begins || session_is_bridged(s), &subject);
    question.kind = begins ? QUESTION_SESSION : question.kind;
    s->asked = true;
    if (meter_ask(s->gate->meter, &subject.meter, &question, &s->conf->redis) < 0) {
        session_close_without_memory(s);
    }
}

static void act_record(struct session *s, const struct dialog_action *a)
{
    session_record_refusal(s, &a->verdict);
}

static void act_opaque(struct session *s, const struct dialog_action *a)
{
    s->opaque = true;
    s->tick_every = a->count;
    s->tick_at = s->bytes_up + a->count;
    if (session_is_bridged(s)) {
        metrics_add(s->gate->metrics, METRIC_BRIDGED, 1);
    }
}

static void act_pause(struct session *s, const struct dialog_action *a)
{
    (void)a;
    stream_rest(&s->stream[SIDE_CLIENT], STREAM_REST_ORDERED, true);
}

static void act_resume(struct session *s, const struct dialog_action *a)
{
    s->tick_at = s->bytes_up + a->count;
    stream_rest(&s->stream[SIDE_CLIENT], STREAM_REST_ORDERED, false);
}

static void act_finish(struct session *s, const struct dialog_action *a)
{
    stream_finish(&s->stream[session_other(a->side)]);
}

static void act_close(struct session *s, const struct dialog_action *a)
{
    session_close(s, &a->verdict);
}

static bool closes(const struct dialog_actions *actions)
{
    return actions->count > 0 && actions->action[actions->count - 1].kind == DIALOG_CLOSE;
}

/* A reply and the end behind it leave in one segment, and wake the peer once. */
static void note_endings(struct session *s, const struct dialog_actions *actions)
{
    s->ending[SIDE_CLIENT] = s->ending[SIDE_SERVER] = closes(actions);
    for (unsigned i = 0; i < actions->count; i++) {
        if (actions->action[i].kind == DIALOG_FINISH) {
            s->ending[session_other(actions->action[i].side)] = true;
        }
    }
}

void session_act(struct session *s, const struct dialog_actions *actions)
{
    static void (*const acts[])(struct session *, const struct dialog_action *) = {
        [DIALOG_CONNECT] = act_connect, [DIALOG_FORWARD] = act_forward,
        [DIALOG_DISCARD] = act_discard, [DIALOG_REPLACE] = act_replace,
        [DIALOG_SEND] = act_send,       [DIALOG_ASK] = act_ask,
        [DIALOG_RECORD] = act_record,   [DIALOG_OPAQUE] = act_opaque,
        [DIALOG_PAUSE] = act_pause,     [DIALOG_RESUME] = act_resume,
        [DIALOG_FINISH] = act_finish,   [DIALOG_CLOSE] = act_close,
    };
    note_endings(s, actions);
    for (unsigned i = 0; i < actions->count && !s->ended; i++) {
        acts[actions->action[i].kind](s, &actions->action[i]);
    }
    s->ending[SIDE_CLIENT] = s->ending[SIDE_SERVER] = false;
}

void session_connect_detail(const struct session *s, struct text *out)
{
    char address[ADDR_TEXT];
    const char *why = strerrordesc_np(s->connect_error);
    addr_format(&s->upstream.addr, address);
    text_addf(out, "%s port %u: %s", address, s->upstream.port, why ? why : "unknown error");
}

void session_subject(const struct session *s, bool bridged, struct session_subject *out)
{
    const struct conf_class *class = s->setup.class;
    struct text slot;
    text_init(&slot, out->slot, sizeof(out->slot));
    text_add(&slot, span_of(s->conf->node));
    text_add(&slot, SPAN_LITERAL("-"));
    text_add(&slot, span_of(s->case_id));
    if (bridged) {
        out->bridged = (struct conf_class){.action = class->action, .enforce = class->enforce};
        out->bridged.limit[LIMIT_CONCURRENT] = class->limit[LIMIT_CONCURRENT];
    }
    out->meter = (struct meter_subject){
        .session = s->id,
        .id = s->subscriber,
        .slot = out->slot,
        .destination = &s->server.addr,
        .class = bridged ? &out->bridged : class,
    };
}
