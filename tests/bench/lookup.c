/* How long finding a subscriber's standing takes among a million, and the memory they take: prints
 * JSON.
 *
 * - read_ns: reading one random cache line of the map's own memory. What the machine takes for
 * that, at this moment, is the least that a lookup takes which has to go there once.
 * - one_ns: one lookup, between two looks at the clock, whose own cost (clock_ns) is taken off.
 * - prefetched_ns: one lookup as a session does it (src/proxy/arrival.c): the map's memory was
 * asked for, and two system calls were made since.
 * - prefetch_ns: what that asking takes, calls after it that it slows down included: the median of
 *   rounds of ROUND with and without it.
 * - in_batches_ns: a lookup's share of `batch` of them.
 * - with_prefixes_ns: one lookup when two further lengths of each family are in use, which have to
 *   be looked for too where nothing longer is found, or before.
 *
 * Standings lie anywhere in POOLS IPv4 prefixes and, as units of 56 bits, in as many IPv6 ones, the
 * way an ISP's do. The addresses asked for come from the same pools in random order, half of them
 * with a standing; those of IPv6 have random host bits. */
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/machine.h"
#include "bench/words.h"
#include "svc/growing_map.h"
#include "svc/standing_map.h"

#define STANDINGS_MOST UINT64_C(4000000)
#define LOOKUPS_LEAST  100
#define LOOKUPS_MOST   100000000
#define BATCH          16 /* lookups between two looks at the clock */
#define ROUND          50
#define POOLS          16 /* of each family */
#define POOL_BITS      19 /* of the host part of an IPv4 pool: 16 x /13 */
#define SPREAD         (UINT64_C(1) << POOL_BITS)
#define PREFIXES       1000 /* standings of each other length */

struct figures {
    int64_t p50, p99;
};

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* Spreads numbers below SPREAD over all of them, each to another. */
static uint64_t spread(uint64_t number)
{
    number = number * UINT64_C(0x9e3779b1) % SPREAD;
    number ^= number >> 11;
    return number * UINT64_C(0x85ebca6b) % SPREAD;
}

static void put_bits(uint8_t *bytes, uint64_t value, unsigned count)
{
    for (unsigned i = count; i > 0; i--) {
        bytes[i - 1] = (uint8_t)value;
        value >>= 8;
    }
}

/* The subscriber's unit: three of four are IPv4 addresses, the others IPv6 prefixes of 56 bits. */
static struct prefix unit(uint64_t number)
{
    struct prefix p = {.addr.family = ADDR_IPV4, .len = 32};
    uint64_t pool = number % POOLS, place = spread(number / POOLS);

    if (number / POOLS % 4 != 0) {
        put_bits(p.addr.bytes, pool << POOL_BITS | place, 4);
        p.addr.bytes[0] = (uint8_t)(p.addr.bytes[0] + 10);
        return p;
    }
    p = (struct prefix){.addr.family = ADDR_IPV6, .len = 56};
    put_bits(p.addr.bytes, UINT64_C(0x2a000000) + pool, 4);
    put_bits(p.addr.bytes + 4, place, 3);
    return p;
}

static void put(struct prefix_map *map, struct class_names *names, const struct prefix *p)
{
    int64_t class = class_names_intern(names, span_of("registered"));

    if (class < 0 || growing_map_put(map, p, (uint32_t) class, 0) != 0) {
        words_failed("cannot keep so many standings");
    }
}

static void fill(struct prefix_map *map, struct class_names *names, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const struct prefix p = unit(i);
        put(map, names, &p);
    }
    if (!map->slots) {
        words_failed("no standing is kept");
    }
}

/* Beside the pools: they are looked for, and never found. */
static void add_prefixes(struct prefix_map *map, struct class_names *names)
{
    static const uint8_t v4[] = {29, 24}, v6[] = {64, 48};

    for (uint64_t i = 0; i < PREFIXES; i++) {
        struct addr a4 = {.family = ADDR_IPV4}, a6 = {.family = ADDR_IPV6};
        put_bits(a4.bytes, UINT64_C(0x64400000) + (i << 8), 4);
        put_bits(a6.bytes, UINT64_C(0x2b0000000000) + i, 6);
        for (unsigned j = 0; j < sizeof v4; j++) {
            const struct prefix p4 = prefix_of(&a4, v4[j]), p6 = prefix_of(&a6, v6[j]);
            put(map, names, &p4);
            put(map, names, &p6);
        }
    }
}

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static struct figures figures(int64_t *times, size_t count)
{
    qsort(times, count, sizeof *times, compare);
    return (struct figures){times[count / 2], times[count - 1 - count / 100]};
}

/* What looking at the clock twice takes by itself, in the median. */
static int64_t clock_cost_ns(int64_t *times, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t began = machine_now_ns();
        times[i] = machine_now_ns() - began;
    }
    return figures(times, count).p50;
}

static struct figures read_lines(
    const struct prefix_map *map, int64_t *times, size_t count, int64_t clock_ns)
{
    uint64_t chance = 1;

    for (size_t i = 0; i < count; i++) {
        const volatile uint64_t *at = &map->slots[next_random(&chance) & (map->capacity - 1)].high;
        int64_t began = machine_now_ns();
        (void)*at;
        int64_t took = machine_now_ns() - began - clock_ns;
        times[i] = took > 0 ? took : 0;
    }
    return figures(times, count);
}

/* An address of a subscriber's, half of whom have a standing. */
static struct addr anybody(uint64_t *chance, uint64_t standings)
{
    struct addr a = unit(next_random(chance) % (2 * standings)).addr;

    if (a.family == ADDR_IPV6) {
        put_bits(a.bytes + 8, next_random(chance), 8);
    }
    return a;
}

static struct figures look_up(
    const struct prefix_map *map, const struct class_names *names, const struct conf *conf,
    uint64_t standings, unsigned batch, int64_t *times, size_t count, int64_t clock_ns,
    uint64_t *found)
{
    uint64_t chance = 1;

    for (size_t i = 0; i < count; i++) {
        struct addr asked[BATCH];
        const struct conf_class *class;
        for (unsigned j = 0; j < batch; j++) {
            asked[j] = anybody(&chance, standings);
        }
        int64_t began = machine_now_ns();
        for (unsigned j = 0; j < batch; j++) {
            *found += standing_map_find(
                          map, names, conf, &asked[j], PREFIX_MAP_LENGTHS, 0, &class) != NULL;
        }
        int64_t took = machine_now_ns() - began - clock_ns;
        times[i] = took > 0 ? took / batch : 0;
    }
    return figures(times, count);
}

/* What a session asks the kernel before it looks its subscriber up. */
static void ask_kernel(int fd)
{
    struct sockaddr_storage local;
    char syn[128];
    socklen_t local_len = sizeof local, syn_len = sizeof syn;

    (void)getsockname(fd, (struct sockaddr *)&local, &local_len);
    (void)getsockopt(fd, SOL_TCP, TCP_SAVED_SYN, syn, &syn_len);
}

static struct figures look_up_prefetched(
    const struct prefix_map *map, const struct class_names *names, const struct conf *conf,
    uint64_t standings, int fd, int64_t *times, size_t count, int64_t clock_ns, uint64_t *found)
{
    uint64_t chance = 1;

    for (size_t i = 0; i < count; i++) {
        const struct addr asked = anybody(&chance, standings);
        const struct conf_class *class;
        prefix_map_prefetch(map, &asked);
        ask_kernel(fd);
        int64_t began = machine_now_ns();
        *found +=
            standing_map_find(map, names, conf, &asked, PREFIX_MAP_LENGTHS, 0, &class) != NULL;
        int64_t took = machine_now_ns() - began - clock_ns;
        times[i] = took > 0 ? took : 0;
    }
    return figures(times, count);
}

/* Asks the kernel `count` times, having asked for the map's memory each time before, or not. */
static int64_t asking_ns(
    const struct prefix_map *map, bool prefetch, uint64_t standings, int fd, unsigned count,
    uint64_t *chance)
{
    int64_t began = machine_now_ns();

    for (unsigned i = 0; i < count; i++) {
        const struct addr asked = anybody(chance, standings);
        if (prefetch) {
            prefix_map_prefetch(map, &asked);
        }
        ask_kernel(fd);
    }
    return machine_now_ns() - began;
}

/* In the median of rounds with and without it, one right after the other. */
static int64_t prefetch_cost_ns(
    const struct prefix_map *map, uint64_t standings, int fd, int64_t *times, size_t count)
{
    size_t rounds = count / ROUND;
    uint64_t chance = 1;

    for (size_t i = 0; i < rounds; i++) {
        bool first = i % 2 == 0; /* each is the first as often as the other */
        int64_t took = asking_ns(map, first, standings, fd, ROUND, &chance);
        int64_t then = asking_ns(map, !first, standings, fd, ROUND, &chance);
        times[i] = (first ? took - then : then - took) / ROUND;
    }
    int64_t cost = figures(times, rounds).p50;
    return cost > 0 ? cost : 0;
}

static void print(const char *name, struct figures f)
{
    printf(", \"%s\": {\"p50\": %" PRId64 ", \"p99\": %" PRId64 "}", name, f.p50, f.p99);
}

int main(int argc, char **argv)
{
    static struct conf_class classes[] = {{.name = "registered"}, {.name = "ordinary"}};
    const struct conf conf = {.classes = classes, .class_count = 2};
    struct prefix_map map = {0};
    struct class_names names = {0};
    uint64_t found = 0, again = 0;

    if (argc != 3) {
        words_wrong(
            "use: lookup STANDINGS LOOKUPS; STANDINGS is a whole number from 1 to %" PRIu64
            ", LOOKUPS one from %d to %d",
            STANDINGS_MOST, LOOKUPS_LEAST, LOOKUPS_MOST);
    }
    uint64_t standings = words_argument("STANDINGS", argv[1], 1, STANDINGS_MOST);
    size_t count = words_argument("LOOKUPS", argv[2], LOOKUPS_LEAST, LOOKUPS_MOST);
    int64_t *times = calloc(count, sizeof *times);
    if (!times) {
        words_failed("cannot keep the times");
    }
    fill(&map, &names, standings);
    int64_t clock_ns = clock_cost_ns(times, count);
    struct figures line = read_lines(&map, times, count, clock_ns);
    struct figures one = look_up(&map, &names, &conf, standings, 1, times, count, clock_ns, &found);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) {
        words_failed("cannot have a socket");
    }
    struct figures prefetched =
        look_up_prefetched(&map, &names, &conf, standings, fd, times, count, clock_ns, &again);
    int64_t prefetch_ns = prefetch_cost_ns(&map, standings, fd, times, count);
    close(fd);
    struct figures many =
        look_up(&map, &names, &conf, standings, BATCH, times, count / BATCH, clock_ns, &again);
    printf(
        "{\"standings\": %zu, \"lookups\": %zu, \"found\": %" PRIu64 ", \"bytes\": %zu, "
        "\"clock_ns\": %" PRId64 ", \"batch\": %d",
        map.count, count, found, map.capacity * sizeof *map.slots, clock_ns, BATCH);
    add_prefixes(&map, &names);
    struct figures more =
        look_up(&map, &names, &conf, standings, 1, times, count, clock_ns, &again);
    print("read_ns", line);
    print("one_ns", one);
    print("prefetched_ns", prefetched);
    printf(", \"prefetch_ns\": %" PRId64, prefetch_ns);
    print("in_batches_ns", many);
    print("with_prefixes_ns", more);
    printf("}\n");
    growing_map_fini(&map);
    class_names_fini(&names);
    free(times);
    return 0;
}
