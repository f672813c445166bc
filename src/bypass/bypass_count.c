/* Reads what the kernel has counted. */
#include <string.h>

#include "base/log.h"
#include "bypass/bypass_rules.h"
#include "bypass_internal.h"
#include "net/clock.h"

struct counted {
    struct bypass *b;
    enum bypass_reading reading;
    uint8_t family;
};

/* Our table marks packets, and the gate's rules have to heed the mark: where they do not, the first
 * packet of a connection is marked and counted, and gate25d has it from then on. What comes back
 * may come by the fast path, which heeds no rules: so it is looked for at the subscriber himself.
 */
static void note_answers(struct bypass *b, const struct prefix *subscriber, uint64_t opened)
{
    if (bypass_counts_hear(&b->counts, subscriber)) {
        b->answered = true;
    } else {
        b->asked += opened;
    }
}

/* An account that holds the unit would be found here. */
struct prefix bypass_subscriber(const struct bypass *b, const struct prefix *unit)
{
    struct registry_entry entry;

    registry_find(b->registry, b->conf, &unit->addr, clock_unix_ms() / 1000, &entry);
    return entry.unit;
}

uint64_t bypass_count_one(
    struct bypass *b, enum bypass_reading reading, const struct prefix *unit, uint64_t value,
    const struct prefix *subscriber)
{
    uint64_t more = bypass_counts_take(&b->counts, reading, unit, value, subscriber);

    if (bypass_counts_kind(reading) == BYPASS_OPENED && more > 0) {
        char id[PREFIX_TEXT];

        /* The desk sees who opens how many, as if the gate had served them. */
        prefix_format(subscriber, id);
        tally_add(b->tally, id, TALLY_SESSIONS, more, clock_unix_ms() / 1000);
    }
    if (reading == READING_OPENED && more > 0) {
        note_answers(b, subscriber, more);
    }
    return more;
}

uint64_t bypass_total(const struct bypass *b, enum bypass_count kind)
{
    return b->carried[kind] + b->kernel[kind] + b->fast.moved[kind];
}

static void on_counter(void *context, const struct nft_element *e)
{
    const struct counted *c = context;
    struct addr a = {.family = c->family};

    memcpy(a.bytes, e->key, e->key_len);
    const struct prefix unit = prefix_unit(&a, c->b->conf->ipv6_unit);
    const struct prefix subscriber = bypass_subscriber(c->b, &unit);
    (void)bypass_count_one(
        c->b, c->reading, &unit, c->reading == READING_OPENED ? e->packets : e->bytes, &subscriber);
}

static const struct {
    const char *set;
    enum bypass_reading reading;
    uint8_t family;
} sets[] = {
    {"opened4", READING_OPENED, ADDR_IPV4}, {"opened6", READING_OPENED, ADDR_IPV6},
    {"up4", READING_UP, ADDR_IPV4},         {"up6", READING_UP, ADDR_IPV6},
    {"down4", READING_DOWN, ADDR_IPV4},     {"down6", READING_DOWN, ADDR_IPV6},
};

static const char *const counters[BYPASS_COUNTS] = {
    [BYPASS_OPENED] = "opened", [BYPASS_UP] = "up", [BYPASS_DOWN] = "down"};

/* Reads what each unit has done. True: all was read. */
static bool read_units(struct bypass *b)
{
    bool whole = true;

    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        struct counted c = {b, sets[i].reading, sets[i].family};

        /* Others' transactions break the reading off: what was read counts, the rest next time. */
        whole = nft_dump_set(b->dump, BYPASS_TABLE, sets[i].set, on_counter, &c) == 0 && whole;
    }
    return whole;
}

void bypass_count(struct bypass *b)
{
    const uint64_t down = b->kernel[BYPASS_DOWN];
    struct nft_counter total;

    for (enum bypass_count k = 0; k < BYPASS_COUNTS; k++) {
        if (nft_dump_counter(b->dump, BYPASS_TABLE, counters[k], &total) == 0) {
            b->kernel[k] = k == BYPASS_OPENED ? total.packets : total.bytes;
        }
    }
    b->asked = 0;
    b->answered = b->kernel[BYPASS_DOWN] != down;
    bypass_counts_begin(&b->counts);
    bypass_fast_count(b);
    if (read_units(b)) {
        bypass_counts_end(&b->counts);
    }
    b->unanswered = b->answered ? 0 : b->unanswered + b->asked;
}
