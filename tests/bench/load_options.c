#include "bench/load_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/machine.h"
#include "bench/words.h"

#define SMTP_PORT        25
#define FILES_OF_ITS_OWN 16

static const char help[] =
    "load: SMTP sessions from many addresses: how many of them, and how fast, does a server take?\n"
    "\n"
    "load --server ADDR[:PORT] ... (--sessions N | --seconds S | --hold) [options]\n"
    "\n"
    "  --server ADDR[:PORT]    where to, [ADDR6]:PORT too, port 25 if not said; several in turn\n"
    "  --source FIRST[+COUNT]  where from, COUNT consecutive addresses; may be given 64 times\n"
    "  --in-turn               takes source addresses one after the other, not at random\n"
    "  --seed N                of the random choice (1)\n"
    "  --sessions N            ends when N sessions are over\n"
    "  --seconds S             ends after S seconds, the warm-up not among them\n"
    "  --warmup S              what happens in the first S seconds counts for nothing (0);\n"
    "                          it lasts until --concurrent sessions have been begun\n"
    "  --concurrent N          sessions that are open at a time, or at most, with --rate (20)\n"
    "  --rate R                begins R sessions a second, evenly, however fast they end\n"
    "  --messages M            in each session (1)\n"
    "  --recipients K          of each message (1)\n"
    "  --size BYTES            of each message, header and line ends among them (4096)\n"
    "  --pipelined             MAIL, RCPT and DATA in one write, a message and what follows it\n"
    "                          in one (RFC 2920)\n"
    "  --starttls              speaks TLS; certificates are not checked\n"
    "  --pause S               waits so long before each command and message (0): many sessions\n"
    "                          are open at a rate that leaves the server idle\n"
    "  --hold                  opens --concurrent sessions up to EHLO's reply, prints `holding "
    "N`,\n"
    "                          and holds them until stdin ends\n"
    "  --timeout S             how long a server may be silent (30)\n"
    "\n"
    "Prints `measuring` when the warm-up is over, `measured` when the interval is, and what it "
    "has\n"
    "counted in between, as JSON. A session counts when it ends, a reply when it comes. Sessions "
    "that\n"
    "are open then are brought to their end: what fails of them counts as failed.\n";

enum {
    SERVER = 1,
    SOURCE,
    IN_TURN,
    SEED,
    SESSIONS,
    SECONDS,
    WARMUP,
    CONCURRENT,
    RATE,
    MESSAGES,
    RECIPIENTS,
    SIZE,
    PIPELINED,
    STARTTLS,
    PAUSE,
    HOLD,
    TIMEOUT,
    HELP,
};

static const struct option names[] = {
    {"server", required_argument, NULL, SERVER},
    {"source", required_argument, NULL, SOURCE},
    {"in-turn", no_argument, NULL, IN_TURN},
    {"seed", required_argument, NULL, SEED},
    {"sessions", required_argument, NULL, SESSIONS},
    {"seconds", required_argument, NULL, SECONDS},
    {"warmup", required_argument, NULL, WARMUP},
    {"concurrent", required_argument, NULL, CONCURRENT},
    {"rate", required_argument, NULL, RATE},
    {"messages", required_argument, NULL, MESSAGES},
    {"recipients", required_argument, NULL, RECIPIENTS},
    {"size", required_argument, NULL, SIZE},
    {"pipelined", no_argument, NULL, PIPELINED},
    {"starttls", no_argument, NULL, STARTTLS},
    {"pause", required_argument, NULL, PAUSE},
    {"hold", no_argument, NULL, HOLD},
    {"timeout", required_argument, NULL, TIMEOUT},
    {"help", no_argument, NULL, HELP},
    {0},
};

static void add_server(struct load_options *out, const char *text)
{
    if (out->servers == LOAD_SERVERS_MOST) {
        words_wrong("--server may be given %d times", LOAD_SERVERS_MOST);
    }
    if (!address_read(text, SMTP_PORT, &out->server[out->servers++])) {
        words_wrong("--server %s: it is ADDR, ADDR:PORT, or [ADDR6]:PORT, " ADDRESS_PORT, text);
    }
}

static void add_source(struct load_options *out, const char *text)
{
    if (out->sources == LOAD_SOURCES_MOST) {
        words_wrong("--source may be given %d times", LOAD_SOURCES_MOST);
    }
    if (!address_range_read(text, &out->source[out->sources++])) {
        words_wrong(
            "--source %s: it is an address, or FIRST+COUNT with up to 16777216 addresses", text);
    }
}

static uint32_t number(const char *option, uint64_t least, uint64_t most)
{
    return (uint32_t)words_option(option, optarg, least, most);
}

static int64_t seconds(const char *option, double least)
{
    return (int64_t)(words_option_real(option, optarg, least, 86400) * SECOND_NS);
}

static void read_one(struct load_options *out, int option)
{
    switch (option) {
    case SERVER:
        add_server(out, optarg);
        break;
    case SOURCE:
        add_source(out, optarg);
        break;
    case IN_TURN:
        out->in_turn = true;
        break;
    case SEED:
        out->seed = words_option("seed", optarg, 0, UINT64_MAX);
        break;
    case SESSIONS:
        out->sessions = words_option("sessions", optarg, 1, 1000000000);
        break;
    case SECONDS:
        out->seconds_ns = seconds("seconds", 0.001);
        break;
    case WARMUP:
        out->warmup_ns = seconds("warmup", 0);
        break;
    case CONCURRENT:
        out->concurrent = number("concurrent", 1, 1000000);
        break;
    case RATE:
        out->rate = words_option_real("rate", optarg, 0.001, 1000000);
        break;
    case MESSAGES:
        out->messages = number("messages", 1, 1000000);
        break;
    case RECIPIENTS:
        out->recipients = number("recipients", 1, 1000);
        break;
    case SIZE:
        out->size = number("size", 2, 104857600);
        break;
    case PIPELINED:
        out->pipelined = true;
        break;
    case STARTTLS:
        out->starttls = true;
        break;
    case PAUSE:
        out->pause_ns = seconds("pause", 0);
        break;
    case HOLD:
        out->hold = true;
        break;
    case TIMEOUT:
        out->timeout_ns = seconds("timeout", 0.1);
        break;
    case HELP:
        fputs(help, stdout);
        exit(0);
    default:
        exit(2);
    }
}

/* Each server needs an address of its family to be reached from. */
static void check_families(const struct load_options *o)
{
    for (unsigned i = 0; i < o->servers && o->sources > 0; i++) {
        bool has_source = false;
        for (unsigned j = 0; j < o->sources; j++) {
            has_source |= o->source[j].first.any.sa_family == o->server[i].any.sa_family;
        }
        if (!has_source) {
            words_wrong("each --server needs a --source of its family, IPv4 or IPv6");
        }
    }
}

static void check(const struct load_options *o)
{
    if (o->servers == 0) {
        words_wrong("it needs --server ADDR; see --help");
    }
    if ((o->sessions > 0) + (o->seconds_ns > 0) + o->hold != 1) {
        words_wrong("it needs one of --sessions, --seconds and --hold");
    }
    if (o->hold && (o->rate > 0 || o->warmup_ns > 0)) {
        words_wrong("--hold goes with neither --rate nor --warmup");
    }
    check_families(o);
    uint64_t needed = (uint64_t)o->concurrent + FILES_OF_ITS_OWN;
    uint64_t files = machine_raise_files(needed);
    if (files < needed) {
        words_wrong(
            "--concurrent %u: it needs %ju open files, and %ju are allowed here (ulimit -n)",
            o->concurrent, needed, files);
    }
}

void load_options_read(int argc, char **argv, struct load_options *out)
{
    int option;

    *out = (struct load_options){
        .concurrent = 20,
        .messages = 1,
        .recipients = 1,
        .size = 4096,
        .seed = 1,
        .timeout_ns = 30 * SECOND_NS};
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        read_one(out, option);
    }
    if (optind < argc) {
        words_wrong("%s: it takes options alone; see --help", argv[optind]);
    }
    check(out);
}
