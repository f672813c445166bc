/* The whole terminal for a live table, and back as it was. */
#ifndef GATE25_CTL_CTL_TERMINAL_H
#define GATE25_CTL_CTL_TERMINAL_H

#include <termios.h>

#include "base/str.h"

struct ctl_terminal {
    bool begun, keys; /* `keys`: standard input is the terminal, and its settings were changed */
    struct termios before;
};

/* Is standard output a terminal that can be written anew again and again? */
bool ctl_terminal_is_live(void);
/* Its size, 80 x 24 where it does not know. */
void ctl_terminal_size(size_t *columns, size_t *lines);

/* Takes the terminal: another screen, no cursor, keys come one by one and unseen. */
void ctl_terminal_begin(struct ctl_terminal *t);
/* Gives it back. May be called again, and without having begun. */
void ctl_terminal_end(struct ctl_terminal *t);
/* The keys that were pressed, perhaps none; never waits. False: the terminal is gone. */
bool ctl_terminal_read(char *keys, size_t cap, size_t *count);
/* Begins a frame; then as many lines as the terminal has, none longer than it; then its end. -1:
 * nobody sees it any more. */
void ctl_terminal_frame(void);
void ctl_terminal_line(struct span line, bool last);
int ctl_terminal_shown(void);

#endif
