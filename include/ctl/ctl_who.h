/* Whoever types. */
#ifndef GATE25_CTL_CTL_WHO_H
#define GATE25_CTL_CTL_WHO_H

#include "base/str.h"

#define CTL_WHO 320

/* "user@host"; through sudo, the one who called it. */
void ctl_who(char out[CTL_WHO]);

#define CTL_SECRET 512

/* Reads one line: from the terminal, without showing it, where standard input is one; else from
 * standard input. False: `error` says why there is none. */
bool ctl_read_secret(const char *prompt, char out[CTL_SECRET], struct text *error);
bool ctl_has_terminal(void);

#endif
