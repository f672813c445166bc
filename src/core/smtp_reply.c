#include "core/smtp_reply.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

struct smtp_reply smtp_reply_parse(struct span line)
{
    struct smtp_reply reply = {0, true};
    if (line.len < 3 || !is_digit(line.at[0]) || !is_digit(line.at[1]) || !is_digit(line.at[2])) {
        return reply;
    }
    if (line.len > 3 && line.at[3] != ' ' && line.at[3] != '-' && line.at[3] != '\t') {
        return reply;
    }
    reply.code = (unsigned)(line.at[0] - '0') * 100 + (unsigned)(line.at[1] - '0') * 10 +
                 (unsigned)(line.at[2] - '0');
    reply.last = line.len == 3 || line.at[3] != '-';
    return reply;
}
