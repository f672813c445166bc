/* The paths of MAIL and RCPT (core/smtp_cmd): whatever stands behind the verb. */
#include <ctype.h>
#include <stdio.h>

#include "core/smtp_cmd.h"
#include "core/smtp_path.h"
#include "fuzz.h"

#define MOST 512

static bool is_plain(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!isalnum((unsigned char)s.at[i]) && !strchr("@.-_+=", s.at[i])) {
            return false;
        }
    }
    return s.len > 0 && s.at[0] != '@' && !memchr(s.at, '\0', s.len);
}

/* An ordinary path is understood in each of these spellings. */
static void check_plain(struct span path)
{
    static const char *const spellings[] = {
        "MAIL FROM:<%.*s>", "mail from: <%.*s> SIZE=10", "MAIL FROM:%.*s BODY=8BITMIME",
        "RCPT TO:<@a.b,@c.d:%.*s>", "rcpt\tto : <  %.*s  > NOTIFY=NEVER"};
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        char line[MOST + 64];
        struct smtp_cmd cmd;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        int n = snprintf(line, sizeof line, spellings[i], (int)path.len, path.at);
#pragma GCC diagnostic pop
        smtp_cmd_parse((struct span){line, (size_t)n}, &cmd);
        require(span_equal(cmd.path, path));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char line[MOST + 16] = "MAIL FROM:";
    struct smtp_cmd cmd;
    struct smtp_cmd again;
    size = size < MOST ? size : MOST;
    if (size > 0) {
        memcpy(line + 10, data, size);
    }
    smtp_cmd_parse((struct span){line, 10 + size}, &cmd);
    require(cmd.verb == VERB_MAIL && inside(cmd.path, cmd.argument));
    /* What all servers read alike is read like that here. */
    require(!smtp_path_is_plain_mail(cmd.argument) || smtp_path_is_plain(cmd.path));
    memcpy(line, "rcpt  to :", 10);
    smtp_cmd_parse((struct span){line, 10 + size}, &again);
    require(again.verb == VERB_RCPT && span_equal(again.path, cmd.path));
    if (is_plain((struct span){(const char *)data, size})) {
        check_plain((struct span){(const char *)data, size});
    }
    return 0;
}
