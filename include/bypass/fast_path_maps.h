/* What the fast path's program in the kernel (src/kernel/fast_path.c) and gate25-bypassd both know:
 * the maps that they share. */
#ifndef GATE25_BYPASS_FAST_PATH_MAPS_H
#define GATE25_BYPASS_FAST_PATH_MAPS_H

#include <linux/types.h>

/* Names of the maps: units of either family, and the one struct fast_path_state. */
#define FAST_PATH_UNITS4 "units4"
#define FAST_PATH_UNITS6 "units6"
#define FAST_PATH_STATE  "state"

/* A key of units4 is the address, one of units6 the first 64 bits of the prefix, host bits zero;
 * both as in a packet. */
typedef __u32 fast_path_key4;
typedef __u64 fast_path_key6;

struct fast_path_unit {
    __u64 end_ns;   /* CLOCK_MONOTONIC; 0: none */
    __u64 opened;   /* connections: first packets, repeated ones too; since it was put in, as ... */
    __u64 up, down; /* ... bytes with their IP headers */
};

struct fast_path_state {
    __u64 fresh_ns;   /* CLOCK_MONOTONIC: from then on no new connection is let by here ... */
    __u64 open_ns;    /* ... and no open one either */
    __u64 unit6_mask; /* makes the first 64 bits of an IPv6 address its unit's; as in a packet */
};

#endif
