#include "core/smtp_scan.h"

#include <string.h>

/* CRs right before the line's end are what a program writes that ends its lines twice: no server
 * takes them for more than empty lines. */
static bool has_bare_cr(struct span text)
{
    while (text.len > 0 && text.at[text.len - 1] == '\r') {
        text.len--;
    }
    return text.len > 0 && memchr(text.at, '\r', text.len) != NULL;
}

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
    struct span text = {in.at, size - (crlf ? 2 : 1)};
    *out = (struct smtp_line){text, size, !crlf, has_bare_cr(text)};
    return SMTP_SCAN_DONE;
}

/* "Loose" is what only a lenient server takes for a line's start: behind a bare LF, which is
 * normalised, or a bare CR. */
enum body_state {
    BODY_LINE_START,
    BODY_TEXT,
    BODY_CR,
    BODY_DOT,
    BODY_DOT_CR,
    BODY_LOOSE_LF, /* the CR that it lacked has been put in; the LF itself is next */
    BODY_LOOSE_START,
    BODY_LOOSE_DOT,
    BODY_CR_DOT,
    BODY_DONE,
    BODY_BAD,
    BODY_PUT_CR, /* from here on the byte is looked at again, in the state of `insertions` */
    BODY_PUT_DOT,
    BODY_PUT_DOT_CR,
};

/* To a server built on C strings (OpenSMTPD) a NUL behind the dot ends the line. */
enum body_byte { BYTE_CR, BYTE_LF, BYTE_DOT, BYTE_NUL, BYTE_OTHER, BYTE_CLASSES };

static const uint8_t body_next[BODY_DONE][BYTE_CLASSES] = {
    /*                     CR            LF                dot          NUL        other     */
    [BODY_LINE_START] = {BODY_CR, BODY_PUT_CR, BODY_DOT, BODY_TEXT, BODY_TEXT},
    [BODY_TEXT] = {BODY_CR, BODY_PUT_CR, BODY_TEXT, BODY_TEXT, BODY_TEXT},
    [BODY_CR] = {BODY_CR, BODY_LINE_START, BODY_CR_DOT, BODY_TEXT, BODY_TEXT},
    [BODY_DOT] = {BODY_DOT_CR, BODY_PUT_DOT_CR, BODY_TEXT, BODY_BAD, BODY_TEXT},
    [BODY_DOT_CR] = {BODY_BAD, BODY_DONE, BODY_BAD, BODY_BAD, BODY_BAD},
    [BODY_LOOSE_LF] = {BODY_BAD, BODY_LOOSE_START, BODY_BAD, BODY_BAD, BODY_BAD},
    [BODY_LOOSE_START] = {BODY_CR, BODY_PUT_CR, BODY_LOOSE_DOT, BODY_TEXT, BODY_TEXT},
    [BODY_LOOSE_DOT] = {BODY_PUT_DOT, BODY_PUT_DOT_CR, BODY_TEXT, BODY_BAD, BODY_TEXT},
    [BODY_CR_DOT] = {BODY_BAD, BODY_BAD, BODY_TEXT, BODY_BAD, BODY_TEXT},
};

static const struct {
    struct span text;
    enum body_state then;
} insertions[] = {
    {{"\r", 1}, BODY_LOOSE_LF},
    {{".", 1}, BODY_TEXT},
    {{".\r", 2}, BODY_LOOSE_LF},
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
    case '\0':
        return BYTE_NUL;
    default:
        return BYTE_OTHER;
    }
}

void smtp_body_init(struct smtp_body *b)
{
    b->state = BODY_LINE_START;
}

/* Behind a byte that is none of those above only an end of line matters, nearly always. */
static bool begins_text(uint8_t state, char c)
{
    return (unsigned char)c > '\r' && c != '.' && body_next[state][BYTE_OTHER] == BODY_TEXT;
}

/* The first CR or LF in front of `end`, or `end`. `*lf` is kept between calls: the first LF, so
 * that nothing is searched for it twice, and for a CR only what is in front of it, whatever a body
 * is full of. */
static const char *find_line_end(const char *at, const char *end, const char **lf)
{
    if (!*lf || *lf < at) {
        *lf = memchr(at, '\n', (size_t)(end - at));
        *lf = *lf ? *lf : end;
    }
    const char *cr = memchr(at, '\r', (size_t)(*lf - at));
    return cr ? cr : *lf;
}

enum smtp_scan smtp_scan_body(
    struct smtp_body *b, struct span in, size_t *size, struct span *insert)
{
    uint8_t state = b->state;
    const char *lf = NULL;
    for (size_t i = 0; i < in.len; i++) {
        if (begins_text(state, in.at[i])) {
            const char *end = in.at + in.len;
            const char *at = find_line_end(in.at + i, end, &lf);
            i = (size_t)(at - in.at);
            state = BODY_TEXT;
            if (at == end) {
                break;
            }
            if (at + 1 == lf && lf < end) { /* CRLF */
                state = BODY_LINE_START;
                i++;
                continue;
            }
        }
        uint8_t next = body_next[state][body_classify(in.at[i])];
        switch (next) {
        case BODY_DONE:
            b->state = BODY_LINE_START;
            *size = i + 1;
            return SMTP_SCAN_DONE;
        case BODY_BAD:
            b->state = BODY_LINE_START;
            *size = state == BODY_DOT_CR ? i - 1 : i;
            return SMTP_SCAN_BAD;
        case BODY_PUT_CR:
        case BODY_PUT_DOT:
        case BODY_PUT_DOT_CR:
            b->state = insertions[next - BODY_PUT_CR].then;
            *insert = insertions[next - BODY_PUT_CR].text;
            *size = i;
            return SMTP_SCAN_INSERT;
        default:
            state = next;
        }
    }
    /* A CR behind the dot is held back until it is known to be followed by LF: to some servers it
     * would end the data. */
    bool hold = state == BODY_DOT_CR;
    b->state = hold ? BODY_DOT : state;
    *size = in.len - hold;
    return SMTP_SCAN_MORE;
}
