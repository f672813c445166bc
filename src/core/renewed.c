#include "core/renewed.h"

#include <string.h>

static size_t place_of(uint64_t hash)
{
    return (hash ^ hash >> 32) % RENEWED_MOST;
}

bool renewed_is_due(const struct renewed *r, struct span name, int64_t now_ms)
{
    uint64_t hash = span_hash(name);
    const struct renewed_entry *e = &r->entry[place_of(hash)];

    return e->hash != hash || now_ms >= e->due_ms;
}

void renewed_note(struct renewed *r, struct span name, int64_t due_ms)
{
    uint64_t hash = span_hash(name);

    r->entry[place_of(hash)] = (struct renewed_entry){hash, due_ms};
}

void renewed_forget(struct renewed *r)
{
    memset(r, 0, sizeof *r);
}
