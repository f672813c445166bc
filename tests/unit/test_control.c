#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ctl/control.h"

#define PATIENCE_MS 60000

static char *say_hello(void *context)
{
    char *line = NULL;

    assert_true(asprintf(&line, "{\"hello\": \"%s\"}", (const char *)context) > 0);
    return line;
}

static char *say_much(void *context)
{
    size_t len = 1000000;
    char *line = malloc(len + 1);

    (void)context;
    assert_non_null(line);
    memset(line, 'x', len);
    line[len] = '\0';
    return line;
}

static char *say_nothing(void *context)
{
    (void)context;
    return NULL;
}

static void begin_echo(
    void *context, const char *arguments, control_answer_cb answer, void *control, uint64_t ticket)
{
    (void)context;
    answer(control, ticket + 1000, "for somebody who is gone");
    answer(control, ticket, arguments);
    answer(control, ticket, "too much");
}

static const struct control_verb verbs[] = {
    {.name = "hello", .run = say_hello},
    {.name = "much", .run = say_much},
    {.name = "nothing", .run = say_nothing},
    {.name = "echo", .begin = begin_echo}};

struct place {
    char folder[64], path[100];
    pid_t server;
};

static void serve(const char *path)
{
    struct event_base *base = event_base_new();
    char why[200], name[] = "world";
    struct text error;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    text_init(&error, why, sizeof(why));
    if (control_new(base, path, verbs, 4, name, &error) == NULL) {
        fprintf(stderr, "%s\n", why);
        _exit(1);
    }
    event_base_dispatch(base);
    _exit(0);
}

static void start_server(struct place *p)
{
    p->server = fork();
    if (p->server == 0) {
        serve(p->path);
    }
    for (;;) {
        char *answer;
        struct text error;
        char why[200];

        text_init(&error, why, sizeof(why));
        if (control_ask(p->path, "hello", PATIENCE_MS, &answer, &error) == 0) {
            free(answer);
            return;
        }
        assert_int_equal(waitpid(p->server, NULL, WNOHANG), 0);
        usleep(5000);
    }
}

static void kill_server(struct place *p)
{
    kill(p->server, SIGKILL);
    waitpid(p->server, NULL, 0);
}

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof(*p));

    strcpy(p->folder, "/tmp/gate25-unit-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->path, sizeof(p->path), "%s/control", p->folder);
    start_server(p);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;

    kill_server(p);
    unlink(p->path);
    rmdir(p->folder);
    free(p);
    return 0;
}

static void assert_answer(const struct place *p, const char *verb, const char *expected)
{
    char *answer, why[200];
    struct text error;

    text_init(&error, why, sizeof(why));
    assert_int_equal(control_ask(p->path, verb, PATIENCE_MS, &answer, &error), 0);
    assert_string_equal(answer, expected);
    free(answer);
}

static void answers(void **state)
{
    assert_answer(*state, "hello", "{\"hello\": \"world\"}");
    assert_answer(*state, "nothing", "{\"error\": \"out of memory\"}");
    assert_answer(
        *state, "rubbish", "{\"error\": \"unknown verb; known are: hello, much, nothing, echo\"}");
    assert_answer(
        *state, "", "{\"error\": \"unknown verb; known are: hello, much, nothing, echo\"}");
    assert_answer(
        *state, "hello you",
        "{\"error\": \"unknown verb; known are: hello, much, nothing, echo\"}");
    assert_answer(*state, "echo a <> b", "a <> b");
    assert_answer(*state, "echo", "");
}

static void answers_at_length(void **state)
{
    const struct place *p = *state;
    char *answer, why[200];
    struct text error;

    text_init(&error, why, sizeof(why));
    assert_int_equal(control_ask(p->path, "much", PATIENCE_MS, &answer, &error), 0);
    assert_int_equal(strlen(answer), 1000000);
    free(answer);
}

static void is_not_open_to_everybody(void **state)
{
    const struct place *p = *state;
    struct stat st;

    assert_int_equal(stat(p->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
}

static int connect_to(const struct place *p)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", p->path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* What comes until the server closes. */
static size_t read_all(int fd, char *out, size_t cap)
{
    size_t len = 0;
    ssize_t n;

    while ((n = read(fd, out + len, cap - len - 1)) > 0) {
        len += (size_t)n;
    }
    out[len] = '\0';
    close(fd);
    return len;
}

static void takes_a_line_in_pieces(void **state)
{
    int fd = connect_to(*state);
    char out[200];

    assert_int_equal(write(fd, "hel", 3), 3);
    usleep(1000);
    assert_int_equal(write(fd, "lo\nhello\n", 9), 9);
    read_all(fd, out, sizeof(out));
    assert_string_equal(out, "{\"hello\": \"world\"}\n"); /* one line, one answer */
}

static void drops_a_line_without_end(void **state)
{
    int fd = connect_to(*state);
    char line[1000], out[10];

    memset(line, 'x', sizeof(line));
    assert_true(send(fd, line, sizeof(line), MSG_NOSIGNAL) > 0);
    assert_int_equal(read_all(fd, out, sizeof(out)), 0);
}

/* More silent clients than there are places: the next one is served all the same, in time. */
static void drops_the_silent(void **state)
{
    int silent[40];
    char out[10];

    for (size_t i = 0; i < 40; i++) {
        silent[i] = connect_to(*state);
    }
    assert_answer(*state, "hello", "{\"hello\": \"world\"}");
    for (size_t i = 0; i < 40; i++) {
        assert_int_equal(read_all(silent[i], out, sizeof(out)), 0);
    }
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Nobody waits until the silent ones are dropped, which takes five seconds: they make room. On a
 * machine with other work a try may take long for other reasons. */
static void the_silent_make_room(void **state)
{
    double took = 5;

    for (unsigned try = 0; try < 20 && took >= 4; try++) {
        int silent[40];
        double began = seconds();

        for (size_t i = 0; i < 40; i++) {
            silent[i] = connect_to(*state);
        }
        assert_answer(*state, "hello", "{\"hello\": \"world\"}");
        took = seconds() - began;
        for (size_t i = 0; i < 40; i++) {
            close(silent[i]);
        }
    }
    assert_true(took < 4);
}

static void replaces_what_a_dead_process_left(void **state)
{
    struct place *p = *state;
    struct stat st;

    kill_server(p);
    assert_int_equal(stat(p->path, &st), 0);
    start_server(p);
    assert_answer(p, "hello", "{\"hello\": \"world\"}");
}

static void leaves_a_living_one_alone(void **state)
{
    struct place *p = *state;
    struct event_base *base = event_base_new();
    char why[200];
    struct text error;

    text_init(&error, why, sizeof(why));
    assert_null(control_new(base, p->path, verbs, 4, NULL, &error));
    assert_non_null(strstr(why, "Address already in use"));
    event_base_free(base);
    assert_answer(p, "hello", "{\"hello\": \"world\"}");
}

static void removes_its_socket(void **state)
{
    struct place *p = *state;
    struct event_base *base = event_base_new();
    char why[200];
    struct text error;
    struct control *c;
    struct stat st;
    pid_t child;

    kill_server(p);
    text_init(&error, why, sizeof(why));
    c = control_new(base, p->path, verbs, 4, NULL, &error);
    assert_non_null(c);
    child = fork();
    if (child == 0) {
        control_free(c);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    assert_int_equal(stat(p->path, &st), 0);
    control_free(c);
    assert_int_equal(stat(p->path, &st), -1);
    event_base_free(base);
    start_server(p);
}

static void says_why_nobody_answers(void **state)
{
    char *answer, why[200];
    struct text error;

    (void)state;
    text_init(&error, why, sizeof(why));
    assert_int_equal(control_ask("/nonexistent/socket", "hello", 1000, &answer, &error), -1);
    assert_string_equal(why, "/nonexistent/socket: No such file or directory");
}

static void gives_up_on_a_server_that_hangs(void **state)
{
    struct place *p = *state;
    char *answer, why[200];
    struct text error;

    text_init(&error, why, sizeof(why));
    kill(p->server, SIGSTOP);
    assert_int_equal(control_ask(p->path, "hello", 50, &answer, &error), -1);
    assert_non_null(strstr(why, "timed out"));
    kill(p->server, SIGCONT);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(answers),
        ROW(answers_at_length),
        ROW(is_not_open_to_everybody),
        ROW(takes_a_line_in_pieces),
        ROW(drops_a_line_without_end),
        ROW(drops_the_silent),
        ROW(the_silent_make_room),
        ROW(replaces_what_a_dead_process_left),
        ROW(leaves_a_living_one_alone),
        ROW(removes_its_socket),
        ROW(says_why_nobody_answers),
        ROW(gives_up_on_a_server_that_hangs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
