/* The command line of the bench's sink. */
#ifndef GATE25_BENCH_SINK_OPTIONS_H
#define GATE25_BENCH_SINK_OPTIONS_H

#include "bench/address.h"

#define SINK_LISTENERS_MOST 16

struct sink_options {
    union address listen[SINK_LISTENERS_MOST];
    unsigned listeners;
    const char *certificate; /* NULL: no STARTTLS */
    const char *key;
};

/* Ends the program with what is allowed if the options are wrong. */
void sink_options_read(int argc, char **argv, struct sink_options *out);

#endif
