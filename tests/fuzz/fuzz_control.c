/* The control socket: any request is answered with one line of JSON, or the client is let go. The
 * first byte says where the request is split into two writes. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct event_base *base;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static char *run_status(void *context)
{
    (void)context;
    return strdup("{\"ok\": true}");
}

static void begin_spf(
    void *context, const char *arguments, control_answer_cb answer, void *control, uint64_t ticket)
{
    (void)context;
    require(strlen(arguments) < 4096);
    answer(control, ticket, "{\"result\": \"none\"}");
}

static void remove_socket(void)
{
    unlink(address.sun_path);
}

static void begin(void)
{
    static const struct control_verb verbs[] = {
        {"status", run_status, NULL, 0},
        {"reload", run_status, NULL, 0},
        {"spf", NULL, begin_spf, 0}};
    char message[256];
    struct text error;
    text_init(&error, message, sizeof message);
    base = event_base_new();
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/gate25-fuzz-%d.sock", (int)getpid());
    require(control_new(base, address.sun_path, verbs, 3, NULL, &error) != NULL);
    atexit(remove_socket);
}

static void turn(void)
{
    event_base_loop(base, EVLOOP_NONBLOCK);
}

/* What is answered, up to its end. */
static size_t read_answer(int fd, char *out, size_t cap)
{
    size_t len = 0;
    for (int turns = 0; turns < 1000; turns++) {
        turn();
        ssize_t n = recv(fd, out + len, cap - len, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno == ECONNRESET)) {
            return len;
        }
        len += n > 0 ? (size_t)n : 0;
        require(len < cap);
    }
    abort(); /* neither answered nor let go */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char answer[4096];
    if (!base) {
        begin();
    }
    if (size < 1) {
        return 0;
    }
    size_t split = 1 + data[0] % size;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    require(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    (void)!send(fd, data + 1, split - 1, MSG_NOSIGNAL);
    turn();
    (void)!send(fd, data + split, size - split, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    size_t len = read_answer(fd, answer, sizeof answer);
    require(len == 0 || (answer[0] == '{' && memchr(answer, '\n', len) == answer + len - 1));
    close(fd);
    return 0;
}
