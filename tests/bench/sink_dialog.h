/* A server's side of SMTP (RFC 5321), which accepts all that comes in a legal order: bytes in,
 * replies out. */
#ifndef GATE25_BENCH_SINK_DIALOG_H
#define GATE25_BENCH_SINK_DIALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/sink_dot.h"

/* As many of a line's first bytes as the longest verb has, and one more to see where it ends. */
#define DIALOG_HEAD 9

/* So much all replies to so many bytes take at most: 40 for each, what was before them of a line
 * among them. */
#define DIALOG_REPLIES_MOST(length) (40 * ((length) + DIALOG_HEAD))

#define DIALOG_BANNER "220 sink.example ESMTP\r\n"

struct sink_counts {
    uint64_t sessions;
    uint64_t messages;
    uint64_t recipients;
    uint64_t bytes; /* of accepted messages, as they came: dots doubled */
};

/* What goes to the client at once, for whatever came at once. */
struct replies {
    char *at;
    size_t length;
};

enum dialog_state { DIALOG_COMMANDS, DIALOG_TEXT, DIALOG_STARTS_TLS, DIALOG_QUIT };

struct sink_dialog {
    enum dialog_state state;
    bool offers_tls;
    bool has_mail;
    uint32_t recipients; /* of this transaction */
    uint8_t head_length;
    char head[DIALOG_HEAD]; /* of the line that is being read */
    struct dot dot;
    uint64_t text; /* bytes of this message */
};

void dialog_begin(struct sink_dialog *d, bool offers_tls);

/* Takes all that the client has sent. `replies` has room for DIALOG_REPLIES_MOST(length). What is
 * behind STARTTLS in the same bytes is forgotten (RFC 3207, section 4.2), and what is behind QUIT.
 */
void dialog_take(
    struct sink_dialog *d, const char *bytes, size_t length, struct replies *replies,
    struct sink_counts *counts);

#endif
