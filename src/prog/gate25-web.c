/* The sign-up site: wires its modules together. */
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "svc/conf_file.h"
#include "svc/daemon_loop.h"
#include "svc/daemon_options.h"
#include "web/desk.h"
#include "web/signup.h"
#include "web/site.h"
#include "web/subscriber.h"

#define ERROR_TEXT 1024

static const char usage[] =
    "usage: gate25-web [--config FILE] [--check]\n"
    "       gate25-web --help | --version\n"
    "\n"
    "The sign-up site of gate25: what a subscriber can see and do about port 25, and the desk.\n"
    "Stays in the foreground. SIGHUP reads configuration, pages and certificate anew; SIGTERM "
    "ends\n"
    "it.\n"
    "\n"
    "  --config FILE  default " CONF_FILE_WEB "\n"
    "  --check        only read configuration, pages and certificate: status 0, or 1 and the "
    "reason\n";

static const struct site_module *const modules[] = {
    &subscriber_module, &signup_module, &desk_module, NULL};

struct program {
    struct event_base *base;
    struct site *site;
    const char *file;
};

static void reload(void *context)
{
    struct program *p = context;
    char array[ERROR_TEXT];
    struct text error;
    struct conf *conf;

    text_init(&error, array, sizeof(array));
    conf = conf_file_read(p->file, &error);
    if (conf && site_set_conf(p->site, conf, &error) == 0) {
        log_info("reloaded");
    } else {
        log_error("not reloaded: %s", array);
    }
    conf_release(conf);
}

static void on_ready(void *context)
{
    (void)context;
    daemon_loop_ready();
}

static int run(struct conf *conf, const char *file)
{
    char array[ERROR_TEXT] = "out of memory";
    struct text error;
    struct program p = {.base = event_base_new(), .file = file};
    int status = EXIT_FAILURE;

    text_init(&error, array, sizeof(array));
    if (p.base) {
        p.site = site_new(&(struct site_options){p.base, conf, modules, on_ready, NULL}, &error);
    }
    if (p.site) {
        status = daemon_loop_run(&(struct daemon_loop){p.base, reload, &p});
    } else {
        log_error("%s", array);
    }
    site_free(p.site);
    if (p.base) {
        event_base_free(p.base);
    }
    return status;
}

static int start(const char *file, bool check)
{
    char array[ERROR_TEXT];
    struct text error;
    int status = EXIT_FAILURE;

    text_init(&error, array, sizeof(array));
    struct conf *conf = conf_file_read(file, &error);
    if (conf && conf->web.listen.count == 0) {
        text_addf(
            &error, "%s:1: there is no site; allowed: web { listen = { \"ADDRESS:PORT\" } ... }",
            file);
    } else if (conf && site_check(conf, modules, &error) == 0) {
        status = EXIT_SUCCESS;
    }
    if (status != EXIT_SUCCESS) {
        (void)fprintf(stderr, "%s\n", array);
    } else if (!check) {
        status = run(conf, file);
    }
    conf_release(conf);
    return status;
}

int main(int argc, char **argv)
{
    static const struct daemon_program program = {"gate25-web", usage, CONF_FILE_WEB, NULL};
    struct daemon_options options;
    int status;

    if (!daemon_options_read(argc, argv, &program, &options, &status)) {
        return status;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    log_open("gate25-web", LOG_LEVEL_INFO);
    return start(options.file, options.check);
}
