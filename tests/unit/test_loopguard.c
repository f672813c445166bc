#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/loopguard.h"

#define SHORT_MS 5
#define LONG_MS  60000 /* never waited for */

static struct endpoint at(const char *text)
{
    struct endpoint e;
    assert_true(endpoint_parse(span_of(text), &e));
    return e;
}

static struct endpoint numbered(unsigned n)
{
    struct endpoint e = at("192.0.2.1:1");
    e.port = (uint16_t)n;
    e.addr.bytes[3] = (uint8_t)(n >> 16);
    return e;
}

static void test_set_and_clear(void **state)
{
    (void)state;
    struct loopguard *g = loopguard_new(3, 100, SHORT_MS);
    assert_non_null(g);
    struct endpoint local = at("192.0.2.5:40000"), remote = at("198.51.100.7:25");
    struct endpoint near[] = {
        at("192.0.2.5:40001"), at("192.0.2.6:40000"), at("[2001:db8::5]:40000")};

    assert_false(loopguard_knows(g, &local, &remote));
    uint64_t mark = loopguard_set(g, 1, &local, &remote);
    assert_true(mark != 0);
    assert_true(loopguard_knows(g, &local, &remote));
    assert_false(loopguard_knows(g, &remote, &local));
    for (size_t i = 0; i < 3; i++) {
        assert_false(loopguard_knows(g, &near[i], &remote));
    }
    loopguard_clear(g, 0, mark); /* not that worker's */
    assert_true(loopguard_knows(g, &local, &remote));
    loopguard_clear(g, 1, 0);
    assert_true(loopguard_knows(g, &local, &remote));
    loopguard_clear(g, 1, mark);
    assert_false(loopguard_knows(g, &local, &remote));
    loopguard_free(g);
}

static void test_forget_takes_one_worker(void **state)
{
    (void)state;
    /* With room to spare: where both places of a mark are full it is not noted. */
    struct loopguard *g = loopguard_new(2, 8000, SHORT_MS);
    struct endpoint remote = at("[2001:db8:9::1]:25");
    for (unsigned n = 1; n <= 2000; n++) {
        struct endpoint local = numbered(n);
        assert_true(loopguard_set(g, n % 2, &local, &remote) != 0);
    }
    loopguard_forget(g, 1);
    for (unsigned n = 1; n <= 2000; n++) {
        struct endpoint local = numbered(n);
        assert_int_equal(loopguard_knows(g, &local, &remote), n % 2 == 0);
    }
    loopguard_free(g);
}

/* Full beyond all measure: what has no room is not noted, and nothing else is harmed. */
static void test_no_room(void **state)
{
    (void)state;
    struct loopguard *g = loopguard_new(1, 1, SHORT_MS);
    struct endpoint remote = at("198.51.100.7:25");
    unsigned noted = 0, known = 0;
    for (unsigned n = 1; n <= 100000; n++) {
        struct endpoint local = numbered(n);
        noted += loopguard_set(g, 0, &local, &remote) != 0;
    }
    for (unsigned n = 1; n <= 100000; n++) {
        struct endpoint local = numbered(n);
        known += loopguard_knows(g, &local, &remote);
    }
    assert_true(noted < 100000);
    assert_int_equal(known, noted);
    loopguard_free(g);
}

static void test_other_process_sees_it(void **state)
{
    (void)state;
    struct loopguard *g = loopguard_new(2, 10, SHORT_MS);
    struct endpoint local = at("192.0.2.5:40000"), remote = at("198.51.100.7:25");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool noted = loopguard_set(g, 1, &local, &remote) != 0;
        loopguard_free(g);
        _exit(noted ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(loopguard_knows(g, &local, &remote));
    loopguard_free(g);
}

/* Killed between its connect and its note: nobody waits for it for ever, nor its successor. */
static void test_dead_in_the_middle(void **state)
{
    (void)state;
    struct loopguard *g = loopguard_new(2, 10, SHORT_MS);
    struct endpoint local = at("192.0.2.5:40000"), remote = at("198.51.100.7:25");
    loopguard_begin(g, 0);
    assert_false(loopguard_knows(g, &local, &remote));
    assert_true(loopguard_set(g, 0, &local, &remote) != 0);
    assert_true(loopguard_knows(g, &local, &remote));
    loopguard_forget(g, 0);
    loopguard_begin(g, 0);
    assert_true(loopguard_set(g, 0, &local, &remote) != 0);
    loopguard_end(g, 0);
    assert_true(loopguard_knows(g, &local, &remote));
    loopguard_free(g);
}

/* Notes are seen however soon after its connect the connection is back, and however long the worker
 * that makes the note is interrupted. */
static void test_waits_for_the_note(void **state)
{
    (void)state;
    struct loopguard *g = loopguard_new(2, 8000, LONG_MS);
    struct endpoint remote = at("198.51.100.7:25");
    int way[2];
    assert_int_equal(pipe(way), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    for (unsigned n = 1; child == 0 && n <= 200; n++) {
        struct endpoint local = numbered(n);
        loopguard_begin(g, 1);
        bool told = write(way[1], "", 1) == 1;
        usleep(n % 10 == 0 ? 20000 : 0);
        if (!told || loopguard_set(g, 1, &local, &remote) == 0) {
            _exit(1);
        }
        loopguard_end(g, 1);
    }
    if (child == 0) {
        loopguard_free(g);
        _exit(0);
    }
    close(way[1]); /* a child that ends too soon is noticed, not waited for */
    unsigned missed = 0;
    for (unsigned n = 1; n <= 200; n++) {
        char byte;
        struct endpoint local = numbered(n);
        assert_int_equal(read(way[0], &byte, 1), 1);
        missed += !loopguard_knows(g, &local, &remote);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(way[0]);
    loopguard_free(g);
    assert_int_equal(missed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_and_clear),
        cmocka_unit_test(test_forget_takes_one_worker),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_other_process_sees_it),
        cmocka_unit_test(test_dead_in_the_middle),
        cmocka_unit_test(test_waits_for_the_note),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
