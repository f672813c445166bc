#include "svc/map_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define TRAILER       "end "
#define SLICE         16384 /* slots a turn of the loop */
#define WARNINGS_MOST 5

struct map_copy {
    const struct map_copy_source *source;
    void *context;
    struct event *timer;
    char *path, *temporary; /* NULL: no copy is kept */
    bool dirty;
    FILE *file;  /* under way */
    size_t next; /* slot */
    size_t written;
};

/* --- reading --- */

static void read_lines(
    FILE *file, const char *path, const struct map_copy_reader *reader, void *context)
{
    char line[MAP_COPY_LINE];
    unsigned bad = 0;
    uint64_t count = 0, promised = 0;
    bool whole = false;

    while (!whole && fgets(line, sizeof(line), file) != NULL) {
        struct span s = {line, strcspn(line, "\n")};

        if (span_starts_nocase(s, SPAN_LITERAL(TRAILER))) {
            whole = span_number(span_skip(s, strlen(TRAILER)), UINT64_MAX, &promised);
        } else if (line[s.len] == '\n' && reader->line(context, s)) {
            count++;
        } else if (++bad <= WARNINGS_MOST) {
            log_warning("%s: not of the %s, left out: %.*s", path, reader->what, (int)s.len, s.at);
        }
    }
    if (!whole || count != promised) {
        log_warning(
            "%s: not a whole copy; %" PRIu64 " %s taken from it", path, count, reader->what);
    } else {
        log_info("%s: %" PRIu64 " %s", path, count, reader->what);
    }
}

void map_copy_read(const char *path, const struct map_copy_reader *reader, void *context)
{
    char line[MAP_COPY_LINE];
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        if (errno != ENOENT) {
            log_warning("%s: %s", path, strerror(errno));
        }
        return;
    }
    if (fgets(line, sizeof(line), file) != NULL &&
        reader->first(context, (struct span){line, strcspn(line, "\n")})) {
        read_lines(file, path, reader, context);
    } else {
        log_warning(
            "%s: no copy of the %s that this version can read, ignored", path, reader->what);
    }
    fclose(file);
}

/* --- writing --- */

static void wake_in(struct map_copy *c, unsigned ms)
{
    struct timeval delay = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};

    evtimer_add(c->timer, &delay);
}

static void abandon(struct map_copy *c)
{
    if (c->file != NULL) {
        fclose(c->file);
        c->file = NULL;
        unlink(c->temporary);
    }
}

static void failed(struct map_copy *c, const char *path)
{
    log_warning(
        "%s: %s; the copy of the %s is not written", path, strerror(errno), c->source->what);
    abandon(c);
    c->dirty = true;
    wake_in(c, c->source->again_ms);
}

static bool begin(struct map_copy *c)
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
    c->source->begin(c->context, c->file);
    return true;
}

static void finish(struct map_copy *c)
{
    FILE *file = c->file;
    bool bad;

    fprintf(file, TRAILER "%zu\n", c->written);
    bad = ferror(file) != 0;
    c->file = NULL;
    bad = fclose(file) != 0 || bad;
    if (bad || rename(c->temporary, c->path) != 0) {
        failed(c, c->path);
        unlink(c->temporary);
        return;
    }
    if (c->dirty) {
        wake_in(c, c->source->settle_ms);
    }
}

/* An entry that moves while a copy is under way may be missing in it, or be there twice, which does
 * no harm: the change that moved it has made the map dirty, and the next copy follows. */
static void write_slice(struct map_copy *c, size_t slots)
{
    size_t capacity = c->source->slots(c->context);

    if (c->source->slice != NULL) {
        c->source->slice(c->context);
    }
    for (; slots > 0 && c->next < capacity; slots--, c->next++) {
        c->written += c->source->write(c->context, c->file, c->next);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct map_copy *c = context;

    (void)fd;
    (void)what;
    if (c->path == NULL || (c->file == NULL && !begin(c))) {
        return;
    }
    write_slice(c, SLICE);
    if (c->next < c->source->slots(c->context)) {
        wake_in(c, 0);
        return;
    }
    finish(c);
}

struct map_copy *map_copy_new(
    struct event_base *base, const struct map_copy_source *source, void *context)
{
    struct map_copy *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        return NULL;
    }
    *c = (struct map_copy){.source = source, .context = context};
    c->timer = evtimer_new(base, on_timer, c);
    if (c->timer == NULL) {
        free(c);
        return NULL;
    }
    return c;
}

void map_copy_free(struct map_copy *c)
{
    if (c == NULL) {
        return;
    }
    if (c->path != NULL && (c->dirty || c->file != NULL)) {
        abandon(c);
        if (begin(c)) {
            write_slice(c, SIZE_MAX);
            finish(c);
        }
    }
    event_free(c->timer);
    free(c->path);
    free(c->temporary);
    free(c);
}

bool map_copy_set_path(struct map_copy *c, const char *path)
{
    char *name, *temporary;

    if (path != NULL && c->path != NULL && strcmp(path, c->path) == 0) {
        return false;
    }
    abandon(c);
    free(c->path);
    free(c->temporary);
    c->path = NULL;
    c->temporary = NULL;
    if (path == NULL) {
        return false;
    }
    name = strdup(path);
    if (name == NULL || asprintf(&temporary, "%s.new", path) < 0) {
        log_error("out of memory: no copy of the %s is kept", c->source->what);
        free(name);
        return false;
    }
    c->path = name;
    c->temporary = temporary;
    return true;
}

void map_copy_changed(struct map_copy *c, bool replaced)
{
    if (replaced) {
        abandon(c);
    }
    c->dirty = true;
    if (c->file == NULL && c->path != NULL && !evtimer_pending(c->timer, NULL)) {
        wake_in(c, c->source->settle_ms);
    }
}
