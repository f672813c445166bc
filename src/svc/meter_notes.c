#include "svc/meter_notes.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define CHAINS 8192u /* a power of two */

struct entry {
    struct meter_note note; /* first: a note is its entry */
    TAILQ_ENTRY(entry) recent;
    LIST_ENTRY(entry) chain;
    uint64_t hash, class_hash;
    char id[];
};

TAILQ_HEAD(recent_list, entry);
LIST_HEAD(chain_list, entry);

struct meter_notes {
    size_t count, most;
    unsigned epoch;
    struct recent_list recent; /* last heard of first */
    struct chain_list chain[CHAINS];
};

#define FNV_START 0xcbf29ce484222325u

static uint64_t hash_more(uint64_t h, const void *bytes, size_t len) /* FNV-1a */
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < len; i++) {
        h = (h ^ at[i]) * 0x100000001b3u;
    }
    return h;
}

/* Of its name and limits: a class of that name with others is another one. */
static uint64_t hash_of_class(const struct conf_class *class)
{
    uint64_t h = hash_more(FNV_START, class->name, strlen(class->name));

    for (unsigned kind = 0; kind < LIMIT_KINDS; kind++) {
        const struct limit *limit = &class->limit[kind];
        h = hash_more(h, &limit->windows, sizeof limit->windows);
        for (unsigned i = 0; i < limit->windows; i++) {
            h = hash_more(h, &limit->window[i].count, sizeof limit->window[i].count);
            h = hash_more(h, &limit->window[i].period_us, sizeof limit->window[i].period_us);
        }
    }
    return h;
}

struct meter_notes *meter_notes_new(size_t most)
{
    struct meter_notes *n = calloc(1, sizeof *n);

    if (n) {
        n->most = most;
        TAILQ_INIT(&n->recent);
    }
    return n;
}

static void forget(struct meter_notes *n, struct entry *e)
{
    TAILQ_REMOVE(&n->recent, e, recent);
    LIST_REMOVE(e, chain);
    n->count--;
    free(e);
}

void meter_notes_forget(struct meter_notes *n)
{
    n->epoch++;
    for (struct entry *e = TAILQ_FIRST(&n->recent), *after; e; e = after) {
        after = TAILQ_NEXT(e, recent);
        forget(n, e);
    }
}

void meter_notes_free(struct meter_notes *n)
{
    if (n) {
        meter_notes_forget(n);
        free(n);
    }
}

size_t meter_notes_count(const struct meter_notes *n)
{
    return n->count;
}

unsigned meter_notes_epoch(const struct meter_notes *n)
{
    return n->epoch;
}

static struct entry *find(struct meter_notes *n, const char *id, uint64_t hash, uint64_t class_hash)
{
    struct entry *e;

    LIST_FOREACH(e, &n->chain[hash % CHAINS], chain)
    {
        if (e->hash == hash && strcmp(e->id, id) == 0) {
            break;
        }
    }
    if (e && e->class_hash != class_hash) {
        forget(n, e);
        e = NULL;
    }
    if (e) {
        TAILQ_REMOVE(&n->recent, e, recent);
        TAILQ_INSERT_HEAD(&n->recent, e, recent);
    }
    return e;
}

struct meter_note *meter_notes_find(
    struct meter_notes *n, const char *id, const struct conf_class *class)
{
    struct entry *e = find(n, id, hash_more(FNV_START, id, strlen(id)), hash_of_class(class));

    return e ? &e->note : NULL;
}

struct meter_note *meter_notes_take(
    struct meter_notes *n, const char *id, const struct conf_class *class)
{
    size_t len = strlen(id);
    uint64_t hash = hash_more(FNV_START, id, len);
    uint64_t class_hash = hash_of_class(class);
    struct entry *e = find(n, id, hash, class_hash);

    if (e) {
        return &e->note;
    }
    e = calloc(1, sizeof *e + len + 1);
    if (!e) {
        return NULL;
    }
    if (n->count >= n->most) {
        forget(n, TAILQ_LAST(&n->recent, recent_list));
    }
    memcpy(e->id, id, len + 1);
    e->hash = hash;
    e->class_hash = class_hash;
    TAILQ_INSERT_HEAD(&n->recent, e, recent);
    LIST_INSERT_HEAD(&n->chain[hash % CHAINS], e, chain);
    n->count++;
    return &e->note;
}
