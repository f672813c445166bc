#include "svc/lease_copy.h"

#include <inttypes.h>
#include <stdlib.h>

#include "net/clock.h"
#include "svc/lease_feed.h"
#include "svc/map_copy.h"

#define HEADER    "gate25-leases 1"
#define SETTLE_MS 20000
#define AGAIN_MS  20000

/* Ends are of the monotonic clock in the map, and of the other one in the copy. */
struct clocks {
    int64_t unix_s, monotonic_s;
};

struct lease_copy {
    const struct lease_map *map;
    struct map_copy *file;
    struct clocks now; /* of the slice that is written */
};

static struct clocks clocks_now(void)
{
    return (struct clocks){clock_unix_ms() / 1000, clock_monotonic_ms() / 1000};
}

/* --- reading --- */

struct reading {
    struct lease_map *map;
    struct clocks now;
};

static bool read_first(void *context, struct span line)
{
    (void)context;
    return span_equal(line, SPAN_LITERAL(HEADER));
}

static bool read_line(void *context, struct span line)
{
    const struct reading *r = context;
    struct span unit = span_word(&line);
    struct lease_entry e;

    if (!lease_entry_parse(unit, line, &e) || e.account[0] == '\0') {
        return false;
    }
    return e.until_s <= r->now.unix_s || lease_map_put(
                                             r->map, &e.unit, span_of(e.account), e.began_ms,
                                             r->now.monotonic_s + (e.until_s - r->now.unix_s)) == 0;
}

void lease_copy_read(const char *path, struct lease_map *map)
{
    static const struct map_copy_reader reader = {"leases", read_first, read_line};
    struct reading r = {map, clocks_now()};

    map_copy_read(path, &reader, &r);
}

/* --- writing --- */

static void write_first(void *context, FILE *file)
{
    (void)context;
    fputs(HEADER "\n", file);
}

static size_t slots(const void *context)
{
    const struct lease_copy *c = context;

    return c->map->index.capacity;
}

static void begin_slice(void *context)
{
    struct lease_copy *c = context;

    c->now = clocks_now();
}

/* The session is none's: no copy is ever written back. */
static bool write_slot(void *context, FILE *file, size_t slot)
{
    const struct lease_copy *c = context;
    struct lease_row row;
    char unit[PREFIX_TEXT];

    if (!lease_map_row(c->map, slot, &row) || row.until <= c->now.monotonic_s) {
        return false;
    }
    prefix_format(&row.unit, unit);
    fprintf(
        file, "%s %" PRId64 " %" PRId64 " 0 %s\n", unit,
        c->now.unix_s + (row.until - c->now.monotonic_s), row.began, row.account);
    return true;
}

struct lease_copy *lease_copy_new(
    struct event_base *base, const struct lease_map *map, const char *path)
{
    static const struct map_copy_source source = {
        .what = "leases",
        .begin = write_first,
        .slots = slots,
        .slice = begin_slice,
        .write = write_slot,
        .settle_ms = SETTLE_MS,
        .again_ms = AGAIN_MS,
    };
    struct lease_copy *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        return NULL;
    }
    c->map = map;
    c->file = map_copy_new(base, &source, c);
    if (c->file == NULL || !map_copy_set_path(c->file, path)) {
        lease_copy_free(c);
        return NULL;
    }
    return c;
}

void lease_copy_free(struct lease_copy *c)
{
    if (c != NULL) {
        map_copy_free(c->file);
        free(c);
    }
}

void lease_copy_changed(struct lease_copy *c)
{
    map_copy_changed(c->file, false);
}
