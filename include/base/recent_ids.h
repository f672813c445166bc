/* Entries by id, those heard of last first: the frame of a table of subscribers that is bounded.
 * An entry is a structure of the owner's that begins with a recent_id; it is the owner's to make
 * and to free. */
#ifndef GATE25_BASE_RECENT_IDS_H
#define GATE25_BASE_RECENT_IDS_H

#include <sys/queue.h>

#include "base/str.h"

struct recent_id {
    TAILQ_ENTRY(recent_id) recent;
    LIST_ENTRY(recent_id) chain;
    uint64_t hash;
    const char *id; /* in the entry, or as long-lived */
};

TAILQ_HEAD(recent_list, recent_id);
LIST_HEAD(recent_chain, recent_id);

struct recent_ids {
    size_t count, most;
    size_t chains; /* a power of two */
    struct recent_list recent;
    struct recent_chain *chain;
};

/* A table without entries, for `most` of them. -1: out of memory. */
int recent_ids_init(struct recent_ids *r, size_t most) __attribute__((warn_unused_result));
/* Entries that are still in it are forgotten, not freed. */
void recent_ids_fini(struct recent_ids *r);

/* NULL: there is none. That it was heard of is not noted. */
struct recent_id *recent_ids_find(const struct recent_ids *r, const char *id);
void recent_ids_touch(struct recent_ids *r, struct recent_id *entry); /* it was heard of now */
/* Whoever was heard of longest ago. NULL: the table is empty. */
struct recent_id *recent_ids_oldest(const struct recent_ids *r);
bool recent_ids_is_full(const struct recent_ids *r);
/* `entry`, whose `id` is set and not in the table, was heard of now. */
void recent_ids_add(struct recent_ids *r, struct recent_id *entry);
void recent_ids_remove(struct recent_ids *r, struct recent_id *entry);

#endif
