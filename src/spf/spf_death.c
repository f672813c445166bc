#include "spf/spf_death.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define STACK 65536

/* A signal's handler has no other way to them. */
static struct {
    int socket;
    const uint8_t *packet; /* NULL: none */
    size_t size;
} words;

/* The stack may be what is broken. */
static uint8_t stack[STACK];

static void on_fault(int number)
{
    if (words.packet) {
        (void)send(words.socket, words.packet, words.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    (void)raise(number); /* its action is the default one again: this is the end */
}

int spf_death_setup(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};
    const stack_t other = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_flags = (int)(SA_ONSTACK | SA_RESETHAND | SA_NODEFER)};
    action.sa_handler = on_fault;
    if (sigaltstack(&other, NULL) < 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (sigaction(numbers[i], &action, NULL) < 0) {
            return -1;
        }
    }
    return 0;
}

void spf_death_say(int socket, const uint8_t *packet, size_t size)
{
    words.socket = socket;
    words.size = size;
    atomic_signal_fence(memory_order_release);
    words.packet = packet;
}

void spf_death_say_nothing(void)
{
    words.packet = NULL;
    atomic_signal_fence(memory_order_release);
}
