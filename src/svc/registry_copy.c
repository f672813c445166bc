#include "svc/registry_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define HEADER        "gate25-registry 1 " /* and the anchor */
#define TRAILER       "end "
#define LONGEST_LINE  160
#define SLICE         16384 /* slots a turn of the loop */
#define SETTLE_MS     1000  /* changes gather for this long */
#define AGAIN_MS      30000 /* after a failure */
#define WARNINGS_MOST 5

struct registry_copy {
    const struct prefix_map *map;
    const struct class_names *names;
    const char *anchor;
    struct event *timer;
    char *path, *temporary; /* NULL: no copy is kept */
    bool dirty;
    FILE *file;  /* under way */
    size_t next; /* slot */
    size_t written;
};

/* --- reading --- */

static struct span word(struct span *rest)
{
    const char *blank = rest->len == 0 ? NULL : memchr(rest->at, ' ', rest->len);
    size_t len = blank == NULL ? rest->len : (size_t)(blank - rest->at);
    struct span w = {rest->at, len};

    *rest = span_skip(*rest, len + 1);
    return w;
}

static bool read_line(struct span line, struct class_names *names, struct prefix_map *map)
{
    struct span id = word(&line), class = word(&line);
    struct prefix p;
    uint64_t until;
    int64_t number;

    if (!standing_key_parse(id, &p) || !span_number(line, INT64_MAX, &until)) {
        return false;
    }
    number = class_names_intern(names, class);
    return number >= 0 && standing_map_put(map, &p, (uint32_t)number, (int64_t)until) == 0;
}

static void read_lines(
    FILE *file, const char *path, struct class_names *names, struct prefix_map *map)
{
    char line[LONGEST_LINE];
    unsigned bad = 0;
    uint64_t count = 0, promised = 0;
    bool whole = false;

    while (!whole && fgets(line, sizeof(line), file) != NULL) {
        struct span s = {line, strcspn(line, "\n")};

        if (span_starts_nocase(s, SPAN_LITERAL(TRAILER))) {
            whole = span_number(span_skip(s, strlen(TRAILER)), UINT64_MAX, &promised);
        } else if (line[s.len] == '\n' && read_line(s, names, map)) {
            count++;
        } else if (++bad <= WARNINGS_MOST) {
            log_warning("%s: not a standing, left out: %.*s", path, (int)s.len, s.at);
        }
    }
    if (!whole || count != promised) {
        log_warning("%s: not a whole copy; %" PRIu64 " standings taken from it", path, count);
    } else {
        log_info("%s: %" PRIu64 " standings", path, count);
    }
}

static bool read_header(const char *line, char anchor[FEED_POSITION])
{
    struct span position;

    if (strncmp(line, HEADER, strlen(HEADER)) != 0) {
        return false;
    }
    position = (struct span){line + strlen(HEADER), strcspn(line + strlen(HEADER), "\n")};
    if (position.len == 0 || position.len >= FEED_POSITION) {
        return false;
    }
    snprintf(anchor, FEED_POSITION, "%.*s", (int)position.len, position.at);
    return true;
}

void registry_copy_read(
    const char *path, struct class_names *names, struct prefix_map *map, char anchor[FEED_POSITION])
{
    char line[LONGEST_LINE];
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        if (errno != ENOENT) {
            log_warning("%s: %s", path, strerror(errno));
        }
        return;
    }
    if (fgets(line, sizeof(line), file) != NULL && read_header(line, anchor)) {
        read_lines(file, path, names, map);
    } else {
        log_warning("%s: no copy of the standings that this version can read, ignored", path);
    }
    fclose(file);
}

/* --- writing --- */

static void wake_in(struct registry_copy *c, unsigned ms)
{
    struct timeval delay = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};

    evtimer_add(c->timer, &delay);
}

static void abandon(struct registry_copy *c)
{
    if (c->file != NULL) {
        fclose(c->file);
        c->file = NULL;
        unlink(c->temporary);
    }
}

static void failed(struct registry_copy *c, const char *path)
{
    log_warning("%s: %s; the copy of the standings is not written", path, strerror(errno));
    abandon(c);
    c->dirty = true;
    wake_in(c, AGAIN_MS);
}

static bool begin(struct registry_copy *c)
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
    fprintf(c->file, HEADER "%s\n", c->anchor);
    return true;
}

static void finish(struct registry_copy *c)
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
        wake_in(c, SETTLE_MS);
    }
}

/* An entry that moves while a copy is under way may be missing in it: the change that moved it has
 * made the map dirty, and the next copy follows. */
static void write_slice(struct registry_copy *c, size_t slots)
{
    for (; slots > 0 && c->next < c->map->capacity; slots--, c->next++) {
        const struct prefix_slot *s = &c->map->slots[c->next];
        char id[STANDING_KEY_TEXT];
        struct prefix p;

        if (s->family == ADDR_NONE) {
            continue;
        }
        p = prefix_map_prefix(s);
        standing_key_format(&p, id);
        fprintf(c->file, "%s %s %" PRId64 "\n", id, c->names->name[s->value], s->until_s);
        c->written++;
    }
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct registry_copy *c = context;

    (void)fd;
    (void)what;
    if (c->path == NULL || (c->file == NULL && !begin(c))) {
        return;
    }
    write_slice(c, SLICE);
    if (c->next < c->map->capacity) {
        wake_in(c, 0);
        return;
    }
    finish(c);
}

struct registry_copy *registry_copy_new(
    struct event_base *base, const struct prefix_map *map, const struct class_names *names,
    const char *anchor)
{
    struct registry_copy *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        return NULL;
    }
    *c = (struct registry_copy){.map = map, .names = names, .anchor = anchor};
    c->timer = evtimer_new(base, on_timer, c);
    if (c->timer == NULL) {
        free(c);
        return NULL;
    }
    return c;
}

void registry_copy_free(struct registry_copy *c)
{
    if (c == NULL) {
        return;
    }
    if (c->path != NULL && (c->dirty || c->file != NULL)) {
        abandon(c);
        if (begin(c)) {
            write_slice(c, c->map->capacity);
            finish(c);
        }
    }
    event_free(c->timer);
    free(c->path);
    free(c->temporary);
    free(c);
}

void registry_copy_set_path(struct registry_copy *c, const char *path)
{
    char *name, *temporary;

    if (path != NULL && c->path != NULL && strcmp(path, c->path) == 0) {
        return;
    }
    abandon(c);
    free(c->path);
    free(c->temporary);
    c->path = NULL;
    c->temporary = NULL;
    if (path == NULL) {
        return;
    }
    name = strdup(path);
    if (name == NULL || asprintf(&temporary, "%s.new", path) < 0) {
        log_error("out of memory: no copy of the standings is kept");
        free(name);
        return;
    }
    c->path = name;
    c->temporary = temporary;
    if (c->map->count > 0) {
        registry_copy_changed(c, false);
    }
}

void registry_copy_changed(struct registry_copy *c, bool replaced)
{
    if (replaced) {
        abandon(c);
    }
    c->dirty = true;
    if (c->file == NULL && c->path != NULL && !evtimer_pending(c->timer, NULL)) {
        wake_in(c, SETTLE_MS);
    }
}
