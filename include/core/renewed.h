/* What was renewed lately, by name, so that it need not be each time. Bounded, and forgetful: of
 * two names that fall into one place the later one is known, and the other is due again. */
#ifndef GATE25_CORE_RENEWED_H
#define GATE25_CORE_RENEWED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define RENEWED_MOST 4096 /* a power of two */

struct renewed { /* all zero: nothing was */
    struct renewed_entry {
        uint64_t hash;
        int64_t due_ms;
    } entry[RENEWED_MOST];
};

/* False: `name` is good for longer than `now_ms` (monotonic, over 0). */
bool renewed_is_due(const struct renewed *r, struct span name, int64_t now_ms);
/* It was renewed, and is due again at `due_ms`. */
void renewed_note(struct renewed *r, struct span name, int64_t due_ms);
void renewed_forget(struct renewed *r); /* all of it */

#endif
