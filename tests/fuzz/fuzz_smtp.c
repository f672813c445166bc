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

static size_t body_size(struct span in, size_t piece, enum smtp_scan *result)
{
    struct smtp_body body;
    size_t total = 0;
    smtp_body_init(&body);
    *result = SMTP_SCAN_MORE;
    while (total < in.len && *result == SMTP_SCAN_MORE) {
        struct span rest = span_skip(in, total);
        rest.len = rest.len < piece ? rest.len : piece;
        size_t size = 0;
        *result = smtp_scan_body(&body, rest, &size);
        require(size <= rest.len);
        total += size;
    }
    return total;
}

/* An end of data is CRLF.CRLF and nothing else, and how the bytes arrive makes no difference. */
static void check_body(struct span in)
{
    enum smtp_scan whole;
    enum smtp_scan split;
    size_t size = body_size(in, SIZE_MAX, &whole);
    require(body_size(in, 1, &split) == size && whole == split);
    if (whole == SMTP_SCAN_DONE) {
        require(size >= 3 && memcmp(in.at + size - 3, ".\r\n", 3) == 0);
        require(size == 3 || (size >= 5 && memcmp(in.at + size - 5, "\r\n.\r\n", 5) == 0));
    }
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
    return 0;
}
