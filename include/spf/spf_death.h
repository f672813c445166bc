/* What this process still says when a signal of its own fault ends it: libspf2 parses what
 * strangers publish. Whoever asked then hears it, instead of nobody. */
#ifndef GATE25_SPF_SPF_DEATH_H
#define GATE25_SPF_SPF_DEATH_H

#include <stddef.h>
#include <stdint.h>

/* Once, before the sandbox is entered. -1: errno. */
int spf_death_setup(void) __attribute__((warn_unused_result));

/* From now on these are the last words, sent to `socket`; `packet` stays the caller's. */
void spf_death_say(int socket, const uint8_t *packet, size_t size);
void spf_death_say_nothing(void);

#endif
