/* Lets registered subscribers by in the kernel: wires the bypass, its control socket and its page
 * together. */
#include <event2/event.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bypass/bypass.h"
#include "ctl/control.h"
#include "proxy/privileges.h"
#include "svc/conf_file.h"
#include "svc/daemon_loop.h"
#include "svc/daemon_options.h"

#define ERROR_TEXT 1024
#define ASK_MS     2000

static const char usage[] =
    "usage: gate25-bypassd [--config FILE] [--check | --remove]\n"
    "       gate25-bypassd --help | --version\n"
    "\n"
    "Keeps the subscribers whose class passes in sets of nftables, so that the kernel routes "
    "their\n"
    "port 25 on and gate25d never sees it. Runs beside gate25d, on the gate. Stays in the\n"
    "foreground. SIGHUP reads the configuration anew; SIGTERM ends it, and leaves the table.\n"
    "\n"
    "  --config FILE  default " CONF_FILE_DEFAULT "\n"
    "  --check        only read the configuration: status 0, or 1 and the reason\n"
    "  --remove       delete the table inet gate25_bypass, and the fast path: gate25d takes\n"
    "                 everything again\n";

struct program {
    struct event_base *base;
    struct conf *conf;
    const char *file;
    struct bypass *bypass;
    struct bypass_http *http;
    struct control *control;
};

/* False: the old configuration stays, and `said` says why. Otherwise what takes a restart. */
static bool read_anew(struct program *p, struct text *said)
{
    struct conf *conf = conf_file_read(p->file, said);

    if (conf) {
        conf_bypass_needs_restart(p->conf, conf, said);
        bypass_set_conf(p->bypass, conf);
        log_info("reloaded%s%s", said->len > 0 ? "; these take a restart: " : "", said->at);
    } else {
        log_error("not reloaded: %s", said->at);
    }
    conf_release(conf);
    return conf != NULL;
}

static void reload(void *context)
{
    char array[ERROR_TEXT];
    struct text said;

    text_init(&said, array, sizeof(array));
    (void)read_anew(context, &said);
}

/* ... as an operator asks for it. */
static char *reload_json(void *context)
{
    char array[ERROR_TEXT];
    struct text said;
    json_t *answer;
    char *line;

    text_init(&said, array, sizeof(array));
    answer = read_anew(context, &said) ? json_pack("{s:b, s:s}", "ok", 1, "restart", array)
                                       : json_pack("{s:b, s:s}", "ok", 0, "error", array);
    line = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    json_decref(answer);
    return line;
}

static char *status(void *context)
{
    const struct program *p = context;

    return bypass_status_json(p->bypass);
}

static void show(
    void *context, const char *arguments, control_answer_cb answer, void *control, uint64_t ticket)
{
    const struct program *p = context;
    char *line = bypass_show_json(p->bypass, arguments);

    answer(control, ticket, line ? line : "{\"error\": \"out of memory\"}");
    free(line);
}

static void on_ready(void *context)
{
    (void)context;
    daemon_loop_ready();
}

/* The process id of a gate25-bypassd that answers at the control socket. 0: there is none. */
static long long running(const struct conf *conf)
{
    char why[ERROR_TEXT], *line;
    struct text error;
    json_t *answer;
    long long pid = 0;

    text_init(&error, why, sizeof(why));
    if (!conf->bypass.control_socket ||
        control_ask(conf->bypass.control_socket, "status", ASK_MS, &line, &error) != 0) {
        return 0;
    }
    answer = json_loads(line, 0, NULL);
    if (json_object_get(answer, "in_step")) { /* gate25d has no such word */
        pid = (long long)json_integer_value(json_object_get(answer, "pid"));
    }
    json_decref(answer);
    free(line);
    return pid;
}

static bool open_control(struct program *p, struct text *error)
{
    static const struct control_verb verbs[] = {
        {.name = "status", .run = status},
        {.name = "reload", .run = reload_json},
        {.name = "show", .begin = show}};
    const char *path = p->conf->bypass.control_socket;
    long long other;

    if (!path) {
        return true;
    }
    p->control = control_new(p->base, path, verbs, sizeof(verbs) / sizeof(verbs[0]), p, error);
    other = p->control ? 0 : running(p->conf);
    if (other != 0) {
        text_init(error, error->at, error->cap);
        text_addf(error, "%s: another gate25-bypassd runs on this socket, pid %lld", path, other);
    }
    return p->control != NULL;
}

/* Everything that may be wrong with the surroundings shows here. */
static bool open_all(struct program *p, struct text *error)
{
    bool fast = p->conf->bypass.fast_path.count > 0;

    if (privileges_drop(
            PRIVILEGE_NET_ADMIN | (fast ? PRIVILEGE_BPF : 0),
            fast ? "gate25-bypassd, with bypass.fast-path," : "gate25-bypassd", error) < 0) {
        return false;
    }
    p->base = event_base_new();
    if (!p->base) {
        text_addf(error, "out of memory");
        return false;
    }
    if (!open_control(p, error)) {
        return false;
    }
    p->bypass = bypass_new(p->base, p->conf, on_ready, NULL, error);
    if (p->bypass) {
        p->http = bypass_http_new(p->base, p->conf, p->bypass, error);
    }
    return p->http != NULL;
}

static int run(struct conf *conf, const char *file)
{
    char array[ERROR_TEXT];
    struct text error;
    struct program p = {.conf = conf, .file = file};
    int status = EXIT_FAILURE;

    text_init(&error, array, sizeof(array));
    if (open_all(&p, &error)) {
        status = daemon_loop_run(&(struct daemon_loop){p.base, reload, &p});
    } else {
        log_error("%s", array);
    }
    control_free(p.control);
    bypass_http_free(p.http);
    bypass_free(p.bypass);
    if (p.base) {
        event_base_free(p.base);
    }
    return status;
}

/* Of a daemon that runs elsewhere, or without a control socket, nobody knows. */
static void warn_of_running(const char *file)
{
    char array[ERROR_TEXT];
    struct text error;
    struct conf *conf;
    long long pid;

    text_init(&error, array, sizeof(array));
    conf = conf_file_read(file, &error);
    pid = conf ? running(conf) : 0;
    if (pid != 0) {
        (void)fprintf(
            stderr,
            "gate25-bypassd runs, pid %lld, and will make the table anew: stop it first, then "
            "remove it\n",
            pid);
    }
    conf_release(conf);
}

static int remove_table(const char *file)
{
    char array[ERROR_TEXT];
    struct text error;

    warn_of_running(file);
    text_init(&error, array, sizeof(array));
    if (bypass_remove(&error) != 0) {
        (void)fprintf(stderr, "the table is not removed: %s\n", array);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
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
    static const struct daemon_program program = {
        "gate25-bypassd", usage, CONF_FILE_DEFAULT, "remove"};
    struct daemon_options options;
    int status;

    if (!daemon_options_read(argc, argv, &program, &options, &status)) {
        return status;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    log_open("gate25-bypassd", LOG_LEVEL_INFO);
    return options.other ? remove_table(options.file) : start(options.file, options.check);
}
