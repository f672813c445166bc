/* The command line that gate25's daemons share: --config FILE, --check, --help, --version. */
#ifndef GATE25_SVC_DAEMON_OPTIONS_H
#define GATE25_SVC_DAEMON_OPTIONS_H

#include <stdbool.h>

struct daemon_options {
    const char *file; /* the configuration; of argv, or the default */
    bool check;       /* only read it */
    bool other;       /* the program's own option was given; not with `check` */
};

struct daemon_program {
    const char *name, *usage;
    const char *file;  /* the configuration where --config names none */
    const char *other; /* one more option, without a value; NULL: none */
};

/* True: go on with `out`. False: all is said, and the program ends with `status`: 0 after --help
 * and --version, 2 after wrong use, with the usage on stderr. */
bool daemon_options_read(
    int argc, char **argv, const struct daemon_program *program, struct daemon_options *out,
    int *status) __attribute__((warn_unused_result));

#endif
