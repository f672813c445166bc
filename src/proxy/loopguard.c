#include "proxy/loopguard.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "net/clock.h"

#define BUCKET   8 /* marks in one cache line */
#define CHOICES  2 /* buckets that a mark may be in: both full is next to impossible */
#define SPARSITY 4 /* places for each session */

struct bucket {
    _Alignas(64) _Atomic uint64_t mark[BUCKET];
};

struct turns {
    _Alignas(64) _Atomic unsigned count; /* odd: the worker is about to note a connection */
};

struct loopguard {
    struct bucket *buckets; /* workers times `size`, shared */
    struct turns *turns;    /* one a worker, behind them */
    unsigned workers, wait_ms;
    size_t size; /* buckets of one worker, a power of two */
    uint64_t seed;
};

static size_t shared_bytes(const struct loopguard *g)
{
    return g->workers * (g->size * sizeof(struct bucket) + sizeof(struct turns));
}

struct loopguard *loopguard_new(unsigned workers, unsigned sessions, unsigned wait_ms)
{
    struct loopguard *g = calloc(1, sizeof(*g));
    if (!g) {
        return NULL;
    }
    g->workers = workers;
    g->wait_ms = wait_ms;
    g->size = 64;
    while (g->size * BUCKET < (size_t)sessions * SPARSITY) {
        g->size *= 2;
    }
    void *memory =
        mmap(NULL, shared_bytes(g), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || getrandom(&g->seed, sizeof(g->seed), 0) != sizeof(g->seed)) {
        free(g);
        return NULL;
    }
    g->buckets = memory;
    g->turns = (struct turns *)(g->buckets + workers * g->size);
    return g;
}

void loopguard_free(struct loopguard *g)
{
    if (g) {
        munmap(g->buckets, shared_bytes(g));
        free(g);
    }
}

/* The finalizer of splitmix64: every bit of the input reaches every bit of the result. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

static uint64_t mix_endpoint(uint64_t state, const struct endpoint *e)
{
    uint64_t words[2];
    memcpy(words, e->addr.bytes, sizeof(words));
    state = mix(state ^ words[0]);
    state = mix(state ^ words[1]);
    return mix(state ^ ((uint64_t)e->addr.family << 32 | e->port));
}

static uint64_t mark_of(
    const struct loopguard *g, const struct endpoint *from, const struct endpoint *to)
{
    uint64_t mark = mix_endpoint(mix_endpoint(g->seed, from), to);
    return mark ? mark : 1;
}

/* The place in the mark's buckets that holds `value`, or NULL. */
static _Atomic uint64_t *place_of(
    const struct loopguard *g, unsigned worker, uint64_t mark, uint64_t value)
{
    for (unsigned choice = 0; choice < CHOICES; choice++) {
        size_t index = (mark >> (choice * 32)) & (g->size - 1);
        struct bucket *b = &g->buckets[worker * g->size + index];
        for (unsigned i = 0; i < BUCKET; i++) {
            if (atomic_load_explicit(&b->mark[i], memory_order_relaxed) == value) {
                return &b->mark[i];
            }
        }
    }
    return NULL;
}

void loopguard_begin(struct loopguard *g, unsigned worker)
{
    atomic_fetch_add(&g->turns[worker].count, 1);
}

void loopguard_end(struct loopguard *g, unsigned worker)
{
    atomic_fetch_add(&g->turns[worker].count, 1);
}

/* Nobody is waited for twice, nor long: he may have been killed in the middle of it. */
static void wait_for_notes(const struct loopguard *g)
{
    int64_t give_up_ms = 0;
    for (unsigned worker = 0; worker < g->workers; worker++) {
        const _Atomic unsigned *count = &g->turns[worker].count;
        unsigned seen = atomic_load(count);
        if (seen % 2 == 0) {
            continue;
        }
        if (give_up_ms == 0) {
            give_up_ms = clock_monotonic_ms() + g->wait_ms;
        }
        while (atomic_load(count) == seen && clock_monotonic_ms() < give_up_ms) {
            sched_yield();
        }
    }
}

uint64_t loopguard_set(
    struct loopguard *g, unsigned worker, const struct endpoint *local,
    const struct endpoint *remote)
{
    uint64_t mark = mark_of(g, local, remote);
    _Atomic uint64_t *place = place_of(g, worker, mark, 0);
    if (!place) {
        return 0;
    }
    atomic_store_explicit(place, mark, memory_order_relaxed);
    return mark;
}

void loopguard_clear(struct loopguard *g, unsigned worker, uint64_t mark)
{
    _Atomic uint64_t *place = mark ? place_of(g, worker, mark, mark) : NULL;
    if (place) {
        atomic_store_explicit(place, 0, memory_order_relaxed);
    }
}

bool loopguard_knows(
    const struct loopguard *g, const struct endpoint *peer, const struct endpoint *destination)
{
    uint64_t mark = mark_of(g, peer, destination);
    wait_for_notes(g);
    for (unsigned worker = 0; worker < g->workers; worker++) {
        if (place_of(g, worker, mark, mark)) {
            return true;
        }
    }
    return false;
}

void loopguard_forget(struct loopguard *g, unsigned worker)
{
    struct bucket *block = &g->buckets[worker * g->size];
    size_t bytes = g->size * sizeof(*block);
    atomic_store(&g->turns[worker].count, 0);
    /* Giving the pages back is cheaper than writing to all of them. */
    if (madvise(block, bytes, MADV_REMOVE) < 0) {
        memset(block, 0, bytes);
    }
}
