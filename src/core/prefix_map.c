#include "core/prefix_map.h"

#include <endian.h>
#include <string.h>

#define AHEAD 8 /* prefix lengths whose slots are fetched together */
#define LINE  2 /* slots in a line of the cache */
#define REACH 6 /* nearly every search ends within so many slots, or the one before */

struct key {
    uint64_t high, low;
    uint8_t family, len;
};

/* What is searched for, and the slot from which on. */
struct search {
    struct key key;
    size_t home;
};

static uint64_t load(const uint8_t *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof word);
    return be64toh(word);
}

static void store(uint8_t *bytes, uint64_t word)
{
    word = htobe64(word);
    memcpy(bytes, &word, sizeof word);
}

static struct key key_of(const struct addr *a, unsigned len)
{
    struct key k = {load(a->bytes), load(a->bytes + 8), a->family, (uint8_t)len};

    k.high = len == 0 ? 0 : len >= 64 ? k.high : k.high & UINT64_MAX << (64 - len);
    k.low = len <= 64 ? 0 : len >= 128 ? k.low : k.low & UINT64_MAX << (128 - len);
    return k;
}

static uint64_t mix(uint64_t x)
{
    /* MurmurHash3's finalizer. */
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

static size_t home_of(const struct prefix_map *m, uint64_t high, uint64_t low, unsigned tag)
{
    uint64_t whole = high + low * UINT64_C(0xd6e8feb86659fd93) + tag * UINT64_C(0x9e3779b97f4a7c15);

    return (size_t)mix(whole + m->seed) & (m->capacity - 1);
}

static unsigned tag_of(uint8_t family, uint8_t len)
{
    return (unsigned)family << 8 | len;
}

static size_t behind(const struct prefix_map *m, size_t at)
{
    return (at + 1) & (m->capacity - 1);
}

/* How far behind its home the entry in a slot stands. */
static size_t distance(const struct prefix_map *m, size_t at)
{
    const struct prefix_slot *s = &m->slots[at];

    return (at - home_of(m, s->high, s->low, tag_of(s->family, s->len))) & (m->capacity - 1);
}

/* The slot that holds the key: true; or the one where it would stand. Entries stand in the order of
 * their homes (Robin Hood hashing): the first that is nearer to its own than the key would be ends
 * the search, and most that find nothing end with it, a free slot being further on. */
static bool walk(const struct prefix_map *m, const struct search *search, size_t *at)
{
    const struct key *k = &search->key;

    *at = search->home;
    for (size_t far = 0;; far++, *at = behind(m, *at)) {
        const struct prefix_slot *s = &m->slots[*at];

        if (s->family == ADDR_NONE) {
            return false;
        }
        if (s->high == k->high && s->low == k->low && s->family == k->family && s->len == k->len) {
            return true;
        }
        if (far > 0 && distance(m, *at) < far) {
            return false;
        }
    }
}

static struct search search_for(const struct prefix_map *m, const struct key *k)
{
    return (struct search){*k, home_of(m, k->high, k->low, tag_of(k->family, k->len))};
}

static bool locate(const struct prefix_map *m, const struct key *k, size_t *at)
{
    const struct search search = search_for(m, k);

    return walk(m, &search, at);
}

/* Moves the entries from that slot on by one, up to the next free one. */
static void make_room(struct prefix_map *m, size_t at)
{
    size_t end = at;

    while (m->slots[end].family != ADDR_NONE) {
        end = behind(m, end);
    }
    while (end != at) {
        size_t before = (end - 1) & (m->capacity - 1);
        m->slots[end] = m->slots[before];
        end = before;
    }
}

static const struct prefix_map_lengths *lengths_of(const struct prefix_map *m, uint8_t family)
{
    return family == ADDR_IPV4 ? &m->v4 : &m->v6;
}

static void count_length(struct prefix_map *m, uint8_t family, uint8_t len, bool more)
{
    struct prefix_map_lengths *l = family == ADDR_IPV4 ? &m->v4 : &m->v6;
    uint64_t bit = UINT64_C(1) << (len & 63);

    m->count = more ? m->count + 1 : m->count - 1;
    if (family != ADDR_IPV4 && family != ADDR_IPV6) {
        return;
    }
    l->count[len] = more ? l->count[len] + 1 : l->count[len] - 1;
    l->used[len >> 6] = l->count[len] > 0 ? l->used[len >> 6] | bit : l->used[len >> 6] & ~bit;
}

/* The longest length in use that is at most `len`, or -1. */
static int length_below(const struct prefix_map_lengths *l, int len)
{
    for (int word = len >> 6; len >= 0 && word >= 0; word--) {
        unsigned top = word == len >> 6 ? (unsigned)len & 63 : 63;
        uint64_t bits = l->used[word] & UINT64_MAX >> (63 - top);

        if (bits != 0) {
            return word * 64 + 63 - __builtin_clzll(bits);
        }
    }
    return -1;
}

size_t prefix_map_capacity(size_t count)
{
    size_t capacity = PREFIX_MAP_SMALLEST;

    while (capacity / 4 * 3 <= count) {
        capacity *= 2;
    }
    return capacity;
}

void prefix_map_init(
    struct prefix_map *m, struct prefix_slot *slots, size_t capacity, uint64_t seed)
{
    *m = (struct prefix_map){.slots = slots, .capacity = capacity, .seed = seed};
}

bool prefix_map_full(const struct prefix_map *m)
{
    return m->count >= m->capacity / 4 * 3;
}

void prefix_map_move(struct prefix_map *m, struct prefix_slot *slots, size_t capacity)
{
    const struct prefix_slot *old = m->slots;
    size_t old_capacity = m->capacity;

    m->slots = slots;
    m->capacity = capacity;
    for (size_t i = 0; i < old_capacity; i++) {
        struct key k = {old[i].high, old[i].low, old[i].family, old[i].len};
        size_t at;

        if (k.family != ADDR_NONE && !locate(m, &k, &at)) {
            make_room(m, at);
            slots[at] = old[i];
        }
    }
}

bool prefix_map_put(struct prefix_map *m, const struct prefix *p, uint32_t value, int64_t until_s)
{
    struct key k = key_of(&p->addr, p->len);
    size_t at;

    if (!locate(m, &k, &at)) {
        /* One slot stays free for ever: it is where a search ends. */
        if (m->count + 1 >= m->capacity) {
            return false;
        }
        count_length(m, k.family, k.len, true);
        make_room(m, at);
    }
    m->slots[at] = (struct prefix_slot){k.high, k.low, until_s, value, k.family, k.len};
    return true;
}

bool prefix_map_remove(struct prefix_map *m, const struct prefix *p)
{
    struct key k = key_of(&p->addr, p->len);
    size_t at;

    if (!locate(m, &k, &at)) {
        return false;
    }
    count_length(m, k.family, k.len, false);
    /* Whoever stands behind, and not in his home, moves up: no tombstones. */
    for (size_t next = behind(m, at); m->slots[next].family != ADDR_NONE && distance(m, next) > 0;
         next = behind(m, next)) {
        m->slots[at] = m->slots[next];
        at = next;
    }
    m->slots[at] = (struct prefix_slot){0};
    return true;
}

const struct prefix_slot *prefix_map_get(const struct prefix_map *m, const struct prefix *p)
{
    struct key k = key_of(&p->addr, p->len);
    size_t at;

    return locate(m, &k, &at) ? &m->slots[at] : NULL;
}

/* The longest length in use over `a` of at most `max_len` bits, or -1. */
static int first_length(const struct prefix_map *m, const struct addr *a, int max_len)
{
    int bits = (int)addr_bits(a->family);

    return length_below(lengths_of(m, a->family), max_len < bits ? max_len : bits);
}

/* Prepares searches for the prefixes over `a`, from `*len` bits (-1: none) down, and asks for their
 * slots: memory takes longer than all else, and brings them together as soon as a single one.
 * `*len` is then the next length. */
static size_t prepare(
    const struct prefix_map *m, const struct addr *a, int *len, struct search searches[AHEAD])
{
    const struct prefix_map_lengths *l = lengths_of(m, a->family);
    size_t count = 0;

    for (; *len >= 0 && count < AHEAD; *len = length_below(l, *len - 1)) {
        struct key k = key_of(a, (unsigned)*len);

        searches[count] = search_for(m, &k);
        __builtin_prefetch(&m->slots[searches[count].home]);
        count++;
    }
    return count;
}

void prefix_map_prefetch(const struct prefix_map *m, const struct addr *a)
{
    struct search searches[AHEAD];
    int len = first_length(m, a, PREFIX_MAP_LENGTHS);
    size_t count = prepare(m, a, &len, searches);

    for (size_t i = 0; i < count; i++) {
        for (size_t far = LINE; far < REACH; far += LINE) {
            __builtin_prefetch(&m->slots[(searches[i].home + far) & (m->capacity - 1)]);
        }
    }
}

const struct prefix_slot *prefix_map_cover(
    const struct prefix_map *m, const struct addr *a, int max_len)
{
    int len = first_length(m, a, max_len);

    while (len >= 0) {
        struct search searches[AHEAD];
        size_t count = prepare(m, a, &len, searches);

        for (size_t i = 0; i < count; i++) {
            size_t at;

            if (walk(m, &searches[i], &at)) {
                return &m->slots[at];
            }
        }
    }
    return NULL;
}

struct prefix prefix_map_prefix(const struct prefix_slot *slot)
{
    struct prefix p = {.addr.family = slot->family, .len = slot->len};

    store(p.addr.bytes, slot->high);
    store(p.addr.bytes + 8, slot->low);
    return p;
}
