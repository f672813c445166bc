/* Packets between gate25d and gate25-spfd: what is taken for a message is written back as it was.
 */
#include <stdlib.h>
#include <string.h>

#include "core/spf_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span packet = {(const char *)data, size};
    struct spf_question q;
    struct spf_reply r;
    uint8_t again[SPF_WIRE_MOST];
    if (spf_greeting_decode(packet)) {
        require(spf_greeting_encode(again) == size && memcmp(again, data, size) == 0);
    } else if (spf_question_decode(packet, &q)) {
        size_t n = spf_question_encode(&q, again);
        require(n == size);
        /* Behind an IPv4 address there are twelve bytes that say nothing. */
        require(q.client.family != ADDR_IPV6 || memcmp(again, data, size) == 0);
        require(!spf_reply_decode(packet, &r));
    } else if (spf_reply_decode(packet, &r)) {
        require(spf_reply_encode(&r, again) == size && memcmp(again, data, size) == 0);
        require(spf_result_name(r.answer.sender) != NULL);
        require(spf_result_name(r.answer.helo) != NULL);
    }
    return 0;
}
