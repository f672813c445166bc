#include <stdlib.h>
#include <string.h>

#include "core/store_keys.h"
#include "svc/tally.h"
#include "tally_internal.h"

#define PER_HOUR   3 /* times `most` that are asked for of each hour */
#define COUNT_TEXT 12

/* One question of a reading that is out. */
struct reading {
    struct redis *redis;
    int64_t now_s;
    uint32_t deadline_ms;
    tally_read_cb done;
    void *context;
    enum tally_kind by;
    unsigned hours;
    size_t most; /* 0: the rows are those that were asked for, in their order */
    struct tally_row *rows;
    size_t count, cap;
    unsigned waiting;
    bool failed;
    char fault[256]; /* the error that Redis answered with */
};

static void finish(struct reading *g)
{
    g->done(g->context, g->failed ? NULL : g->rows, g->failed ? 0 : g->count, span_of(g->fault));
    free(g->rows);
    free(g);
}

/* The number of a question is its hour and kind. */
static int64_t hour_of(const struct reading *g, uint64_t ticket)
{
    return g->now_s / TALLY_HOUR_S - (TALLY_HOURS - 1) + (int64_t)(ticket / TALLY_KINDS);
}

static bool is_good(struct reading *g, const struct redis_reply *reply)
{
    struct span message;
    struct text fault;

    if (reply == NULL) {
        g->failed = true;
    } else if (redis_reply_is_error(reply, &message)) {
        g->failed = true;
        text_init(&fault, g->fault, sizeof(g->fault));
        text_add(&fault, message);
    }
    return !g->failed;
}

/* --- the counts of known ids --- */

static int compare(const void *a, const void *b, void *context)
{
    const struct tally_row *x = a, *y = b;
    const enum tally_kind *by = context;

    if (x->total[*by] != y->total[*by]) {
        return x->total[*by] > y->total[*by] ? -1 : 1;
    }
    return strcmp(x->id, y->id);
}

static void on_scores(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct reading *g = context;
    enum tally_kind kind = ticket % TALLY_KINDS;

    g->waiting--;
    for (size_t i = 0; is_good(g, reply) && i < g->count; i++) {
        const struct redis_reply *score = redis_reply_at(reply, i);
        int64_t n;

        if (score != NULL && redis_reply_integer(score, &n) && n > 0) {
            g->rows[i].hour[kind][ticket / TALLY_KINDS] = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
            g->rows[i].total[kind] += (uint64_t)n;
        }
    }
    if (g->waiting > 0) {
        return;
    }
    if (g->most > 0) {
        qsort_r(g->rows, g->count, sizeof(*g->rows), compare, &g->by);
        g->count = g->count < g->most ? g->count : g->most;
    }
    finish(g);
}

/* -1: nothing is waited for. */
static int ask_scores(struct reading *g)
{
    struct span *words = calloc(g->count + 2, sizeof(*words));
    char key[STORE_KEY];

    if (words == NULL) {
        return -1;
    }
    words[0] = SPAN_LITERAL("ZMSCORE");
    for (size_t i = 0; i < g->count; i++) {
        memset(g->rows[i].total, 0, sizeof(g->rows[i].total));
        words[i + 2] = span_of(g->rows[i].id);
    }
    for (uint64_t ticket = (uint64_t)(TALLY_HOURS - g->hours) * TALLY_KINDS;
         ticket < TALLY_HOURS * TALLY_KINDS; ticket++) {
        words[1] = tally_key(hour_of(g, ticket), ticket % TALLY_KINDS, key);
        if (redis_call(g->redis, words, g->count + 2, g->deadline_ms, on_scores, g, ticket) != 0) {
            g->failed = true;
            break;
        }
        g->waiting++;
    }
    free(words);
    return g->waiting > 0 ? 0 : -1;
}

static struct reading *reading_new(
    struct redis *r, size_t cap, int64_t now_s, uint32_t deadline_ms, tally_read_cb done,
    void *context)
{
    struct reading *g = calloc(1, sizeof(*g));

    if (g == NULL) {
        return NULL;
    }
    g->rows = calloc(cap, sizeof(*g->rows));
    if (g->rows == NULL) {
        free(g);
        return NULL;
    }
    g->redis = r;
    g->cap = cap;
    g->now_s = now_s;
    g->hours = TALLY_HOURS;
    g->deadline_ms = deadline_ms;
    g->done = done;
    g->context = context;
    return g;
}

static int give_up(struct reading *g)
{
    free(g->rows);
    free(g);
    return -1;
}

static void set_id(struct tally_row *row, struct span id)
{
    struct text t;

    text_init(&t, row->id, sizeof(row->id));
    text_add(&t, id);
}

int tally_read(
    struct redis *r, const struct span *ids, size_t count, int64_t now_s, uint32_t deadline_ms,
    tally_read_cb done, void *context)
{
    struct reading *g =
        count == 0 ? NULL : reading_new(r, count, now_s, deadline_ms, done, context);

    if (g == NULL) {
        return -1;
    }
    for (; g->count < count; g->count++) {
        set_id(&g->rows[g->count], ids[g->count]);
    }
    return ask_scores(g) == 0 ? 0 : give_up(g);
}

/* --- the largest --- */

static struct tally_row *candidate(struct reading *g, struct span id)
{
    for (size_t i = 0; i < g->count; i++) {
        if (span_equal(span_of(g->rows[i].id), id)) {
            return &g->rows[i];
        }
    }
    if (g->count == g->cap) {
        return NULL;
    }
    set_id(&g->rows[g->count], id);
    return &g->rows[g->count++];
}

/* All hours have named theirs: of those, the exact counts of the first are asked for. */
static void rank(struct reading *g)
{
    size_t exact = 2 * g->most;

    if (g->failed || !g->rows || g->count == 0) {
        finish(g);
        return;
    }
    qsort_r(g->rows, g->count, sizeof(*g->rows), compare, &g->by);
    g->count = g->count < exact ? g->count : exact;
    if (ask_scores(g) != 0) {
        g->failed = true;
        finish(g);
    }
}

static void on_largest(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct reading *g = context;

    (void)ticket;
    g->waiting--;
    for (size_t i = 0; is_good(g, reply) && i + 1 < redis_reply_count(reply); i += 2) {
        struct tally_row *row;
        struct span id;
        int64_t n;

        if (redis_reply_text(redis_reply_at(reply, i), &id) && id.len < TALLY_ID &&
            redis_reply_integer(redis_reply_at(reply, i + 1), &n) && n > 0 &&
            (row = candidate(g, id)) != NULL) {
            row->total[g->by] += (uint64_t)n;
        }
    }
    if (g->waiting == 0) {
        rank(g);
    }
}

int tally_read_top(
    struct redis *r, enum tally_kind by, size_t most, unsigned hours, int64_t now_s,
    uint32_t deadline_ms, tally_read_cb done, void *context)
{
    size_t per_hour = PER_HOUR * most;
    char key[STORE_KEY], last[COUNT_TEXT];
    struct text t;
    struct reading *g;

    if (most == 0 || most > TALLY_TOP_MOST || hours == 0 || hours > TALLY_HOURS) {
        return -1;
    }
    g = reading_new(r, per_hour * TALLY_HOURS, now_s, deadline_ms, done, context);
    if (g == NULL) {
        return -1;
    }
    g->by = by;
    g->most = most;
    g->hours = hours;
    text_init(&t, last, sizeof(last));
    text_addf(&t, "%zu", per_hour - 1);
    for (uint64_t hour = TALLY_HOURS - hours; hour < TALLY_HOURS; hour++) {
        const struct span words[] = {
            SPAN_LITERAL("ZRANGE"), tally_key(hour_of(g, hour * TALLY_KINDS), by, key),
            SPAN_LITERAL("0"),      text_span(&t),
            SPAN_LITERAL("REV"),    SPAN_LITERAL("WITHSCORES")};

        if (redis_call(r, words, 6, deadline_ms, on_largest, g, hour) != 0) {
            g->failed = true;
            break;
        }
        g->waiting++;
    }
    return g->waiting > 0 ? 0 : give_up(g);
}

/* --- cases --- */

bool tally_case_parse(struct span s, char out[CASE_TEXT])
{
    static const char from[] = "oil", to[] = "011";
    static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; /* Crockford's */

    s = span_trim(s);
    if (s.len != CASE_TEXT - 1) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        const char *meant = c == '\0' ? NULL : strchr(from, c | 0x20);

        if (meant != NULL) {
            c = to[meant - from];
        } else if (c >= 'a' && c <= 'z') {
            c = (char)(c - 'a' + 'A');
        }
        if (c == '\0' || strchr(alphabet, c) == NULL) {
            return false;
        }
        out[i] = c;
    }
    out[s.len] = '\0';
    return true;
}

int tally_ask_case(
    struct redis *r, const char *case_id, uint32_t deadline_ms, redis_reply_cb reply, void *context,
    uint64_t ticket)
{
    char key[STORE_KEY];
    const struct span words[] = {
        SPAN_LITERAL("XREVRANGE"), tally_cases_key(case_id, key), SPAN_LITERAL("+"),
        SPAN_LITERAL("-")};

    return redis_call(r, words, 4, deadline_ms, reply, context, ticket);
}

bool tally_case_owner(const struct redis_reply *reply, const char *case_id, struct span *id)
{
    for (size_t i = 0; i < redis_reply_count(reply); i++) {
        const struct redis_reply *fields = redis_reply_at(redis_reply_at(reply, i), 1);

        if (span_equal(redis_reply_field(fields, "case"), span_of(case_id))) {
            *id = redis_reply_field(fields, "id");
            return id->len > 0;
        }
    }
    return false;
}
