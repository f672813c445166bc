/* What a client of the load says, made once for all sessions. */
#ifndef GATE25_BENCH_LOAD_SCRIPT_H
#define GATE25_BENCH_LOAD_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

/* Bytes somewhere else. */
struct text {
    const char *at;
    size_t length;
};

struct script {
    struct text envelope; /* MAIL, each RCPT, DATA: to be said at once, or ... */
    struct text *command; /* ... one by one: MAIL at 0, RCPT at 1 to `recipients`, DATA behind */
    struct text message;  /* with its last line */
    struct text message_more; /* the same, and the envelope of the next */
    struct text message_quit; /* the same, and QUIT */
};

extern const struct text script_ehlo, script_starttls, script_quit;

/* A message of `size` bytes, 2 or more, for `recipients`. Ends the program where there is no
 * memory. */
void script_init(struct script *script, uint32_t recipients, size_t size);

#endif
