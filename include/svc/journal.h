/* One JSON object a line for each session's end and each refusal: to the file, and to the
 * subscriber's stream in Redis. Never blocks; what cannot be written is dropped and counted.
 *
 * Lines wait for one another, so that many take one write: for JOURNAL_WAIT_MS at most, or until
 * they are JOURNAL_WAIT_MOST bytes. So much is what a process that is killed may lose of the file.
 * In the stream refusals that repeat take one entry (svc/journal_repeats.h): of those it may lose
 * what has come within JOURNAL_REPEAT_WAIT_MS, a second. */
#ifndef GATE25_SVC_JOURNAL_H
#define GATE25_SVC_JOURNAL_H

#include "base/buf.h"
#include "base/metrics.h"
#include "core/dialog.h"
#include "svc/redis.h"

#define JOURNAL_WAIT_MS   20
#define JOURNAL_WAIT_MOST 65536

struct journal;

enum journal_event { JOURNAL_SESSION, JOURNAL_REFUSAL };

/* One line. Strings may hold anything: how they stand in the JSON is base/json_line.h's affair.
 * Nothing is lost, nothing moves a cursor. */
struct journal_line {
    enum journal_event event;
    int64_t time_ms; /* Unix; what is before 1970 is told as its beginning */
    const char *case_id;
    const char *id; /* the subscriber's; NULL: not a subscriber, no stream */
    struct endpoint client, server;
    const struct conf_class *class; /* NULL: none was found */
    struct verdict verdict;
    const struct dialog_record *dialog; /* NULL: none took place */
    const char *helo, *from, *to;       /* its words; NULL or empty: none */
    const struct turns *turns;          /* NULL: not encrypted */
    uint64_t bytes_up, bytes_down;
    int64_t duration_ms; /* not negative */
    const char *detail;  /* NULL: none */
};

/* `conf` gives file, keep, envelope and node; it is held. `redis` may be NULL: no streams.
 * `metrics` counts lines, and copies of them (file, stream) that were dropped, once that is known.
 * NULL: out of memory.
 * A file that cannot be opened is logged, and tried again at most once a second. SIGPIPE must be
 * ignored in this process: the file may be a FIFO. */
struct journal *journal_new(
    struct event_base *base, struct conf *conf, struct redis *redis, struct metrics *metrics)
    __attribute__((warn_unused_result));
void journal_free(struct journal *j); /* what waits is written */
void journal_write(struct journal *j, const struct journal_line *line);
/* Redis may be another one, or have lost the streams: their lives are no longer known. */
void journal_forget(struct journal *j);
/* What waits, for the file and for streams, is written now. */
void journal_flush(struct journal *j);
/* The same, the file being the one that is open; then takes the new configuration and opens the
 * file anew (logrotate). */
void journal_reopen(struct journal *j, struct conf *conf);

/* Appends the line as text, one JSON object with its newline. -1: out of memory, nothing changed.
 * journal_write() writes exactly this to the file. Keys, in this order; null stands for what there
 * is none of:
 *
 *   time event case id client server class verdict rule retry_after_s helo from messages recipients
 *   bytes_up bytes_down tls turns messages_least messages_most duration_ms spf spf_helo
 *   node
 *
 * and where there is such: to (refusals only), cost (messages that one mail would have counted as,
 * since SPF fails it), detail, shadow (true: the verdict was not carried
 * out, the class does not enforce). An entry of a stream that stands for several lines is the
 * newest of them, and has at its end: times (how many), since (the first one's time, never later
 * than its own), cases (their case ids, oldest first, its own among them: of more than 64 the first
 * 63 and the last), and where they went to several: servers (as `server`, oldest first, its own
 * among them: of more than 32 the first 31 and the last). `from` and `to` are whole, their domains,
 * or not there at all, as the configuration's `envelope` says. */
int journal_format(const struct conf *conf, const struct journal_line *line, struct buf *out)
    __attribute__((warn_unused_result));

#endif
