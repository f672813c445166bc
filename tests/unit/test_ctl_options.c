#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/ctl_verbs.h"

#define ARGS 12

static int parse(const char *line, struct ctl_options *o, struct text *error, char *copy)
{
    char *argv[ARGS] = {NULL};
    int argc = 0;

    strcpy(copy, line);
    for (char *save, *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        argv[argc++] = word;
    }
    return ctl_options_parse(argc, argv, ctl_verbs, ctl_verb_count, o, error);
}

static void refuses_wrong_use(void **state)
{
    static const struct {
        const char *line, *error;
    } rows[] = {
        {"x", "a verb is wanted"},
        {"x jump", "unknown verb \"jump\"; known are: register, unregister"},
        {"x register", "register wants a SUBSCRIBER"},
        {"x register a b", "register takes one SUBSCRIBER"},
        {"x status a", "status takes no argument"},
        {"x spf 192.0.2.1 a@b.example", "spf wants ADDRESS SENDER HELO"},
        {"x spf 192.0.2.1 a b c", "spf takes only ADDRESS SENDER HELO"},
        {"x register a --frob", "unknown option --frob"},
        {"x register a --class", "--class wants a value"},
        {"x register a -f", "register does not take -f"},
        {"x release a --class b", "release does not take --class"},
        {"x release a --until 3d", "release does not take --until"},
        {"x list --reason b", "list does not take --reason"},
        {"x log a -n 0", "-n 0: a number from 1 to 100000 is wanted"},
        {"x log a -n ten", "-n ten: a number from 1 to 100000 is wanted"},
        {"x log a --count 100001", "-n 100001: a number from 1 to 100000 is wanted"},
        {"x top a", "top takes no argument"},
        {"x top -f", "top does not take -f"},
        {"x log a --interval 2s", "log does not take --interval"},
        {"x status --once", "status does not take --once"},
        {"x top --interval 2", "--interval 2: 100ms to 1h is wanted, such as 500ms, 2s or 1m"},
        {"x top --interval 99ms", "--interval 99ms: 100ms to 1h is wanted"},
        {"x top --interval 61m", "--interval 61m: 100ms to 1h is wanted"},
        {"x top --hours 25", "--hours 25: a number from 1 to 24 is wanted"},
        {"x top --rows 101", "--rows 101: a number from 1 to 100 is wanted"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ctl_options o;
        char why[400], copy[200];
        struct text error;

        text_init(&error, why, sizeof(why));
        assert_int_equal(parse(rows[i].line, &o, &error, copy), -1);
        why[strlen(rows[i].error)] = '\0';
        assert_string_equal(why, rows[i].error);
    }
}

static void reads_options_anywhere(void **state)
{
    static const char *const lines[] = {
        "x --json log -n 5 -f 192.0.2.7 --config /c", "x log 192.0.2.7 -fn5 --config=/c --json"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct ctl_options o;
        char why[400], copy[200];
        struct text error;

        text_init(&error, why, sizeof(why));
        assert_int_equal(parse(lines[i], &o, &error, copy), 0);
        assert_string_equal(o.verb->name, "log");
        assert_string_equal(o.argument, "192.0.2.7");
        assert_string_equal(o.config, "/c");
        assert_int_equal(o.count, 5);
        assert_true(o.json && o.follow);
        assert_null(o.until);
    }
}

static void has_defaults(void **state)
{
    struct ctl_options o;
    char why[400], copy[200];
    struct text error;

    (void)state;
    text_init(&error, why, sizeof(why));
    assert_int_equal(parse("x list", &o, &error, copy), 0);
    assert_null(o.argument);
    assert_string_equal(o.config, "/etc/gate25/gate25.conf");
    assert_int_equal(o.count, CTL_COUNT_DEFAULT);
    assert_false(o.json || o.follow || o.help || o.version);
}

static void helps_without_the_rest(void **state)
{
    struct ctl_options o;
    char why[400], copy[200];
    struct text error;

    (void)state;
    text_init(&error, why, sizeof(why));
    assert_int_equal(parse("x --help", &o, &error, copy), 0);
    assert_true(o.help && o.verb == NULL);
    assert_int_equal(parse("x register --help", &o, &error, copy), 0);
    assert_true(o.help);
    assert_string_equal(o.verb->name, "register");
    assert_int_equal(parse("x --version", &o, &error, copy), 0);
    assert_true(o.version);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_wrong_use),
        cmocka_unit_test(reads_options_anywhere),
        cmocka_unit_test(has_defaults),
        cmocka_unit_test(helps_without_the_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
