#include "svc/feed.h"

#include <stdio.h>
#include <stdlib.h>

static int ask(const struct feed_request *f, const struct span *words, size_t count)
{
    return redis_call(f->redis, words, count, f->deadline_ms, f->reply, f->context, f->ticket);
}

int feed_ask_position(struct feed_request f, const char *stream)
{
    const struct span words[] = {
        SPAN_LITERAL("XREVRANGE"), span_of(stream),       SPAN_LITERAL("+"),
        SPAN_LITERAL("-"),         SPAN_LITERAL("COUNT"), SPAN_LITERAL("1"),
    };

    return ask(&f, words, 6);
}

int feed_ask_first(struct feed_request f, const char *stream)
{
    const struct span words[] = {
        SPAN_LITERAL("XRANGE"), span_of(stream),       SPAN_LITERAL("-"),
        SPAN_LITERAL("+"),      SPAN_LITERAL("COUNT"), SPAN_LITERAL("1"),
    };

    return ask(&f, words, 6);
}

int feed_ask_length(struct feed_request f, const char *stream)
{
    const struct span words[] = {SPAN_LITERAL("XLEN"), span_of(stream)};

    return ask(&f, words, 2);
}

int feed_ask_size(struct feed_request f, const char *hash)
{
    const struct span words[] = {SPAN_LITERAL("HLEN"), span_of(hash)};

    return ask(&f, words, 2);
}

int feed_ask_scan(struct feed_request f, const char *hash, struct span cursor)
{
    const struct span words[] = {
        SPAN_LITERAL("HSCAN"), span_of(hash), cursor, SPAN_LITERAL("COUNT"), SPAN_LITERAL("1000"),
    };

    return ask(&f, words, 5);
}

int feed_ask_changes(
    struct feed_request f, const char *stream, const char *position, unsigned block_ms)
{
    char block[16];
    struct span words[] = {
        SPAN_LITERAL("XREAD"),
        SPAN_LITERAL("COUNT"),
        SPAN_LITERAL("10000"),
        SPAN_LITERAL("BLOCK"),
        {block, 0},
        SPAN_LITERAL("STREAMS"),
        span_of(stream),
        span_of(position),
    };

    words[4].len = (size_t)snprintf(block, sizeof(block), "%u", block_ms);
    return ask(&f, words, 8);
}

static bool is_error(const struct redis_reply *reply)
{
    struct span message;

    return reply == NULL || redis_reply_is_error(reply, &message);
}

bool feed_position(const struct redis_reply *reply, char out[FEED_POSITION])
{
    struct span id = SPAN_LITERAL(FEED_START);

    if (is_error(reply)) {
        return false;
    }
    if (redis_reply_count(reply) > 0 &&
        !redis_reply_text(redis_reply_at(redis_reply_at(reply, 0), 0), &id)) {
        return false;
    }
    snprintf(out, FEED_POSITION, "%.*s", (int)id.len, id.at);
    return true;
}

/* "MILLISECONDS-NUMBER". */
static void split(const char *position, uint64_t *ms, uint64_t *number)
{
    char *end;

    *ms = strtoull(position, &end, 10);
    *number = *end == '-' ? strtoull(end + 1, NULL, 10) : 0;
}

bool feed_position_before(const char *a, const char *b)
{
    uint64_t a_ms, a_number, b_ms, b_number;

    split(a, &a_ms, &a_number);
    split(b, &b_ms, &b_number);
    return a_ms < b_ms || (a_ms == b_ms && a_number < b_number);
}

const struct redis_reply *feed_pairs(const struct redis_reply *reply, struct span *cursor)
{
    return is_error(reply) || !redis_reply_text(redis_reply_at(reply, 0), cursor)
               ? NULL
               : redis_reply_at(reply, 1);
}

const struct redis_reply *feed_entries(const struct redis_reply *reply)
{
    return is_error(reply) ? NULL : redis_reply_at(redis_reply_at(reply, 0), 1);
}
