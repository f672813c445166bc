/* How to get from what the kernel's sets hold to what they shall hold: commands for nft, a batch at
 * a time. Each batch is one transaction; an address that is in both is bypassed at every moment. */
#ifndef GATE25_BYPASS_BYPASS_CHANGE_H
#define GATE25_BYPASS_BYPASS_CHANGE_H

#include "base/buf.h"
#include "bypass/bypass_sets.h"

/* The kernel's clock and ours tick apart: ends that differ by no more are the same. */
#define BYPASS_END_SLACK_S 2
/* The kernel lets an element go so long behind its end, in case nobody has by then. */
#define BYPASS_GRACE_S 3

/* Who else keeps what the sets hold: is told of what comes (again, where its end is another) and
 * goes, before the batch that says so. */
struct bypass_listener {
    void (*unit)(void *context, const struct prefix *unit, int64_t end_s, bool comes);
    void (*range)(void *context, const struct bypass_range *range, bool comes);
    void *context;
};

struct bypass_change {
    const struct bypass_sets *held, *wanted; /* neither may change meanwhile */
    int64_t clock_s;                         /* now, monotonic: ends become times left */
    const struct bypass_listener *listener;  /* NULL: nobody */
    size_t held_at, wanted_at;               /* slots that were looked at */
    size_t old_range, new_range;             /* ranges that were looked at */
    size_t removed, added; /* elements, for the log; one with another end is neither */
};

/* Appends the commands of the next batch, of some `most` elements; `gone` gets what is let by no
 * more. False: there was nothing left to do, and nothing was appended. -1 in *failed: no memory. */
bool bypass_change_next(
    struct bypass_change *c, size_t most, struct buf *out, struct bypass_sets *gone, int *failed)
    __attribute__((warn_unused_result));

#endif
