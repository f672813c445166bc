/* The gate's daemon: wires master and control socket together. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "ctl/control.h"
#include "proxy/master.h"
#include "svc/conf_file.h"

#define EXIT_USAGE 2
#define ERROR_TEXT 512

static const char usage[] =
    "usage: gate25d [--config FILE] [--check]\n"
    "       gate25d --help | --version\n"
    "\n"
    "The gate for outbound port 25: takes what routers steer to it, passes, meters or refuses it.\n"
    "Stays in the foreground. SIGHUP reads the configuration anew, SIGTERM ends it when the\n"
    "sessions have ended, a second SIGTERM at once.\n"
    "\n"
    "  --config FILE  default " CONF_FILE_DEFAULT "\n"
    "  --check        only read the configuration: status 0, or 1 and the reason\n";

static const struct control_verb verbs[] = {
    {.name = "status", .run = master_status_json},
    {.name = "reload", .run = master_reload_json},
    {.name = "spf", .begin = master_spf_json},
};

static int run(struct conf *conf, const char *file)
{
    char array[ERROR_TEXT];
    struct text error;
    text_init(&error, array, sizeof(array));
    struct master *master = master_new(conf, file, &error);
    if (!master) {
        log_error("%s", array);
        return EXIT_FAILURE;
    }
    struct control *control = NULL;
    if (conf->control_socket) {
        control = control_new(
            master_base(master), conf->control_socket, verbs, sizeof(verbs) / sizeof(verbs[0]),
            master, &error);
    }
    int status = EXIT_FAILURE;
    if (conf->control_socket && !control) {
        log_error("%s", array);
    } else {
        status = master_run(master);
    }
    if (control) {
        control_free(control);
    }
    master_free(master);
    return status;
}

static int start(const char *file, bool check)
{
    char array[ERROR_TEXT];
    struct text error;
    text_init(&error, array, sizeof(array));
    struct conf *conf = conf_file_read(file, &error);
    if (!conf) {
        (void)fprintf(stderr, "%s\n", array);
        return EXIT_FAILURE;
    }
    int status = check ? EXIT_SUCCESS : run(conf, file);
    conf_release(conf);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"check", no_argument, NULL, 'k'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {0},
    };
    const char *file = CONF_FILE_DEFAULT;
    bool check = false;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            file = optarg;
            break;
        case 'k':
            check = true;
            break;
        case 'h':
            (void)fputs(usage, stdout);
            return EXIT_SUCCESS;
        case 'v':
            (void)puts("gate25d " GATE25_VERSION);
            return EXIT_SUCCESS;
        default:
            (void)fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    log_open("gate25d", LOG_LEVEL_INFO);
    return start(file, check);
}
