#include "svc/trail.h"

#include <string.h>

#include "core/store_keys.h"

#define KEPT        "100000"
#define KEPT_FAILED "10000"

size_t trail_words(const struct trail_entry *e, struct span out[TRAIL_WORDS])
{
    const struct span start[] = {
        SPAN_LITERAL("XADD"),
        e->failed ? SPAN_LITERAL(STORE_FAILED) : SPAN_LITERAL(STORE_TRAIL),
        SPAN_LITERAL("MAXLEN"),
        SPAN_LITERAL("~"),
        e->failed ? SPAN_LITERAL(KEPT_FAILED) : SPAN_LITERAL(KEPT),
        SPAN_LITERAL("*"),
    };
    const struct {
        const char *name;
        struct span value;
    } fields[] = {
        {"what", e->what},   {"by", e->by},         {"from", e->from},
        {"about", e->about}, {"detail", e->detail},
    };
    size_t count = sizeof(start) / sizeof(start[0]);

    memcpy(out, start, sizeof(start));
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (fields[i].value.len > 0) {
            out[count++] = span_of(fields[i].name);
            out[count++] = fields[i].value;
        }
    }
    return count;
}

int trail_add(
    struct redis *r, const struct trail_entry *e, uint32_t deadline_ms, redis_reply_cb reply,
    void *context, uint64_t ticket)
{
    struct span words[TRAIL_WORDS];
    size_t count = trail_words(e, words);

    return redis_call(r, words, count, deadline_ms, reply, context, ticket);
}
