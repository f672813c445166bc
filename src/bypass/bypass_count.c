/* Reads what the kernel has counted. */
#include <string.h>

#include "base/log.h"
#include "bypass/bypass_rules.h"
#include "bypass_internal.h"
#include "net/clock.h"

struct counted {
    struct bypass *b;
    enum bypass_count kind;
    uint8_t family;
    int64_t now_s;
};

/* Whose traffic it is. An account that holds the unit would be found here. */
static struct prefix subscriber_of(const struct counted *c, const struct prefix *unit)
{
    struct registry_entry entry;

    registry_find(c->b->registry, c->b->conf, &unit->addr, c->now_s, &entry);
    return entry.unit;
}

static void on_counter(void *context, const struct nft_element *e)
{
    const struct counted *c = context;
    struct addr a = {.family = c->family};

    memcpy(a.bytes, e->key, e->key_len);
    struct prefix unit = prefix_unit(&a, c->b->conf->ipv6_unit);
    struct prefix subscriber = subscriber_of(c, &unit);
    uint64_t more = bypass_counts_take(
        &c->b->counts, c->kind, &unit, c->kind == BYPASS_OPENED ? e->packets : e->bytes,
        &subscriber);
    if (c->kind == BYPASS_OPENED && more > 0) {
        char id[PREFIX_TEXT];

        /* The desk sees who opens how many, as if the gate had served them. */
        prefix_format(&subscriber, id);
        tally_add(c->b->tally, id, TALLY_SESSIONS, more, c->now_s);
    }
}

static const struct {
    const char *set;
    enum bypass_count kind;
    uint8_t family;
} sets[] = {
    {"opened4", BYPASS_OPENED, ADDR_IPV4}, {"opened6", BYPASS_OPENED, ADDR_IPV6},
    {"up4", BYPASS_UP, ADDR_IPV4},         {"up6", BYPASS_UP, ADDR_IPV6},
    {"down4", BYPASS_DOWN, ADDR_IPV4},     {"down6", BYPASS_DOWN, ADDR_IPV6},
};

static const char *const counters[BYPASS_COUNTS] = {
    [BYPASS_OPENED] = "opened", [BYPASS_UP] = "up", [BYPASS_DOWN] = "down"};

/* Our table marks packets, and the gate's rules have to heed the mark: where they do not, the first
 * packet of a connection is marked and counted, and gate25d has it from then on. */
static void look_for_answers(struct bypass *b, const uint64_t before[BYPASS_COUNTS])
{
    if (b->kernel[BYPASS_DOWN] != before[BYPASS_DOWN]) {
        b->unanswered = 0;
    } else if (b->kernel[BYPASS_OPENED] > before[BYPASS_OPENED]) {
        b->unanswered += b->kernel[BYPASS_OPENED] - before[BYPASS_OPENED];
    }
}

void bypass_count(struct bypass *b)
{
    struct nft_counter total;
    uint64_t before[BYPASS_COUNTS];
    bool whole = true;

    memcpy(before, b->kernel, sizeof(before));

    for (enum bypass_count k = 0; k < BYPASS_COUNTS; k++) {
        if (nft_dump_counter(b->dump, BYPASS_TABLE, counters[k], &total) == 0) {
            b->kernel[k] = k == BYPASS_OPENED ? total.packets : total.bytes;
        }
    }
    look_for_answers(b, before);
    bypass_counts_begin(&b->counts);
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        struct counted c = {b, sets[i].kind, sets[i].family, clock_unix_ms() / 1000};

        /* Others' transactions break the reading off: what was read counts, the rest next time. */
        whole = nft_dump_set(b->dump, BYPASS_TABLE, sets[i].set, on_counter, &c) == 0 && whole;
    }
    if (whole) {
        bypass_counts_end(&b->counts);
    }
}
