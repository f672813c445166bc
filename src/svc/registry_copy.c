#include "svc/registry_copy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "svc/growing_map.h"
#include "svc/map_copy.h"

#define HEADER    "gate25-registry 1 " /* and the anchor */
#define SETTLE_MS 1000
#define AGAIN_MS  30000

struct registry_copy {
    const struct prefix_map *map;
    const struct class_names *names;
    const char *anchor;
    struct map_copy *file;
};

/* --- reading --- */

struct reading {
    struct class_names *names;
    struct prefix_map *map;
    char *anchor;
};

static bool read_first(void *context, struct span line)
{
    const struct reading *r = context;
    struct span anchor = span_skip(line, strlen(HEADER));

    if (!span_equal((struct span){line.at, line.len - anchor.len}, SPAN_LITERAL(HEADER)) ||
        anchor.len == 0 || anchor.len >= FEED_POSITION) {
        return false;
    }
    snprintf(r->anchor, FEED_POSITION, "%.*s", (int)anchor.len, anchor.at);
    return true;
}

static bool read_line(void *context, struct span line)
{
    const struct reading *r = context;
    struct span id = span_word(&line), class = span_word(&line);
    struct prefix p;
    uint64_t until;
    int64_t number;

    if (!standing_key_parse(id, &p) || !span_number(line, INT64_MAX, &until)) {
        return false;
    }
    number = class_names_intern(r->names, class);
    return number >= 0 && growing_map_put(r->map, &p, (uint32_t)number, (int64_t)until) == 0;
}

void registry_copy_read(
    const char *path, struct class_names *names, struct prefix_map *map, char anchor[FEED_POSITION])
{
    static const struct map_copy_reader reader = {"standings", read_first, read_line};
    struct reading r = {names, map, anchor};

    map_copy_read(path, &reader, &r);
}

/* --- writing --- */

static void write_first(void *context, FILE *file)
{
    const struct registry_copy *c = context;

    fprintf(file, HEADER "%s\n", c->anchor);
}

static size_t slots(const void *context)
{
    const struct registry_copy *c = context;

    return c->map->capacity;
}

static bool write_slot(void *context, FILE *file, size_t slot)
{
    const struct registry_copy *c = context;
    const struct prefix_slot *s = &c->map->slots[slot];
    char id[STANDING_KEY_TEXT];
    struct prefix p;

    if (s->family == ADDR_NONE) {
        return false;
    }
    p = prefix_map_prefix(s);
    standing_key_format(&p, id);
    fprintf(file, "%s %s %" PRId64 "\n", id, c->names->name[s->value], s->until_s);
    return true;
}

struct registry_copy *registry_copy_new(
    struct event_base *base, const struct prefix_map *map, const struct class_names *names,
    const char *anchor)
{
    static const struct map_copy_source source = {
        .what = "standings",
        .begin = write_first,
        .slots = slots,
        .write = write_slot,
        .settle_ms = SETTLE_MS,
        .again_ms = AGAIN_MS,
    };
    struct registry_copy *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        return NULL;
    }
    *c = (struct registry_copy){.map = map, .names = names, .anchor = anchor};
    c->file = map_copy_new(base, &source, c);
    if (c->file == NULL) {
        free(c);
        return NULL;
    }
    return c;
}

void registry_copy_free(struct registry_copy *c)
{
    if (c != NULL) {
        map_copy_free(c->file);
        free(c);
    }
}

void registry_copy_set_path(struct registry_copy *c, const char *path)
{
    if (map_copy_set_path(c->file, path) && c->map->count > 0) {
        map_copy_changed(c->file, false);
    }
}

void registry_copy_changed(struct registry_copy *c, bool replaced)
{
    map_copy_changed(c->file, replaced);
}
