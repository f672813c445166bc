#include "bench/sink_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/words.h"

static const char help[] =
    "sink: an SMTP server that accepts all mail and keeps none, fast enough to measure what is "
    "before it\n"
    "\n"
    "sink --listen ADDR:PORT [--listen [ADDR6]:PORT ...] [--certificate FILE --key FILE]\n"
    "\n"
    "  --listen ADDR:PORT   where to listen; may be given 16 times\n"
    "  --certificate FILE   offers STARTTLS with this certificate (PEM) ...\n"
    "  --key FILE           ... and its key\n"
    "\n"
    "Prints `ready` when it listens. SIGTERM ends it; it prints what it has counted, as JSON:\n"
    "sessions (connections accepted), messages, recipients, bytes (of messages), cpu_s.\n";

static const struct option names[] = {
    {"listen", required_argument, NULL, 'l'},
    {"certificate", required_argument, NULL, 'c'},
    {"key", required_argument, NULL, 'k'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static void add_listener(struct sink_options *out, const char *text)
{
    if (out->listeners == SINK_LISTENERS_MOST) {
        words_wrong("--listen may be given %d times", SINK_LISTENERS_MOST);
    }
    if (!address_read(text, 0, &out->listen[out->listeners++])) {
        words_wrong("--listen %s: it is ADDR:PORT, or [ADDR6]:PORT, " ADDRESS_PORT, text);
    }
}

void sink_options_read(int argc, char **argv, struct sink_options *out)
{
    int name;

    *out = (struct sink_options){0};
    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (name) {
        case 'l':
            add_listener(out, optarg);
            break;
        case 'c':
            out->certificate = optarg;
            break;
        case 'k':
            out->key = optarg;
            break;
        case 'h':
            fputs(help, stdout);
            exit(0);
        default:
            exit(2);
        }
    }
    if (optind < argc) {
        words_wrong("%s: it takes options alone; see --help", argv[optind]);
    }
    if (out->listeners == 0) {
        words_wrong("it needs --listen ADDR:PORT; see --help");
    }
    if (!out->certificate != !out->key) {
        words_wrong("--certificate and --key belong together");
    }
}
