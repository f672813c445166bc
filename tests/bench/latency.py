"""What a hop more adds: from a command to its reply, at half the rate that HAProxy manages."""

import random
import statistics

from . import ratios, sample, workloads

PLACES = ("p50", "p99")
CONCURRENT = 2000  # at most: sessions begin at their times, not when others end


def full_rate(bench, sinks, seconds, warmup, rounds):
    """HAProxy's sessions a second, driven as fast as it goes."""
    taken = [sample.take(bench, sinks, "haproxy", workloads.SMALL, seconds, warmup) for _ in range(rounds)]
    return statistics.median(one.get("rate", 0) for one in taken)


def run(bench, sinks, names, rate, options, tell):
    """Rounds of all arms in random order; {"rate", "samples", "arms": {arm: {place: ...}}, "ratios", "added"}."""
    chance = random.Random(options.seed + 2)
    rounds, samples = [], []
    for _ in range(max(1, options.pairs // 2)):
        order, hops = list(names), {}
        chance.shuffle(order)
        for name in order:
            one = sample.take(bench, sinks, name, workloads.SMALL, options.seconds, options.warmup, CONCURRENT, rate)
            samples.append({"cell": f"{name}/small at {rate:.0f}/s", **one})
            if not one["wrong"]:
                hops[name] = one["load"]["latency_us"]["hop"]
        rounds.append(hops)
        tell(f"  at {rate:.0f} sessions/s, p50 / p99 in us: " + ", ".join(
            f"{name} {hops[name]['p50']:.0f} / {hops[name]['p99']:.0f}" for name in names if name in hops))
    return {"rate": rate, "samples": samples, **summary(rounds, names)}


def summary(rounds, names):
    """Medians of each arm; what it adds to direct; its ratio to HAProxy: over the rounds that have both, where
    those are enough. "good": {arm: [rounds that have it, of so many]}."""
    found = {"arms": {}, "added": {}, "ratios": {}, "good": {}}
    for name in names:
        found["good"][f"{name}, latency"] = [sum(name in hops for hops in rounds), len(rounds)]
        for place in PLACES:
            def both(other):
                taken = [(hops[name][place], hops[other][place]) for hops in rounds if name in hops and other in hops]
                return taken if ratios.enough(len(taken), len(rounds)) else []

            alone = [hops[name][place] for hops in rounds if name in hops]
            if ratios.enough(len(alone), len(rounds)):
                found["arms"].setdefault(name, {})[place] = ratios.median(alone)
            if name != "direct" and both("direct"):
                found["added"].setdefault(name, {})[place] = ratios.median([a - b for a, b in both("direct")])
            if name not in ("direct", "haproxy") and both("haproxy"):
                found["ratios"].setdefault(name, {})[place] = ratios.paired(both("haproxy"))
    return found
