/* The gate's daemon: wires master and control socket together. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "ctl/control.h"
#include "ctl/control_socket.h"
#include "proxy/master.h"
#include "svc/conf_file.h"
#include "svc/conf_warnings.h"
#include "svc/daemon_options.h"

#define ERROR_TEXT 512
#define UPGRADE_MS 90000 /* more than the master gives the new gate */

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
    {.name = "health", .run = master_health_json},
    {.name = "reload", .run = master_reload_json},
    {.name = "drain", .run = master_drain_json},
    {.name = "undrain", .run = master_undrain_json},
    {.name = "upgrade", .begin = master_upgrade_json, .patience_ms = UPGRADE_MS},
    {.name = "spf", .begin = master_spf_json},
};

struct daemon {
    struct conf *conf;
    struct master *master;
    struct control *control; /* NULL: the configuration names none */
    int left_over;           /* the older gate's, where that is so; -1 */
};

static int open_control(void *context, int fd, struct text *error)
{
    struct daemon *d = context;
    if (!d->conf->control_socket) {
        d->left_over = fd;
        return 0;
    }
    d->control = control_adopt(
        master_base(d->master), d->conf->control_socket, fd, verbs,
        sizeof(verbs) / sizeof(verbs[0]), d->master, error);
    return d->control ? 0 : -1;
}

static void begin_control(void *context)
{
    struct daemon *d = context;
    if (d->control) {
        control_begin(d->control);
    } else if (d->left_over >= 0) {
        control_socket_remove(d->left_over);
    }
}

static int hand_control_on(void *context)
{
    const struct daemon *d = context;
    return d->control ? control_socket(d->control) : -1;
}

static void leave_control(void *context)
{
    struct daemon *d = context;
    if (d->control) {
        control_leave(d->control);
    }
}

static int run(struct conf *conf, const char *file)
{
    char array[ERROR_TEXT];
    struct text error;
    text_init(&error, array, sizeof(array));
    struct daemon d = {.conf = conf, .left_over = -1};
    const struct master_doors doors = {
        open_control, begin_control, hand_control_on, leave_control, &d};
    d.master = master_new(conf, file, &doors, &error);
    if (!d.master) {
        log_error("%s", array);
        return EXIT_FAILURE;
    }
    int status = master_run(d.master);
    control_free(d.control);
    master_free(d.master);
    return status;
}

static void print_warning(void *context, const char *words)
{
    const char *const *file = context;
    (void)fprintf(stderr, "%s: warning: %s\n", *file, words);
}

static void log_a_warning(void *context, const char *words)
{
    (void)context;
    log_warning("configuration: %s", words);
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
    conf_warnings(conf, check ? print_warning : log_a_warning, &file);
    int status = check ? EXIT_SUCCESS : run(conf, file);
    conf_release(conf);
    return status;
}

int main(int argc, char **argv)
{
    static const struct daemon_program program = {"gate25d", usage, CONF_FILE_DEFAULT, NULL};
    struct daemon_options options;
    int status;

    if (!daemon_options_read(argc, argv, &program, &options, &status)) {
        return status;
    }
    log_open("gate25d", LOG_LEVEL_INFO);
    return start(options.file, options.check);
}
