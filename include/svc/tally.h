/* Who did how much, hour by hour: gathered in each worker, written to Redis once a second in few
 * commands, read by the desk and by gate25ctl top. Sorted sets g25:tally:{HOUR}:KIND, all of one
 * hour in one slot. */
#ifndef GATE25_SVC_TALLY_H
#define GATE25_SVC_TALLY_H

#include "core/store_keys.h"
#include "core/verdict.h"
#include "svc/redis.h"

enum tally_kind {
    TALLY_SESSIONS,
    TALLY_MESSAGES,
    TALLY_DEFERRALS,
    TALLY_REFUSALS,
    TALLY_OF_SUBSCRIBERS,                      /* so many kinds tell of subscribers */
    TALLY_DESTINATIONS = TALLY_OF_SUBSCRIBERS, /* sessions by the address that they went to */
    TALLY_KINDS
};

#define TALLY_HOURS  24    /* that are read; the last one is the hour that is running */
#define TALLY_LIFE_S 90000 /* of an hour's sets: 25 hours */
#define TALLY_MOST   8192  /* subscribers that an hour's set is cut down to */
/* Ids between two writes; of others nothing is counted then. Destinations find no room in the
 * second half: it is the subscribers'. */
#define TALLY_GATHERED 8192
#define TALLY_CASES    4 /* cases of one subscriber between two writes that are kept for search */
#define TALLY_ID       320

const char *tally_kind_name(enum tally_kind k); /* as in the key: "sessions" */

/* --- gathering --- */

struct tally;

/* `redis` outlives it and loads meter_functions. NULL: out of memory. */
struct tally *tally_new(struct event_base *base, struct redis *redis, uint32_t deadline_ms)
    __attribute__((warn_unused_result));
void tally_free(struct tally *t); /* what was not written is lost */

/* Never blocks. `now_s`: Unix time, which says the hour. Without memory, or beyond TALLY_GATHERED
 * subscribers, it is lost. */
void tally_add(struct tally *t, const char *id, enum tally_kind kind, uint64_t n, int64_t now_s);
/* Lets the case be found for some time; case_id as case_format() writes it. */
void tally_case(struct tally *t, const char *id, const char *case_id, int64_t now_s);
/* Sends what was gathered now: before a process ends. While Redis is away it is kept. */
void tally_write(struct tally *t);

/* --- reading --- */

/* What one subscriber did, or what went to one destination: an hour each, oldest first. */
struct tally_row {
    char id[TALLY_ID];
    uint64_t total[TALLY_KINDS];
    uint32_t hour[TALLY_KINDS][TALLY_HOURS];
};

/* Called once, from the loop. rows NULL: Redis did not answer, or with the error `fault`. All of it
 * is gone afterwards. */
typedef void (*tally_read_cb)(
    void *context, const struct tally_row *rows, size_t count, struct span fault);

/* The rows of these ids, in their order. -1: out of memory or not connected; no call then. */
int tally_read(
    struct redis *r, const struct span *ids, size_t count, int64_t now_s, uint32_t deadline_ms,
    tally_read_cb done, void *context) __attribute__((warn_unused_result));
/* The `most` ids with the largest sum of `by` over the last `hours` (1 to TALLY_HOURS, the running
 * one included), largest first; rows tell of those hours alone. Somebody who is among the first
 * 3 * most of no hour is not found. */
int tally_read_top(
    struct redis *r, enum tally_kind by, size_t most, unsigned hours, int64_t now_s,
    uint32_t deadline_ms, tally_read_cb done, void *context) __attribute__((warn_unused_result));

#define TALLY_TOP_MOST 100

/* Case ids as a person may have copied them: any case, o for 0, i and l for 1, blanks around.
 * False: it is none. */
bool tally_case_parse(struct span s, char out[CASE_TEXT]);
/* The stream of the cases that begin as this one does, with their ids. */
struct span tally_cases_key(const char *case_id, char out[STORE_KEY]);
/* Asks for it; tally_case_owner() finds the case in the answer. -1: as redis_call(). */
int tally_ask_case(
    struct redis *r, const char *case_id, uint32_t deadline_ms, redis_reply_cb reply, void *context,
    uint64_t ticket);
/* The id that had the case last; the span looks into the reply. False: it is not there. */
bool tally_case_owner(const struct redis_reply *reply, const char *case_id, struct span *id);

#endif
