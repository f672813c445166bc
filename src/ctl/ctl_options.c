#include "ctl/ctl_options.h"

#include <getopt.h>
#include <string.h>

#include "core/conf.h"
#include "svc/conf_file.h"
#include "svc/tally.h"

#define INTERVAL_LEAST_US 100000
#define INTERVAL_MOST_US  3600000000

enum {
    OPTION_CLASS = 256,
    OPTION_UNTIL,
    OPTION_REASON,
    OPTION_NOTE,
    OPTION_BY,
    OPTION_ROLE,
    OPTION_NO_PASSWORD,
    OPTION_INTERVAL,
    OPTION_HOURS,
    OPTION_ROWS,
    OPTION_ONCE,
    OPTION_UNITS,
    OPTION_CONFIG,
    OPTION_JSON,
    OPTION_HELP,
    OPTION_VERSION
};

static const struct option long_options[] = {
    {"class", required_argument, NULL, OPTION_CLASS},
    {"until", required_argument, NULL, OPTION_UNTIL},
    {"reason", required_argument, NULL, OPTION_REASON},
    {"note", required_argument, NULL, OPTION_NOTE},
    {"by", required_argument, NULL, OPTION_BY},
    {"role", required_argument, NULL, OPTION_ROLE},
    {"no-password", no_argument, NULL, OPTION_NO_PASSWORD},
    {"interval", required_argument, NULL, OPTION_INTERVAL},
    {"hours", required_argument, NULL, OPTION_HOURS},
    {"rows", required_argument, NULL, OPTION_ROWS},
    {"once", no_argument, NULL, OPTION_ONCE},
    {"units", no_argument, NULL, OPTION_UNITS},
    {"config", required_argument, NULL, OPTION_CONFIG},
    {"follow", no_argument, NULL, 'f'},
    {"count", required_argument, NULL, 'n'},
    {"json", no_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {0},
};

/* Which options only some verbs take. */
static const struct {
    int option;
    unsigned needs;
    const char *name;
} restricted[] = {
    {OPTION_CLASS, CTL_TAKES_CLASS, "--class"},
    {OPTION_UNTIL, CTL_TAKES_UNTIL, "--until"},
    {OPTION_REASON, CTL_TAKES_REASON, "--reason"},
    {OPTION_NOTE, CTL_TAKES_REASON, "--note"},
    {OPTION_BY, CTL_TAKES_REASON | CTL_TAKES_ROLE, "--by"},
    {OPTION_ROLE, CTL_TAKES_ROLE, "--role"},
    {OPTION_NO_PASSWORD, CTL_TAKES_ROLE, "--no-password"},
    {OPTION_UNITS, CTL_TAKES_UNITS, "--units"},
    {'f', CTL_TAKES_FOLLOW, "-f"},
    {'n', CTL_TAKES_FOLLOW | CTL_TAKES_TOP, "-n"},
    {OPTION_INTERVAL, CTL_TAKES_TOP, "--interval"},
    {OPTION_HOURS, CTL_TAKES_TOP, "--hours"},
    {OPTION_ROWS, CTL_TAKES_TOP, "--rows"},
    {OPTION_ONCE, CTL_TAKES_TOP, "--once"},
};

#define RESTRICTED (sizeof(restricted) / sizeof(restricted[0]))

static int set_number(
    unsigned *field, const char *name, const char *value, unsigned most, struct text *error)
{
    uint64_t number;

    if (!span_number(span_of(value), most, &number) || number == 0) {
        text_addf(error, "%s %s: a number from 1 to %u is wanted", name, value, most);
        return -1;
    }
    *field = (unsigned)number;
    return 0;
}

static int set_interval(struct ctl_options *o, const char *value, struct text *error)
{
    uint64_t us;

    if (!conf_parse_duration(span_of(value), &us) || us < INTERVAL_LEAST_US ||
        us > INTERVAL_MOST_US) {
        text_addf(error, "--interval %s: 100ms to 1h is wanted, such as 500ms, 2s or 1m", value);
        return -1;
    }
    o->interval_ms = (unsigned)(us / 1000);
    return 0;
}

static int set_words(const char **field, const char *name, const char *value, struct text *error)
{
    size_t len = strlen(value);

    if (len == 0 || len > CTL_WORDS_MOST) {
        text_addf(error, "%s takes 1 to %d bytes of text", name, CTL_WORDS_MOST);
        return -1;
    }
    *field = value;
    return 0;
}

static int set(struct ctl_options *o, int option, const char *value, struct text *error)
{
    switch (option) {
    case OPTION_CLASS:
        return set_words(&o->class, "--class", value, error);
    case OPTION_UNTIL:
        return set_words(&o->until, "--until", value, error);
    case OPTION_REASON:
        return set_words(&o->reason, "--reason", value, error);
    case OPTION_NOTE:
        return set_words(&o->note, "--note", value, error);
    case OPTION_BY:
        return set_words(&o->by, "--by", value, error);
    case OPTION_ROLE:
        return set_words(&o->role, "--role", value, error);
    case OPTION_NO_PASSWORD:
        o->no_password = true;
        return 0;
    case OPTION_UNITS:
        o->units = true;
        return 0;
    case OPTION_CONFIG:
        return set_words(&o->config, "--config", value, error);
    case 'n':
        o->counted = true;
        return set_number(&o->count, "-n", value, CTL_COUNT_MOST, error);
    case OPTION_INTERVAL:
        return set_interval(o, value, error);
    case OPTION_HOURS:
        return set_number(&o->hours, "--hours", value, TALLY_HOURS, error);
    case OPTION_ROWS:
        return set_number(&o->rows, "--rows", value, TALLY_TOP_MOST, error);
    case OPTION_ONCE:
        o->once = true;
        return 0;
    case 'f':
        o->follow = true;
        return 0;
    case OPTION_JSON:
        o->json = true;
        return 0;
    case OPTION_HELP:
        o->help = true;
        return 0;
    default:
        o->version = true;
        return 0;
    }
}

static unsigned restriction_of(int option)
{
    for (size_t i = 0; i < RESTRICTED; i++) {
        if (restricted[i].option == option) {
            return 1U << i;
        }
    }
    return 0;
}

/* Options first: getopt_long sorts the rest behind them. `given` collects the restricted ones. */
static int read_options(
    int argc, char **argv, struct ctl_options *o, unsigned *given, struct text *error)
{
    int option;

    optind = 0; /* glibc: starts anew */
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":fn:", long_options, NULL)) != -1) {
        if (option == ':') {
            text_addf(error, "%s wants a value", argv[optind - 1]);
            return -1;
        }
        if (option == '?') {
            text_addf(error, "unknown option %s", argv[optind - 1]);
            return -1;
        }
        *given |= restriction_of(option);
        if (set(o, option, optarg, error) != 0) {
            return -1;
        }
    }
    return 0;
}

static int find_verb(
    const char *name, const struct ctl_verb *verbs, size_t count, struct ctl_options *o,
    struct text *error)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(verbs[i].name, name) == 0) {
            o->verb = &verbs[i];
            return 0;
        }
    }
    text_addf(error, "unknown verb \"%s\"; known are:", name);
    for (size_t i = 0; i < count; i++) {
        text_addf(error, "%s %s", i == 0 ? "" : ",", verbs[i].name);
    }
    return -1;
}

static int check_verb(
    const struct ctl_verb *verb, int arguments, unsigned given, struct text *error)
{
    static const struct {
        int least, most;
        const char *takes, *wants;
    } numbers[] = {
        [CTL_ARGUMENT_NONE] = {0, 0, "no argument", ""}, [CTL_ARGUMENT_MAY] = {0, 1, "one ", ""},
        [CTL_ARGUMENT_MUST] = {1, 1, "one ", "a "},      [CTL_ARGUMENT_THREE] = {3, 3, "only ", ""},
        [CTL_ARGUMENT_ONE_OR_TWO] = {1, 2, "only ", ""},
    };
    int most = numbers[verb->argument].most;
    int least = numbers[verb->argument].least;

    for (size_t i = 0; i < RESTRICTED; i++) {
        if ((given & 1U << i) != 0 && (verb->takes & restricted[i].needs) == 0) {
            text_addf(error, "%s does not take %s", verb->name, restricted[i].name);
            return -1;
        }
    }
    if (arguments < least) {
        text_addf(
            error, "%s wants %s%s", verb->name, numbers[verb->argument].wants, verb->argument_name);
        return -1;
    }
    if (arguments > most) {
        text_addf(
            error, "%s takes %s%s", verb->name, numbers[verb->argument].takes,
            most == 0 ? "" : verb->argument_name);
        return -1;
    }
    return 0;
}

int ctl_options_parse(
    int argc, char **argv, const struct ctl_verb *verbs, size_t verb_count, struct ctl_options *out,
    struct text *error)
{
    unsigned given = 0;
    int arguments;

    *out = (struct ctl_options){
        .config = CONF_FILE_DEFAULT,
        .count = CTL_COUNT_DEFAULT,
        .interval_ms = CTL_INTERVAL_MS,
        .hours = CTL_HOURS_DEFAULT,
    };
    if (read_options(argc, argv, out, &given, error) != 0) {
        return -1;
    }
    arguments = argc - optind - 1;
    if (arguments < 0) {
        if (out->help || out->version) {
            return 0;
        }
        text_addf(error, "a verb is wanted");
        return -1;
    }
    if (find_verb(argv[optind], verbs, verb_count, out, error) != 0) {
        return -1;
    }
    if (out->help || out->version) {
        return 0;
    }
    if (check_verb(out->verb, arguments, given, error) != 0) {
        return -1;
    }
    out->arguments = argv + optind + 1;
    out->argument = arguments > 0 ? argv[optind + 1] : NULL;
    return 0;
}
