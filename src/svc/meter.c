#include "svc/meter.h"

#include <event2/event_struct.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "base/log.h"
#include "svc/meter_codec.h"
#include "svc/meter_local.h"
#include "svc/meter_notes.h"
#include "svc/meter_plans.h"
#include "svc/meter_settle.h"

#define METER_LOCAL_MOST 100000
#define METER_NOTES_MOST 16384

/* A question whose answer is due. */
struct pending {
    TAILQ_ENTRY(pending) next;
    struct meter *meter; /* NULL: freed since */
    uint64_t session;
    struct question question;
    struct addr destination;
    enum when_down when_down;
    double asked_us;
    uint32_t ahead, ahead_most; /* tokens asked for ahead, and redis.tokens-ahead */
    unsigned epoch;             /* of the notes when it was asked */
    struct answer answer;       /* in `ready` */
    struct meter_plan *plan;    /* held: the session, and its configuration, may be gone */
    const char *slot;           /* in `text` */
    char text[];                /* id, slot */
};

TAILQ_HEAD(pending_list, pending);

struct meter {
    struct redis *redis;
    meter_answer_cb answer;
    void *context;
    struct meter_local *local;
    struct meter_notes *notes;
    struct meter_plans *plans;
    struct meter_settle *settle;
    struct pending_list waiting; /* for Redis */
    struct pending_list ready;   /* for the loop's next turn */
    struct event deliver;
    bool complained; /* of an answer that is none; until the next good one */
};

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t us = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
    return (double)us;
}

static void pending_free(struct pending *p)
{
    meter_plan_release(p->plan);
    free(p);
}

static void deliver(struct meter *m, struct pending *p, const struct answer *answer)
{
    uint64_t session = p->session;

    pending_free(p);
    m->answer(m->context, session, answer);
}

static void on_deliver(evutil_socket_t fd, short what, void *context)
{
    struct meter *m = context;
    struct pending_list now = TAILQ_HEAD_INITIALIZER(now);

    (void)fd;
    (void)what;
    TAILQ_CONCAT(&now, &m->ready, next);
    for (struct pending *p = TAILQ_FIRST(&now), *after; p; p = after) {
        struct answer answer = p->answer;
        after = TAILQ_NEXT(p, next);
        deliver(m, p, &answer);
    }
}

static void answer_without_redis(struct meter *m, const struct pending *p, struct answer *out)
{
    if (p->when_down == WHEN_DOWN_LOCAL) {
        meter_local_ask(
            m->local, p->text, p->slot, &p->destination, &p->question, &p->plan->windows, now_us(),
            out);
    } else {
        *out = (struct answer){.state = METER_UNKNOWN};
    }
    out->stand_in = true;
}

/* Redis does not know of this question, and is told later what came of it. */
static void owe(struct meter *m, const struct pending *p, const struct answer *answer)
{
    const struct question *q = &p->question;
    bool unmetered = answer->state == METER_UNKNOWN && p->when_down != WHEN_DOWN_REFUSE;
    bool granted = answer->state == METER_WITHIN || unmetered;
    bool session = granted && q->kind == QUESTION_SESSION;
    const struct meter_passed passed = {
        .sessions = session,
        .messages = granted || q->kind == QUESTION_CHECKPOINT ? q->messages : 0,
        .recipients = unmetered ? q->recipients : answer->recipients,
        .bytes = q->bytes,
        .destination = session ? &p->destination : NULL,
    };

    meter_settle_owe(m->settle, p->text, &passed, &p->plan->windows);
}

static void complain(struct meter *m, const struct redis_reply *reply)
{
    struct span message = SPAN_LITERAL("an answer of another form");

    if (m->complained) {
        return;
    }
    (void)redis_reply_is_error(reply, &message);
    log_warning("meter: Redis says: %.*s", (int)message.len, message.at);
    m->complained = true;
}

/* An answer may say more than was asked: what will be refused for some time. */
static void learn(struct meter *m, const struct pending *p, const struct answer *answer)
{
    bool refuses = answer->state == METER_OVER || answer->recipients < p->question.recipients;

    if (!refuses || p->epoch != meter_notes_epoch(m->notes)) {
        return;
    }
    struct meter_note *note = meter_notes_take(m->notes, p->text, p->plan->class);
    if (note) {
        denial_learn(
            &note->denial, meter_rate_of(&p->plan->windows, answer), &p->question, &p->destination,
            p->asked_us, answer);
    }
}

static struct purse *purse_of(struct meter_note *note, const struct question *question)
{
    bool session = question->kind == QUESTION_SESSION;

    return &note->purse[session ? METER_PURSE_SESSIONS : METER_PURSE_ENVELOPES];
}

/* While Redis is away when_down rules, whatever is known. Tokens in hand come before a refusal:
 * they were granted. */
static bool is_known(struct meter *m, struct pending *p, const struct conf_class *class)
{
    const struct question *q = &p->question;
    struct meter_note *note =
        redis_is_up(m->redis) ? meter_notes_find(m->notes, p->text, p->plan->class) : NULL;

    if (!note) {
        return false;
    }
    return purse_pays(purse_of(note, q), class, q, p->asked_us, &p->answer) ||
           denial_holds(&note->denial, class, q, &p->destination, p->asked_us, &p->answer);
}

bool meter_is_denied(struct meter *m, const struct meter_subject *subject)
{
    static const struct question session = {.kind = QUESTION_SESSION};
    uint64_t class = meter_notes_class(subject->class);
    struct meter_note *note =
        redis_is_up(m->redis) ? meter_notes_find(m->notes, subject->id, class) : NULL;
    struct answer answer;

    return note &&
           denial_holds(
               &note->denial, subject->class, &session, subject->destination, now_us(), &answer);
}

static void want_ahead(struct meter *m, struct pending *p, const struct conf_class *class)
{
    const struct question *q = &p->question;
    bool may = p->ahead_most > 1 && (q->kind == QUESTION_SESSION || q->kind == QUESTION_ENVELOPE);
    struct meter_note *note = may ? meter_notes_take(m->notes, p->text, p->plan->class) : NULL;

    if (note) {
        p->ahead = purse_wants(purse_of(note, q), class, q, p->ahead_most, p->asked_us);
    }
}

/* reply NULL: no answer has come. */
static void fill_purse(struct meter *m, const struct pending *p, const struct redis_reply *reply)
{
    struct purse_tokens come = reply ? meter_ahead_decode(reply) : (struct purse_tokens){0};
    struct meter_note *note = p->ahead > 0 && p->epoch == meter_notes_epoch(m->notes)
                                  ? meter_notes_take(m->notes, p->text, p->plan->class)
                                  : NULL;

    if (note) {
        purse_fill(
            purse_of(note, &p->question), p->ahead, &come, p->ahead_most, p->asked_us, now_us());
    }
}

static void on_reply(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct pending *p = context;
    struct meter *m = p->meter;
    struct answer answer;

    (void)ticket;
    if (!m) {
        pending_free(p);
        return;
    }
    TAILQ_REMOVE(&m->waiting, p, next);
    fill_purse(m, p, reply);
    if (reply && meter_answer_decode(reply, &p->plan->windows, &answer)) {
        m->complained = false;
        learn(m, p, &answer);
    } else {
        if (reply) {
            complain(m, reply);
        }
        answer_without_redis(m, p, &answer);
        /* Without a reply Redis has heard the question, or may still: it counts as told. */
        if (reply) {
            owe(m, p, &answer);
        }
    }
    deliver(m, p, &answer);
}

static struct pending *pending_new(
    struct meter *m, const struct meter_subject *subject, const struct question *question,
    const struct conf_redis *how)
{
    size_t id_len = strlen(subject->id) + 1;
    size_t slot_len = strlen(subject->slot) + 1;
    struct pending *p = malloc(sizeof *p + id_len + slot_len);

    if (!p) {
        return NULL;
    }
    memset(p, 0, sizeof *p);
    p->meter = m;
    p->session = subject->session;
    p->question = *question;
    p->destination = *subject->destination;
    p->when_down = how->when_down;
    p->ahead_most = how->tokens_ahead;
    p->asked_us = now_us();
    p->epoch = meter_notes_epoch(m->notes);
    p->slot = p->text + id_len;
    memcpy(p->text, subject->id, id_len);
    memcpy(p->text + id_len, subject->slot, slot_len);
    p->plan = meter_plans_find(
        m->plans, subject->class, meter_notes_class(subject->class), meter_kinds(question));
    if (!p->plan) {
        free(p);
        return NULL;
    }
    return p;
}

static int call(struct meter *m, struct pending *p, uint32_t deadline_ms)
{
    struct meter_words words;
    bool session = p->question.kind == QUESTION_SESSION;
    const char *slot = session || p->question.slot ? p->slot : "";
    char destination[ADDR_TEXT] = "";

    if (session) {
        addr_format(&p->destination, destination);
    }
    meter_settle_before(m->settle, p->text);
    meter_words_take(&words, p->text, slot, destination, &p->question, &p->plan->windows, p->ahead);
    /* 0 would wait for ever. */
    deadline_ms = deadline_ms ? deadline_ms : 1;
    return redis_call(m->redis, words.at, words.count, deadline_ms, on_reply, p, 0);
}

int meter_ask(
    struct meter *m, const struct meter_subject *subject, const struct question *question,
    const struct conf_redis *how)
{
    struct pending *p = pending_new(m, subject, question, how);

    if (!p) {
        return -1;
    }
    bool known = p->plan->windows.count > 0 && is_known(m, p, subject->class);
    if (p->plan->windows.count > 0 && !known) {
        want_ahead(m, p, subject->class);
        if (call(m, p, how->deadline_ms) == 0) {
            TAILQ_INSERT_TAIL(&m->waiting, p, next);
            return 0;
        }
        fill_purse(m, p, NULL);
    }
    if (p->plan->windows.count == 0) {
        p->answer = (struct answer){.state = METER_WITHIN, .recipients = question->recipients};
    } else if (!known) {
        answer_without_redis(m, p, &p->answer);
        owe(m, p, &p->answer);
    }
    TAILQ_INSERT_TAIL(&m->ready, p, next);
    event_active(&m->deliver, EV_TIMEOUT, 1);
    return 0;
}

/* A slot goes back at once: his next session may already be at another worker, and need it. */
static bool leave(struct meter *m, const struct meter_words *words, bool slot)
{
    int rc = slot ? redis_call(m->redis, words->at, words->count, 0, NULL, NULL, 0)
                  : redis_tell(m->redis, words->at, words->count, 0, NULL, NULL, 0);

    return rc == 0;
}

/* False: Redis was not told. */
static bool charge_last(
    struct meter *m, const struct meter_subject *subject, const struct question *last,
    const struct meter_windows *windows)
{
    bool concurrent = subject->class->limit[LIMIT_CONCURRENT].windows > 0;
    struct meter_words words;

    if (!concurrent && windows->count == 0) {
        return false;
    }
    meter_words_leave(&words, subject->id, concurrent ? subject->slot : "", last, windows);
    return leave(m, &words, concurrent);
}

void meter_leave(struct meter *m, const struct meter_subject *subject, const struct question *last)
{
    static const struct question nothing;
    static const struct meter_windows none;
    unsigned kinds = (last->bytes > 0 ? METER_KIND(LIMIT_BYTES) : 0) |
                     (last->messages > 0 ? METER_KIND(LIMIT_MESSAGES) : 0);
    struct meter_plan *plan =
        meter_plans_find(m->plans, subject->class, meter_notes_class(subject->class), kinds);
    const struct meter_windows *windows = plan ? &plan->windows : &none;
    bool charged = charge_last(m, subject, last, windows);

    if (!charged) {
        const struct meter_passed passed = {.messages = last->messages, .bytes = last->bytes};
        meter_settle_owe(m->settle, subject->id, &passed, windows);
    }
    /* Its slot may be held here since Redis was away, whoever gets the bytes. */
    meter_local_leave(
        m->local, subject->id, subject->slot, charged ? &nothing : last, windows, now_us());
    meter_plan_release(plan);
}

struct meter *meter_new(
    struct event_base *base, struct redis *redis, meter_answer_cb answer, void *context)
{
    struct meter *m = calloc(1, sizeof *m);

    if (!m) {
        return NULL;
    }
    m->local = meter_local_new(METER_LOCAL_MOST);
    m->notes = meter_notes_new(METER_NOTES_MOST);
    m->plans = meter_plans_new();
    m->settle = meter_settle_new(base, redis, METER_LOCAL_MOST);
    if (!m->local || !m->notes || !m->plans || !m->settle) {
        meter_local_free(m->local);
        meter_notes_free(m->notes);
        meter_plans_free(m->plans);
        meter_settle_free(m->settle);
        free(m);
        return NULL;
    }
    m->redis = redis;
    m->answer = answer;
    m->context = context;
    TAILQ_INIT(&m->waiting);
    TAILQ_INIT(&m->ready);
    event_assign(&m->deliver, base, -1, 0, on_deliver, m);
    return m;
}

void meter_forget(struct meter *m)
{
    meter_notes_forget(m->notes);
    meter_plans_forget(m->plans);
}

void meter_free(struct meter *m)
{
    struct pending *p;

    if (!m) {
        return;
    }
    event_del(&m->deliver);
    /* Redis still holds these, and will give them back. */
    TAILQ_FOREACH(p, &m->waiting, next)
    {
        p->meter = NULL;
    }
    for (struct pending *after = TAILQ_FIRST(&m->ready); after;) {
        p = after;
        after = TAILQ_NEXT(p, next);
        pending_free(p);
    }
    meter_notes_free(m->notes);
    meter_plans_free(m->plans);
    meter_local_free(m->local);
    meter_settle_free(m->settle);
    free(m);
}

void meter_last_words(struct meter *m)
{
    meter_settle_now(m->settle);
}

size_t meter_owed(const struct meter *m)
{
    return meter_settle_count(m->settle);
}
