#include "ctl/ctl_who.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define INTERRUPT 0x03

void ctl_who(char out[CTL_WHO])
{
    const char *user = getenv("SUDO_USER");
    const struct passwd *pw;
    char host[256] = "";

    if (user == NULL || user[0] == '\0') {
        pw = getpwuid(getuid());
        user = pw == NULL ? "unknown" : pw->pw_name;
    }
    gethostname(host, sizeof(host) - 1);
    snprintf(out, CTL_WHO, "%.60s@%s", user, host);
}

bool ctl_has_terminal(void)
{
    return isatty(STDIN_FILENO) != 0;
}

/* Without stdio, whose buffer would keep a copy. */
static bool read_line(char out[CTL_SECRET], struct text *error)
{
    size_t len = 0;

    while (len < CTL_SECRET) {
        ssize_t n = read(STDIN_FILENO, &out[len], 1);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 || (n == 0 && len == 0)) {
            text_addf(error, n < 0 ? "cannot read the password" : "no password was given");
            return false;
        }
        if (n == 0 || out[len] == '\n' || out[len] == '\r') {
            out[len] = '\0';
            return true;
        }
        if (out[len] == INTERRUPT) {
            text_addf(error, "interrupted");
            return false;
        }
        len++;
    }
    text_addf(error, "the password is too long");
    return false;
}

bool ctl_read_secret(const char *prompt, char out[CTL_SECRET], struct text *error)
{
    struct termios before, silent;
    bool done;

    if (!ctl_has_terminal()) {
        return read_line(out, error);
    }
    if (tcgetattr(STDIN_FILENO, &before) != 0) {
        text_addf(error, "the terminal cannot be asked for a password");
        return false;
    }
    silent = before;
    /* Without ISIG an interrupt is a character here, and the terminal is never left silent. */
    silent.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
    silent.c_lflag |= ICANON;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    /* Only now: what is typed before is thrown away. */
    fprintf(stderr, "%s: ", prompt);
    done = read_line(out, error);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    fputc('\n', stderr);
    return done;
}
