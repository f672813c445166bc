#include "core/smtp_scan.h"

#include <string.h>

enum smtp_scan smtp_scan_line(struct span in, size_t *seen, size_t max, struct smtp_line *out)
{
    struct span rest = span_skip(in, *seen);
    const char *lf = rest.len > 0 ? memchr(rest.at, '\n', rest.len) : NULL;
    size_t size = lf ? (size_t)(lf - in.at) + 1 : in.len;
    if (size > max) {
        return SMTP_SCAN_BAD;
    }
    if (!lf) {
        *seen = in.len;
        return SMTP_SCAN_MORE;
    }
    *seen = 0;
    bool crlf = size >= 2 && in.at[size - 2] == '\r';
    *out = (struct smtp_line){{in.at, size - (crlf ? 2 : 1)}, size, !crlf};
    return SMTP_SCAN_DONE;
}

/* "Loose" is what only a lenient server takes for a line's start: behind a bare LF or a bare CR. */
enum body_state {
    BODY_LINE_START,
    BODY_TEXT,
    BODY_CR,
    BODY_DOT,
    BODY_DOT_CR,
    BODY_LOOSE_START,
    BODY_LOOSE_DOT,
    BODY_DONE,
    BODY_BAD,
    BODY_STATES
};

enum body_byte { BYTE_CR, BYTE_LF, BYTE_DOT, BYTE_OTHER, BYTE_CLASSES };

static const uint8_t body_next[BODY_DONE][BYTE_CLASSES] = {
    /*                     CR            LF                dot             other     */
    [BODY_LINE_START] = {BODY_CR, BODY_LOOSE_START, BODY_DOT, BODY_TEXT},
    [BODY_TEXT] = {BODY_CR, BODY_LOOSE_START, BODY_TEXT, BODY_TEXT},
    [BODY_CR] = {BODY_CR, BODY_LINE_START, BODY_LOOSE_DOT, BODY_TEXT},
    [BODY_DOT] = {BODY_DOT_CR, BODY_BAD, BODY_TEXT, BODY_TEXT},
    [BODY_DOT_CR] = {BODY_BAD, BODY_DONE, BODY_BAD, BODY_BAD},
    [BODY_LOOSE_START] = {BODY_CR, BODY_LOOSE_START, BODY_LOOSE_DOT, BODY_TEXT},
    [BODY_LOOSE_DOT] = {BODY_BAD, BODY_BAD, BODY_TEXT, BODY_TEXT},
};

static enum body_byte body_classify(char c)
{
    switch (c) {
    case '\r':
        return BYTE_CR;
    case '\n':
        return BYTE_LF;
    case '.':
        return BYTE_DOT;
    default:
        return BYTE_OTHER;
    }
}

void smtp_body_init(struct smtp_body *b)
{
    b->state = BODY_LINE_START;
}

enum smtp_scan smtp_scan_body(struct smtp_body *b, struct span in, size_t *size)
{
    uint8_t state = b->state;
    for (size_t i = 0; i < in.len; i++) {
        if (state == BODY_TEXT && (unsigned char)in.at[i] > '\r') {
            continue;
        }
        state = body_next[state][body_classify(in.at[i])];
        if (state >= BODY_DONE) {
            b->state = BODY_LINE_START;
            *size = state == BODY_DONE ? i + 1 : i;
            return state == BODY_DONE ? SMTP_SCAN_DONE : SMTP_SCAN_BAD;
        }
    }
    b->state = state;
    *size = in.len;
    return SMTP_SCAN_MORE;
}
