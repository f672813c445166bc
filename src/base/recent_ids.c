#include "base/recent_ids.h"

#include <stdlib.h>

#define ENTRIES_A_CHAIN 4 /* of a full table, at most */

int recent_ids_init(struct recent_ids *r, size_t most)
{
    *r = (struct recent_ids){.most = most, .chains = 1};
    TAILQ_INIT(&r->recent);
    while (r->chains * ENTRIES_A_CHAIN < most) {
        r->chains *= 2;
    }
    r->chain = calloc(r->chains, sizeof *r->chain);
    return r->chain ? 0 : -1;
}

void recent_ids_fini(struct recent_ids *r)
{
    free(r->chain);
    r->chain = NULL;
}

static struct recent_chain *chain_of(const struct recent_ids *r, uint64_t hash)
{
    return &r->chain[(hash ^ hash >> 32) & (r->chains - 1)];
}

struct recent_id *recent_ids_find(const struct recent_ids *r, const char *id)
{
    uint64_t hash = span_hash(span_of(id));
    struct recent_id *entry;

    LIST_FOREACH(entry, chain_of(r, hash), chain)
    {
        if (entry->hash == hash && strcmp(entry->id, id) == 0) {
            break;
        }
    }
    return entry;
}

void recent_ids_touch(struct recent_ids *r, struct recent_id *entry)
{
    TAILQ_REMOVE(&r->recent, entry, recent);
    TAILQ_INSERT_HEAD(&r->recent, entry, recent);
}

struct recent_id *recent_ids_oldest(const struct recent_ids *r)
{
    return TAILQ_LAST(&r->recent, recent_list);
}

bool recent_ids_is_full(const struct recent_ids *r)
{
    return r->count >= r->most;
}

void recent_ids_add(struct recent_ids *r, struct recent_id *entry)
{
    entry->hash = span_hash(span_of(entry->id));
    TAILQ_INSERT_HEAD(&r->recent, entry, recent);
    LIST_INSERT_HEAD(chain_of(r, entry->hash), entry, chain);
    r->count++;
}

void recent_ids_remove(struct recent_ids *r, struct recent_id *entry)
{
    TAILQ_REMOVE(&r->recent, entry, recent);
    LIST_REMOVE(entry, chain);
    r->count--;
}
