/* What gate25d and gate25-spfd say to each other: one message a packet (SOCK_SEQPACKET), either
 * way. Neither trusts the other: each message is checked from its first byte to its last. */
#ifndef GATE25_CORE_SPF_WIRE_H
#define GATE25_CORE_SPF_WIRE_H

#include "core/facts.h"
#include "core/prefix.h"

#define SPF_WIRE_HELO   256
#define SPF_WIRE_SENDER 260
#define SPF_WIRE_MOST   600 /* bytes of the longest message */

/* May `client` send for `sender`, and call itself `helo`? */
struct spf_question {
    uint32_t asker; /* with `id` it comes back: names the one that asked */
    uint64_t id;
    uint32_t deadline_ms; /* nobody waits longer for the answer */
    struct addr client;
    struct span helo, sender; /* at most SPF_WIRE_HELO - 1 and SPF_WIRE_SENDER - 1 bytes */
};

struct spf_reply {
    uint32_t asker;
    uint64_t id;
    struct spf_answer answer; /* words of at most SPF_EXPLANATION - 1 bytes, any */
};

/* gate25-spfd has just begun: what another one was asked is to be asked again. One byte. */
#define SPF_WIRE_GREETING 1
size_t spf_greeting_encode(uint8_t out[SPF_WIRE_GREETING]);
bool spf_greeting_decode(struct span packet);

/* The message in `out`, of at most SPF_WIRE_MOST bytes; 0: a text is too long, or there is no
 * address. */
size_t spf_question_encode(const struct spf_question *q, uint8_t out[SPF_WIRE_MOST]);
size_t spf_reply_encode(const struct spf_reply *r, uint8_t out[SPF_WIRE_MOST]);
/* False: the packet is not such a message. Spans point into the packet. */
bool spf_question_decode(struct span packet, struct spf_question *out);
bool spf_reply_decode(struct span packet, struct spf_reply *out);

#endif
