/* The command line of the bench's load generator. */
#ifndef GATE25_BENCH_LOAD_OPTIONS_H
#define GATE25_BENCH_LOAD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/address.h"

#define LOAD_SERVERS_MOST 64
#define LOAD_SOURCES_MOST 64

struct load_options {
    union address server[LOAD_SERVERS_MOST];
    unsigned servers;
    struct address_range source[LOAD_SOURCES_MOST];
    unsigned sources; /* 0: the kernel chooses */
    bool in_turn;
    uint64_t seed;
    uint64_t sessions;  /* 0: until the time is over */
    int64_t seconds_ns; /* 0: until so many sessions have begun */
    int64_t warmup_ns;
    int64_t timeout_ns;
    int64_t pause_ns; /* before each command */
    uint32_t concurrent;
    double rate; /* sessions begun a second; 0: as fast as they end */
    uint32_t messages;
    uint32_t recipients;
    uint32_t size;
    bool pipelined;
    bool starttls;
    bool hold;
};

/* Ends the program with what is allowed if the options are wrong. */
void load_options_read(int argc, char **argv, struct load_options *out);

#endif
