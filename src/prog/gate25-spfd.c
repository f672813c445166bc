/* SPF answers for gate25d, in a process that has nothing to lose: libspf2 parses what strangers
 * publish. gate25d starts it, and starts it again. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "core/conf.h"
#include "spf/spf_death.h"
#include "spf/spf_sandbox.h"
#include "spf/spf_service.h"

#define EXIT_USAGE   2
#define ERROR_TEXT   256
#define SOCKETS_MOST 300
#define FIRST_SOCKET (STDERR_FILENO + 1)

static const char usage[] =
    "usage: gate25-spfd --sockets COUNT [--resolver ADDRESS:PORT]...\n"
    "       gate25-spfd --help | --version\n"
    "\n"
    "Answers gate25d's questions about SPF. gate25d starts it; it is of no use to anybody else.\n"
    "\n"
    "  --sockets COUNT         descriptors 3 to COUNT + 2 lead to the gate\n"
    "  --resolver ADDRESS:PORT a DNS server; without any, those of /etc/resolv.conf\n";

struct settings {
    size_t sockets;
    struct endpoint resolvers[CONF_RESOLVERS];
    size_t resolver_count;
};

static int serve(const struct settings *settings)
{
    char array[ERROR_TEXT];
    struct text error;
    int sockets[SOCKETS_MOST];
    text_init(&error, array, sizeof(array));
    for (size_t i = 0; i < settings->sockets; i++) {
        sockets[i] = FIRST_SOCKET + (int)i;
    }
    if (spf_death_setup() < 0) {
        log_error("cannot watch for signals: %m");
        return EXIT_FAILURE;
    }
    struct event_base *base = event_base_new();
    struct spf_service *service = base ? spf_service_new(
                                             base, sockets, settings->sockets, settings->resolvers,
                                             settings->resolver_count, &error)
                                       : NULL;
    if (!service || spf_sandbox_enter(&error) < 0) {
        log_error("%s", array);
        return EXIT_FAILURE;
    }
    log_info("ready");
    event_base_dispatch(base);
    spf_service_free(service);
    event_base_free(base);
    return EXIT_SUCCESS;
}

static int set_resolver(struct settings *s, const char *value)
{
    if (s->resolver_count == CONF_RESOLVERS ||
        !endpoint_parse(span_of(value), &s->resolvers[s->resolver_count])) {
        return -1;
    }
    s->resolver_count++;
    return 0;
}

static int fail_usage(void)
{
    (void)fputs(usage, stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"sockets", required_argument, NULL, 's'},
        {"resolver", required_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {0},
    };
    struct settings settings = {0};
    uint64_t sockets = 0;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 's':
            (void)span_number(span_of(optarg), SOCKETS_MOST, &sockets);
            break;
        case 'r':
            if (set_resolver(&settings, optarg) < 0) {
                return fail_usage();
            }
            break;
        case 'h':
            (void)fputs(usage, stdout);
            return EXIT_SUCCESS;
        case 'v':
            (void)puts("gate25-spfd " GATE25_VERSION);
            return EXIT_SUCCESS;
        default:
            return fail_usage();
        }
    }
    if (optind < argc || sockets == 0) {
        return fail_usage();
    }
    settings.sockets = (size_t)sockets;
    /* The gate's end is ours. What is sent to all of its processes is for gate25d to act upon:
     * sessions that drain still ask. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    log_open("gate25-spfd", LOG_LEVEL_INFO);
    return serve(&settings);
}
