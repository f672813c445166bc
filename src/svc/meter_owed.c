#include "svc/meter_owed.h"

#include <stdlib.h>
#include <string.h>

#include "base/recent_ids.h"

struct owed_bucket {
    enum limit_kind kind;
    struct rate rate;
    double tat_us;
};

struct contact {
    struct addr address;
    double at_us;
};

struct meter_debt {
    struct recent_id recent;
    struct owed_bucket *bucket;
    size_t buckets;
    uint64_t spread_us; /* the longest window of spread; 0: none */
    struct contact *contact;
    size_t contacts, room;
    char id[];
};

struct meter_owed {
    struct recent_ids debts;
};

/* --- the book --- */

struct meter_owed *meter_owed_new(size_t most)
{
    struct meter_owed *o = calloc(1, sizeof *o);

    if (o && recent_ids_init(&o->debts, most) != 0) {
        free(o);
        o = NULL;
    }
    return o;
}

void meter_debt_free(struct meter_debt *debt)
{
    free(debt->bucket);
    free(debt->contact);
    free(debt);
}

/* A debt begins with its place in the book. */
static struct meter_debt *debt_of(struct recent_id *place)
{
    return (struct meter_debt *)place;
}

static struct meter_debt *take_out(struct meter_owed *o, struct recent_id *place)
{
    if (place) {
        recent_ids_remove(&o->debts, place);
    }
    return debt_of(place);
}

void meter_owed_free(struct meter_owed *o)
{
    if (!o) {
        return;
    }
    for (struct meter_debt *debt; (debt = meter_owed_take_oldest(o));) {
        meter_debt_free(debt);
    }
    recent_ids_fini(&o->debts);
    free(o);
}

size_t meter_owed_count(const struct meter_owed *o)
{
    return o->debts.count;
}

const char *meter_debt_id(const struct meter_debt *debt)
{
    return debt->id;
}

static void put_in(struct meter_owed *o, struct meter_debt *debt)
{
    if (recent_ids_is_full(&o->debts)) {
        meter_debt_free(meter_owed_take_oldest(o));
    }
    recent_ids_add(&o->debts, &debt->recent);
}

static struct meter_debt *find_or_add(struct meter_owed *o, const char *id)
{
    struct meter_debt *debt = debt_of(recent_ids_find(&o->debts, id));
    size_t size = strlen(id) + 1;

    if (debt) {
        recent_ids_touch(&o->debts, &debt->recent);
        return debt;
    }
    debt = calloc(1, sizeof *debt + size);
    if (debt) {
        memcpy(debt->id, id, size);
        debt->recent.id = debt->id;
        put_in(o, debt);
    }
    return debt;
}

struct meter_debt *meter_owed_take(struct meter_owed *o, const char *id)
{
    return take_out(o, recent_ids_find(&o->debts, id));
}

struct meter_debt *meter_owed_take_oldest(struct meter_owed *o)
{
    return take_out(o, recent_ids_oldest(&o->debts));
}

/* --- a page --- */

/* NULL: out of memory, or so many as only pile up when limits are configured anew again and again.
 */
static struct owed_bucket *find_bucket(
    struct meter_debt *debt, enum limit_kind kind, const struct rate *rate)
{
    for (size_t i = 0; i < debt->buckets; i++) {
        struct owed_bucket *b = &debt->bucket[i];
        if (b->kind == kind && b->rate.period_us == rate->period_us) {
            b->rate = *rate;
            return b;
        }
    }
    if (debt->buckets == METER_WINDOWS) {
        return NULL;
    }
    struct owed_bucket *more = realloc(debt->bucket, (debt->buckets + 1) * sizeof *more);
    if (!more) {
        return NULL;
    }
    debt->bucket = more;
    more[debt->buckets] = (struct owed_bucket){.kind = kind, .rate = *rate};
    return &more[debt->buckets++];
}

static void add_contact(struct meter_debt *debt, const struct addr *address, double at_us)
{
    size_t i = 0;

    while (i < debt->contacts && memcmp(&debt->contact[i].address, address, sizeof *address) != 0) {
        i++;
    }
    if (i == METER_OWED_CONTACTS) {
        i = 0;
        for (size_t j = 1; j < debt->contacts; j++) {
            i = debt->contact[j].at_us < debt->contact[i].at_us ? j : i;
        }
    }
    if (i == debt->room) {
        size_t room = debt->room ? 2 * debt->room : 4;
        struct contact *more = realloc(debt->contact, room * sizeof *more);
        if (!more) {
            return;
        }
        debt->contact = more;
        debt->room = room;
    }
    debt->contacts += i == debt->contacts;
    debt->contact[i] = (struct contact){*address, at_us};
}

static uint64_t passed_of(const struct meter_passed *passed, enum limit_kind kind)
{
    const uint64_t amounts[LIMIT_KINDS] = {
        [LIMIT_SESSIONS] = passed->sessions,
        [LIMIT_MESSAGES] = passed->messages,
        [LIMIT_RECIPIENTS] = passed->recipients,
        [LIMIT_BYTES] = passed->bytes,
    };

    return amounts[kind];
}

static bool touches(const struct meter_passed *passed, const struct meter_windows *windows)
{
    for (size_t i = 0; i < windows->count; i++) {
        enum limit_kind kind = windows->at[i].kind;
        if (passed_of(passed, kind) > 0 || (kind == LIMIT_SPREAD && passed->destination)) {
            return true;
        }
    }
    return false;
}

void meter_owed_add(
    struct meter_owed *o, const char *id, const struct meter_passed *passed,
    const struct meter_windows *windows, double now_us)
{
    struct meter_debt *debt = touches(passed, windows) ? find_or_add(o, id) : NULL;

    for (size_t i = 0; debt && i < windows->count; i++) {
        const struct meter_window *w = &windows->at[i];
        uint64_t n = passed_of(passed, w->kind);
        struct owed_bucket *b = n > 0 ? find_bucket(debt, w->kind, &w->rate) : NULL;
        if (b) {
            b->tat_us = rate_take(&b->rate, b->tat_us, now_us, n);
        }
        if (w->kind == LIMIT_SPREAD && passed->destination) {
            uint64_t period = w->rate.period_us;
            debt->spread_us = period > debt->spread_us ? period : debt->spread_us;
            add_contact(debt, passed->destination, now_us);
        }
    }
}

void meter_owed_put_back(struct meter_owed *o, struct meter_debt *debt, double now_us)
{
    struct meter_debt *newer = meter_owed_take(o, debt->id);

    for (size_t i = 0; newer && i < newer->buckets; i++) {
        const struct owed_bucket *more = &newer->bucket[i];
        struct owed_bucket *b = find_bucket(debt, more->kind, &more->rate);
        if (b && more->tat_us > now_us) {
            b->tat_us = (b->tat_us > now_us ? b->tat_us : now_us) + more->tat_us - now_us;
        }
    }
    for (size_t i = 0; newer && i < newer->contacts; i++) {
        add_contact(debt, &newer->contact[i].address, newer->contact[i].at_us);
    }
    if (newer) {
        debt->spread_us = newer->spread_us > debt->spread_us ? newer->spread_us : debt->spread_us;
        meter_debt_free(newer);
    }
    put_in(o, debt);
}

/* --- words --- */

static void add(struct meter_owed_words *w, const char *word)
{
    w->at[w->count++] = span_of(word);
}

static void add_text(struct meter_owed_words *w, size_t len)
{
    w->at[w->count++] = (struct span){w->text + w->used, len};
    w->used += len + 1;
}

static void add_number(struct meter_owed_words *w, uint64_t n)
{
    add_text(w, number_write(n, w->text + w->used));
}

static void add_key(struct meter_owed_words *w, enum store_key key, const char *id)
{
    char name[STORE_KEY];
    struct span s = store_key(key, span_of(id), name);

    memcpy(w->text + w->used, s.at, s.len);
    add_text(w, s.len);
}

bool meter_debt_words(const struct meter_debt *debt, double now_us, struct meter_owed_words *out)
{
    size_t items = 0;

    out->count = 0;
    out->used = 0;
    add(out, "FCALL");
    add(out, "gate25_settle");
    add_number(out, debt->contacts > 0 ? 2 : 1);
    add_key(out, STORE_KEY_METER, debt->id);
    if (debt->contacts > 0) {
        add_key(out, STORE_KEY_SPREAD, debt->id);
    }
    add_number(out, debt->spread_us);
    for (size_t i = 0; i < debt->buckets; i++) {
        const struct owed_bucket *b = &debt->bucket[i];
        if (b->tat_us > now_us) {
            add(out, limit_kind_name(b->kind));
            add_number(out, b->rate.period_us);
            add_number(out, (uint64_t)(b->tat_us - now_us));
            items++;
        }
    }
    for (size_t i = 0; i < debt->contacts; i++) {
        double age_us = now_us - debt->contact[i].at_us;
        if (age_us < (double)debt->spread_us) {
            add(out, "contact");
            addr_format(&debt->contact[i].address, out->text + out->used);
            add_text(out, strlen(out->text + out->used));
            add_number(out, (uint64_t)age_us);
            items++;
        }
    }
    return items > 0;
}
