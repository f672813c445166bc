/* What Redis answers to the questions of the leases' mirror (svc/feed.h, src/svc/leases.lua). */
#ifndef GATE25_SVC_LEASE_FEED_H
#define GATE25_SVC_LEASE_FEED_H

#include "svc/feed.h"
#include "svc/lease_map.h"

/* A lease as Redis holds it. */
struct lease_entry {
    struct prefix unit;
    char account[ACCOUNT_TEXT]; /* empty: the session has ended, nobody holds the unit */
    int64_t until_s;            /* Unix */
    int64_t began_ms;
};

/* Reads a field and its value in STORE_LEASES. False: they make no sense. */
bool lease_entry_parse(struct span unit, struct span value, struct lease_entry *out);

/* The question who holds `p` or a prefix over it: HMGET. The answer's value `i` is of
 * prefix_of(&p->addr, p->len - i). */
struct lease_question {
    struct span words[131];
    size_t count;
    char ids[129][PREFIX_TEXT];
};
void lease_question_over(struct lease_question *q, const struct prefix *p);
/* The same for units with blanks between, as the value of an account in STORE_LEASE_ACCOUNTS has
 * them: value `i` is of words[2 + i]. As many as there is room for. */
void lease_question_of(struct lease_question *q, struct span units);

int lease_ask_time(struct feed_request f); /* as redis_call(), for lease_time() */
/* Redis's clock, Unix seconds. */
bool lease_time(const struct redis_reply *reply, int64_t *unix_s);

/* Called for each entry that an answer tells of; entries that make no sense are left aside. */
typedef void (*lease_entry_cb)(void *context, const struct lease_entry *entry, int64_t now_s);

/* What one HSCAN brought; `now_s` is handed on. False: an error. */
bool lease_scan(
    const struct redis_reply *reply, int64_t now_s, lease_entry_cb take, void *context,
    struct span *cursor);

enum lease_news {
    LEASE_NEWS_TAKEN,
    LEASE_NEWS_GAP, /* changes between the position and these are gone: all is to be read anew */
    LEASE_NEWS_BAD  /* no reply (NULL), or an error */
};

/* What XREAD brought, in its order, with the time at which Redis has written it; moves the position
 * on. */
enum lease_news lease_changes(
    const struct redis_reply *reply, char position[FEED_POSITION], lease_entry_cb take,
    void *context);

#endif
