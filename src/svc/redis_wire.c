#include "svc/redis_wire.h"

#include <hiredis/hiredis.h>
#include <string.h>

#include "svc/redis.h"

/* What is not there says nothing, as nil does: who looks into a reply of another shape than he
 * expected finds no text, no number and no elements. */
static const redisReply *inner(const struct redis_reply *r)
{
    static const redisReply nothing = {.type = REDIS_REPLY_NIL};

    return r == NULL ? &nothing : (const redisReply *)r;
}

void redis_wire_fini(struct redis_wire *w)
{
    redis_wire_close(w);
    *w = REDIS_WIRE_INIT;
}

/* The RESP protocol: a command is an array of bulk strings, each length in front. */

#define HEAD_MOST (1 + NUMBER_DIGITS + 2)
#define BULK_MOST (HEAD_MOST + 2) /* beside the word */

static char *write_bytes(char *to, struct span s)
{
    memcpy(to, s.at, s.len);
    return to + s.len;
}

static char *write_head(char *to, char kind, size_t n)
{
    *to++ = kind;
    to += number_write(n, to);
    return write_bytes(to, SPAN_LITERAL("\r\n"));
}

static char *write_bulk(char *to, struct span word)
{
    to = write_head(to, '$', word.len);
    if (word.len > 0) {
        to = write_bytes(to, word);
    }
    return write_bytes(to, SPAN_LITERAL("\r\n"));
}

int redis_wire_command(struct buf *out, const struct span *words, size_t count)
{
    size_t most = HEAD_MOST;

    for (size_t i = 0; i < count; i++) {
        most += BULK_MOST + words[i].len;
    }
    char *start = count > 0 ? buf_reserve(out, most) : NULL;
    if (!start) {
        return -1;
    }
    char *at = write_head(start, '*', count);
    for (size_t i = 0; i < count; i++) {
        at = write_bulk(at, words[i]);
    }
    buf_grow(out, (size_t)(at - start));
    return 0;
}

int redis_wire_open(struct redis_wire *w)
{
    redis_wire_close(w);
    w->reader = redisReaderCreate();
    return w->reader ? 0 : -1;
}

void redis_wire_close(struct redis_wire *w)
{
    if (w->reader) {
        redisReaderFree(w->reader);
        w->reader = NULL;
    }
}

int redis_wire_feed(struct redis_wire *w, struct span bytes)
{
    return redisReaderFeed(w->reader, bytes.at, bytes.len) == REDIS_OK ? 0 : -1;
}

int redis_wire_next(struct redis_wire *w, struct redis_reply **out)
{
    void *reply = NULL;

    *out = NULL;
    if (redisReaderGetReply(w->reader, &reply) != REDIS_OK) {
        return -1;
    }
    *out = reply;
    return 0;
}

void redis_wire_release(struct redis_reply *reply)
{
    freeReplyObject(reply);
}

bool redis_reply_is_error(const struct redis_reply *r, struct span *message)
{
    if (inner(r)->type != REDIS_REPLY_ERROR) {
        return false;
    }
    *message = (struct span){inner(r)->str, inner(r)->len};
    return true;
}

bool redis_reply_is_nil(const struct redis_reply *r)
{
    return inner(r)->type == REDIS_REPLY_NIL;
}

bool redis_reply_text(const struct redis_reply *r, struct span *out)
{
    if (inner(r)->type != REDIS_REPLY_STRING && inner(r)->type != REDIS_REPLY_STATUS) {
        return false;
    }
    *out = (struct span){inner(r)->str, inner(r)->len};
    return true;
}

bool redis_reply_integer(const struct redis_reply *r, int64_t *out)
{
    struct span s;
    uint64_t n;

    if (inner(r)->type == REDIS_REPLY_INTEGER) {
        *out = inner(r)->integer;
        return true;
    }
    if (!redis_reply_text(r, &s)) {
        return false;
    }
    bool minus = s.len > 1 && s.at[0] == '-';
    if (!span_number(span_skip(s, minus), INT64_MAX, &n)) {
        return false;
    }
    *out = minus ? -(int64_t)n : (int64_t)n;
    return true;
}

size_t redis_reply_count(const struct redis_reply *r)
{
    return inner(r)->type == REDIS_REPLY_ARRAY ? inner(r)->elements : 0;
}

const struct redis_reply *redis_reply_at(const struct redis_reply *r, size_t i)
{
    return i < redis_reply_count(r) ? (const struct redis_reply *)inner(r)->element[i] : NULL;
}

struct span redis_reply_field(const struct redis_reply *fields, const char *name)
{
    size_t count = redis_reply_count(fields);
    struct span key, value;

    for (size_t i = 0; i + 1 < count; i += 2) {
        const struct redis_reply *named = redis_reply_at(fields, i);
        const struct redis_reply *held = redis_reply_at(fields, i + 1);

        if (named && held && redis_reply_text(named, &key) && span_equal(key, span_of(name)) &&
            redis_reply_text(held, &value)) {
            return value;
        }
    }
    return (struct span){"", 0};
}
