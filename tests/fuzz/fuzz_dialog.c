/* The whole dialogue: both sides' bytes, ends, answers and time, in any order. The first byte is
 * the configuration, the second says who the server is: the input itself, or a model that reads
 * what was forwarded on its own. Then come records: an operation, a length, and that many bytes. */
#include "core/dialog.h"
#include "server_model.h"

#define ROOM 16384
#define MOST 4096 /* of an input: what it makes fits into the room */

struct side {
    char held[ROOM];
    size_t start, end;
    uint64_t given, forwarded, discarded;
    bool eof, full;
};

struct fuzz {
    struct dialog dialog;
    struct conf conf;
    struct conf_class class;
    struct side side[2];
    struct model model;
    struct side wire; /* forwarded to the model, not yet read by it */
    int64_t now_ms;
    uint64_t bytes_up, mails_granted, rcpts_granted;
    bool modelled, asked, opaque, closed, connecting, connected, spoke, metered;
    struct question question;
    char explanation[SPF_EXPLANATION];
};

static struct span held(const struct side *s)
{
    return (struct span){s->held + s->start, s->end - s->start};
}

static bool hold(struct side *s, struct span bytes)
{
    if (bytes.len > ROOM - (s->end - s->start)) {
        return false;
    }
    if (bytes.len > ROOM - s->end) {
        memmove(s->held, s->held + s->start, s->end - s->start);
        s->end -= s->start;
        s->start = 0;
    }
    if (bytes.len > 0) {
        memcpy(s->held + s->end, bytes.at, bytes.len);
    }
    s->end += bytes.len;
    s->given += bytes.len;
    return true;
}

/* The client's bytes, in order, and between them nothing but CRs and dots. */
static void check_rewrite(struct span in, struct span out)
{
    size_t at = 0;
    for (size_t i = 0; i < out.len; i++) {
        if (at < in.len && in.at[at] == out.at[i]) {
            at++;
        } else {
            require(out.at[i] == '\r' || out.at[i] == '.');
        }
    }
    require(at == in.len);
}

static void reach_server(struct fuzz *f, struct span bytes)
{
    require(f->connected);
    f->bytes_up += bytes.len;
    if (f->modelled) {
        require(f->model.mode != MODEL_TLS); /* nothing in plain text behind the 220 */
        require(hold(&f->wire, bytes));
    }
}

static void move(struct fuzz *f, const struct dialog_action *a)
{
    struct side *from = &f->side[a->side];
    struct span input = held(from);
    require(a->count <= input.len);
    input.len = a->count;
    if (a->kind == DIALOG_REPLACE) {
        require(a->side == SIDE_CLIENT);
        check_rewrite(input, a->text);
        reach_server(f, a->text);
    } else if (a->kind == DIALOG_DISCARD) { /* what the gate answers itself, and a refused chunk */
        require(a->count > 0 && a->side == SIDE_CLIENT);
    } else {
        require(a->count > 0);
        if (a->side == SIDE_CLIENT) {
            reach_server(f, input);
        }
    }
    *(a->kind == DIALOG_DISCARD ? &from->discarded : &from->forwarded) += a->count;
    from->start += a->count;
}

static void carry_out(struct fuzz *f, const struct dialog_action *a)
{
    require(!f->closed);
    switch (a->kind) {
    case DIALOG_CONNECT:
        require(!f->connecting);
        f->connecting = true;
        break;
    case DIALOG_FORWARD:
    case DIALOG_DISCARD:
    case DIALOG_REPLACE:
        move(f, a);
        break;
    case DIALOG_SEND:
        require(a->text.len > 2 && memcmp(a->text.at + a->text.len - 2, "\r\n", 2) == 0);
        require(!f->dialog.server_finished); /* the client has been told that nothing comes */
        f->spoke = true;
        break;
    case DIALOG_ASK:
        require(!f->asked);
        f->asked = true;
        f->question = a->question;
        break;
    case DIALOG_OPAQUE:
        require(
            !f->modelled || f->model.mode == MODEL_TLS || f->class.action != ACTION_METER ||
            f->dialog.admitted.action == VERDICT_SUBMIT);
        f->opaque = true;
        break;
    case DIALOG_CLOSE:
        f->closed = true;
        break;
    default:
        break;
    }
}

static void check_counts(const struct fuzz *f)
{
    const struct dialog_record *r = &f->dialog.record;
    if (!f->modelled || f->opaque) {
        return;
    }
    require(r->messages <= f->model.messages && r->recipients <= f->model.recipients);
    if (held(&f->side[SIDE_SERVER]).len == 0 && !f->closed) {
        require(r->messages == f->model.messages && r->recipients == f->model.recipients);
    }
    if (f->metered) {
        require(f->model.mails <= f->mails_granted && f->model.rcpts <= f->rcpts_granted);
    }
}

static void check_conserved(const struct fuzz *f)
{
    for (unsigned i = 0; i < 2 && !f->opaque; i++) {
        const struct side *s = &f->side[i];
        require(s->given == s->forwarded + s->discarded + (s->end - s->start));
    }
}

static void keep_words(struct fuzz *f, const struct dialog_actions *actions)
{
    static const size_t most[DIALOG_WORDS] = {
        [WORD_HELO] = DIALOG_HELO,
        [WORD_FROM] = DIALOG_PATH,
        [WORD_TO] = DIALOG_PATH,
        [WORD_EXPLANATION] = SPF_EXPLANATION - 1,
    };
    char copy[SPF_EXPLANATION + DIALOG_PATH];
    for (unsigned i = 0; i < DIALOG_WORDS; i++) {
        struct span text = actions->word[i].text;
        require(text.len <= most[i]);
        if (actions->word[i].renewed && text.len > 0) {
            memcpy(copy, text.at, text.len); /* it can be read */
            copy[text.len] = '\0';
        }
        if (actions->word[i].renewed && i == WORD_EXPLANATION) {
            snprintf(f->explanation, sizeof f->explanation, "%s", text.len > 0 ? copy : "");
        }
    }
}

static void step(struct fuzz *f, struct dialog_event e)
{
    static struct dialog_actions actions;
    int rounds = 0;
    do {
        e.now_ms = e.active_ms = f->now_ms;
        e.client = held(&f->side[SIDE_CLIENT]);
        e.server = held(&f->side[SIDE_SERVER]);
        e.client_eof = f->side[SIDE_CLIENT].eof;
        e.server_eof = f->side[SIDE_SERVER].eof;
        e.client_full = f->side[SIDE_CLIENT].full;
        e.server_full = f->side[SIDE_SERVER].full;
        e.bytes_up = f->bytes_up;
        e.explanation = f->explanation;
        dialog_step(&f->dialog, &e, &actions);
        keep_words(f, &actions);
        require(actions.count <= DIALOG_ACTIONS);
        for (unsigned i = 0; i < actions.count; i++) {
            carry_out(f, &actions.action[i]);
        }
        require(++rounds < ROOM);
        e = (struct dialog_event){.kind = DIALOG_BYTES};
    } while (actions.more);
    if (f->opaque) {
        f->side[SIDE_CLIENT].start = f->side[SIDE_CLIENT].end;
        f->side[SIDE_SERVER].start = f->side[SIDE_SERVER].end;
    }
    require(dialog_deadline(&f->dialog) > 0);
    check_conserved(f);
}

/* The model reads what has arrived, a line for each choice, and its replies go out together. */
static void serve(struct fuzz *f, const uint8_t *choices, size_t n)
{
    const struct side *server = &f->side[SIDE_SERVER];
    for (size_t i = 0; i < n && !f->closed && !f->opaque; i++) {
        if (f->model.replies_len + 64 > MODEL_REPLIES || held(server).len > ROOM / 2) {
            break;
        }
        size_t size = model_take(&f->model, held(&f->wire), choices[i]);
        f->wire.start += size;
        if (f->model.mode == MODEL_TLS) {
            require(held(&f->wire).len == 0); /* behind STARTTLS everything has waited */
        }
        if (f->model.replies_len > 0 && i % 4 == 3) {
            break;
        }
    }
    if (!f->side[SIDE_SERVER].eof) {
        require(hold(&f->side[SIDE_SERVER], (struct span){f->model.replies, f->model.replies_len}));
    }
    f->model.replies_len = 0;
    step(f, (struct dialog_event){.kind = DIALOG_BYTES});
    check_counts(f);
}

static void count_grant(struct fuzz *f, const struct answer *a)
{
    bool granted = a->state == METER_WITHIN || !f->class.enforce ||
                   (a->state == METER_UNKNOWN && f->conf.redis.when_down != WHEN_DOWN_REFUSE);
    bool all = a->state != METER_WITHIN || !f->class.enforce;
    if (granted && f->question.kind == QUESTION_ENVELOPE) {
        uint32_t wanted = f->question.recipients;
        f->mails_granted += f->question.messages > 0 && f->dialog.paid == 0;
        f->rcpts_granted += all || a->recipients > wanted ? wanted : a->recipients;
    }
}

static void answer(struct fuzz *f, const uint8_t *bytes, size_t n)
{
    struct dialog_event e = {.kind = DIALOG_ANSWER};
    uint8_t first = n ? bytes[0] : 0;
    e.answer.state = first % 3;
    e.answer.recipients = first / 3 % 8;
    e.answer.limit = first % LIMIT_KINDS;
    e.answer.bytes_over = first & 64;
    e.spf.sender = SPF_UNKNOWN + first % (SPF_RESULTS - SPF_UNKNOWN);
    e.spf.helo = SPF_UNKNOWN + first / 8 % (SPF_RESULTS - SPF_UNKNOWN);
    e.spf.sender_words = e.spf.helo_words = (struct span){(const char *)bytes, n};
    f->asked = false;
    count_grant(f, &e.answer);
    step(f, e);
}

static void connected(struct fuzz *f, bool failed)
{
    if (!f->connecting || f->connected) {
        return;
    }
    f->connected = !failed;
    if (f->connected && f->modelled) {
        (void)hold(&f->side[SIDE_SERVER], SPAN_LITERAL("220 mx\r\n"));
    }
    step(f, (struct dialog_event){.kind = failed ? DIALOG_CONNECT_FAILED : DIALOG_CONNECTED});
}

static void operate(struct fuzz *f, uint8_t op, const uint8_t *bytes, size_t n)
{
    uint8_t first = n ? bytes[0] : 0;
    struct side *s = &f->side[op % 2];
    switch (op) {
    case 0:
    case 1:
        if (op == SIDE_SERVER && f->modelled) {
            serve(f, bytes, n);
            return;
        }
        if (s->eof || (op == SIDE_SERVER && !f->connected) ||
            !hold(s, (struct span){(const char *)bytes, n})) {
            return;
        }
        break;
    case 2:
    case 3:
        s->eof = true;
        f->model.mute = f->model.mute || op == 3;
        break;
    case 4:
        f->now_ms += first * 5000LL;
        step(f, (struct dialog_event){.kind = DIALOG_TICK});
        return;
    case 5:
        if (f->asked) {
            answer(f, bytes, n);
        }
        return;
    case 6:
        connected(f, first & 1);
        return;
    default:
        f->side[SIDE_CLIENT].full = first & 1;
        f->side[SIDE_SERVER].full = first & 2;
        if (first & 128) {
            step(f, (struct dialog_event){.kind = DIALOG_SHUTDOWN});
            return;
        }
    }
    step(f, (struct dialog_event){.kind = DIALOG_BYTES});
}

static void configure(struct fuzz *f, uint8_t how)
{
    static const enum class_action actions[] = {ACTION_METER, ACTION_METER, ACTION_PASS};
    f->class = (struct conf_class){.name = "c", .action = actions[how % 3], .enforce = !(how & 64)};
    f->conf.redis.when_down = how / 3 % 3;
    f->conf.spf.use = how & 128 ? SPF_USE_LOG + how / 9 % 3 : SPF_USE_OFF;
    f->conf.spf.fail_cost = 3;
    f->conf.bare_lf = how & 32 ? BARE_LF_REFUSE : BARE_LF_NORMALIZE;
    strcpy(f->conf.help_url, "https://h/");
    f->conf.timeouts = (struct conf_timeouts){30000,  300000, 300000, 300000,  120000, 180000,
                                              600000, 600000, 30000,  3600000, 3000};
    if (how & 128) {
        f->class.over = OVER_SUBMIT;
        f->class.action = f->class.action == ACTION_PASS ? ACTION_SUBMIT : f->class.action;
    }
    f->class.limit[LIMIT_CONCURRENT].windows = how & 16 ? 1 : 0;
    f->class.limit[LIMIT_CONCURRENT].window[0] = (struct rate){3, 1};
    f->metered = f->class.action == ACTION_METER;
}

static void start(struct fuzz *f)
{
    for (unsigned i = 0; i < 3; i++) { /* not their room, which is large */
        struct side *s = i < 2 ? &f->side[i] : &f->wire;
        s->start = s->end = 0;
        s->given = s->forwarded = s->discarded = 0;
        s->eof = s->full = false;
    }
    f->model = (struct model){0};
    f->now_ms = 1;
    f->bytes_up = f->mails_granted = f->rcpts_granted = 0;
    f->asked = f->opaque = f->closed = f->connecting = f->connected = f->spoke = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz f;
    if (size < 2 || size > MOST) {
        return 0;
    }
    start(&f);
    configure(&f, data[0]);
    f.modelled = data[1] & 1;
    struct dialog_setup setup = {&f.conf, &f.class, "10.0.0.1", "CASE000000", NULL};
    dialog_init(&f.dialog, &setup);
    step(&f, (struct dialog_event){.kind = DIALOG_START});
    for (size_t at = 2; at + 2 <= size && !f.closed;) {
        size_t n = data[at + 1];
        n = n < size - at - 2 ? n : size - at - 2;
        operate(&f, data[at] % 8, data + at + 2, n);
        at += 2 + n;
    }
    check_counts(&f);
    return 0;
}
