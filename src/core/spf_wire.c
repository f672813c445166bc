#include "core/spf_wire.h"

#include <string.h>

/* A message: its kind, then fixed numbers in network order, then texts, each behind two bytes of
 * its length. */
#define KIND_QUESTION 'Q'
#define KIND_REPLY    'R'
#define KIND_GREETING 'G'

const char *spf_result_name(enum spf_result r)
{
    static const char *const names[SPF_RESULTS] = {
        [SPF_UNKNOWN] = "unknown",     [SPF_NONE] = "none",           [SPF_NEUTRAL] = "neutral",
        [SPF_PASS] = "pass",           [SPF_FAIL] = "fail",           [SPF_SOFTFAIL] = "softfail",
        [SPF_TEMPERROR] = "temperror", [SPF_PERMERROR] = "permerror",
    };
    return names[r];
}

struct writer {
    uint8_t *at;
    size_t len;
    bool failed;
};

static void put_number(struct writer *w, uint64_t n, size_t bytes)
{
    for (size_t i = bytes; i-- > 0;) {
        w->at[w->len++] = (uint8_t)(n >> (8 * i));
    }
}

static void put_text(struct writer *w, struct span s, size_t most)
{
    if (s.len >= most) {
        w->failed = true;
        return;
    }
    put_number(w, s.len, 2);
    if (s.len > 0) {
        memcpy(w->at + w->len, s.at, s.len);
        w->len += s.len;
    }
}

struct reader {
    struct span left;
    bool failed;
};

static struct span get_bytes(struct reader *r, size_t count)
{
    struct span got = {r->left.at, count};
    if (r->failed || r->left.len < count) {
        r->failed = true;
        return SPAN_LITERAL("");
    }
    r->left = span_skip(r->left, count);
    return got;
}

static uint64_t get_number(struct reader *r, size_t bytes)
{
    struct span got = get_bytes(r, bytes);
    uint64_t n = 0;
    for (size_t i = 0; i < got.len; i++) {
        n = n << 8 | (uint8_t)got.at[i];
    }
    return n;
}

static struct span get_text(struct reader *r, size_t most)
{
    size_t len = (size_t)get_number(r, 2);
    r->failed = r->failed || len >= most;
    return get_bytes(r, r->failed ? 0 : len);
}

static bool is_whole(const struct reader *r)
{
    return !r->failed && r->left.len == 0;
}

size_t spf_greeting_encode(uint8_t out[SPF_WIRE_GREETING])
{
    out[0] = KIND_GREETING;
    return SPF_WIRE_GREETING;
}

bool spf_greeting_decode(struct span packet)
{
    return packet.len == SPF_WIRE_GREETING && packet.at[0] == KIND_GREETING;
}

size_t spf_question_encode(const struct spf_question *q, uint8_t out[SPF_WIRE_MOST])
{
    struct writer w = {.at = out};
    if (addr_bits(q->client.family) == 0) {
        return 0;
    }
    put_number(&w, KIND_QUESTION, 1);
    put_number(&w, q->asker, 4);
    put_number(&w, q->id, 8);
    put_number(&w, q->deadline_ms, 4);
    put_number(&w, q->client.family, 1);
    memcpy(w.at + w.len, q->client.bytes, sizeof q->client.bytes);
    w.len += sizeof q->client.bytes;
    put_text(&w, q->helo, SPF_WIRE_HELO);
    put_text(&w, q->sender, SPF_WIRE_SENDER);
    return w.failed ? 0 : w.len;
}

bool spf_question_decode(struct span packet, struct spf_question *out)
{
    struct reader r = {.left = packet};
    struct spf_question q = {0};
    bool kind = get_number(&r, 1) == KIND_QUESTION;
    q.asker = (uint32_t)get_number(&r, 4);
    q.id = get_number(&r, 8);
    q.deadline_ms = (uint32_t)get_number(&r, 4);
    q.client.family = (uint8_t)get_number(&r, 1);
    struct span bytes = get_bytes(&r, sizeof q.client.bytes);
    q.helo = get_text(&r, SPF_WIRE_HELO);
    q.sender = get_text(&r, SPF_WIRE_SENDER);
    if (!kind || !is_whole(&r) || addr_bits(q.client.family) == 0) {
        return false;
    }
    memcpy(q.client.bytes, bytes.at, addr_bits(q.client.family) / 8);
    *out = q;
    return true;
}

size_t spf_reply_encode(const struct spf_reply *reply, uint8_t out[SPF_WIRE_MOST])
{
    struct writer w = {.at = out};
    put_number(&w, KIND_REPLY, 1);
    put_number(&w, reply->asker, 4);
    put_number(&w, reply->id, 8);
    put_number(&w, reply->answer.sender, 1);
    put_number(&w, reply->answer.helo, 1);
    put_text(&w, reply->answer.sender_words, SPF_EXPLANATION);
    put_text(&w, reply->answer.helo_words, SPF_EXPLANATION);
    return w.failed ? 0 : w.len;
}

static bool is_result(uint64_t n)
{
    return n >= SPF_UNKNOWN && n < SPF_RESULTS;
}

bool spf_reply_decode(struct span packet, struct spf_reply *out)
{
    struct reader r = {.left = packet};
    struct spf_reply reply = {0};
    bool kind = get_number(&r, 1) == KIND_REPLY;
    reply.asker = (uint32_t)get_number(&r, 4);
    reply.id = get_number(&r, 8);
    uint64_t sender = get_number(&r, 1), helo = get_number(&r, 1);
    reply.answer.sender_words = get_text(&r, SPF_EXPLANATION);
    reply.answer.helo_words = get_text(&r, SPF_EXPLANATION);
    if (!kind || !is_whole(&r) || !is_result(sender) || !is_result(helo)) {
        return false;
    }
    reply.answer.sender = (enum spf_result)sender;
    reply.answer.helo = (enum spf_result)helo;
    *out = reply;
    return true;
}
