/* Scanners and parsers of single lines: core/smtp_scan, smtp_cmd, smtp_reply. */
#include <stdlib.h>
#include <string.h>

#include "core/smtp_cmd.h"
#include "core/smtp_reply.h"
#include "core/smtp_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static bool inside(struct span part, struct span whole)
{
    return part.len == 0 || (part.at >= whole.at && part.at + part.len <= whole.at + whole.len);
}

/* Gives the body in pieces, and what is not taken again with the next: as the dialog does. `sent`
 * has room for three times the body. */
static size_t send_body(
    struct span in, size_t piece, char *sent, size_t *consumed, enum smtp_scan *result)
{
    struct smtp_body body;
    size_t end = 0;
    size_t len = 0;
    smtp_body_init(&body);
    *result = SMTP_SCAN_MORE;
    *consumed = 0;
    while (end < in.len && *result == SMTP_SCAN_MORE) {
        end = in.len - end > piece ? end + piece : in.len;
        do {
            struct span rest = {in.at + *consumed, end - *consumed};
            struct span insert = SPAN_LITERAL("");
            size_t size = 0;
            *result = smtp_scan_body(&body, rest, &size, &insert);
            require(size <= rest.len && (insert.len > 0) == (*result == SMTP_SCAN_INSERT));
            memcpy(sent + len, rest.at, size);
            memcpy(sent + len + size, insert.at, insert.len);
            len += size + insert.len;
            *consumed += size;
        } while (*result == SMTP_SCAN_INSERT);
    }
    return len;
}

/* Any server's reading: a line starts behind each CR and each LF, and one of a single dot that
 * ends in CR, LF or NUL ends the data. Returns where, or `sent.len`. */
static size_t end_for_lenient(struct span sent)
{
    for (size_t i = 0; i + 1 < sent.len; i++) {
        bool start = i == 0 || sent.at[i - 1] == '\n' || sent.at[i - 1] == '\r';
        bool end = sent.at[i + 1] == '\r' || sent.at[i + 1] == '\n' || sent.at[i + 1] == '\0';
        if (start && sent.at[i] == '.' && end) {
            return i;
        }
    }
    return sent.len;
}

/* An end of data is CRLF.CRLF and nothing else; what is sent ends for no server earlier, has no
 * bare LF, and how the bytes arrive makes no difference. */
static void check_body(struct span in)
{
    enum smtp_scan whole;
    enum smtp_scan split;
    size_t consumed = 0;
    size_t consumed_split = 0;
    char *sent = malloc(3 * in.len + 1);
    char *again = malloc(3 * in.len + 1);
    require(sent && again);
    size_t len = send_body(in, SIZE_MAX, sent, &consumed, &whole);
    require(send_body(in, 1, again, &consumed_split, &split) == len && whole == split);
    require(consumed == consumed_split && memcmp(sent, again, len) == 0);
    for (size_t i = 0; i < len; i++) {
        require(sent[i] != '\n' || (i > 0 && sent[i - 1] == '\r'));
    }
    size_t end = end_for_lenient((struct span){sent, len});
    require(end == (whole == SMTP_SCAN_DONE ? len - 3 : len));
    if (whole == SMTP_SCAN_DONE) {
        require(consumed >= 3 && memcmp(in.at + consumed - 3, ".\r\n", 3) == 0);
        require(consumed == 3 || (consumed >= 5 && memcmp(in.at + consumed - 5, "\r\n.", 3) == 0));
    }
    free(sent);
    free(again);
}

/* The mailbox of a MAIL or RCPT lies within its argument. */
static void check_mailbox(struct span in)
{
    struct smtp_cmd cmd;
    char line[512] = "MAIL FROM:";
    size_t size = in.len < sizeof line - 10 ? in.len : sizeof line - 10;
    memcpy(line + 10, in.at, size);
    smtp_cmd_parse((struct span){line, 10 + size}, &cmd);
    require(cmd.verb == VERB_MAIL && inside(cmd.path, cmd.argument));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = {(const char *)data, size};
    struct smtp_line line;
    struct smtp_cmd cmd;
    size_t seen = 0;
    if (smtp_scan_line(in, &seen, 4096, &line) == SMTP_SCAN_DONE) {
        require(line.size <= size && in.at[line.size - 1] == '\n');
        smtp_cmd_parse(line.text, &cmd);
        require(inside(cmd.argument, line.text) && inside(cmd.path, line.text));
        require(smtp_reply_parse(line.text).code <= 999);
    } else {
        require(seen <= size);
    }
    check_body(in);
    check_mailbox(in);
    return 0;
}
