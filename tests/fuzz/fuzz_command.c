/* core/smtp_cmd: a line of a client, against a second reading that is as lenient as any server. */
#include <ctype.h>
#include <stdio.h>

#include "core/smtp_cmd.h"
#include "fuzz.h"

/* The first four letters, whatever blanks or 8-bit octets stand in front; "" if there are fewer. */
static void four_letters(struct span line, char out[5])
{
    size_t at = 0;
    memset(out, 0, 5);
    while (at < line.len &&
           (strchr(" \t\v\f\r\n", line.at[at]) || (line.at[at] & 0x80) || line.at[at] == 0x7f)) {
        at++;
    }
    for (size_t i = 0; i < 4; i++) {
        if (at + i >= line.len || !isalpha((unsigned char)line.at[at + i])) {
            memset(out, 0, 5);
            return;
        }
        out[i] = (char)toupper((unsigned char)line.at[at + i]);
    }
}

/* What may begin a transaction or name a recipient is counted. */
static void check_counted(struct span line, const struct smtp_cmd *cmd)
{
    static const char *const mails[] = {"MAIL", "SEND", "SOML", "SAML"};
    char verb[5];
    bool mail = false;
    four_letters(line, verb);
    for (size_t i = 0; i < sizeof mails / sizeof *mails; i++) {
        mail = mail || strcmp(verb, mails[i]) == 0;
    }
    require(mail == (cmd->verb == VERB_MAIL));
    require((strcmp(verb, "RCPT") == 0) == (cmd->verb == VERB_RCPT));
}

/* A chunk that is understood can be written down again, and is the same line. */
static void check_chunk(struct span line, const struct smtp_cmd *cmd)
{
    char again[64];
    require(cmd->chunk <= INT32_MAX);
    struct span rest = span_skip(line, 5);
    while (rest.len > 1 && rest.at[0] == '0' && rest.at[1] >= '0' && rest.at[1] <= '9') {
        rest = span_skip(rest, 1);
    }
    int n = snprintf(
        again, sizeof again, "%llu%s", (unsigned long long)cmd->chunk, cmd->last ? " LAST" : "");
    require(span_starts_nocase(line, SPAN_LITERAL("BDAT ")));
    require(span_equal_nocase(rest, (struct span){again, (size_t)n}));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span line = {(const char *)data, size};
    struct smtp_cmd cmd;
    smtp_cmd_parse(line, &cmd);
    require(cmd.verb < VERB_COUNT);
    require(inside(cmd.argument, line) && inside(cmd.path, line));
    require(cmd.path.len == 0 || cmd.verb == VERB_MAIL || cmd.verb == VERB_RCPT);
    if (!memchr(data ? (const char *)data : "", '\0', size)) {
        check_counted(line, &cmd);
    }
    if (cmd.verb == VERB_BDAT && cmd.chunk_valid) {
        check_chunk(line, &cmd);
    }
    return 0;
}
