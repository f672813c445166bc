#include "svc/meter_seen.h"

#include <stdlib.h>
#include <string.h>

void seen_clear(struct seen_set *s)
{
    free(s->at);
    *s = SEEN_INIT;
}

static void remove_at(struct seen_set *s, size_t first, size_t n)
{
    memmove(s->at + first, s->at + first + n, (s->count - first - n) * sizeof *s->at);
    s->count -= n;
    if (s->count == 0) {
        seen_clear(s);
    }
}

void seen_forget_until(struct seen_set *s, double until_us)
{
    size_t n = s->count - seen_since(s, until_us);

    if (n > 0) {
        remove_at(s, 0, n);
    }
}

const struct seen *seen_find(const struct seen_set *s, uint64_t key)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->at[i].key == key) {
            return &s->at[i];
        }
    }
    return NULL;
}

void seen_remove(struct seen_set *s, uint64_t key)
{
    const struct seen *found = seen_find(s, key);

    if (found) {
        remove_at(s, (size_t)(found - s->at), 1);
    }
}

void seen_touch(struct seen_set *s, uint64_t key, double at_us, size_t most)
{
    seen_remove(s, key);
    if (s->count >= most) {
        remove_at(s, 0, s->count - most + 1);
    }
    if (s->count == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 4;
        struct seen *at = realloc(s->at, cap * sizeof *at);
        if (!at) {
            return;
        }
        s->at = at;
        s->cap = cap;
    }
    s->at[s->count++] = (struct seen){key, at_us};
}

size_t seen_since(const struct seen_set *s, double since_us)
{
    size_t n = 0;

    while (n < s->count && s->at[s->count - 1 - n].at_us > since_us) {
        n++;
    }
    return n;
}
