/* spf/spf_sandbox.h: what works no more in it, and what still does, each in a process of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spf/spf_sandbox.h"

static int try_open(void)
{
    return open("/dev/null", O_RDONLY);
}

static int try_unix_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int try_fork(void)
{
    return (int)syscall(SYS_clone, 17, NULL, NULL, NULL, 0);
}

static int try_exec(void)
{
    char program[] = "/bin/true";
    char *arguments[] = {program, NULL};
    return execve(program, arguments, NULL);
}

static int try_code(void)
{
    void *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? -1 : 0;
}

static int try_mprotect(void)
{
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? 0 : mprotect(at, 4096, PROT_READ | PROT_EXEC);
}

static int try_ptrace(void)
{
    return (int)syscall(SYS_ptrace, 0, 0, 0, 0);
}

static int try_kill(void)
{
    return (int)syscall(SYS_kill, getppid(), 0);
}

static int try_dns_socket(void)
{
    return socket(AF_INET, SOCK_DGRAM, 0);
}

static int try_memory(void)
{
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? -1 : 0;
}

static const struct {
    const char *name;
    int (*try)(void);
    int error; /* 0: it works */
} rows[] = {
    {"open", try_open, EPERM},
    {"a unix socket", try_unix_socket, EPERM},
    {"fork", try_fork, EPERM},
    {"exec", try_exec, EPERM},
    {"memory to run", try_code, EPERM},
    {"memory to run, in two steps", try_mprotect, EPERM},
    {"ptrace", try_ptrace, EPERM},
    {"kill", try_kill, EPERM},
    {"a socket of the Internet", try_dns_socket, 0},
    {"memory", try_memory, 0},
};

static void test_calls(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            char array[256];
            struct text error;
            text_init(&error, array, sizeof array);
            if (spf_sandbox_enter(&error) < 0) {
                fprintf(stderr, "%s\n", array);
                _exit(255);
            }
            _exit(rows[i].try() < 0 ? errno : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != rows[i].error) {
            fail_msg("%s: status %x, not %d", rows[i].name, (unsigned)status, rows[i].error);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_calls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
