/* core/smtp_scan: lines and bodies, whole and in any pieces. The first byte is the size of the
 * pieces. */
#include "core/smtp_scan.h"
#include "fuzz.h"

#define LINE 64

/* The line as it is found when the bytes come in pieces. */
static enum smtp_scan scan_pieces(struct span in, size_t piece, struct smtp_line *line)
{
    size_t seen = 0;
    enum smtp_scan result = SMTP_SCAN_MORE;
    for (size_t end = 0; end < in.len && result == SMTP_SCAN_MORE;) {
        end = in.len - end > piece ? end + piece : in.len;
        result = smtp_scan_line((struct span){in.at, end}, &seen, LINE, line);
        require(seen <= end);
    }
    return result;
}

static void check_line(struct span in, size_t piece)
{
    struct smtp_line line = {0};
    struct smtp_line again = {0};
    enum smtp_scan whole = scan_pieces(in, SIZE_MAX, &line);
    enum smtp_scan split = scan_pieces(in, piece, &again);
    const char *lf = in.len > 0 ? memchr(in.at, '\n', in.len) : NULL;
    size_t size = lf ? (size_t)(lf - in.at) + 1 : in.len;
    require(whole == split);
    require((whole == SMTP_SCAN_BAD) == (size > LINE));
    require((whole == SMTP_SCAN_DONE) == (lf && size <= LINE));
    if (whole != SMTP_SCAN_DONE) {
        return;
    }
    require(line.size == size && again.size == size && line.text.at == in.at);
    require(line.bare_lf == again.bare_lf && line.bare_cr == again.bare_cr);
    require(line.bare_lf == (size < 2 || in.at[size - 2] != '\r'));
    require(line.text.len == size - (line.bare_lf ? 1 : 2));
    bool cr = false;
    for (size_t i = 0; i + 1 < line.text.len; i++) { /* a CR in front of another character */
        cr = cr || (in.at[i] == '\r' && in.at[i + 1] != '\r');
    }
    require(line.bare_cr == cr);
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
static void check_body(struct span in, size_t piece)
{
    enum smtp_scan whole;
    enum smtp_scan split;
    size_t consumed = 0;
    size_t consumed_split = 0;
    char *sent = malloc(3 * in.len + 1);
    char *again = malloc(3 * in.len + 1);
    require(sent && again);
    size_t len = send_body(in, SIZE_MAX, sent, &consumed, &whole);
    require(send_body(in, piece, again, &consumed_split, &split) == len && whole == split);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct span in = {(const char *)data + 1, size - 1};
    size_t piece = 1 + data[0] % 16;
    check_line(in, piece);
    check_body(in, piece);
    return 0;
}
