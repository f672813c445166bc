#include "svc/journal_stream.h"

#include <event2/event_struct.h>
#include <stdlib.h>

#include "core/renewed.h"
#include "core/store_keys.h"
#include "net/clock.h"
#include "svc/journal_repeats.h"

#define STREAM_ENTRIES "1000"
/* A stream is given so much of `keep` more, and its life is not renewed within that time. */
#define SLACK_PART   16
#define SLACK_MOST_S 600

struct journal_stream {
    const struct conf *conf;
    struct redis *redis;
    struct metrics *metrics;
    struct journal_repeats *repeats;
    struct event look; /* for what is due of them */
    struct renewed lives;
};

/* The stream lives for `keep` from now on at least. What cannot be told now is told with the next
 * entry. */
static void renew_life(struct journal_stream *s, struct span key, uint32_t deadline_ms)
{
    uint64_t keep_s = s->conf->journal_keep_s;
    uint64_t slack_s = keep_s / SLACK_PART < SLACK_MOST_S ? keep_s / SLACK_PART : SLACK_MOST_S;
    int64_t now_ms = clock_monotonic_ms();
    char life[NUMBER_DIGITS];

    if (!renewed_is_due(&s->lives, key, now_ms)) {
        return;
    }
    const struct span expire[] = {
        SPAN_LITERAL("EXPIRE"), key, {life, number_write(keep_s + slack_s, life)}};

    if (redis_tell(
            s->redis, expire, sizeof(expire) / sizeof(expire[0]), deadline_ms, NULL, NULL, 0) ==
        0) {
        renewed_note(&s->lives, key, now_ms + (int64_t)slack_s * 1000);
    }
}

/* Redis may have no memory left, or be a replica. Of no answer nothing is known. */
static void on_added(void *metrics, uint64_t times, const struct redis_reply *reply)
{
    struct span why;

    if (reply && redis_reply_is_error(reply, &why)) {
        metrics_add(metrics, METRIC_JOURNAL_DROPPED, (int64_t)times);
    }
}

/* `times`: lines that the entry stands for. */
static void put(struct journal_stream *s, const char *id, struct span entry, uint64_t times)
{
    char array[STORE_KEY];
    struct span key = store_key(STORE_KEY_LOG, span_of(id), array);
    const struct span add[] = {
        SPAN_LITERAL("XADD"),         key,
        SPAN_LITERAL("MAXLEN"),       SPAN_LITERAL("~"),
        SPAN_LITERAL(STREAM_ENTRIES), SPAN_LITERAL("*"),
        SPAN_LITERAL("line"),         entry,
    };
    uint32_t deadline_ms = s->conf->redis.deadline_ms;

    if (redis_tell(
            s->redis, add, sizeof(add) / sizeof(add[0]), deadline_ms, on_added, s->metrics,
            times) != 0) {
        metrics_add(s->metrics, METRIC_JOURNAL_DROPPED, (int64_t)times);
        return;
    }
    renew_life(s, key, deadline_ms);
}

static void put_repeat(struct journal_stream *s, const struct journal_repeat *repeat)
{
    char array[JOURNAL_ENTRY];

    put(s, repeat->id, journal_format_repeat(repeat, array), repeat->times);
}

void journal_stream_flush(struct journal_stream *s)
{
    const struct journal_repeat *repeat;
    int64_t now_ms = clock_monotonic_ms();

    while ((repeat = journal_repeats_any(s->repeats, now_ms))) {
        put_repeat(s, repeat);
    }
}

/* Writes what is due, and comes back for what will be. */
static void look(struct journal_stream *s, int64_t now_ms)
{
    const struct journal_repeat *repeat;

    while ((repeat = journal_repeats_due(s->repeats, now_ms))) {
        put_repeat(s, repeat);
    }
    int64_t next_ms = journal_repeats_next_ms(s->repeats);

    if (next_ms == INT64_MAX || event_pending(&s->look, EV_TIMEOUT, NULL)) {
        return;
    }
    int64_t wait_ms = next_ms - now_ms; /* more than 0, as what was due is gone */
    const struct timeval wait = {
        .tv_sec = wait_ms / 1000, .tv_usec = (suseconds_t)(wait_ms % 1000) * 1000};

    if (event_add(&s->look, &wait) < 0) {
        journal_stream_flush(s);
    }
}

static void on_look(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    look(context, clock_monotonic_ms());
}

void journal_stream_write(
    struct journal_stream *s, const struct journal_line *line, struct span text)
{
    int64_t now_ms = clock_monotonic_ms();
    const struct prefix unit = prefix_unit(&line->client.addr, s->conf->ipv6_unit);
    const struct journal_repeat *repeat;

    if (!journal_repeats_add(s->repeats, line, &unit, text, now_ms)) {
        while ((repeat = journal_repeats_of(s->repeats, line->id, now_ms))) {
            put_repeat(s, repeat);
        }
        put(s, line->id, text, 1);
    }
    look(s, now_ms);
}

void journal_stream_forget(struct journal_stream *s)
{
    renewed_forget(&s->lives);
}

void journal_stream_use(struct journal_stream *s, const struct conf *conf)
{
    journal_stream_flush(s);
    renewed_forget(&s->lives);
    s->conf = conf;
}

struct journal_stream *journal_stream_new(
    struct event_base *base, const struct conf *conf, struct redis *redis, struct metrics *metrics)
{
    struct journal_stream *s = calloc(1, sizeof(*s));

    if (!s) {
        return NULL;
    }
    s->repeats = journal_repeats_new();
    if (!s->repeats) {
        free(s);
        return NULL;
    }
    s->conf = conf;
    s->redis = redis;
    s->metrics = metrics;
    event_assign(&s->look, base, -1, 0, on_look, s);
    return s;
}

void journal_stream_free(struct journal_stream *s)
{
    if (!s) {
        return;
    }
    event_del(&s->look);
    journal_repeats_free(s->repeats);
    free(s);
}
