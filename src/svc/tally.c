#include "svc/tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tally_internal.h"

#define SLOTS      (2 * TALLY_GATHERED) /* a power of two */
#define BATCH      128                  /* subscribers in one command */
#define WORDS      (5 + TALLY_KINDS + (1 + TALLY_KINDS) * BATCH)
#define CASES_KEPT "1000" /* of each of 1,024 beginnings */
#define COUNT_MOST UINT32_MAX

struct row {
    char *id;
    uint32_t count[TALLY_KINDS];
    unsigned cases;
    char case_id[TALLY_CASES][CASE_TEXT];
};

struct tally {
    struct redis *redis;
    uint32_t deadline_ms;
    struct event *second;
    int64_t hour; /* of all that is gathered */
    size_t count;
    struct row rows[TALLY_GATHERED];
    uint16_t slots[SLOTS]; /* index into rows and 1; 0: free */
};

/* One command on its way out: words, and room for those that are written here. */
struct batch {
    struct span words[WORDS];
    size_t count;
    char keys[TALLY_KINDS][STORE_KEY];
    char numbers[BATCH][TALLY_KINDS][NUMBER_DIGITS];
    char life[NUMBER_DIGITS], most[NUMBER_DIGITS], key_count[NUMBER_DIGITS];
};

static const char *const names[TALLY_KINDS] = {
    [TALLY_SESSIONS] = "sessions",         [TALLY_MESSAGES] = "messages",
    [TALLY_DEFERRALS] = "deferrals",       [TALLY_REFUSALS] = "refusals",
    [TALLY_DESTINATIONS] = "destinations",
};

const char *tally_kind_name(enum tally_kind k)
{
    return names[k];
}

struct span tally_key(int64_t hour, enum tally_kind kind, char out[STORE_KEY])
{
    struct text t;

    text_init(&t, out, STORE_KEY);
    text_addf(&t, "g25:tally:{%" PRId64 "}:%s", hour, names[kind]);
    return text_span(&t);
}

struct span tally_cases_key(const char *case_id, char out[STORE_KEY])
{
    return store_key(STORE_KEY_CASES, (struct span){case_id, 2}, out);
}

/* --- gathering --- */

static size_t slot_of(const char *id)
{
    uint64_t hash = span_hash(span_of(id));

    return (hash ^ hash >> 32) & (SLOTS - 1);
}

static void forget(struct tally *t, size_t first)
{
    for (size_t i = 0; i < first; i++) {
        free(t->rows[i].id);
    }
    memmove(t->rows, t->rows + first, (t->count - first) * sizeof(*t->rows));
    t->count -= first;
    memset(t->slots, 0, sizeof(t->slots));
    for (size_t i = 0; i < t->count; i++) {
        size_t slot = slot_of(t->rows[i].id);

        while (t->slots[slot] != 0) {
            slot = (slot + 1) & (SLOTS - 1);
        }
        t->slots[slot] = (uint16_t)(i + 1);
    }
}

/* NULL: there are `most` others. */
static struct row *row_of(struct tally *t, const char *id, size_t most)
{
    size_t slot = slot_of(id);
    struct row *row;

    for (; t->slots[slot] != 0; slot = (slot + 1) & (SLOTS - 1)) {
        row = &t->rows[t->slots[slot] - 1];
        if (strcmp(row->id, id) == 0) {
            return row;
        }
    }
    if (t->count >= most) {
        return NULL;
    }
    row = &t->rows[t->count];
    *row = (struct row){.id = strdup(id)};
    if (row->id == NULL) {
        return NULL;
    }
    t->slots[slot] = (uint16_t)++t->count;
    return row;
}

static void begin_hour(struct tally *t, int64_t now_s)
{
    int64_t hour = now_s / TALLY_HOUR_S;

    if (hour == t->hour) {
        return;
    }
    tally_write(t);
    forget(t, t->count);
    t->hour = hour;
}

void tally_add(struct tally *t, const char *id, enum tally_kind kind, uint64_t n, int64_t now_s)
{
    struct row *row;

    if (n == 0) {
        return;
    }
    begin_hour(t, now_s);
    row = row_of(t, id, kind == TALLY_DESTINATIONS ? TALLY_GATHERED / 2 : TALLY_GATHERED);
    if (row != NULL) {
        uint64_t sum = row->count[kind] + n;

        row->count[kind] = sum < COUNT_MOST ? (uint32_t)sum : COUNT_MOST;
    }
}

void tally_case(struct tally *t, const char *id, const char *case_id, int64_t now_s)
{
    struct row *row;

    begin_hour(t, now_s);
    row = row_of(t, id, TALLY_GATHERED);
    if (row == NULL || row->cases == TALLY_CASES) {
        return;
    }
    /* A session has one case, however often it is refused. */
    for (unsigned i = 0; i < row->cases; i++) {
        if (strcmp(row->case_id[i], case_id) == 0) {
            return;
        }
    }
    snprintf(row->case_id[row->cases++], CASE_TEXT, "%s", case_id);
}

/* --- writing --- */

static struct span number(uint64_t n, char out[NUMBER_DIGITS])
{
    return (struct span){out, number_write(n, out)};
}

static int send_counts(struct tally *t, struct batch *b, size_t first, size_t count)
{
    struct span *w = b->words;

    *w++ = SPAN_LITERAL("FCALL");
    *w++ = SPAN_LITERAL("gate25_tally");
    *w++ = number(TALLY_KINDS, b->key_count);
    for (enum tally_kind k = 0; k < TALLY_KINDS; k++) {
        *w++ = tally_key(t->hour, k, b->keys[k]);
    }
    *w++ = number(TALLY_LIFE_S, b->life);
    *w++ = number(TALLY_MOST, b->most);
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &t->rows[first + i];

        *w++ = span_of(row->id);
        for (enum tally_kind k = 0; k < TALLY_KINDS; k++) {
            *w++ = number(row->count[k], b->numbers[i][k]);
        }
    }
    return redis_tell(t->redis, b->words, (size_t)(w - b->words), t->deadline_ms, NULL, NULL, 0);
}

static void send_cases(struct tally *t, const struct row *row)
{
    for (unsigned i = 0; i < row->cases; i++) {
        char key[STORE_KEY];
        const struct span words[] = {
            SPAN_LITERAL("XADD"),     tally_cases_key(row->case_id[i], key),
            SPAN_LITERAL("MAXLEN"),   SPAN_LITERAL("~"),
            SPAN_LITERAL(CASES_KEPT), SPAN_LITERAL("*"),
            SPAN_LITERAL("case"),     span_of(row->case_id[i]),
            SPAN_LITERAL("id"),       span_of(row->id),
        };

        (void)redis_tell(
            t->redis, words, sizeof(words) / sizeof(words[0]), t->deadline_ms, NULL, NULL, 0);
    }
}

void tally_write(struct tally *t)
{
    struct batch *b;
    size_t sent = 0;

    if (t->count == 0 || !redis_is_up(t->redis)) {
        return;
    }
    b = malloc(sizeof(*b));
    while (b != NULL && sent < t->count) {
        size_t count = t->count - sent < BATCH ? t->count - sent : BATCH;

        if (send_counts(t, b, sent, count) != 0) {
            break;
        }
        for (size_t i = sent; i < sent + count; i++) {
            send_cases(t, &t->rows[i]);
        }
        sent += count;
    }
    free(b);
    forget(t, sent);
}

static void on_second(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    tally_write(context);
}

struct tally *tally_new(struct event_base *base, struct redis *redis, uint32_t deadline_ms)
{
    static const struct timeval second = {.tv_sec = 1};
    struct tally *t = calloc(1, sizeof(*t));

    if (t == NULL) {
        return NULL;
    }
    t->redis = redis;
    t->deadline_ms = deadline_ms;
    t->second = event_new(base, -1, EV_PERSIST, on_second, t);
    if (t->second == NULL || event_add(t->second, &second) != 0) {
        tally_free(t);
        return NULL;
    }
    return t;
}

void tally_free(struct tally *t)
{
    if (t == NULL) {
        return;
    }
    if (t->second != NULL) {
        event_free(t->second);
    }
    forget(t, t->count);
    free(t);
}
