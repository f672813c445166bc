/* Calls of the Redis Functions in meter.lua as words, and their answers as facts. */
#ifndef GATE25_SVC_METER_CODEC_H
#define GATE25_SVC_METER_CODEC_H

#include "core/facts.h"
#include "core/purse.h"
#include "core/store_keys.h"
#include "svc/redis.h"

#define METER_WINDOWS (LIMIT_KINDS * CONF_WINDOWS)
#define METER_WORDS   16
#define METER_TEXT    (4 * STORE_KEY + 128)
/* Of one window as a function is told of it, with a blank. */
#define METER_WINDOW_TEXT (16 + 2 * (NUMBER_DIGITS + 1))

struct meter_window {
    enum limit_kind kind;
    unsigned window; /* its index within the class's limit */
    struct rate rate;
};

/* The windows that one call is about, in the order of limit_kind. */
struct meter_windows {
    size_t count;
    struct meter_window at[METER_WINDOWS];
    size_t len; /* of `word`, which names them to a function; without a window 0 */
    char word[METER_WINDOWS * METER_WINDOW_TEXT];
};

#define METER_KIND(kind) (1u << (kind))
#define METER_ALL_KINDS  ((1u << LIMIT_KINDS) - 1)

/* The kinds of limit that `question` touches, a set of METER_KIND(). */
unsigned meter_kinds(const struct question *question);
/* The windows of `class` whose kind is in `kinds`. Of windows of one kind and one period only the
 * strictest is taken: they share a bucket, which the others could not refuse anyway. */
void meter_windows_of(const struct conf_class *class, unsigned kinds, struct meter_windows *out);

/* The rate of the window that `answer` names. NULL: it is none of these. */
const struct rate *meter_rate_of(const struct meter_windows *windows, const struct answer *answer);

/* A command for redis_call(). The words look into `text` and into what they were made from, the
 * windows among it, so neither this nor that may move before the call. */
struct meter_words {
    size_t count;
    struct span at[METER_WORDS];
    size_t used;
    char text[METER_TEXT];
};

/* gate25_take, or with `ahead` > 0 gate25_take_ahead. `destination` and `slot` may be empty. */
void meter_words_take(
    struct meter_words *w, const char *id, const char *slot, const char *destination,
    const struct question *question, const struct meter_windows *windows, uint32_t ahead);
/* gate25_leave, `last` being the last bytes and messages; only their windows matter. `slot` empty:
 * the class limits no concurrent sessions. */
void meter_words_leave(
    struct meter_words *w, const char *id, const char *slot, const struct question *last,
    const struct meter_windows *windows);
/* gate25_peek: takes nothing, tells what is there. */
void meter_words_peek(struct meter_words *w, const char *id, const struct meter_windows *windows);

/* The reply to meter_words_take(). False: not one, `out` is untouched. */
bool meter_answer_decode(
    const struct redis_reply *reply, const struct meter_windows *windows, struct answer *out);

/* What the reply says was taken ahead: nothing, unless it was asked for. */
struct purse_tokens meter_ahead_decode(const struct redis_reply *reply);

/* What meter_words_peek() finds in one window. */
struct meter_level {
    uint64_t amount;  /* tokens left; of spread and concurrent: used */
    uint64_t full_us; /* until all tokens are back; of spread: until it is empty; concurrent: 0 */
};

/* The level of window `i` in the reply to meter_words_peek(). False: the reply has none. */
bool meter_level_decode(const struct redis_reply *reply, size_t i, struct meter_level *out);
/* What is left of a window's count, whichever way its kind counts. */
uint64_t meter_left(const struct meter_window *w, const struct meter_level *level);

#endif
