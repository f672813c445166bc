/* The whole dialogue: both sides' bytes, ends, answers and time, in any order. A record of the
 * input is an operation, a length, and that many bytes. */
#include <stdlib.h>
#include <string.h>

#include "core/dialog.h"

#define ROOM 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct side {
    char held[ROOM];
    size_t len;
    bool eof;
};

struct fuzz {
    struct dialog dialog;
    struct side side[2];
    int64_t now_ms;
    uint64_t bytes_up;
    bool asked, opaque, closed, connecting, connected;
    struct question question;
};

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
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

static void carry_out(struct fuzz *f, const struct dialog_action *a)
{
    struct side *from = &f->side[a->side];
    require(!f->closed);
    switch (a->kind) {
    case DIALOG_CONNECT:
        require(!f->connecting);
        f->connecting = true;
        break;
    case DIALOG_FORWARD:
    case DIALOG_DISCARD:
        require(a->count > 0 && a->count <= from->len);
        if (a->side == SIDE_CLIENT && a->kind == DIALOG_FORWARD) {
            require(f->connected);
            f->bytes_up += a->count;
        }
        memmove(from->held, from->held + a->count, from->len - a->count);
        from->len -= a->count;
        break;
    case DIALOG_REPLACE:
        require(f->connected && a->count <= from->len && a->side == SIDE_CLIENT);
        check_rewrite((struct span){from->held, a->count}, a->text);
        f->bytes_up += a->text.len;
        memmove(from->held, from->held + a->count, from->len - a->count);
        from->len -= a->count;
        break;
    case DIALOG_SEND:
        require(a->text.len > 2 && memcmp(a->text.at + a->text.len - 2, "\r\n", 2) == 0);
        break;
    case DIALOG_ASK:
        require(!f->asked);
        f->asked = true;
        f->question = a->question;
        break;
    case DIALOG_OPAQUE:
        f->opaque = true;
        break;
    case DIALOG_CLOSE:
        f->closed = true;
        break;
    default:
        break;
    }
}

static void step(struct fuzz *f, struct dialog_event e)
{
    static struct dialog_actions actions;
    int rounds = 0;
    do {
        e.now_ms = e.active_ms = f->now_ms;
        e.client = (struct span){f->side[0].held, f->side[0].len};
        e.server = (struct span){f->side[1].held, f->side[1].len};
        e.client_eof = f->side[0].eof;
        e.server_eof = f->side[1].eof;
        e.bytes_up = f->bytes_up;
        dialog_step(&f->dialog, &e, &actions);
        require(actions.count <= DIALOG_ACTIONS);
        for (unsigned i = 0; i < actions.count; i++) {
            carry_out(f, &actions.action[i]);
        }
        require(++rounds < ROOM);
        e = (struct dialog_event){.kind = DIALOG_BYTES};
    } while (actions.more);
    if (f->opaque) {
        f->side[0].len = f->side[1].len = 0;
    }
    require(dialog_deadline(&f->dialog) > 0);
}

static void operate(struct fuzz *f, uint8_t op, const uint8_t *bytes, size_t n)
{
    struct dialog_event e = {.kind = DIALOG_BYTES};
    uint8_t first = n ? bytes[0] : 0;
    if (op < 2) {
        struct side *s = &f->side[op];
        if (s->eof || n > ROOM - s->len || (op == 1 && !f->connected)) {
            return;
        }
        memcpy(s->held + s->len, bytes, n);
        s->len += n;
    } else if (op < 4) {
        f->side[op - 2].eof = true;
    } else if (op == 4) {
        f->now_ms += first * 5000LL;
        e.kind = DIALOG_TICK;
    } else if (op == 5) {
        if (!f->asked) {
            return;
        }
        f->asked = false;
        e.kind = DIALOG_ANSWER;
        e.answer.state = first % 3;
        e.answer.recipients = first / 3 % 8;
        e.answer.limit = first % LIMIT_KINDS;
        e.answer.bytes_over = first & 64;
        e.spf = SPF_UNKNOWN + first % (SPF_RESULTS - SPF_UNKNOWN);
        e.spf_explanation = (struct span){(const char *)bytes, n};
    } else if (op == 6) {
        if (!f->connecting || f->connected || f->closed) {
            return;
        }
        e.kind = first & 1 ? DIALOG_CONNECT_FAILED : DIALOG_CONNECTED;
        f->connected = e.kind == DIALOG_CONNECTED;
    } else {
        e.kind = DIALOG_SHUTDOWN;
    }
    step(f, e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz f;
    static const enum class_action actions[] = {ACTION_METER, ACTION_METER, ACTION_PASS};
    if (size < 1) {
        return 0;
    }
    struct conf_class class = {
        .name = "c", .action = actions[data[0] % 3], .enforce = !(data[0] & 64)};
    struct conf conf = {.help_url = "https://h/"};
    conf.redis.when_down = data[0] / 3 % 3;
    conf.spf.use = data[0] & 128 ? SPF_USE_LOG + data[0] / 9 % 3 : SPF_USE_OFF;
    conf.spf.fail_cost = 3;
    conf.bare_lf = data[0] & 32 ? BARE_LF_REFUSE : BARE_LF_NORMALIZE;
    conf.timeouts = (struct conf_timeouts){30000,  300000, 300000, 300000, 120000,
                                           180000, 600000, 600000, 30000,  3000};
    if (data[0] & 128) {
        class.over = OVER_SUBMIT;
        class.action = class.action == ACTION_PASS ? ACTION_SUBMIT : class.action;
    }
    struct dialog_setup setup = {&conf, &class, "10.0.0.1", "CASE000000", NULL, {0}};
    f = (struct fuzz){.now_ms = 1};
    dialog_init(&f.dialog, &setup);
    step(&f, (struct dialog_event){.kind = DIALOG_START});
    for (size_t at = 1; at + 2 <= size && !f.closed;) {
        size_t n = data[at + 1];
        n = n < size - at - 2 ? n : size - at - 2;
        operate(&f, data[at] % 8, data + at + 2, n);
        at += 2 + n;
    }
    return 0;
}
