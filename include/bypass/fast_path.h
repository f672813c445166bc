/* The fast path: a program in the kernel (src/kernel/fast_path.c) that sends packets on
 * before nftables sees them, and the units that it does so for. libbpf.
 *
 * What is in the kernel outlives its owner, as the table of nftables does, until the moments that
 * fast_path_live() was told last. Nothing here waits but for the kernel. */
#ifndef GATE25_BYPASS_FAST_PATH_H
#define GATE25_BYPASS_FAST_PATH_H

#include "core/prefix_map.h"

struct fast_path;

/* Puts program and maps into the kernel, on no link yet, with room for so many units of each
 * family. NULL: `error` says why. */
struct fast_path *fast_path_new(
    size_t units4, size_t units6, unsigned ipv6_unit, struct text *error)
    __attribute__((warn_unused_result));
/* Takes nothing off its links. */
void fast_path_free(struct fast_path *f);

/* On the link of that name, in place of an older one of ours; nothing happens where it stands
 * already. -1: `error` says why. */
int fast_path_attach(struct fast_path *f, const char *link, struct text *error)
    __attribute__((warn_unused_result));
/* Takes ours off every link of this machine, whichever process has put it there. */
void fast_path_detach(void);

/* Lets units' new connections by until fresh_s, and what is open until open_s; CLOCK_MONOTONIC.
 * -1: errno. */
int fast_path_live(struct fast_path *f, int64_t fresh_s, int64_t open_s)
    __attribute__((warn_unused_result));
/* Lets the unit by, until end_s (CLOCK_MONOTONIC; 0: without an end). -1: errno, E2BIG: there is
 * no room left. */
int fast_path_put(struct fast_path *f, const struct prefix *unit, int64_t end_s)
    __attribute__((warn_unused_result));

/* The same of all these at once; none may be there yet. `until_s` of each is its end. */
int fast_path_fill(struct fast_path *f, const struct prefix_map *units)
    __attribute__((warn_unused_result));

/* Since the unit was put in first: connections begun, bytes with their IP headers. */
struct fast_path_figures {
    uint64_t opened, up, down;
};

/* No longer. True: it was let by, and that much of it. */
bool fast_path_remove(
    struct fast_path *f, const struct prefix *unit, struct fast_path_figures *figures);
typedef void (*fast_path_cb)(
    void *context, const struct prefix *unit, const struct fast_path_figures *figures);
/* Every unit, in no order. -1: errno. */
int fast_path_each(struct fast_path *f, fast_path_cb each, void *context)
    __attribute__((warn_unused_result));

#endif
