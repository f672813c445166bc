/* One JSON object a line for each session's end and each refusal: to the file, and to the
 * subscriber's stream in Redis. Never blocks; what cannot be written is dropped and counted. */
#ifndef GATE25_SVC_JOURNAL_H
#define GATE25_SVC_JOURNAL_H

#include "base/metrics.h"
#include "core/dialog.h"
#include "svc/redis.h"

struct journal;

enum journal_event { JOURNAL_SESSION, JOURNAL_REFUSAL };

/* One line. Strings may hold anything. In the JSON's strings each byte of a control character (also
 * DEL and U+0080 to U+009F), each byte that is not UTF-8 (RFC 3629) and each backslash stands as
 * the four characters \xNN, two upper-case hexadecimal digits: nothing is lost, nothing moves a
 * cursor. */
struct journal_line {
    enum journal_event event;
    int64_t time_ms; /* Unix */
    const char *case_id;
    const char *id; /* the subscriber's; NULL: not a subscriber, no stream */
    struct endpoint client, server;
    const struct conf_class *class; /* NULL: none was found */
    struct verdict verdict;
    const struct dialog_record *dialog; /* NULL: none took place */
    const char *helo, *from, *to;       /* its words; NULL or empty: none */
    const struct turns *turns;          /* NULL: not encrypted */
    uint64_t bytes_up, bytes_down;
    int64_t duration_ms;
    const char *detail; /* NULL: none */
};

/* `conf` gives file, keep, envelope and node; it is held. `redis` may be NULL: no streams.
 * `metrics` counts lines and copies of them (file, stream) that were dropped. NULL: out of memory.
 * A file that cannot be opened is logged, and tried again at most once a second. SIGPIPE must be
 * ignored in this process: the file may be a FIFO. */
struct journal *journal_new(struct conf *conf, struct redis *redis, struct metrics *metrics)
    __attribute__((warn_unused_result));
void journal_free(struct journal *j);
void journal_write(struct journal *j, const struct journal_line *line);
/* Takes the new configuration and opens the file anew (logrotate). */
void journal_reopen(struct journal *j, struct conf *conf);

/* The line as text, one JSON object with its newline, on the heap (free it). NULL: out of memory.
 * journal_write() writes exactly this. Keys, in this order; null stands for what there is none of:
 *
 *   time event case id client server class verdict rule retry_after_s helo from messages recipients
 *   bytes_up bytes_down tls turns messages_least messages_most duration_ms spf spf_helo
 *   node
 *
 * and where there is such: to (refusals only), cost (messages that one mail would have counted as,
 * since SPF fails it), detail, shadow (true: the verdict was not carried
 * out, the class does not enforce). `from` and `to` are whole, their domains, or not there at all,
 * as the configuration's `envelope` says. */
char *journal_format(const struct conf *conf, const struct journal_line *line);

#endif
