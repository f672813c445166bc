#include "svc/meter_codec.h"

#include <inttypes.h>
#include <string.h>

#define KEYS_MOST 3

static const char *const question_names[] = {
    [QUESTION_SESSION] = "session",
    [QUESTION_ENVELOPE] = "envelope",
    [QUESTION_CHECKPOINT] = "checkpoint",
    [QUESTION_CONTENT] = "content",
};

unsigned meter_kinds(const struct question *question)
{
    bool session = question->kind == QUESTION_SESSION;
    unsigned kinds = METER_KIND(LIMIT_BYTES);

    if (question->slot || session) {
        kinds |= METER_KIND(LIMIT_CONCURRENT);
    }
    if (session) {
        kinds |= METER_KIND(LIMIT_SESSIONS) | METER_KIND(LIMIT_SPREAD) | METER_KIND(LIMIT_MESSAGES);
    }
    if (question->messages > 0) {
        kinds |= METER_KIND(LIMIT_MESSAGES);
    }
    if (question->kind == QUESTION_ENVELOPE && question->recipients > 0) {
        kinds |= METER_KIND(LIMIT_RECIPIENTS);
    }
    return kinds;
}

static bool is_strictest(const struct limit *limit, unsigned window)
{
    const struct rate *r = &limit->window[window];

    for (unsigned i = 0; i < limit->windows; i++) {
        const struct rate *other = &limit->window[i];
        bool stricter = other->count < r->count || (other->count == r->count && i < window);
        if (other->period_us == r->period_us && stricter) {
            return false;
        }
    }
    return true;
}

/* "KIND COUNT PERIOD_US", the windows parted by blanks: one word, which the function knows again at
 * a glance, and nobody has to take to pieces. */
static void name_windows(struct meter_windows *w)
{
    struct text t;

    text_init(&t, w->word, sizeof w->word);
    for (size_t i = 0; i < w->count; i++) {
        const struct meter_window *window = &w->at[i];
        text_addf(
            &t, "%s%s %" PRIu64 " %" PRIu64, i > 0 ? " " : "", limit_kind_name(window->kind),
            window->rate.count, window->rate.period_us);
    }
    w->len = text_span(&t).len;
}

void meter_windows_of(const struct conf_class *class, unsigned kinds, struct meter_windows *out)
{
    out->count = 0;
    for (unsigned kind = 0; kind < LIMIT_KINDS; kind++) {
        const struct limit *limit = &class->limit[kind];
        for (unsigned i = 0; i < limit->windows && kinds & METER_KIND(kind); i++) {
            if (is_strictest(limit, i)) {
                out->at[out->count++] = (struct meter_window){kind, i, limit->window[i]};
            }
        }
    }
    name_windows(out);
}

const struct rate *meter_rate_of(const struct meter_windows *windows, const struct answer *answer)
{
    for (size_t i = 0; i < windows->count; i++) {
        const struct meter_window *w = &windows->at[i];
        if (w->kind == answer->limit && w->window == answer->window) {
            return &w->rate;
        }
    }
    return NULL;
}

static void add(struct meter_words *w, const char *word)
{
    w->at[w->count++] = span_of(word);
}

static void add_number(struct meter_words *w, uint64_t n)
{
    char *at = w->text + w->used;
    size_t len = number_write(n, at);

    w->at[w->count++] = (struct span){at, len};
    w->used += len;
}

static void add_key(struct meter_words *w, enum store_key key, const char *id)
{
    char name[STORE_KEY];
    struct span s = store_key(key, span_of(id), name);
    char *at = w->text + w->used;

    memcpy(at, s.at, s.len);
    w->at[w->count++] = (struct span){at, s.len};
    w->used += s.len;
}

static void begin(
    struct meter_words *w, const char *command, const char *function, const char *id, unsigned keys)
{
    static const enum store_key names[KEYS_MOST] = {
        STORE_KEY_METER, STORE_KEY_OPEN, STORE_KEY_SPREAD};

    w->count = 0;
    w->used = 0;
    add(w, command);
    add(w, function);
    add_number(w, keys);
    for (unsigned i = 0; i < keys && i < KEYS_MOST; i++) {
        add_key(w, names[i], id);
    }
}

/* As few as do: while a cluster moves a slot, a call about one key is answered by one side or the
 * other, a call about several may have to wait until all of them have arrived. */
static unsigned keys_for(const struct meter_windows *windows)
{
    unsigned keys = 1;

    for (size_t i = 0; i < windows->count; i++) {
        if (windows->at[i].kind == LIMIT_SPREAD) {
            return KEYS_MOST;
        }
        keys = windows->at[i].kind == LIMIT_CONCURRENT ? 2 : keys;
    }
    return keys;
}

static void add_windows(struct meter_words *w, const struct meter_windows *windows)
{
    if (windows->count > 0) {
        w->at[w->count++] = (struct span){windows->word, windows->len};
    }
}

void meter_words_take(
    struct meter_words *w, const char *id, const char *slot, const char *destination,
    const struct question *question, const struct meter_windows *windows, uint32_t ahead)
{
    begin(w, "FCALL", ahead > 0 ? "gate25_take_ahead" : "gate25_take", id, keys_for(windows));
    if (ahead > 0) {
        add_number(w, ahead);
    }
    add(w, question_names[question->kind]);
    add_number(w, question->messages);
    add_number(w, question->recipients);
    add_number(w, question->bytes);
    add(w, slot);
    add(w, destination);
    add_windows(w, windows);
}

void meter_words_leave(
    struct meter_words *w, const char *id, const char *slot, const struct question *last,
    const struct meter_windows *windows)
{
    begin(w, "FCALL", "gate25_leave", id, slot[0] ? 2 : 1);
    add(w, "leave");
    add_number(w, last->messages);
    add_number(w, 0);
    add_number(w, last->bytes);
    add(w, slot);
    add(w, "");
    add_windows(w, windows);
}

void meter_words_peek(struct meter_words *w, const char *id, const struct meter_windows *windows)
{
    begin(w, "FCALL_RO", "gate25_peek", id, keys_for(windows));
    add_windows(w, windows);
}

/* The fields of an answer; those of what was taken ahead follow where it was asked for. */
enum { STATE, RECIPIENTS, BYTES_OVER, WINDOW, RETRY_US, FIELDS };
enum { AHEAD_SESSIONS = FIELDS, AHEAD_MESSAGES, AHEAD_RECIPIENTS, AHEAD_FIELDS };

bool meter_answer_decode(
    const struct redis_reply *reply, const struct meter_windows *windows, struct answer *out)
{
    int64_t field[FIELDS];
    size_t count = redis_reply_count(reply);

    if (count != FIELDS && count != AHEAD_FIELDS) {
        return false;
    }
    for (size_t i = 0; i < FIELDS; i++) {
        if (!redis_reply_integer(redis_reply_at(reply, i), &field[i]) || field[i] < 0) {
            return false;
        }
    }
    if ((field[STATE] != METER_WITHIN && field[STATE] != METER_OVER) ||
        field[RECIPIENTS] > UINT32_MAX || (uint64_t)field[WINDOW] > windows->count) {
        return false;
    }
    *out = (struct answer){
        .state = (enum meter_state)field[STATE],
        .recipients = (uint32_t)field[RECIPIENTS],
        .bytes_over = field[BYTES_OVER] != 0,
        .retry_us = (double)field[RETRY_US],
    };
    if (field[WINDOW] > 0) {
        const struct meter_window *window = &windows->at[field[WINDOW] - 1];
        out->limit = window->kind;
        out->window = window->window;
    }
    return true;
}

static uint32_t ahead_at(const struct redis_reply *reply, size_t i)
{
    int64_t n = 0;
    bool good = redis_reply_count(reply) == AHEAD_FIELDS &&
                redis_reply_integer(redis_reply_at(reply, i), &n) && n > 0 && n < UINT32_MAX;

    return good ? (uint32_t)n : 0;
}

struct purse_tokens meter_ahead_decode(const struct redis_reply *reply)
{
    return (struct purse_tokens){
        .sessions = ahead_at(reply, AHEAD_SESSIONS),
        .messages = ahead_at(reply, AHEAD_MESSAGES),
        .recipients = ahead_at(reply, AHEAD_RECIPIENTS),
    };
}

bool meter_level_decode(const struct redis_reply *reply, size_t i, struct meter_level *out)
{
    const struct redis_reply *amount = redis_reply_at(reply, 2 * i);
    const struct redis_reply *full = redis_reply_at(reply, 2 * i + 1);
    int64_t n;
    int64_t us;

    if (!amount || !full || !redis_reply_integer(amount, &n) || !redis_reply_integer(full, &us)) {
        return false;
    }
    *out = (struct meter_level){n > 0 ? (uint64_t)n : 0, us > 0 ? (uint64_t)us : 0};
    return true;
}

uint64_t meter_left(const struct meter_window *w, const struct meter_level *level)
{
    uint64_t amount = level->amount < w->rate.count ? level->amount : w->rate.count;

    return limit_kind_counts_up(w->kind) ? w->rate.count - amount : amount;
}
