#include "svc/meter_local.h"

#include <stdlib.h>
#include <string.h>

#include "base/recent_ids.h"
#include "svc/meter_seen.h"

#define METER_LOCAL_SLOT_US  (15 * 60 * 1e6) /* SLOT_MS in meter_keys.lua */
#define METER_LOCAL_RETRY_US (60 * 1e6)

struct bucket {
    enum limit_kind kind;
    uint64_t period_us;
    double tat_us;
};

struct subscriber {
    struct recent_id recent;
    struct seen_set contacts; /* destination -> last contact */
    struct seen_set open;     /* slot -> last sign of life */
    struct bucket *bucket;
    size_t buckets;
    double awaited_us; /* until when sessions wait for a message's token */
    char id[];
};

struct meter_local {
    struct recent_ids subscribers;
};

/* One decision under way. */
struct decision {
    struct subscriber *who;
    const struct question *question;
    const struct meter_windows *windows;
    size_t bucket[METER_WINDOWS]; /* of each window, where its kind has one: index in who->bucket */
    double now_us;
    uint64_t contact, slot; /* hashes; 0: none */
    const struct meter_window *refusal, *debt;
    double refusal_us, debt_us;
};

struct meter_local *meter_local_new(size_t most)
{
    struct meter_local *l = calloc(1, sizeof *l);

    if (l && recent_ids_init(&l->subscribers, most) != 0) {
        free(l);
        l = NULL;
    }
    return l;
}

/* A subscriber begins with its place in the table. */
static struct subscriber *subscriber_of(struct recent_id *place)
{
    return (struct subscriber *)place;
}

static void subscriber_free(struct subscriber *s)
{
    seen_clear(&s->contacts);
    seen_clear(&s->open);
    free(s->bucket);
    free(s);
}

static void forget(struct meter_local *l, struct subscriber *s)
{
    recent_ids_remove(&l->subscribers, &s->recent);
    subscriber_free(s);
}

void meter_local_free(struct meter_local *l)
{
    if (!l) {
        return;
    }
    for (struct subscriber *s; (s = subscriber_of(recent_ids_oldest(&l->subscribers)));) {
        forget(l, s);
    }
    recent_ids_fini(&l->subscribers);
    free(l);
}

size_t meter_local_count(const struct meter_local *l)
{
    return l->subscribers.count;
}

static struct subscriber *find(struct meter_local *l, const char *id)
{
    struct recent_id *place = recent_ids_find(&l->subscribers, id);

    if (place) {
        recent_ids_touch(&l->subscribers, place);
    }
    return subscriber_of(place);
}

static struct subscriber *find_or_add(struct meter_local *l, const char *id)
{
    size_t size = strlen(id) + 1;
    struct subscriber *s = find(l, id);

    if (s) {
        return s;
    }
    s = calloc(1, sizeof *s + size);
    if (!s) {
        return NULL;
    }
    if (recent_ids_is_full(&l->subscribers)) {
        forget(l, subscriber_of(recent_ids_oldest(&l->subscribers)));
    }
    memcpy(s->id, id, size);
    s->recent.id = s->id;
    recent_ids_add(&l->subscribers, &s->recent);
    return s;
}

static bool is_bucket(enum limit_kind kind)
{
    return kind != LIMIT_SPREAD && kind != LIMIT_CONCURRENT;
}

/* The bucket of a window, as a field of the hash in Redis: kind and period are its name. */
static int find_bucket(struct subscriber *s, const struct meter_window *w, size_t *out)
{
    for (*out = 0; *out < s->buckets; ++*out) {
        if (s->bucket[*out].kind == w->kind && s->bucket[*out].period_us == w->rate.period_us) {
            return 0;
        }
    }
    struct bucket *more = realloc(s->bucket, (s->buckets + 1) * sizeof *more);
    if (!more) {
        return -1;
    }
    s->bucket = more;
    s->bucket[s->buckets++] = (struct bucket){w->kind, w->rate.period_us, 0};
    return 0;
}

static int find_buckets(struct decision *d)
{
    /* So many only pile up when limits are configured anew again and again. */
    if (d->who->buckets > 4 * METER_WINDOWS) {
        d->who->buckets = 0;
    }
    for (size_t i = 0; i < d->windows->count; i++) {
        const struct meter_window *w = &d->windows->at[i];
        if (is_bucket(w->kind) && find_bucket(d->who, w, &d->bucket[i]) != 0) {
            return -1;
        }
    }
    return 0;
}

static double *tat_of(const struct decision *d, size_t window)
{
    return &d->who->bucket[d->bucket[window]].tat_us;
}

/* Of several windows the one that refuses longest is named. */
static void refuse(struct decision *d, const struct meter_window *w, double us)
{
    if (!d->refusal || us > d->refusal_us) {
        d->refusal = w;
        d->refusal_us = us;
    }
}

/* Takes `n` from each window of `kind`, which may go into debt. */
static void charge(struct decision *d, enum limit_kind kind, uint64_t n)
{
    for (size_t i = 0; i < d->windows->count; i++) {
        const struct meter_window *w = &d->windows->at[i];
        if (w->kind == kind && n > 0) {
            *tat_of(d, i) = rate_take(&w->rate, *tat_of(d, i), d->now_us, n);
        }
    }
}

static void charge_bytes(struct decision *d, uint64_t bytes)
{
    charge(d, LIMIT_BYTES, bytes);
    for (size_t i = 0; i < d->windows->count; i++) {
        const struct meter_window *w = &d->windows->at[i];
        if (w->kind != LIMIT_BYTES) {
            continue;
        }
        double wait = rate_wait_us(&w->rate, *tat_of(d, i), d->now_us, 0);
        if (wait > 0 && (!d->debt || wait > d->debt_us)) {
            d->debt = w;
            d->debt_us = wait;
        }
    }
}

static uint64_t cost_of(const struct question *q, enum limit_kind kind)
{
    if (kind == LIMIT_SESSIONS) {
        return q->kind == QUESTION_SESSION;
    }
    return kind == LIMIT_MESSAGES ? q->messages : 0;
}

/* Encrypted sessions pay when their messages have been sent: that may have left a debt. */
static bool check_message_debt(struct decision *d)
{
    bool debt = false;

    for (size_t i = 0; i < d->windows->count; i++) {
        const struct meter_window *w = &d->windows->at[i];
        double wait =
            w->kind == LIMIT_MESSAGES ? rate_wait_us(&w->rate, *tat_of(d, i), d->now_us, 0) : 0;
        if (wait > 0) {
            refuse(d, w, wait);
            debt = true;
        }
    }
    return debt;
}

static void check_buckets(struct decision *d)
{
    for (size_t i = 0; i < d->windows->count; i++) {
        const struct meter_window *w = &d->windows->at[i];
        uint64_t n = cost_of(d->question, w->kind);
        if (n == 0) {
            continue;
        }
        double tat = *tat_of(d, i);
        if (rate_available(&w->rate, tat, d->now_us, n) < n) {
            refuse(d, w, rate_wait_us(&w->rate, tat, d->now_us, n));
        }
    }
}

/* An encrypted message's content was refused: its sender is told in place of a banner. */
static void check_awaited(struct decision *d)
{
    for (size_t i = 0; i < d->windows->count && d->who->awaited_us > d->now_us; i++) {
        const struct meter_window *w = &d->windows->at[i];
        double tat = *tat_of(d, i);
        if (w->kind == LIMIT_MESSAGES && rate_available(&w->rate, tat, d->now_us, 1) < 1) {
            refuse(d, w, rate_wait_us(&w->rate, tat, d->now_us, 1));
        }
    }
}

static uint32_t grant_recipients(const struct decision *d)
{
    uint64_t granted = d->question->recipients;

    for (size_t i = 0; i < d->windows->count; i++) {
        const struct meter_window *w = &d->windows->at[i];
        if (w->kind == LIMIT_RECIPIENTS) {
            granted = rate_available(&w->rate, *tat_of(d, i), d->now_us, granted);
        }
    }
    return (uint32_t)granted;
}

static void refuse_recipients(struct decision *d, uint32_t n)
{
    for (size_t i = 0; i < d->windows->count; i++) {
        const struct meter_window *w = &d->windows->at[i];
        if (w->kind != LIMIT_RECIPIENTS) {
            continue;
        }
        double wait = rate_wait_us(&w->rate, *tat_of(d, i), d->now_us, n);
        if (wait > 0) {
            refuse(d, w, wait);
        }
    }
}

static void check_spread(struct decision *d)
{
    struct seen_set *contacts = &d->who->contacts;
    const struct seen *known = seen_find(contacts, d->contact);
    double longest = 0;

    for (size_t i = 0; i < d->windows->count; i++) {
        const struct meter_window *w = &d->windows->at[i];
        double since = d->now_us - (double)w->rate.period_us;
        if (w->kind != LIMIT_SPREAD) {
            continue;
        }
        longest = (double)w->rate.period_us > longest ? (double)w->rate.period_us : longest;
        size_t used = seen_since(contacts, since);
        if (used >= w->rate.count && !(known && known->at_us > since)) {
            /* The one whose leaving makes room. */
            const struct seen *blocker = &contacts->at[contacts->count - w->rate.count];
            refuse(d, w, blocker->at_us - since);
        }
    }
    seen_forget_until(contacts, d->now_us - longest);
}

static void check_concurrent(struct decision *d)
{
    struct seen_set *open = &d->who->open;

    seen_forget_until(open, d->now_us - METER_LOCAL_SLOT_US);
    for (size_t i = 0; i < d->windows->count; i++) {
        const struct meter_window *w = &d->windows->at[i];
        if (w->kind == LIMIT_CONCURRENT && open->count >= w->rate.count &&
            !seen_find(open, d->slot)) {
            refuse(d, w, METER_LOCAL_RETRY_US);
        }
    }
}

static bool has_kind(const struct meter_windows *windows, enum limit_kind kind)
{
    for (size_t i = 0; i < windows->count; i++) {
        if (windows->at[i].kind == kind) {
            return true;
        }
    }
    return false;
}

static void renew_slot(struct decision *d)
{
    if (d->slot && has_kind(d->windows, LIMIT_CONCURRENT)) {
        seen_touch(&d->who->open, d->slot, d->now_us, METER_LOCAL_SEEN);
    }
}

static void take(struct decision *d, uint32_t recipients)
{
    for (size_t i = 0; i < d->windows->count; i++) {
        const struct meter_window *w = &d->windows->at[i];
        uint64_t n = w->kind == LIMIT_RECIPIENTS ? recipients : cost_of(d->question, w->kind);
        if (n > 0) {
            *tat_of(d, i) = rate_take(&w->rate, *tat_of(d, i), d->now_us, n);
        }
    }
    if (d->contact && has_kind(d->windows, LIMIT_SPREAD)) {
        seen_touch(&d->who->contacts, d->contact, d->now_us, METER_LOCAL_SEEN);
    }
}

static void decide_content(struct decision *d, struct answer *out)
{
    check_buckets(d);
    if (d->refusal) {
        d->who->awaited_us = d->now_us + d->refusal_us;
        out->state = METER_OVER;
        return;
    }
    take(d, 0);
    out->state = METER_WITHIN;
    if (d->debt) {
        refuse(d, d->debt, d->debt_us);
    }
}

static void decide(struct decision *d, struct answer *out)
{
    const struct question *q = d->question;

    if (q->kind == QUESTION_CONTENT) {
        decide_content(d, out);
        return;
    }
    if (q->kind == QUESTION_CHECKPOINT) {
        charge(d, LIMIT_MESSAGES, q->messages);
        out->state = check_message_debt(d) ? METER_OVER : METER_WITHIN;
    }
    if (d->debt && out->state != METER_OVER) {
        refuse(d, d->debt, d->debt_us);
    }
    if (q->kind == QUESTION_CHECKPOINT) {
        return;
    }
    if (q->kind == QUESTION_SESSION) {
        (void)check_message_debt(d);
        check_awaited(d);
    }
    check_buckets(d);
    uint32_t granted = grant_recipients(d);
    if (granted == 0 && q->recipients > 0 && q->messages == 0) {
        refuse_recipients(d, q->recipients);
    }
    if (q->kind == QUESTION_SESSION) {
        check_spread(d);
        check_concurrent(d);
    }
    if (d->refusal) {
        out->state = METER_OVER;
        return;
    }
    take(d, granted);
    out->state = METER_WITHIN;
    out->recipients = granted;
    if (granted < q->recipients) {
        refuse_recipients(d, q->recipients - granted);
    }
}

void meter_local_ask(
    struct meter_local *l, const char *id, const char *slot, const struct addr *destination,
    const struct question *question, const struct meter_windows *windows, double now_us,
    struct answer *out)
{
    struct decision d = {
        .who = find_or_add(l, id),
        .question = question,
        .windows = windows,
        .now_us = now_us,
        .slot = slot[0] ? span_hash(span_of(slot)) : 0,
    };

    *out = (struct answer){.state = METER_UNKNOWN};
    if (!d.who || find_buckets(&d) != 0) {
        return;
    }
    if (question->kind == QUESTION_SESSION) {
        d.contact = span_hash(
            (struct span){(const char *)destination->bytes, addr_bits(destination->family) / 8});
    }
    charge_bytes(&d, question->bytes);
    decide(&d, out);
    if (out->state == METER_WITHIN || question->kind != QUESTION_SESSION) {
        renew_slot(&d);
    }
    out->bytes_over = d.debt != NULL;
    if (d.refusal) {
        out->limit = d.refusal->kind;
        out->window = d.refusal->window;
        out->retry_us = d.refusal_us;
    }
}

void meter_local_leave(
    struct meter_local *l, const char *id, const char *slot, const struct question *last,
    const struct meter_windows *windows, double now_us)
{
    struct subscriber *who = l->subscribers.count > 0 ? find(l, id) : NULL;

    if (!who) {
        return;
    }
    struct decision d = {.who = who, .windows = windows, .now_us = now_us};
    if (find_buckets(&d) == 0) {
        charge_bytes(&d, last->bytes);
        charge(&d, LIMIT_MESSAGES, last->messages);
    }
    seen_remove(&d.who->open, span_hash(span_of(slot)));
}
