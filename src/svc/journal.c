#include "svc/journal.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"
#include "net/clock.h"
#include "svc/conf_file.h"
#include "svc/journal_stream.h"

#define OPEN_EVERY_MS  1000
#define COMPLAIN_EVERY 60000 /* ms */

struct journal {
    struct conf *conf;
    struct metrics *metrics;
    struct journal_stream *stream; /* NULL: there is no Redis */
    int fd;                        /* -1: no file, or it cannot be opened */
    size_t at_once;   /* bytes that one write puts there undivided, whoever else writes */
    bool torn;        /* the file ends within a line */
    struct buf lines; /* for the file */
    struct event due;
    int64_t open_again_ms;
    int64_t complain_again_ms;
};

static void complain(struct journal *j, const char *why)
{
    int64_t now = clock_monotonic_ms();

    if (now < j->complain_again_ms) {
        return;
    }
    j->complain_again_ms = now + COMPLAIN_EVERY;
    log_error("journal %s: %s; lines are lost", j->conf->journal_file, why);
}

/* --- the file --- */

static void close_file(struct journal *j)
{
    if (j->fd >= 0) {
        close(j->fd);
    }
    j->fd = -1;
    j->open_again_ms = 0;
}

static void open_file(struct journal *j)
{
    int64_t now = clock_monotonic_ms();
    struct stat status;

    if (now < j->open_again_ms) {
        return;
    }
    j->open_again_ms = now + OPEN_EVERY_MS;
    /* O_NONBLOCK: a FIFO without a reader, or with one that is stuck, must not stop a worker. */
    j->fd = open(
        j->conf->journal_file, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOCTTY,
        0640);
    if (j->fd < 0) {
        complain(j, strerror(errno));
        return;
    }
    bool file = fstat(j->fd, &status) == 0 && S_ISREG(status.st_mode);
    j->torn = j->torn && file; /* it may be the same file again */
    j->at_once = file ? SIZE_MAX : PIPE_BUF;
}

/* As many whole lines from the front as may be written at once; one at least. */
static struct span front_of(struct span lines, size_t most)
{
    if (lines.len <= most) {
        return lines;
    }
    const char *end = memrchr(lines.at, '\n', most);
    if (!end) {
        end = memchr(lines.at, '\n', lines.len);
    }
    return (struct span){lines.at, (size_t)(end - lines.at) + 1};
}

static uint64_t count_lines(struct span lines)
{
    uint64_t count = 0;

    for (size_t i = 0; i < lines.len; i++) {
        count += lines.at[i] == '\n';
    }
    return count;
}

/* One write. */
static ssize_t put(struct journal *j, struct span lines)
{
    struct iovec parts[2] = {{.iov_base = (char[]){'\n'}, .iov_len = j->torn ? 1 : 0}};
    ssize_t n;

    /* writev() only reads; its structure has no const. */
    memcpy(&parts[1].iov_base, &lines.at, sizeof(lines.at));
    parts[1].iov_len = lines.len;
    do {
        n = writev(j->fd, parts, 2);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* Writes from the front, and says how many bytes are done with, one way or the other: of what is
 * written in part the line that was torn is lost, those behind it are not. */
static size_t write_some(struct journal *j, struct span lines, uint64_t *lost)
{
    j->torn = j->torn && lseek(j->fd, 0, SEEK_END) != 0; /* it may be empty by now */
    size_t prefix = j->torn ? 1 : 0;
    struct span front = front_of(lines, j->at_once - prefix);
    ssize_t n = put(j, front);

    if (n <= 0) {
        complain(j, n < 0 ? strerror(errno) : "nothing was written");
        *lost += count_lines(front);
        return front.len;
    }
    size_t written = (size_t)n - prefix;
    j->torn = written > 0 && front.at[written - 1] != '\n';
    if (!j->torn) {
        return written;
    }
    complain(j, "a line was written in part (disk full?)");
    ++*lost;
    const char *end = memchr(front.at + written, '\n', front.len - written);
    return (size_t)(end - front.at) + 1;
}

static void flush_file(struct journal *j)
{
    struct span lines = buf_span(&j->lines);
    uint64_t lost = 0;

    event_del(&j->due);
    if (lines.len > 0 && j->fd < 0) {
        open_file(j);
    }
    if (j->fd < 0) {
        lost = count_lines(lines);
        lines.len = 0;
    }
    while (lines.len > 0) {
        lines = span_skip(lines, write_some(j, lines, &lost));
    }
    buf_clear(&j->lines);
    metrics_add(j->metrics, METRIC_JOURNAL_DROPPED, (int64_t)lost);
}

static void on_due(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    flush_file(context);
}

/* --- outside --- */

void journal_flush(struct journal *j)
{
    flush_file(j);
    if (j->stream) {
        journal_stream_flush(j->stream);
    }
}

struct journal *journal_new(
    struct event_base *base, struct conf *conf, struct redis *redis, struct metrics *metrics)
{
    struct journal *j = calloc(1, sizeof(*j));

    if (!j) {
        return NULL;
    }
    if (redis && !(j->stream = journal_stream_new(base, conf, redis, metrics))) {
        free(j);
        return NULL;
    }
    j->conf = conf_hold(conf);
    j->metrics = metrics;
    j->fd = -1;
    event_assign(&j->due, base, -1, 0, on_due, j);
    if (conf->journal_file) {
        open_file(j);
    }
    return j;
}

void journal_free(struct journal *j)
{
    if (!j) {
        return;
    }
    journal_flush(j);
    journal_stream_free(j->stream);
    close_file(j);
    conf_release(j->conf);
    free(j);
}

/* `first`: nothing waited before this line. */
static void gather(struct journal *j, bool first)
{
    static const struct timeval later = {.tv_usec = JOURNAL_WAIT_MS * 1000};

    if (!j->conf->journal_file) {
        buf_clear(&j->lines);
    } else if (
        buf_len(&j->lines) >= JOURNAL_WAIT_MOST || (first && event_add(&j->due, &later) < 0)) {
        flush_file(j);
    }
}

void journal_write(struct journal *j, const struct journal_line *line)
{
    size_t before = buf_len(&j->lines);

    metrics_add(j->metrics, METRIC_JOURNAL_LINES, 1);
    if (journal_format(j->conf, line, &j->lines) != 0) {
        metrics_add(j->metrics, METRIC_JOURNAL_DROPPED, 1);
        return;
    }
    struct span text = span_skip(buf_span(&j->lines), before);
    text.len--; /* its newline */
    if (j->stream && line->id) {
        journal_stream_write(j->stream, line, text);
    }
    gather(j, before == 0);
}

void journal_forget(struct journal *j)
{
    if (j->stream) {
        journal_stream_forget(j->stream);
    }
}

void journal_reopen(struct journal *j, struct conf *conf)
{
    struct conf *old = j->conf;

    flush_file(j);
    if (j->stream) {
        journal_stream_use(j->stream, conf);
    }
    close_file(j);
    j->conf = conf_hold(conf);
    conf_release(old);
    if (conf->journal_file) {
        open_file(j);
    }
}
