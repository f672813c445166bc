/* Plays a file of tests/transcripts with the pure dialog: the shell's part, its clock and its store
 * are here. See tests/transcripts/README.md. */
#ifndef GATE25_TESTS_TRANSCRIPT_PLAY_H
#define GATE25_TESTS_TRANSCRIPT_PLAY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "core/dialog.h"
#include "unit/page_edge.h"

#define ROOM       (4 << 20)
#define MOST_SENDS 256
#define SINGLY     4096

#define SPLIT_NONE  SIZE_MAX
#define SPLIT_BYTES (SIZE_MAX - 1)

struct wire {
    struct buf input;    /* sent by this side, not yet consumed by the dialog */
    struct buf received; /* arrived at this side, not yet named by the file */
    struct buf all;      /* all that ever arrived at this side */
    struct buf sent;     /* all that this side ever sent */
    bool eof_sent, eof_seen;
};

/* What a file sends in one of its lines. */
struct send {
    unsigned line;
    size_t size;
};

struct play {
    const char *file;
    unsigned line;
    unsigned port, connect_port; /* where the server listens, where the gate connects to */
    size_t split;      /* pieces of a send: SPLIT_NONE, SPLIT_BYTES, or where its only split is */
    unsigned cut_line; /* of the send in which the play stops; 0: none */
    size_t cut_at;     /* bytes of that send that still go out */
    struct wire *cut;  /* it has stopped, and this side was sending */
    bool started, server_refuses, store_down, connect_due, asked, opaque, closed;
    struct conf conf;
    struct conf_class class;
    struct dialog_setup setup;
    struct dialog dialog;
    char explanation[SPF_EXPLANATION];
    struct wire client, server;
    int64_t now_ms;
    uint64_t bytes_up;
    size_t longest; /* send */
    struct send send[MOST_SENDS];
    unsigned sends;
    struct page_edge edge[2];
    double tat[LIMIT_KINDS][CONF_WINDOWS];
    struct question question;
    enum spf_result spf, spf_helo; /* whatever the sender and the HELO name are */
};

static void blame(const struct play *p, const char *what, struct span detail)
{
    fail_msg(
        "%s:%u (split %zd): %s: \"%.*s\"", p->file, p->line, (ssize_t)p->split, what,
        (int)(detail.len > 300 ? 300 : detail.len), detail.at);
}

static void append(struct buf *b, struct span s)
{
    assert_int_equal(buf_append(b, s), 0);
}

static void deliver(struct wire *to, struct span s)
{
    append(&to->received, s);
    append(&to->all, s);
}

/* The oracle of the limits: core/rate.c, all or nothing over the windows of one question. */
static struct answer answer_question(struct play *p)
{
    const struct question *q = &p->question;
    struct answer a = {.state = METER_WITHIN, .recipients = q->recipients};
    double now = (double)p->now_ms * 1000;
    uint64_t cost[LIMIT_KINDS] = {
        [LIMIT_SESSIONS] = q->kind == QUESTION_SESSION, [LIMIT_MESSAGES] = q->messages};
    if (p->store_down) {
        a.state = p->conf.redis.when_down == WHEN_DOWN_LOCAL ? METER_WITHIN : METER_UNKNOWN;
        return a;
    }
    for (unsigned k = 0; k < LIMIT_KINDS; k++) {
        const struct limit *limit = &p->class.limit[k];
        for (unsigned w = 0; w < limit->windows; w++) {
            double wait = rate_wait_us(&limit->window[w], p->tat[k][w], now, cost[k]);
            if (cost[k] > 0 && wait > 0) {
                return (struct answer){
                    .state = METER_OVER, .limit = k, .window = w, .retry_us = wait};
            }
        }
    }
    const struct limit *rcpt = &p->class.limit[LIMIT_RECIPIENTS];
    for (unsigned w = 0; w < rcpt->windows; w++) {
        double *tat = &p->tat[LIMIT_RECIPIENTS][w];
        uint64_t n = rate_available(&rcpt->window[w], *tat, now, a.recipients);
        if (n < a.recipients) {
            a.recipients = (uint32_t)n;
            a.limit = LIMIT_RECIPIENTS;
            a.window = w;
            a.retry_us = rate_wait_us(&rcpt->window[w], *tat, now, n + 1);
        }
    }
    if (q->messages == 0 && q->recipients > 0 && a.recipients == 0) {
        a.state = METER_OVER;
        return a;
    }
    cost[LIMIT_RECIPIENTS] = a.recipients;
    for (unsigned k = 0; k < LIMIT_KINDS; k++) {
        for (unsigned w = 0; w < p->class.limit[k].windows; w++) {
            p->tat[k][w] = rate_take(&p->class.limit[k].window[w], p->tat[k][w], now, cost[k]);
        }
    }
    return a;
}

static struct wire *wire_of(struct play *p, enum dialog_side side)
{
    return side == SIDE_CLIENT ? &p->client : &p->server;
}

static void carry_out(struct play *p, const struct dialog_action *a)
{
    struct wire *from = wire_of(p, a->side);
    struct wire *to = wire_of(p, a->side == SIDE_CLIENT ? SIDE_SERVER : SIDE_CLIENT);
    switch (a->kind) {
    case DIALOG_CONNECT:
        p->connect_due = true;
        p->connect_port = a->target == TARGET_SUBMISSION ? SUBMISSION_PORT : 25;
        break;
    case DIALOG_FORWARD:
        assert_true(a->count <= buf_len(&from->input));
        deliver(to, (struct span){buf_span(&from->input).at, a->count});
        p->bytes_up += a->side == SIDE_CLIENT ? a->count : 0;
        buf_consume(&from->input, a->count);
        break;
    case DIALOG_DISCARD:
        assert_true(a->count <= buf_len(&from->input));
        buf_consume(&from->input, a->count);
        break;
    case DIALOG_REPLACE:
        assert_true(a->count <= buf_len(&from->input));
        deliver(to, a->text);
        p->bytes_up += a->text.len;
        buf_consume(&from->input, a->count);
        break;
    case DIALOG_SEND:
        deliver(&p->client, a->text);
        break;
    case DIALOG_ASK:
        p->question = a->question;
        p->asked = true;
        break;
    case DIALOG_OPAQUE:
        p->opaque = true;
        break;
    case DIALOG_FINISH:
        to->eof_seen = true;
        break;
    case DIALOG_CLOSE:
        p->closed = p->client.eof_seen = p->server.eof_seen = true;
        break;
    case DIALOG_RECORD:
    case DIALOG_PAUSE:
    case DIALOG_RESUME:
        break;
    }
}

/* The input ends where a page ends that nobody may touch, unless it is a bulk. */
static struct span input_of(const struct page_edge *edge, const struct wire *w)
{
    struct span input = buf_span(&w->input);
    return input.len <= edge->size ? page_edge_copy(edge, input) : input;
}

static void step(struct play *p, struct dialog_event e)
{
    static struct dialog_actions actions;
    do {
        e.now_ms = p->now_ms;
        e.active_ms = p->now_ms;
        e.client = input_of(&p->edge[SIDE_CLIENT], &p->client);
        e.server = input_of(&p->edge[SIDE_SERVER], &p->server);
        e.client_eof = p->client.eof_sent;
        e.server_eof = p->server.eof_sent;
        e.bytes_up = p->bytes_up;
        e.explanation = p->explanation;
        dialog_step(&p->dialog, &e, &actions);
        if (actions.word[WORD_EXPLANATION].renewed) {
            struct span words = actions.word[WORD_EXPLANATION].text;
            snprintf(p->explanation, sizeof p->explanation, "%.*s", (int)words.len, words.at);
        }
        for (unsigned i = 0; i < actions.count; i++) {
            carry_out(p, &actions.action[i]);
        }
        e = (struct dialog_event){.kind = DIALOG_BYTES};
    } while (actions.more);
}

static void pass_opaque(struct play *p)
{
    deliver(&p->server, buf_span(&p->client.input));
    deliver(&p->client, buf_span(&p->server.input));
    buf_clear(&p->client.input);
    buf_clear(&p->server.input);
    p->server.eof_seen = p->server.eof_seen || p->client.eof_sent;
    p->client.eof_seen = p->client.eof_seen || p->server.eof_sent;
}

static void answer(struct play *p)
{
    struct dialog_event e = {.kind = DIALOG_ANSWER};
    if (p->question.kind == QUESTION_SPF) {
        e.spf = (struct spf_answer){
            p->spf, p->spf_helo, SPAN_LITERAL("not one of ours"), SPAN_LITERAL("not its host")};
    } else {
        e.answer = answer_question(p);
    }
    step(p, e);
}

static void finish_connect(struct play *p)
{
    bool refused = p->server_refuses || p->connect_port != p->port;
    char detail[64];
    snprintf(detail, sizeof detail, "198.51.100.10 port %u: Connection refused", p->connect_port);
    step(
        p, (struct dialog_event){
               .kind = refused ? DIALOG_CONNECT_FAILED : DIALOG_CONNECTED, .detail = detail});
}

/* Does what the shell would do before anything else comes from outside. */
static void settle(struct play *p)
{
    while (p->connect_due || p->asked) {
        if (p->asked) {
            p->asked = false;
            answer(p);
        } else {
            p->connect_due = false;
            finish_connect(p);
        }
    }
    if (p->opaque) {
        pass_opaque(p);
    }
}

static void on_bytes(struct play *p, struct wire *from, struct span bytes)
{
    if (p->closed) {
        return;
    }
    append(&from->sent, bytes);
    append(&from->input, bytes);
    if (p->opaque) {
        pass_opaque(p);
        return;
    }
    step(p, (struct dialog_event){.kind = DIALOG_BYTES});
    settle(p);
}

static void send_bytes(struct play *p, struct wire *from, struct span bytes)
{
    if (p->cut_line == p->line) {
        p->cut = from;
        bytes.len = p->cut_at;
    }
    /* The middle of a bulk in larger pieces: it would take minutes. */
    for (size_t i = 0, n = 1; p->split == SPLIT_BYTES && i < bytes.len; i += n) {
        n = i > SINGLY && bytes.len - i > 2 * SINGLY ? SINGLY : 1;
        on_bytes(p, from, (struct span){bytes.at + i, n});
    }
    if (p->split == SPLIT_BYTES) {
        return;
    }
    p->longest = bytes.len > p->longest ? bytes.len : p->longest;
    if (p->sends < MOST_SENDS && p->cut_line == 0) {
        p->send[p->sends++] = (struct send){p->line, bytes.len};
    }
    if (p->split < bytes.len) {
        on_bytes(p, from, (struct span){bytes.at, p->split});
        bytes = span_skip(bytes, p->split);
    }
    on_bytes(p, from, bytes);
}

static bool matches(struct span pattern, struct span s)
{
    if (pattern.len == 0) {
        return s.len == 0;
    }
    if (pattern.at[0] == '*') {
        for (size_t skip = 0; skip <= s.len; skip++) {
            if (matches(span_skip(pattern, 1), span_skip(s, skip))) {
                return true;
            }
        }
        return false;
    }
    return s.len > 0 && pattern.at[0] == s.at[0] && matches(span_skip(pattern, 1), span_skip(s, 1));
}

static void expect_bytes(struct play *p, struct wire *at, struct span text, bool line, bool glob)
{
    struct span got = buf_span(&at->received);
    if (line) {
        const char *lf = got.len ? memchr(got.at, '\n', got.len) : NULL;
        if (!lf) {
            blame(p, "no line there, only", got);
        }
        got.len = (size_t)(lf - got.at) + 1;
    } else if (got.len > text.len) {
        got.len = text.len;
    }
    if (glob ? !matches(text, got) : !span_equal(text, got)) {
        blame(p, "received instead", got);
    }
    buf_consume(&at->received, got.len);
}

static unsigned hex_digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 32) - 'a' + 10);
}

static void unescape(struct text *out, const char *s);

static const char *unescape_one(struct text *out, const char *s)
{
    static const char plain[][2] = {
        {'r', '\r'}, {'n', '\n'}, {'t', '\t'}, {'0', '\0'}, {'\\', '\\'}};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (*s == plain[i][0]) {
            text_add(out, (struct span){&plain[i][1], 1});
            return s + 1;
        }
    }
    if (*s == 'x') {
        char c = (char)(hex_digit(s[1]) << 4 | hex_digit(s[2]));
        text_add(out, (struct span){&c, 1});
        return s + 3;
    }
    assert_int_equal(*s, '*'); /* \*N(text) */
    char *open = NULL;
    unsigned long times = strtoul(s + 1, &open, 10);
    const char *end = strchr(open, ')');
    assert_non_null(end);
    char inner[256];
    snprintf(inner, sizeof inner, "%.*s", (int)(end - open - 1), open + 1);
    while (times-- > 0) {
        unescape(out, inner);
    }
    return end + 1;
}

static void unescape(struct text *out, const char *s)
{
    while (*s) {
        if (*s == '\\') {
            s = unescape_one(out, s + 1);
        } else {
            text_add(out, (struct span){s++, 1});
        }
    }
}

static void set_limit(struct play *p, const char *value)
{
    char kind[32];
    char rate[32];
    assert_int_equal(sscanf(value, "%31s %31s", kind, rate), 2);
    for (unsigned k = 0; k < LIMIT_KINDS; k++) {
        struct limit *limit = &p->class.limit[k];
        if (strcmp(kind, limit_kind_name(k)) == 0) {
            assert_true(conf_parse_rate(span_of(rate), &limit->window[limit->windows++]));
            return;
        }
    }
    blame(p, "unknown limit", span_of(value));
}

static void set_spf(struct play *p, const char *value)
{
    static const char *const uses[] = {"off", "log", "meter", "refuse"};
    char use[16];
    char result[16];
    char helo[16] = "none";
    assert_in_range(sscanf(value, "%15s %15s %15s", use, result, helo), 2, 3);
    for (unsigned i = 0; i < sizeof uses / sizeof *uses; i++) {
        p->conf.spf.use = strcmp(use, uses[i]) == 0 ? i : p->conf.spf.use;
    }
    for (enum spf_result r = SPF_UNKNOWN; r < SPF_RESULTS; r++) {
        p->spf = strcmp(result, spf_result_name(r)) == 0 ? r : p->spf;
        p->spf_helo = strcmp(helo, spf_result_name(r)) == 0 ? r : p->spf_helo;
    }
    assert_true(p->conf.spf.use != SPF_USE_OFF);
    assert_true(p->spf != SPF_NOT_ASKED && p->spf_helo != SPF_NOT_ASKED);
}

static void set(struct play *p, const char *line)
{
    const char *value = strstr(line, ": ");
    struct span name = {line, value ? (size_t)(value - line) : 0};
    value = value ? value + 2 : "";
    if (span_equal(name, SPAN_LITERAL("limit"))) {
        set_limit(p, value);
    } else if (span_equal(name, SPAN_LITERAL("over"))) {
        p->class.over = strcmp(value, "refuse") == 0   ? OVER_REFUSE
                        : strcmp(value, "submit") == 0 ? OVER_SUBMIT
                                                       : OVER_DEFER;
    } else if (span_equal(name, SPAN_LITERAL("enforce"))) {
        p->class.enforce = strcmp(value, "true") == 0;
    } else if (span_equal(name, SPAN_LITERAL("starttls"))) {
        p->class.starttls = strcmp(value, "refuse") == 0 ? STARTTLS_REFUSE : STARTTLS_PASS;
    } else if (span_equal(name, SPAN_LITERAL("opaque-messages"))) {
        p->class.opaque_messages = strcmp(value, "session") == 0 ? OPAQUE_SESSION
                                   : strcmp(value, "off") == 0   ? OPAQUE_OFF
                                                                 : OPAQUE_TURNS;
    } else if (span_equal(name, SPAN_LITERAL("action"))) {
        p->class.action = strcmp(value, "pass") == 0     ? ACTION_PASS
                          : strcmp(value, "refuse") == 0 ? ACTION_REFUSE
                          : strcmp(value, "submit") == 0 ? ACTION_SUBMIT
                                                         : ACTION_METER;
    } else if (span_equal(name, SPAN_LITERAL("port"))) {
        p->port = (unsigned)strtoul(value, NULL, 10);
    } else if (span_equal(name, SPAN_LITERAL("server"))) {
        p->server_refuses = strcmp(value, "refused") == 0;
    } else if (span_equal(name, SPAN_LITERAL("store"))) {
        p->store_down = true;
        p->conf.redis.when_down = strcmp(value, "down pass") == 0     ? WHEN_DOWN_PASS
                                  : strcmp(value, "down refuse") == 0 ? WHEN_DOWN_REFUSE
                                                                      : WHEN_DOWN_LOCAL;
    } else if (span_equal(name, SPAN_LITERAL("spf"))) {
        set_spf(p, value);
    } else if (span_equal(name, SPAN_LITERAL("bare-lf"))) {
        p->conf.bare_lf = strcmp(value, "refuse") == 0 ? BARE_LF_REFUSE : BARE_LF_NORMALIZE;
    } else if (!span_equal(name, SPAN_LITERAL("only"))) {
        blame(p, "unknown setting", span_of(line));
    }
}

static void let_time_pass(struct play *p, const char *duration)
{
    uint64_t us = 0;
    assert_true(conf_parse_duration(span_of(duration), &us));
    int64_t until = p->now_ms + (int64_t)(us / 1000);
    while (!p->dialog.ended && dialog_deadline(&p->dialog) <= until) {
        assert_true(dialog_deadline(&p->dialog) >= p->now_ms);
        p->now_ms = dialog_deadline(&p->dialog);
        step(p, (struct dialog_event){.kind = DIALOG_TICK});
        settle(p);
    }
    p->now_ms = until;
}

static void act(struct play *p, const char *line, char *room)
{
    struct wire *w = line[0] == 'C' ? &p->client : &p->server;
    struct text text;
    text_init(&text, room, ROOM);
    if (strncmp(line, "wait ", 5) == 0) {
        let_time_pass(p, line + 5);
    } else if (strcmp(line + 1, ".") == 0) {
        w->eof_sent = true;
        on_bytes(p, w, SPAN_LITERAL(""));
    } else if (strcmp(line + 1, "<.") == 0) {
        if (!w->eof_seen) {
            blame(p, "has not seen the end", span_of(line));
        }
    } else if (strchr("CS", line[0]) && strchr("<>", line[1])) {
        bool raw = line[2] == line[1];
        unescape(&text, line + 2 + raw + (line[2 + raw] == ' '));
        text_add(&text, raw ? SPAN_LITERAL("") : SPAN_LITERAL("\r\n"));
        assert_false(text.cut);
        if (line[1] == '>') {
            send_bytes(p, w, text_span(&text));
        } else {
            expect_bytes(p, w, text_span(&text), !raw, w == &p->client);
        }
    } else {
        blame(p, "not understood", span_of(line));
    }
}

static void begin(struct play *p)
{
    p->setup = (struct dialog_setup){
        .conf = &p->conf, .class = &p->class, .subscriber = "10.20.0.7", .case_id = "7M2K9XW4QA"};
    dialog_init(&p->dialog, &p->setup);
    step(p, (struct dialog_event){.kind = DIALOG_START});
    settle(p);
}

static void end(struct play *p)
{
    if (buf_len(&p->client.received) > 0) {
        blame(p, "the client received more", buf_span(&p->client.received));
    }
    if (buf_len(&p->server.received) > 0) {
        blame(p, "the server received more", buf_span(&p->server.received));
    }
}

static void play_fini(struct play *p)
{
    for (unsigned side = 0; side < 2; side++) {
        struct wire *w = wire_of(p, side);
        buf_clear(&w->input);
        buf_clear(&w->received);
        buf_clear(&w->all);
        buf_clear(&w->sent);
        page_edge_fini(&p->edge[side]);
    }
}

static void play_init(struct play *p, const char *file, size_t split)
{
    *p = (struct play){.file = file, .split = split, .now_ms = 1000, .port = 25};
    p->class = (struct conf_class){.name = "ordinary", .action = ACTION_METER, .enforce = true};
    p->conf.timeouts = (struct conf_timeouts){30000,  300000, 300000, 300000,  120000, 180000,
                                              600000, 600000, 30000,  3600000, 3000};
    strcpy(p->conf.submission.host, "smtp.isp.example");
    p->conf.submission.port = SUBMISSION_PORT;
    p->conf.spf.fail_cost = 3;
    strcpy(p->conf.help_url, "https://mail.isp.example/");
    page_edge_init(&p->edge[SIDE_CLIENT]);
    page_edge_init(&p->edge[SIDE_SERVER]);
}

/* One line of the file, without its end. */
static void play_line(struct play *p, const char *line, char *room)
{
    p->line++;
    if (line[0] == '#' || line[0] == '\0') {
        return;
    }
    if (strcmp(line, "---") == 0) {
        p->started = true;
        begin(p);
    } else if (p->started) {
        act(p, line, room);
    } else {
        set(p, line);
    }
}

/* The whole file, or until its cut. play_fini() is the caller's. */
static void play_file(struct play *p)
{
    static char line[ROOM];
    static char room[ROOM];
    FILE *f = fopen(p->file, "r");
    assert_non_null(f);
    while (!p->cut && fgets(line, ROOM, f)) {
        line[strcspn(line, "\n")] = '\0';
        play_line(p, line, room);
    }
    assert_true(p->started);
    if (!p->cut) {
        end(p);
    }
    fclose(f);
}

#endif
