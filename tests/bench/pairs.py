"""Comparisons: pairs of samples, interleaved, in random order."""

import dataclasses
import random

from . import ratios, sample

FIGURES = ("cpu_us", "rate", "machine_us")  # lower is better, higher, lower


@dataclasses.dataclass(frozen=True)
class Cell:
    """An arm under a workload."""

    arm: str
    workload: object
    concurrent: int = 0
    warmup: float = 0  # at least so many seconds of it, and of the interval
    seconds: float = 0
    rate: float = 0  # sessions begun a second, and seconds before each command; 0: as fast as they go
    pause: float = 0

    @property
    def name(self):
        many = f" x{self.concurrent}" if self.concurrent else ""
        return f"{self.arm}/{self.workload.name}{many}"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What is compared with what."""

    first: Cell
    second: Cell
    pairs: int

    @property
    def name(self):
        return f"{self.first.name} : {self.second.name}"


def run(comparisons, bench, sinks, seconds, warmup, seed, tell):
    """Takes all pairs; {"samples": [...], "ratios": {comparison: {figure: ...}}, "medians": {cell: ...}, "good":
    {comparison: [good pairs, of so many]}}. Where those are too few there are no ratios."""
    chance = random.Random(seed)
    waiting = [comparison for comparison in comparisons for _ in range(comparison.pairs)]
    chance.shuffle(waiting)
    samples, taken = [], {comparison.name: [] for comparison in comparisons}
    for number, comparison in enumerate(waiting, 1):
        order = [0, 1]
        chance.shuffle(order)
        pair = [None, None]
        for place in order:
            cell = (comparison.first, comparison.second)[place]
            pair[place] = sample.take(bench, sinks, cell.arm, cell.workload, max(seconds, cell.seconds),
                                      max(warmup, cell.warmup), cell.concurrent, cell.rate, cell.pause)
            samples.append({"cell": cell.name, "comparison": comparison.name, "pair": number, **pair[place]})
        tell(number, len(waiting), comparison, pair)
        if not any(one["wrong"] for one in pair):
            taken[comparison.name].append(pair)
    good = {comparison.name: [len(taken[comparison.name]), comparison.pairs] for comparison in comparisons}
    return {"samples": samples, "medians": medians(samples), "good": good,
            "ratios": {name: compare(pairs) if ratios.enough(*good[name]) else {} for name, pairs in taken.items()}}


def compare(pairs):
    """The ratios of each figure that both samples of every pair have."""
    return {figure: ratios.paired([(a[figure], b[figure]) for a, b in pairs]) for figure in FIGURES
            if pairs and all(one[figure] for pair in pairs for one in pair)}


def medians(samples):
    """{cell: {figure: median and interval}} over the samples in which nothing was wrong, where those are
    enough."""
    found = {}
    for cell in dict.fromkeys(one["cell"] for one in samples):
        all_of_it = [one for one in samples if one["cell"] == cell]
        good = [one for one in all_of_it if not one["wrong"]]
        if ratios.enough(len(good), len(all_of_it)):
            found[cell] = {figure: ratios.median([one[figure] for one in good])
                           for figure, value in good[0].items() if isinstance(value, float)
                           and all(one[figure] is not None for one in good)}
    return found
