/* A terminal of a child's own: keys are taken as they come and never waited for, and everything is
 * afterwards as it was. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl/ctl_terminal.h"

#define PATIENCE_S 60 /* then a child that hangs is ended by a signal */

static int master;

/* True in the child, whose standard input and output are the terminal then. */
static bool forks(pid_t *child)
{
    master = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0);
    *child = fork();
    if (*child == 0) {
        alarm(PATIENCE_S);
        close(master);
        dup2(terminal, STDIN_FILENO);
        dup2(terminal, STDOUT_FILENO);
    }
    close(terminal);
    return *child == 0;
}

static int status_of(pid_t child)
{
    int status = -1;

    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void never_waits_for_a_key(void **state)
{
    pid_t child;

    (void)state;
    if (forks(&child)) {
        struct ctl_terminal t = {0};
        struct termios after;
        char keys[8];
        size_t count = 9;

        ctl_terminal_begin(&t);
        bool good = t.keys && ctl_terminal_read(keys, sizeof keys, &count) && count == 0;
        ctl_terminal_end(&t);
        ctl_terminal_end(&t);
        good = good && tcgetattr(STDIN_FILENO, &after) == 0 && after.c_lflag == t.before.c_lflag &&
               memcmp(after.c_cc, t.before.c_cc, NCCS) == 0;
        _exit(good ? 0 : 1);
    }
    assert_int_equal(status_of(child), 0);
    close(master);
}

static void takes_keys_until_it_is_gone(void **state)
{
    pid_t child;
    char shown[64];

    (void)state;
    if (forks(&child)) {
        struct ctl_terminal t = {0};
        char keys[8], all[16];
        struct text typed;
        size_t count;

        text_init(&typed, all, sizeof all);
        ctl_terminal_begin(&t);
        while (ctl_terminal_read(keys, sizeof keys, &count)) {
            text_add(&typed, (struct span){keys, count});
            if (strcmp(all, "qx") == 0) {
                (void)!write(STDOUT_FILENO, "!", 1);
            }
            usleep(1000);
        }
        _exit(strcmp(all, "qx") == 0 ? 0 : 1);
    }
    /* One by one, without the end of a line. */
    assert_int_equal(write(master, "q", 1), 1);
    assert_int_equal(write(master, "x", 1), 1);
    do {
        ssize_t n = read(master, shown, sizeof shown);
        assert_true(n > 0);
        shown[0] = memchr(shown, '!', (size_t)n) ? '!' : '?';
    } while (shown[0] != '!');
    close(master);
    assert_int_equal(status_of(child), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_waits_for_a_key),
        cmocka_unit_test(takes_keys_until_it_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
