#include "bench/load_pace.h"

#include <stddef.h>

#include "bench/machine.h"

void pace_init(struct pace *p, const struct load_options *options, int64_t now_ns)
{
    *p = (struct pace){
        .options = options, .begins_ns = now_ns, .ends_ns = INT64_MAX, .random = options->seed};
}

/* splitmix64: good enough to spread, and the same everywhere for a seed. */
static uint64_t next_random(struct pace *p)
{
    uint64_t z = p->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* How many sessions may begin without there being too many. */
static uint64_t room(const struct pace *p, struct pace_state state)
{
    const struct load_options *o = p->options;

    if (o->rate > 0) {
        return o->concurrent - state.open;
    }
    uint64_t arriving_most = PACE_ARRIVING_MOST + (o->hold ? 0 : state.open / 4);
    uint64_t more = state.arriving < arriving_most ? arriving_most - state.arriving : 0;
    return state.taken - state.open + least(more, o->concurrent - state.taken);
}

static uint64_t left(const struct pace *p)
{
    const struct load_options *o = p->options;
    uint64_t total = o->hold ? o->concurrent : o->sessions;

    return total ? total - p->begun - p->missed : UINT64_MAX;
}

/* When the session of that number begins, by --rate. */
static int64_t start_ns(const struct pace *p, uint64_t number)
{
    return p->begins_ns + (int64_t)((double)number / p->options->rate * SECOND_NS);
}

uint32_t pace_due(struct pace *p, struct pace_state state, int64_t now_ns)
{
    uint64_t most = least(room(p, state), left(p));
    uint64_t due = 0;

    if (p->options->rate <= 0) {
        return (uint32_t)most;
    }
    while (due < left(p) && start_ns(p, p->begun + p->missed + due) <= now_ns) {
        due++;
    }
    if (due > most) {
        p->missed += due - most;
        due = most;
    }
    return (uint32_t)due;
}

int64_t pace_next_ns(const struct pace *p)
{
    return p->options->rate > 0 ? start_ns(p, p->begun + p->missed) : INT64_MAX;
}

bool pace_is_over(const struct pace *p, int64_t now_ns)
{
    return left(p) == 0 || now_ns >= p->ends_ns;
}

static bool has_family(const struct address_range *range, sa_family_t family)
{
    return range->first.any.sa_family == family;
}

/* The address at `index` of all sources of the family, one range behind the other. */
static void source_at(
    const struct load_options *o, sa_family_t family, uint64_t index, union address *out)
{
    for (unsigned i = 0; i < o->sources; i++) {
        if (!has_family(&o->source[i], family)) {
            continue;
        }
        if (index < o->source[i].count) {
            address_range_at(&o->source[i], (uint32_t)index, out);
            return;
        }
        index -= o->source[i].count;
    }
}

static uint64_t count_sources(const struct load_options *o, sa_family_t family)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < o->sources; i++) {
        count += has_family(&o->source[i], family) ? o->source[i].count : 0;
    }
    return count;
}

void pace_begin(struct pace *p, struct session_ends *ends)
{
    const struct load_options *o = p->options;
    uint64_t number = p->begun++;

    ends->server = &o->server[number % o->servers];
    ends->source = NULL;
    sa_family_t family = ends->server->any.sa_family;
    uint64_t count = count_sources(o, family);
    if (count > 0) {
        /* In turn, several servers are each reached from all addresses. */
        uint64_t index = o->in_turn ? number / o->servers : next_random(p);
        source_at(o, family, index % count, &ends->source_space);
        ends->source = &ends->source_space;
    }
}
