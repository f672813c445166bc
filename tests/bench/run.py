"""A whole run, part by part. Each part adds to the result what it has measured, under its own name."""

import functools
import json
import subprocess

from . import calls, crosscheck, goals, growth, idle, instructions, latency, pairs, parts, ratios, tools, workloads
from .pairs import Cell, Comparison

SAME_WITHIN = 0.02  # what HAProxy against itself may be off by
SAME_SURE = 0.05  # half of the width that the interval of it may have
IDLE, LOADED, COUNTED, CHECKED = 4000, 2000, 200, 6000  # connections held; sessions of calls, callgrind, cross-check
FEWEST = 200  # sessions of calls: of fewer, what the arm calls by itself is no small part
LOOKUPS = 2_000_000


class Run:
    """What is wanted, on which lab, and what has been found so far."""

    def __init__(self, options, bench, sinks, tell):
        self.options, self.bench, self.sinks, self.tell = options, bench, sinks, tell

    def wanted(self, part):
        """What it measures, of the arms and workloads that are wanted."""
        return parts.wanted(part, self.options.arms, self.options.workloads)

    def arms(self, part):
        return parts.arms_of(self.wanted(part))

    def scaled(self, number):
        return max(1, round(number * self.options.scale))

    def take(self, comparisons, seed):
        return pairs.run(comparisons, self.bench, self.sinks, self.options.seconds, self.options.warmup,
                         self.options.seed + seed, self.progress)

    @functools.cached_property
    def half_rate(self):
        """Half of the sessions a second that HAProxy manages."""
        full = latency.full_rate(self.bench, self.sinks, self.options.seconds, self.options.warmup, 3)
        return max(1, round(full / 2))

    def progress(self, number, count, comparison, pair):
        def words(figure):
            return " : ".join(f"{one[figure]:.0f}" if figure in one else "?" for one in pair)

        wrong = "".join(f"\n    not counted: {why}" for one in pair for why in one["wrong"])
        self.tell(f"  {number}/{count} {comparison.name}: {words('cpu_us')} us, {words('rate')} sessions/s{wrong}")

    # -- the parts: each has the name of its option, or is there always ------------------------------

    def same(self):
        """HAProxy against itself: is the machine quiet enough to tell two arms apart?"""
        count = max(ratios.CONFIDENT, self.options.pairs * 3 // 2)
        # Whatever workloads are wanted: it is the machine that is looked at.
        haproxy = Cell("haproxy", workloads.SMALL)
        found = self.take([Comparison(haproxy, haproxy, count)], 0)
        of_it = next(iter(found["ratios"].values()), {})
        found["agrees"] = {"cpu_us", "rate"} <= set(of_it) and all(
            ratios.agrees(of_it[figure], SAME_WITHIN, SAME_SURE) for figure in ("cpu_us", "rate"))
        return found

    def pairs(self):
        """One small mail a session, and sessions that are denied."""
        return self.take([
            Comparison(*(Cell(name, workloads.of_arm(name)) for name in figure.arms), self.options.pairs)
            for figure in self.wanted("pairs")], 1)

    def workloads(self):
        """The other workloads."""
        count = max(1, self.options.pairs // 3)
        return self.take([
            Comparison(*(Cell(name, workloads.ALL[figure.workload]) for name in figure.arms), count)
            for figure in self.wanted("workloads")], 2)

    def calls(self):
        """System calls."""
        return calls.run(self.bench, self.arms("calls"), workloads.of_arm,
                         max(FEWEST, self.scaled(LOADED)), self.tell)

    def instructions(self):
        """Instructions in user space."""
        return instructions.run(self.bench, self.arms("instructions"), workloads.SMALL,
                                self.scaled(COUNTED), self.tell)

    def latency(self):
        """What a hop more adds, at half of HAProxy's rate."""
        return latency.run(self.bench, self.sinks, self.arms("latency"), self.half_rate, self.options, self.tell)

    def idle(self):
        """Memory of an idle connection."""
        return idle.run(self.bench, self.arms("idle"), self.scaled(IDLE), self.tell)

    def growth(self):
        """CPU a session with more and more sessions open, at half of HAProxy's rate."""
        return growth.run(self.bench, self.sinks, self.arms("growth"), self.half_rate, self.options, self.progress)

    def cross_check(self):
        """The main figures with smtp-source."""
        return crosscheck.run(self.bench, self.arms("cross-check"), self.scaled(CHECKED), 3,
                              self.options.seed, self.tell)

    def lookup(self):
        """Finding a standing among a million."""
        numbers = map(str, (self.scaled(goals.MILLION), max(100, self.scaled(LOOKUPS))))
        said = subprocess.run([tools.tool("lookup"), *numbers], capture_output=True, text=True, check=True).stdout
        self.tell(f"  {said.strip()}")
        return json.loads(said)


def lacking(result):
    """In words, each comparison that has no verdict, as too few of its pairs were good."""
    return [f"{name}: {good} of {planned} good" for part in result.values() if isinstance(part, dict)
            for name, (good, planned) in part.get("good", {}).items() if not ratios.enough(good, planned)]


def samples(result):
    """All samples of all parts."""
    return [one for part in result.values() if isinstance(part, dict) for one in part.get("samples", [])]
