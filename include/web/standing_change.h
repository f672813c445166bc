/* Changes of a standing by somebody who has looked at it before: what he saw must still be so. */
#ifndef GATE25_WEB_STANDING_CHANGE_H
#define GATE25_WEB_STANDING_CHANGE_H

#include "svc/standings.h"

#define STANDING_DIGEST 41

/* Asks for a standing as somebody wants to see it before he changes it: for standing_seen(). -1: as
 * redis_call(). */
int standing_look(
    struct redis *r, struct span id, uint32_t deadline_ms, redis_reply_cb reply, void *context,
    uint64_t ticket);
/* Reads that answer; the spans look into it, an empty class says that there is no standing. The
 * digest stands for all of it. False: an error. */
bool standing_seen(
    const struct redis_reply *reply, struct standing *out, char digest[STANDING_DIGEST]);

enum standing_outcome {
    STANDING_DONE,
    STANDING_MEANWHILE, /* it is not the one that was seen: nothing was changed */
    STANDING_FAILED     /* `error` says what Redis said, or that it did not answer */
};
typedef void (*standing_change_cb)(void *context, enum standing_outcome outcome, struct span error);

/* standings_set(), or with an empty class standings_remove(), if the standing is still the one that
 * `digest` stands for: compared and written in one step. `done` is called once. */
void standing_change(
    struct redis *r, const struct standing *s, struct span digest, uint32_t deadline_ms,
    standing_change_cb done, void *context);

#endif
