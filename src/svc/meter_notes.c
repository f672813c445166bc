#include "svc/meter_notes.h"

#include <stdlib.h>
#include <string.h>

#include "base/recent_ids.h"

struct entry {
    struct recent_id recent;
    struct meter_note note;
    uint64_t class;
    char id[];
};

struct meter_notes {
    struct recent_ids entries;
    unsigned epoch;
};

static uint64_t hash_number(uint64_t h, uint64_t n) /* by whole numbers, and so mixed more */
{
    h = (h ^ n) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

uint64_t meter_notes_class(const struct conf_class *class)
{
    uint64_t h = span_hash(span_of(class->name));

    for (unsigned kind = 0; kind < LIMIT_KINDS; kind++) {
        const struct limit *limit = &class->limit[kind];
        h = hash_number(h, limit->windows);
        for (unsigned i = 0; i < limit->windows; i++) {
            h = hash_number(h, limit->window[i].count);
            h = hash_number(h, limit->window[i].period_us);
        }
    }
    return h;
}

struct meter_notes *meter_notes_new(size_t most)
{
    struct meter_notes *n = calloc(1, sizeof *n);

    if (n && recent_ids_init(&n->entries, most) != 0) {
        free(n);
        n = NULL;
    }
    return n;
}

/* An entry begins with its place in the table. */
static struct entry *entry_of(struct recent_id *place)
{
    return (struct entry *)place;
}

static void forget(struct meter_notes *n, struct entry *e)
{
    recent_ids_remove(&n->entries, &e->recent);
    free(e);
}

void meter_notes_forget(struct meter_notes *n)
{
    n->epoch++;
    for (struct entry *e; (e = entry_of(recent_ids_oldest(&n->entries)));) {
        forget(n, e);
    }
}

void meter_notes_free(struct meter_notes *n)
{
    if (n) {
        meter_notes_forget(n);
        recent_ids_fini(&n->entries);
        free(n);
    }
}

size_t meter_notes_count(const struct meter_notes *n)
{
    return n->entries.count;
}

unsigned meter_notes_epoch(const struct meter_notes *n)
{
    return n->epoch;
}

static struct entry *find(struct meter_notes *n, const char *id, uint64_t class)
{
    struct entry *e = entry_of(recent_ids_find(&n->entries, id));

    if (e && e->class != class) {
        forget(n, e);
        e = NULL;
    }
    if (e) {
        recent_ids_touch(&n->entries, &e->recent);
    }
    return e;
}

struct meter_note *meter_notes_find(struct meter_notes *n, const char *id, uint64_t class)
{
    struct entry *e = find(n, id, class);

    return e ? &e->note : NULL;
}

struct meter_note *meter_notes_take(struct meter_notes *n, const char *id, uint64_t class)
{
    size_t size = strlen(id) + 1;
    struct entry *e = find(n, id, class);

    if (e) {
        return &e->note;
    }
    e = calloc(1, sizeof *e + size);
    if (!e) {
        return NULL;
    }
    if (recent_ids_is_full(&n->entries)) {
        forget(n, entry_of(recent_ids_oldest(&n->entries)));
    }
    memcpy(e->id, id, size);
    e->recent.id = e->id;
    e->class = class;
    recent_ids_add(&n->entries, &e->recent);
    return &e->note;
}
