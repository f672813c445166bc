/* A small set of things seen, in the order of their times, which never go back. */
#ifndef GATE25_SVC_METER_SEEN_H
#define GATE25_SVC_METER_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct seen {
    uint64_t key;
    double at_us;
};

struct seen_set {
    struct seen *at; /* oldest first */
    size_t count;
    size_t cap;
};

#define SEEN_INIT ((struct seen_set){0})

void seen_clear(struct seen_set *s);
void seen_forget_until(struct seen_set *s, double until_us); /* those at `until_us` or before */
void seen_remove(struct seen_set *s, uint64_t key);
/* Adds `key`, or renews it. Of more than `most` the oldest goes; without memory the key does. */
void seen_touch(struct seen_set *s, uint64_t key, double at_us, size_t most);
const struct seen *seen_find(const struct seen_set *s, uint64_t key); /* NULL: not there */
size_t seen_since(const struct seen_set *s, double since_us);         /* how many are younger */

#endif
