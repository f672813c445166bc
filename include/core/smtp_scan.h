/* Finds the ends of lines and bodies in bytes that somebody else owns. */
#ifndef GATE25_CORE_SMTP_SCAN_H
#define GATE25_CORE_SMTP_SCAN_H

#include "base/str.h"

enum smtp_scan { SMTP_SCAN_DONE, SMTP_SCAN_MORE, SMTP_SCAN_BAD, SMTP_SCAN_INSERT };

struct smtp_line {
    struct span text; /* without its end */
    size_t size;      /* with it */
    bool bare_lf;     /* ended by LF alone */
    bool bare_cr;     /* a CR stands in front of other text: a line's end to some servers */
};

/* The line at the front of `in`. `*seen`: bytes already searched in vain, 0 for a new line; kept
 * for the next call. SMTP_SCAN_BAD: no end within `max` bytes. */
enum smtp_scan smtp_scan_line(struct span in, size_t *seen, size_t max, struct smtp_line *out);

/* Watches a DATA body for its end, CRLF.CRLF and nothing else (RFC 5321 4.1.1.4), and says how to
 * normalise bare LF as an end of line, so that no server can find an end of data elsewhere. */
struct smtp_body {
    uint8_t state;
};

void smtp_body_init(struct smtp_body *b); /* behind the 354: at the start of a line */
/* `*size`: how many bytes of `in` belong to the body and may be forwarded now; bytes behind them
 * are given again with the next call. DONE: the last of them ends it. INSERT: behind them `*insert`
 * is to be put in, the CR that a bare LF lacks, or a dot that keeps a line from being a single one.
 * BAD: behind them a line of a single dot begins or ends with a bare CR, or ends with a NUL, which
 * servers disagree on (SMTP smuggling); what follows must not be forwarded. */
enum smtp_scan smtp_scan_body(
    struct smtp_body *b, struct span in, size_t *size, struct span *insert);

#endif
