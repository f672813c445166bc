/* core/smtp_reply: a line of a server. */
#include <ctype.h>

#include "core/smtp_reply.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct smtp_reply reply = smtp_reply_parse((struct span){(const char *)data, size});
    unsigned code = 0;
    bool is_reply = size >= 3 && (size == 3 || strchr(" -\t", data[3])) && (size == 3 || data[3]);
    for (size_t i = 0; i < 3 && is_reply; i++) {
        is_reply = isdigit(data[i]);
        code = code * 10 + data[i] - '0';
    }
    require(reply.code == (is_reply ? code : 0));
    require(reply.last == !(is_reply && size > 3 && data[3] == '-'));
    return 0;
}
