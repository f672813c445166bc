/* The command line of gate25ctl: which verb, on whom, with what. */
#ifndef GATE25_CTL_CTL_OPTIONS_H
#define GATE25_CTL_CTL_OPTIONS_H

#include "base/str.h"

/* Also the exit codes of the program. */
enum ctl_exit {
    CTL_DONE = 0,
    CTL_REFUSED = 1, /* or not found */
    CTL_USAGE = 2
};

struct ctl;

enum ctl_argument {
    CTL_ARGUMENT_NONE,
    CTL_ARGUMENT_MAY,
    CTL_ARGUMENT_MUST,
    CTL_ARGUMENT_THREE,
    CTL_ARGUMENT_ONE_OR_TWO
};

/* Options that not every verb takes; a set of them stands in its row. */
#define CTL_TAKES_CLASS  (1U << 0)
#define CTL_TAKES_UNTIL  (1U << 1)
#define CTL_TAKES_REASON (1U << 2) /* and --note, --by */
#define CTL_TAKES_FOLLOW (1U << 3) /* and --count */
#define CTL_TAKES_ROLE   (1U << 4) /* and --no-password, --by */
#define CTL_TAKES_TOP    (1U << 5) /* --interval, --hours, --rows, --once and --count */
#define CTL_TAKES_UNITS  (1U << 6)

struct ctl_verb {
    const char *name;
    enum ctl_argument argument;
    const char *argument_name;
    unsigned takes;
    const char *help; /* lines without indentation, each ended */
    enum ctl_exit (*run)(struct ctl *c);
};

struct ctl_options {
    const struct ctl_verb *verb; /* NULL: --help or --version without one */
    const char *argument;        /* the first; NULL: none */
    char **arguments;            /* all of them */
    const char *config;
    const char *class, *until, *reason, *note, *by, *role; /* NULL: not given */
    unsigned count;
    unsigned interval_ms, hours, rows;
    bool counted; /* `count` was given */
    bool json, follow, no_password, once, units, help, version;
};

#define CTL_COUNT_DEFAULT 20
#define CTL_COUNT_MOST    100000
#define CTL_WORDS_MOST    1000 /* bytes of a reason, a note, a name */
#define CTL_INTERVAL_MS   2000
#define CTL_HOURS_DEFAULT 2
#define CTL_ROWS_DEFAULT  10

/* Reads the arguments, options anywhere among them. -1: wrong use, `error` says how. */
int ctl_options_parse(
    int argc, char **argv, const struct ctl_verb *verbs, size_t verb_count, struct ctl_options *out,
    struct text *error) __attribute__((warn_unused_result));

#endif
