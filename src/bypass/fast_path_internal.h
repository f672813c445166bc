/* What fast_path.c (program and maps) and fast_path_links.c (where it stands) share. */
#ifndef GATE25_BYPASS_FAST_PATH_INTERNAL_H
#define GATE25_BYPASS_FAST_PATH_INTERNAL_H

struct bpf_object;

struct fast_path {
    struct bpf_object *object;
    int program, units4, units6, state; /* descriptors, the object's */
    unsigned ipv6_unit;
};

#endif
