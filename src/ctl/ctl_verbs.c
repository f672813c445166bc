#include "ctl/ctl_verbs.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "ctl/ctl_text.h"
#include "ctl/ctl_time.h"
#include "svc/conf_file.h"

#define WHO "SUBSCRIBER"

const struct ctl_verb ctl_verbs[] = {
    {"register", CTL_ARGUMENT_MUST, WHO, CTL_TAKES_CLASS | CTL_TAKES_UNTIL | CTL_TAKES_REASON,
     "Gives the subscriber the class \"registered\" (or --class).\n", ctl_register},
    {"unregister", CTL_ARGUMENT_MUST, WHO, CTL_TAKES_REASON,
     "Takes the subscriber's standing away; a quarantine needs \"release\".\n", ctl_unregister},
    {"quarantine", CTL_ARGUMENT_MUST, WHO, CTL_TAKES_CLASS | CTL_TAKES_UNTIL | CTL_TAKES_REASON,
     "Gives the subscriber the class \"quarantined\" (or another that refuses: --class).\n",
     ctl_quarantine},
    {"release", CTL_ARGUMENT_MUST, WHO, CTL_TAKES_REASON, "Ends a quarantine.\n", ctl_release},
    {"show", CTL_ARGUMENT_MUST, WHO, 0, "Shows the subscriber's standing and its last changes.\n",
     ctl_show},
    {"list", CTL_ARGUMENT_MAY, "CLASS", CTL_TAKES_UNITS,
     "Lists all standings, or those of one class.\n", ctl_list},
    {"log", CTL_ARGUMENT_MUST, WHO, CTL_TAKES_FOLLOW,
     "Shows the last entries (-n) of the subscriber's log; -f waits for more.\n", ctl_log},
    {"explain", CTL_ARGUMENT_MUST, "ADDRESS", 0,
     "Tells what the gate makes of an address now: class, standing, limits and what is left.\n",
     ctl_explain},
    {"top", CTL_ARGUMENT_NONE, NULL, CTL_TAKES_TOP,
     "Shows who has most sessions, who is held back most, and where sessions go: anew every\n"
     "    --interval on a terminal (q ends), else once.\n",
     ctl_top},
    {"spf", CTL_ARGUMENT_THREE, "ADDRESS SENDER HELO", 0,
     "Asks the running gate whether the address may send for the sender (\"\": none, then for the\n"
     "    HELO name), and use the HELO name.\n",
     ctl_spf},
    {"operator", CTL_ARGUMENT_ONE_OR_TWO, "add|passwd|remove|list [NAME]", CTL_TAKES_ROLE,
     "Says who may work at the desk. The password of add and passwd is asked for, or read from\n"
     "    standard input.\n",
     ctl_operator},
    {"status", CTL_ARGUMENT_NONE, NULL, 0, "Asks the running gate how it is.\n", ctl_status},
    {"health", CTL_ARGUMENT_NONE, NULL, 0,
     "Is the running gate fit to be sent traffic? Exit 0: good, or impaired and says why; 1: "
     "not.\n",
     ctl_health},
    {"drain", CTL_ARGUMENT_NONE, NULL, 0,
     "Takes the gate out of service: its health is bad from now on, for routers to turn away from\n"
     "    it. What still comes is served.\n",
     ctl_drain},
    {"undrain", CTL_ARGUMENT_NONE, NULL, 0, "Takes it back into service.\n", ctl_undrain},
    {"upgrade", CTL_ARGUMENT_NONE, NULL, 0,
     "Starts the installed gate25d anew and hands over to it; no connection is lost.\n",
     ctl_upgrade},
    {"reload", CTL_ARGUMENT_NONE, NULL, 0, "Has the running gate read its configuration anew.\n",
     ctl_reload},
};

const size_t ctl_verb_count = sizeof(ctl_verbs) / sizeof(ctl_verbs[0]);

static const struct {
    unsigned takes; /* 0: every verb */
    const char *text;
} option_help[] = {
    {CTL_TAKES_CLASS, "  --class CLASS   a class of the configuration\n"},
    {CTL_TAKES_UNITS,
     "  --units         the addresses and prefixes alone for which they hold now, those of "
     "accounts too\n"},
    {CTL_TAKES_UNTIL, "  --until WHEN    when it ends: " CTL_UNTIL_FORMAT "\n"},
    {CTL_TAKES_REASON, "  --reason TEXT   why; the subscriber may be told\n"
                       "  --note TEXT     for operators\n"},
    {CTL_TAKES_REASON | CTL_TAKES_ROLE, "  --by NAME       who does it; default: you\n"},
    {CTL_TAKES_ROLE, "  --role ROLE     viewer, agent or admin\n"
                     "  --no-password   the operator comes through single sign-on alone\n"},
    {CTL_TAKES_FOLLOW, "  -n, --count N   so many entries (20)\n"
                       "  -f, --follow    wait for more\n"},
    {CTL_TAKES_TOP, "  --interval TIME between two looks of top (2s)\n"
                    "  -n, --count N   top: end after N looks\n"
                    "  --hours N       top: of the last N hours, the one that runs included (2)\n"
                    "  --rows N        top: of each table (10; on a terminal as many as fit)\n"
                    "  --once          top: one look, printed and left standing\n"},
    {0, "  --json          answer in JSON\n"
        "  --config FILE   default: " CONF_FILE_DEFAULT "\n"
        "  --help, --version\n"},
};

static void print_options(unsigned takes)
{
    printf("\nOptions:\n");
    for (size_t i = 0; i < sizeof(option_help) / sizeof(option_help[0]); i++) {
        if (option_help[i].takes == 0 || (option_help[i].takes & takes) != 0) {
            fputs(option_help[i].text, stdout);
        }
    }
}

static void print_usage_line(const struct ctl_verb *verb)
{
    char argument[64] = "";

    if (verb->argument != CTL_ARGUMENT_NONE) {
        snprintf(
            argument, sizeof(argument), verb->argument == CTL_ARGUMENT_MAY ? " [%s]" : " %s",
            verb->argument_name);
    }
    printf("gate25ctl %s%s\n    %s", verb->name, argument, verb->help);
}

static void print_help(const struct ctl_verb *verb)
{
    unsigned takes = 0;

    if (verb != NULL) {
        print_usage_line(verb);
        takes = verb->takes;
    } else {
        for (size_t i = 0; i < ctl_verb_count; i++) {
            print_usage_line(&ctl_verbs[i]);
            takes |= ctl_verbs[i].takes;
        }
    }
    printf(
        "\nSUBSCRIBER is an address, which stands for its unit (IPv4: itself, IPv6: the prefix of\n"
        "subscribers.ipv6-unit) or, with leases, for the account that holds it now; or a prefix, "
        "which\n"
        "stands for exactly itself; or an account.\n");
    print_options(takes);
    printf("\nExit: 0 done, 1 refused or not found, 2 wrong use.\n");
}

/* It may have a user of its own in Redis. */
static void choose_user(struct conf_redis *redis)
{
    if (redis->ctl_user[0] != '\0') {
        memcpy(redis->user, redis->ctl_user, sizeof(redis->user));
        memcpy(redis->password, redis->ctl_password, sizeof(redis->password));
    }
}

static enum ctl_exit run(const struct ctl_options *options)
{
    char why[1024];
    struct text error;
    struct ctl c = {.options = options, .now_s = time(NULL)};
    enum ctl_exit result;

    text_init(&error, why, sizeof(why));
    c.conf = conf_file_read(options->config, &error);
    if (c.conf == NULL) {
        ctl_say("%s", why);
        return CTL_REFUSED;
    }
    choose_user(&c.conf->redis);
    c.base = event_base_new();
    if (c.base == NULL) {
        ctl_say("out of memory");
        conf_release(c.conf);
        return CTL_REFUSED;
    }
    result = options->verb->run(&c);
    if (c.redis != NULL) {
        redis_free(c.redis);
    }
    event_base_free(c.base);
    conf_release(c.conf);
    return result;
}

int ctl_main(int argc, char **argv)
{
    char why[1024];
    struct text error;
    struct ctl_options options;
    enum ctl_exit result;

    /* The connection's warnings would only double what ctl_connect() says. */
    log_open("gate25ctl", LOG_LEVEL_ERROR);
    /* A pager that was closed ends the output, not a change half-way to Redis. */
    signal(SIGPIPE, SIG_IGN);
    text_init(&error, why, sizeof(why));
    if (ctl_options_parse(argc, argv, ctl_verbs, ctl_verb_count, &options, &error) != 0) {
        ctl_say("%s (see gate25ctl --help)", why);
        return CTL_USAGE;
    }
    if (options.version) {
        printf("gate25ctl %s\n", GATE25_VERSION);
        result = CTL_DONE;
    } else if (options.help) {
        print_help(options.verb);
        result = CTL_DONE;
    } else {
        result = run(&options);
    }
    if (fflush(stdout) != 0 && result == CTL_DONE) {
        return CTL_REFUSED;
    }
    return result;
}
