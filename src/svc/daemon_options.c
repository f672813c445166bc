#include "svc/daemon_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define EXIT_USAGE 2

static bool end(int *status, int with)
{
    *status = with;
    return false;
}

bool daemon_options_read(
    int argc, char **argv, const struct daemon_program *program, struct daemon_options *out,
    int *status)
{
    const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"check", no_argument, NULL, 'k'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {program->other, no_argument, NULL, 'o'}, /* without a name it ends the list */
        {0},
    };
    int option;

    *out = (struct daemon_options){.file = program->file};
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            out->file = optarg;
            break;
        case 'k':
            out->check = true;
            break;
        case 'o':
            out->other = true;
            break;
        case 'h':
            (void)fputs(program->usage, stdout);
            return end(status, EXIT_SUCCESS);
        case 'v':
            (void)printf("%s " GATE25_VERSION "\n", program->name);
            return end(status, EXIT_SUCCESS);
        default:
            (void)fputs(program->usage, stderr);
            return end(status, EXIT_USAGE);
        }
    }
    if (optind < argc || (out->check && out->other)) {
        (void)fputs(program->usage, stderr);
        return end(status, EXIT_USAGE);
    }
    return true;
}
