/* core/turns: any bytes of both sides. The input is pieces: a byte whose lowest bit names the side
 * and whose others the length, then so many bytes. */
#include <stdlib.h>

#include "core/turns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void feed_client(struct turns *t, struct span s)
{
    while (s.len > 0) {
        size_t n = turns_client(t, s);
        require(n <= s.len && t->waiting == (n < s.len));
        turns_pass(t);
        s = span_skip(s, n);
    }
}

/* The bytes of one piece at once, or one by one. */
static void feed(struct turns *t, bool client, struct span s, bool bytewise)
{
    while (s.len > 0) {
        struct span part = {s.at, bytewise ? 1 : s.len};
        if (client) {
            feed_client(t, part);
        } else {
            turns_server(t, part);
        }
        s = span_skip(s, part.len);
    }
}

static struct turns play(struct span in, bool bytewise)
{
    struct turns t;
    turns_init(&t);
    while (in.len > 0) {
        uint8_t head = (uint8_t)in.at[0];
        in = span_skip(in, 1);
        struct span piece = {in.at, in.len < (size_t)(head >> 1) ? in.len : (size_t)(head >> 1)};
        feed(&t, head & 1, piece, bytewise);
        in = span_skip(in, piece.len);
        require(t.least <= turns_most(&t) && t.least <= t.count);
    }
    turns_end(&t);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = {(const char *)data, size};
    struct turns whole = play(in, false), split = play(in, true);
    require(whole.plain == split.plain);
    if (!whole.plain) { /* else the reads themselves are counted */
        require(whole.count == split.count && whole.least == split.least);
        require(turns_most(&whole) == turns_most(&split));
    }
    return 0;
}
