/* Refusals that repeat, gathered for a subscriber's stream: which lines are alike, when they are
 * due, and what goes out for them. No I/O, and no clock: time is an argument (monotonic ms).
 *
 * The first line of a kind goes out at once, and opens the kind. Those alike that follow within
 * JOURNAL_REPEAT_WAIT_MS wait: of their texts the newest is kept, of their cases the first
 * JOURNAL_REPEAT_CASES - 1 and the last, and likewise of their servers. They are due when the wait
 * is over; then the kind is open for another wait, and is forgotten when one passes with nothing.
 * So a flood costs a stream one entry a wait and kind, however fast it is.
 *
 * Alike are lines of one subscriber with the same event, class and verdict (action, rule, limit and
 * the rate of its window, cost, shadow), of which nothing was transferred: refusals, and ends of
 * sessions that have carried nothing: no message and no recipient were accepted, and all that the
 * server was sent is a dialogue that the gate has read (not encrypted, nor passed) of at most
 * JOURNAL_REPEAT_BYTES. What else they tell may differ; bytes and duration, too, are the newest
 * line's, no sums. But not the unit they came from: below a standing over a wider prefix a log is
 * many units', and each is shown its own lines.
 *
 * The order of what one process writes into a stream is that of the newest lines: nothing overtakes
 * what waits of its subscriber and is older.
 *
 * Bounded: beyond JOURNAL_REPEAT_KINDS open kinds lines go out at once, as if they were not alike;
 * those that flood keep their places so, and others find one as soon as a kind is forgotten. A kind
 * takes 1.6 kB, and its text's length while lines wait or have waited: JOURNAL_REPEAT_LINE at most,
 * so 2.5 MB for all of them. Nothing is allocated for a line that is no longer than those before.
 */
#ifndef GATE25_SVC_JOURNAL_REPEATS_H
#define GATE25_SVC_JOURNAL_REPEATS_H

#include "base/json_line.h"
#include "svc/journal.h"

#define JOURNAL_REPEAT_WAIT_MS 1000
#define JOURNAL_REPEAT_KINDS   256
#define JOURNAL_REPEAT_CASES   64   /* in one entry */
#define JOURNAL_REPEAT_SERVERS 32   /* in one entry */
#define JOURNAL_REPEAT_BYTES   1024 /* a session that has sent more has an entry of its own */
#define JOURNAL_REPEAT_LINE    8192 /* bytes; a longer line does not wait */

struct journal_repeats;

struct journal_repeats *journal_repeats_new(void) __attribute__((warn_unused_result));
void journal_repeats_free(struct journal_repeats *r); /* what waits is lost; NULL is fine */

/* `unit` is the client's (prefix_unit()), `text` what journal_format() made of the line, without
 * its newline. True: it waits. False: it goes out now, behind what journal_repeats_of() hands out.
 * Look for what is due after either. */
bool journal_repeats_add(
    struct journal_repeats *r, const struct journal_line *line, const struct prefix *unit,
    struct span text, int64_t now_ms) __attribute__((warn_unused_result));

/* One entry of a stream, for all lines of a kind that have waited. */
struct journal_repeat {
    const char *id;
    struct span line; /* the newest's text */
    uint64_t times;   /* the lines; 1: it is an ordinary one */
    int64_t since_ms; /* the first's time, Unix; the newest's where the clock was set back */
    const char (*cases)[CASE_TEXT];
    size_t case_count; /* distinct, oldest first, the newest line's among them; not all of many */
    const struct endpoint *servers;
    size_t server_count; /* the same of them; 0: no line has one */
};

/* The next entry that is to go out now, valid until the next call; NULL: there is none. What was
 * handed out waits no more. */
const struct journal_repeat *journal_repeats_due(struct journal_repeats *r, int64_t now_ms);
/* The same of all that waits of a subscriber. */
const struct journal_repeat *journal_repeats_of(
    struct journal_repeats *r, const char *id, int64_t now_ms);
/* The same of all that waits. */
const struct journal_repeat *journal_repeats_any(struct journal_repeats *r, int64_t now_ms);
/* When to look for what is due; INT64_MAX: nothing is open. */
int64_t journal_repeats_next_ms(const struct journal_repeats *r);

#define JOURNAL_ENTRY                                                                              \
    (JOURNAL_REPEAT_LINE + 160 + JOURNAL_REPEAT_CASES * (JSON_LINE_GROWTH * CASE_TEXT + 3) +       \
     JOURNAL_REPEAT_SERVERS * (ENDPOINT_TEXT + 3))

/* The entry as text, without a newline: the line as it is where it stands for itself alone, else in
 * `out`, with the keys `times`, `since` and `cases` at its end, and `servers` (svc/journal.h). */
struct span journal_format_repeat(const struct journal_repeat *repeat, char out[JOURNAL_ENTRY]);

#endif
