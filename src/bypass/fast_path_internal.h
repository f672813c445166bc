/* What fast_path.c (program and maps) and fast_path_links.c (where it stands) share. */
#ifndef GATE25_BYPASS_FAST_PATH_INTERNAL_H
#define GATE25_BYPASS_FAST_PATH_INTERNAL_H

#include <stdbool.h>

struct bpf_object;

struct fast_path {
    struct bpf_object *object;
    int program, units4, units6, state; /* descriptors, the object's */
    unsigned ipv6_unit;
};

/* The program has one place a core for the packet that it looks at: with PREEMPT_RT another packet
 * may come in between. `kernel_version`: as uname(2) says it. */
bool fast_path_suits(const char *kernel_version);

#endif
