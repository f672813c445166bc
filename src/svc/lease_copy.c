#include "svc/lease_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "net/clock.h"
#include "svc/lease_feed.h"

#define HEADER        "gate25-leases 1\n"
#define TRAILER       "end "
#define LONGEST_LINE  200
#define SLICE         16384 /* slots a turn of the loop */
#define SETTLE_S      20    /* changes gather for this long */
#define WARNINGS_MOST 5

struct lease_copy {
    const struct lease_map *map;
    struct event *timer;
    char *path, *temporary;
    bool dirty;
    FILE *file;  /* under way */
    size_t next; /* slot */
    size_t written;
};

/* --- reading --- */

/* False: it makes no sense. */
static bool read_line(struct span line, struct lease_map *map, int64_t unix_s, int64_t monotonic_s)
{
    const char *blank = line.len == 0 ? NULL : memchr(line.at, ' ', line.len);
    struct lease_entry e;

    if (blank == NULL) {
        return false;
    }
    struct span unit = {line.at, (size_t)(blank - line.at)};
    if (!lease_entry_parse(unit, span_skip(line, unit.len + 1), &e) || e.account[0] == '\0') {
        return false;
    }
    return e.until_s <= unix_s || lease_map_put(
                                      map, &e.unit, span_of(e.account), e.began_ms,
                                      monotonic_s + (e.until_s - unix_s)) == 0;
}

static void read_lines(FILE *file, const char *path, struct lease_map *map)
{
    int64_t unix_s = clock_unix_ms() / 1000, monotonic_s = clock_monotonic_ms() / 1000;
    char line[LONGEST_LINE];
    unsigned bad = 0;
    uint64_t promised;
    bool whole = false;

    while (!whole && fgets(line, sizeof(line), file) != NULL) {
        struct span s = {line, strcspn(line, "\n")};

        if (span_starts_nocase(s, SPAN_LITERAL(TRAILER))) {
            whole = span_number(span_skip(s, strlen(TRAILER)), UINT64_MAX, &promised);
        } else if (
            (line[s.len] != '\n' || !read_line(s, map, unix_s, monotonic_s)) &&
            ++bad <= WARNINGS_MOST) {
            log_warning("%s: not a lease, left out: %.*s", path, (int)s.len, s.at);
        }
    }
    if (!whole) {
        log_warning("%s: not a whole copy", path);
    }
    log_info("%s: %zu leases", path, lease_map_count(map));
}

void lease_copy_read(const char *path, struct lease_map *map)
{
    char line[LONGEST_LINE];
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        if (errno != ENOENT) {
            log_warning("%s: %s", path, strerror(errno));
        }
        return;
    }
    if (fgets(line, sizeof(line), file) != NULL && strcmp(line, HEADER) == 0) {
        read_lines(file, path, map);
    } else {
        log_warning("%s: no copy of the leases that this version can read, ignored", path);
    }
    fclose(file);
}

/* --- writing --- */

static void wake_in(struct lease_copy *c, unsigned seconds)
{
    struct timeval delay = {seconds, 0};

    evtimer_add(c->timer, &delay);
}

static void failed(struct lease_copy *c, const char *path)
{
    log_warning("%s: %s; the copy of the leases is not written", path, strerror(errno));
    if (c->file != NULL) {
        fclose(c->file);
        c->file = NULL;
    }
    unlink(c->temporary);
    c->dirty = true;
    wake_in(c, SETTLE_S);
}

static bool begin(struct lease_copy *c)
{
    int fd = open(c->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

    c->file = fd < 0 ? NULL : fdopen(fd, "w");
    if (c->file == NULL) {
        failed(c, c->temporary);
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    c->dirty = false;
    c->next = 0;
    c->written = 0;
    fputs(HEADER, c->file);
    return true;
}

static void finish(struct lease_copy *c)
{
    FILE *file = c->file;
    bool bad;

    fprintf(file, TRAILER "%zu\n", c->written);
    bad = ferror(file) != 0;
    c->file = NULL;
    bad = fclose(file) != 0 || bad;
    if (bad || rename(c->temporary, c->path) != 0) {
        failed(c, c->path);
    } else if (c->dirty) {
        wake_in(c, SETTLE_S);
    }
}

/* An entry that moves while a copy is under way may be missing in it, and is in the next one. The
 * session is none's: no copy is ever written back. */
static void write_slice(struct lease_copy *c, size_t slots)
{
    int64_t unix_s = clock_unix_ms() / 1000, monotonic_s = clock_monotonic_ms() / 1000;

    for (; slots > 0 && c->next < c->map->index.capacity; slots--, c->next++) {
        struct lease_row row;
        char unit[PREFIX_TEXT];

        if (!lease_map_row(c->map, c->next, &row) || row.until <= monotonic_s) {
            continue;
        }
        prefix_format(&row.unit, unit);
        fprintf(
            c->file, "%s %" PRId64 " %" PRId64 " 0 %s\n", unit, unix_s + (row.until - monotonic_s),
            row.began, row.account);
        c->written++;
    }
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct lease_copy *c = context;

    (void)fd;
    (void)what;
    if (c->file == NULL && !begin(c)) {
        return;
    }
    write_slice(c, SLICE);
    if (c->next < c->map->index.capacity) {
        wake_in(c, 0);
    } else {
        finish(c);
    }
}

struct lease_copy *lease_copy_new(
    struct event_base *base, const struct lease_map *map, const char *path)
{
    struct lease_copy *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        return NULL;
    }
    c->map = map;
    c->timer = evtimer_new(base, on_timer, c);
    c->path = strdup(path);
    if (c->timer == NULL || c->path == NULL || asprintf(&c->temporary, "%s.new", path) < 0) {
        if (c->timer != NULL) {
            event_free(c->timer);
        }
        free(c->path);
        free(c);
        return NULL;
    }
    return c;
}

void lease_copy_free(struct lease_copy *c)
{
    if (c == NULL) {
        return;
    }
    if (c->file != NULL) {
        fclose(c->file);
        c->file = NULL;
        c->dirty = true;
    }
    if (c->dirty && begin(c)) {
        write_slice(c, c->map->index.capacity);
        finish(c);
    }
    event_free(c->timer);
    free(c->path);
    free(c->temporary);
    free(c);
}

void lease_copy_changed(struct lease_copy *c)
{
    c->dirty = true;
    if (c->file == NULL && !evtimer_pending(c->timer, NULL)) {
        wake_in(c, SETTLE_S);
    }
}
