#include "ctl/ctl_terminal.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* What every terminal of the last forty years understands (ECMA-48; 1049 is xterm's). */
#define OTHER_SCREEN "\x1b[?1049h\x1b[?25l"
#define OWN_SCREEN   "\x1b[?25h\x1b[?1049l"
#define HOME         "\x1b[H"
#define CLEAR_LINE   "\x1b[2K"

bool ctl_terminal_is_live(void)
{
    const char *kind = getenv("TERM");

    return isatty(STDOUT_FILENO) && kind != NULL && kind[0] != '\0' && strcmp(kind, "dumb") != 0;
}

void ctl_terminal_size(size_t *columns, size_t *lines)
{
    struct winsize size = {0};

    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    *columns = size.ws_col > 0 ? size.ws_col : 80;
    *lines = size.ws_row > 0 ? size.ws_row : 24;
}

/* In the background the terminal is somebody else's: asking for it must not stop us. */
static void set(const struct termios *wanted)
{
    void (*before)(int) = signal(SIGTTOU, SIG_IGN);

    (void)tcsetattr(STDIN_FILENO, TCSANOW, wanted);
    signal(SIGTTOU, before);
}

void ctl_terminal_begin(struct ctl_terminal *t)
{
    struct termios wanted;

    t->begun = true;
    t->keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &t->before) == 0;
    if (t->keys) {
        wanted = t->before;
        wanted.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        /* Ctrl-C empties the queue: a read for a key that was there must not wait for another. */
        wanted.c_cc[VMIN] = 0;
        wanted.c_cc[VTIME] = 0;
        /* Stopped in the middle it would leave the shell with this screen and these settings. */
        wanted.c_cc[VSUSP] = _POSIX_VDISABLE;
        set(&wanted);
    }
    fputs(OTHER_SCREEN, stdout);
    fflush(stdout);
}

void ctl_terminal_end(struct ctl_terminal *t)
{
    if (!t->begun) {
        return;
    }
    t->begun = false;
    fputs(OWN_SCREEN, stdout);
    fflush(stdout);
    if (t->keys) {
        set(&t->before);
    }
}

bool ctl_terminal_read(char *keys, size_t cap, size_t *count)
{
    struct pollfd terminal = {.fd = STDIN_FILENO, .events = POLLIN};
    ssize_t n = read(STDIN_FILENO, keys, cap);

    *count = n > 0 ? (size_t)n : 0;
    return n > 0 || (poll(&terminal, 1, 0) >= 0 && (terminal.revents & (POLLHUP | POLLERR)) == 0);
}

void ctl_terminal_frame(void)
{
    fputs(HOME, stdout);
}

void ctl_terminal_line(struct span line, bool last)
{
    fputs(CLEAR_LINE, stdout);
    fwrite(line.at, 1, line.len, stdout);
    fputs(last ? "\r" : "\r\n", stdout);
}

int ctl_terminal_shown(void)
{
    return fflush(stdout) == 0 && ferror(stdout) == 0 ? 0 : -1;
}
