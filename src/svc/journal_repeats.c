#include "svc/journal_repeats.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "svc/registry.h"

#define CHAINS    256u /* a power of two */
#define TEXT_STEP 512u

/* What lines that are alike have in common. */
struct kind {
    uint64_t hash; /* of the id */
    char id[REGISTRY_ID];
    char class[CONF_NAME];
    struct prefix unit;
    enum journal_event event;
    enum verdict_action action, would;
    enum rule rule;
    enum limit_kind limit;
    struct rate rate; /* of RULE_LIMIT: its window may be another one after a reload */
    bool shadow;
    uint32_t cost;
};

struct open_kind {
    struct kind kind;
    TAILQ_ENTRY(open_kind) due;
    LIST_ENTRY(open_kind) chain; /* all of a subscriber's in one */
    int64_t due_ms;
    uint64_t newest; /* the newest line's number among all */
    uint64_t times;
    int64_t since_ms, newest_ms; /* Unix */
    size_t case_count, server_count;
    char cases[JOURNAL_REPEAT_CASES][CASE_TEXT];
    struct endpoint servers[JOURNAL_REPEAT_SERVERS];
    char *text;
    size_t len, cap;
};

TAILQ_HEAD(due_list, open_kind);
LIST_HEAD(chain_list, open_kind);

struct journal_repeats {
    uint64_t lines;      /* that have waited, ever */
    struct due_list due; /* earliest first */
    struct chain_list chain[CHAINS];
    struct journal_repeat out;
    struct chain_list free;
    size_t used; /* places, free ones among them; behind them no memory is touched */
    struct open_kind room[JOURNAL_REPEAT_KINDS];
};

struct journal_repeats *journal_repeats_new(void)
{
    struct journal_repeats *r = calloc(1, sizeof(*r));

    if (r) {
        TAILQ_INIT(&r->due);
    }
    return r;
}

void journal_repeats_free(struct journal_repeats *r)
{
    struct open_kind *k;

    if (!r) {
        return;
    }
    TAILQ_FOREACH(k, &r->due, due)
    {
        free(k->text);
    }
    free(r);
}

/* --- what is alike --- */

/* What a session has sent is dialogue, and little of it. Of what the gate does not read nobody
 * knows what it was. */
static bool carried_nothing(const struct journal_line *line)
{
    const struct dialog_record *d = line->dialog;

    if (line->bytes_up > 0 && (!d || d->opaque || d->tls || line->turns)) {
        return false;
    }
    return line->bytes_up <= JOURNAL_REPEAT_BYTES &&
           (!d || (d->messages == 0 && d->recipients == 0));
}

/* Nothing was transferred, so that the newest tells of all. */
static bool may_wait(const struct journal_line *line)
{
    const struct verdict *v = &line->verdict;

    if (line->event == JOURNAL_REFUSAL) {
        return v->action != VERDICT_FORWARD || v->shadow;
    }
    return carried_nothing(line);
}

/* False: it is like no other. */
static bool kind_of(const struct journal_line *line, const struct prefix *unit, struct kind *out)
{
    const struct verdict *v = &line->verdict;

    if (!line->id || !line->class || !may_wait(line) || strlen(line->id) >= sizeof(out->id) ||
        strlen(line->case_id) >= CASE_TEXT) {
        return false;
    }
    *out = (struct kind){
        .hash = span_hash(span_of(line->id)),
        .unit = *unit,
        .event = line->event,
        .action = v->action,
        .would = v->shadow ? v->would : VERDICT_FORWARD,
        .rule = v->rule,
        .shadow = v->shadow,
        .cost = v->cost,
    };
    memcpy(out->id, line->id, strlen(line->id)); /* zeros are behind it */
    memcpy(out->class, line->class->name, sizeof(out->class));
    if (v->rule == RULE_LIMIT) {
        out->limit = v->limit;
        out->rate = line->class->limit[v->limit].window[v->window];
    }
    return true;
}

static bool is_of(const struct kind *k, uint64_t hash, const char *id)
{
    return k->hash == hash && strcmp(k->id, id) == 0;
}

static bool is_alike(const struct kind *a, const struct kind *b)
{
    return a->event == b->event && a->action == b->action && a->would == b->would &&
           a->rule == b->rule && a->limit == b->limit && a->rate.count == b->rate.count &&
           a->rate.period_us == b->rate.period_us && a->shadow == b->shadow && a->cost == b->cost &&
           is_of(a, b->hash, b->id) && prefix_equal(&a->unit, &b->unit) &&
           strcmp(a->class, b->class) == 0;
}

static struct chain_list *chain_of(struct journal_repeats *r, uint64_t hash)
{
    return &r->chain[hash % CHAINS];
}

static struct open_kind *find(struct journal_repeats *r, const struct kind *kind)
{
    struct open_kind *k;

    LIST_FOREACH(k, chain_of(r, kind->hash), chain)
    {
        if (is_alike(&k->kind, kind)) {
            return k;
        }
    }
    return NULL;
}

/* --- kinds --- */

/* All are open for the same time, so the latest one stands last. */
static void stay_open(struct journal_repeats *r, struct open_kind *k, int64_t now_ms)
{
    k->due_ms = now_ms + JOURNAL_REPEAT_WAIT_MS;
    TAILQ_INSERT_TAIL(&r->due, k, due);
}

/* NULL: there is none. */
static struct open_kind *take_place(struct journal_repeats *r)
{
    struct open_kind *k = LIST_FIRST(&r->free);

    if (k) {
        LIST_REMOVE(k, chain);
        return k;
    }
    return r->used < JOURNAL_REPEAT_KINDS ? &r->room[r->used++] : NULL;
}

static void open_kind(struct journal_repeats *r, const struct kind *kind, int64_t now_ms)
{
    struct open_kind *k = take_place(r);

    if (!k) {
        return;
    }
    k->kind = *kind;
    LIST_INSERT_HEAD(chain_of(r, kind->hash), k, chain);
    stay_open(r, k, now_ms);
}

static void forget(struct journal_repeats *r, struct open_kind *k)
{
    TAILQ_REMOVE(&r->due, k, due);
    LIST_REMOVE(k, chain);
    free(k->text);
    k->text = NULL;
    k->cap = 0;
    LIST_INSERT_HEAD(&r->free, k, chain);
}

/* --- lines that wait --- */

static bool keep_text(struct open_kind *k, struct span text)
{
    if (text.len > JOURNAL_REPEAT_LINE) {
        return false;
    }
    if (text.len > k->cap) {
        size_t cap = (text.len + TEXT_STEP - 1) / TEXT_STEP * TEXT_STEP;
        char *larger = realloc(k->text, cap);

        if (!larger) {
            return false;
        }
        k->text = larger;
        k->cap = cap;
    }
    memcpy(k->text, text.at, text.len);
    k->len = text.len;
    return true;
}

/* Sessions of one subscriber may be refused by turns. Whoever floods faster than the list has room
 * is told of by its beginning and its end. */
static void keep_case(struct open_kind *k, const char *case_id)
{
    for (size_t i = k->case_count; i > 0; i--) {
        if (strcmp(k->cases[i - 1], case_id) == 0) {
            return;
        }
    }
    k->case_count -= k->case_count == JOURNAL_REPEAT_CASES;
    memcpy(k->cases[k->case_count++], case_id, strlen(case_id) + 1);
}

/* The same of servers: whom a scanner has asked is what shows that it is one. */
static void keep_server(struct open_kind *k, const struct endpoint *server)
{
    if (server->addr.family == ADDR_NONE) {
        return;
    }
    for (size_t i = k->server_count; i > 0; i--) {
        if (endpoint_equal(&k->servers[i - 1], server)) {
            return;
        }
    }
    k->server_count -= k->server_count == JOURNAL_REPEAT_SERVERS;
    k->servers[k->server_count++] = *server;
}

bool journal_repeats_add(
    struct journal_repeats *r, const struct journal_line *line, const struct prefix *unit,
    struct span text, int64_t now_ms)
{
    struct kind kind;

    if (!kind_of(line, unit, &kind)) {
        return false;
    }
    struct open_kind *k = find(r, &kind);

    if (k && k->times == 0 && now_ms >= k->due_ms) {
        forget(r, k); /* nobody has looked yet */
        k = NULL;
    }
    if (!k) {
        open_kind(r, &kind, now_ms);
        return false;
    }
    if (!keep_text(k, text)) {
        return false;
    }
    if (k->times++ == 0) {
        k->since_ms = line->time_ms;
    }
    k->newest = ++r->lines;
    k->newest_ms = line->time_ms;
    keep_case(k, line->case_id);
    keep_server(k, &line->server);
    return true;
}

/* --- what goes out --- */

/* Of a subscriber; NULL: nothing waits. */
static struct open_kind *oldest_of(struct journal_repeats *r, uint64_t hash, const char *id)
{
    struct open_kind *k, *oldest = NULL;

    LIST_FOREACH(k, chain_of(r, hash), chain)
    {
        if (k->times > 0 && is_of(&k->kind, hash, id) && (!oldest || k->newest < oldest->newest)) {
            oldest = k;
        }
    }
    return oldest;
}

static const struct journal_repeat *hand_out(
    struct journal_repeats *r, struct open_kind *k, int64_t now_ms)
{
    r->out = (struct journal_repeat){
        .id = k->kind.id,
        .line = {k->text, k->len},
        .times = k->times,
        .since_ms = k->since_ms < k->newest_ms ? k->since_ms : k->newest_ms,
        .cases = (const char(*)[CASE_TEXT])k->cases,
        .case_count = k->case_count,
        .servers = k->servers,
        .server_count = k->server_count,
    };
    k->times = 0;
    k->case_count = 0;
    k->server_count = 0;
    TAILQ_REMOVE(&r->due, k, due);
    stay_open(r, k, now_ms);
    return &r->out;
}

const struct journal_repeat *journal_repeats_due(struct journal_repeats *r, int64_t now_ms)
{
    struct open_kind *k;

    while ((k = TAILQ_FIRST(&r->due)) && now_ms >= k->due_ms) {
        if (k->times > 0) {
            return hand_out(r, oldest_of(r, k->kind.hash, k->kind.id), now_ms);
        }
        forget(r, k);
    }
    return NULL;
}

const struct journal_repeat *journal_repeats_of(
    struct journal_repeats *r, const char *id, int64_t now_ms)
{
    struct open_kind *k = oldest_of(r, span_hash(span_of(id)), id);

    return k ? hand_out(r, k, now_ms) : NULL;
}

const struct journal_repeat *journal_repeats_any(struct journal_repeats *r, int64_t now_ms)
{
    struct open_kind *k;

    TAILQ_FOREACH(k, &r->due, due)
    {
        if (k->times > 0) {
            return hand_out(r, oldest_of(r, k->kind.hash, k->kind.id), now_ms);
        }
    }
    return NULL;
}

int64_t journal_repeats_next_ms(const struct journal_repeats *r)
{
    const struct open_kind *k = TAILQ_FIRST(&r->due);

    return k ? k->due_ms : INT64_MAX;
}
