#include "svc/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"
#include "core/store_keys.h"
#include "net/clock.h"
#include "svc/conf_file.h"

#define OPEN_EVERY_MS  1000
#define STREAM_LINES   "1000"
#define COMPLAIN_EVERY 60000 /* ms */

struct journal {
    struct conf *conf;
    struct redis *redis;
    struct metrics *metrics;
    int fd;    /* -1: no file, or it cannot be opened */
    bool torn; /* the file ends within a line */
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
    j->torn = j->torn && lseek(j->fd, 0, SEEK_END) > 0; /* it may be the same file again */
}

/* False: dropped. */
static bool write_file(struct journal *j, struct span line)
{
    struct iovec parts[2] = {{.iov_base = (char[]){'\n'}, .iov_len = j->torn ? 1 : 0}};
    ssize_t whole = (ssize_t)(parts[0].iov_len + line.len);
    ssize_t n;

    if (j->fd < 0) {
        open_file(j);
    }
    if (j->fd < 0) {
        return false;
    }
    /* writev() only reads; its structure has no const. */
    memcpy(&parts[1].iov_base, &line.at, sizeof(line.at));
    parts[1].iov_len = line.len;
    do {
        n = writev(j->fd, parts, 2);
    } while (n < 0 && errno == EINTR);
    if (n == whole) {
        j->torn = false;
        return true;
    }
    if (n > 0) {
        j->torn = n > (ssize_t)parts[0].iov_len;
    }
    complain(j, n < 0 ? strerror(errno) : "a line was written in part (disk full?)");
    return false;
}

/* The subscriber's own log; `line` is without its newline. False: dropped. */
static bool write_stream(struct journal *j, const char *id, struct span line)
{
    char array[STORE_KEY], keep[24];
    struct span key = store_key(STORE_KEY_LOG, span_of(id), array);
    const struct span add[] = {
        SPAN_LITERAL("XADD"),       key,
        SPAN_LITERAL("MAXLEN"),     SPAN_LITERAL("~"),
        SPAN_LITERAL(STREAM_LINES), SPAN_LITERAL("*"),
        SPAN_LITERAL("line"),       line,
    };
    uint32_t deadline_ms = j->conf->redis.deadline_ms;

    snprintf(keep, sizeof(keep), "%" PRIu64, j->conf->journal_keep_s);
    const struct span expire[] = {SPAN_LITERAL("EXPIRE"), key, span_of(keep)};

    return redis_call(j->redis, add, sizeof(add) / sizeof(add[0]), deadline_ms, NULL, NULL, 0) ==
               0 &&
           redis_call(
               j->redis, expire, sizeof(expire) / sizeof(expire[0]), deadline_ms, NULL, NULL, 0) ==
               0;
}

struct journal *journal_new(struct conf *conf, struct redis *redis, struct metrics *metrics)
{
    struct journal *j = calloc(1, sizeof(*j));

    if (!j) {
        return NULL;
    }
    j->conf = conf_hold(conf);
    j->redis = redis;
    j->metrics = metrics;
    j->fd = -1;
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
    close_file(j);
    conf_release(j->conf);
    free(j);
}

void journal_write(struct journal *j, const struct journal_line *line)
{
    char *text = journal_format(j->conf, line);
    struct span whole;

    metrics_add(j->metrics, METRIC_JOURNAL_LINES, 1);
    if (!text) {
        metrics_add(j->metrics, METRIC_JOURNAL_DROPPED, 1);
        return;
    }
    whole = span_of(text);
    if (j->conf->journal_file && !write_file(j, whole)) {
        metrics_add(j->metrics, METRIC_JOURNAL_DROPPED, 1);
    }
    if (j->redis && line->id &&
        !write_stream(j, line->id, (struct span){whole.at, whole.len - 1})) {
        metrics_add(j->metrics, METRIC_JOURNAL_DROPPED, 1);
    }
    free(text);
}

void journal_reopen(struct journal *j, struct conf *conf)
{
    struct conf *old = j->conf;

    close_file(j);
    j->conf = conf_hold(conf);
    conf_release(old);
    if (conf->journal_file) {
        open_file(j);
    }
}
