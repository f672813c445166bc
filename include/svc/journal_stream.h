/* The journal's lines in Redis: each subscriber's own stream, g25:log:{ID}, where refusals that
 * repeat take one entry (svc/journal_repeats.h). Never blocks; what cannot be written is dropped
 * and counted, an entry as so many lines as it stands for. */
#ifndef GATE25_SVC_JOURNAL_STREAM_H
#define GATE25_SVC_JOURNAL_STREAM_H

#include "svc/journal.h"

struct journal_stream;

/* `redis` and `metrics` outlive it. NULL: out of memory. */
struct journal_stream *journal_stream_new(
    struct event_base *base, const struct conf *conf, struct redis *redis, struct metrics *metrics)
    __attribute__((warn_unused_result));
void journal_stream_free(struct journal_stream *s); /* what waits is lost; NULL is fine */

/* `line` has an id; `text` is without its newline. */
void journal_stream_write(
    struct journal_stream *s, const struct journal_line *line, struct span text);
void journal_stream_flush(struct journal_stream *s); /* what waits is written now */
/* Redis may be another one, or have lost the streams: their lives are no longer known. */
void journal_stream_forget(struct journal_stream *s);
/* `conf` gives keep and the deadline, and is not held. What waits is written with the old one. */
void journal_stream_use(struct journal_stream *s, const struct conf *conf);

#endif
