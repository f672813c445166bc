"""Medians of noisy figures and of their ratios, with what they may be off by."""

import math
import random
import statistics

RESAMPLES = 4000
LEVEL = 0.95
CONFIDENT = 6  # from so many on there is such an interval: all of five lie on one side of the median in 1 case of 16
GOOD_SHARE, GOOD_LEAST = 0.8, 5  # of what was to be taken; fewer where fewer were asked for


def bootstrap(items, figure, seed=1):
    """The interval that holds figure(items) in 95 of 100 cases: percentiles over resampled items."""
    chance = random.Random(seed)
    found = sorted(figure(chance.choices(items, k=len(items))) for _ in range(RESAMPLES))
    tail = (1 - LEVEL) / 2
    return [found[math.floor(tail * (RESAMPLES - 1))], found[math.ceil((1 - tail) * (RESAMPLES - 1))]]


def around(items, figure, each):
    """The interval of figure(items); of too few items the least and the greatest, `each` being the figure of one."""
    if len(items) < CONFIDENT:
        found = [each(item) for item in items]
        return [min(found), max(found)]
    return bootstrap(items, figure)


def median(values):
    """{"median", "interval", "count", "confident"} of the values; not confident: the interval is least and greatest."""
    return {"median": statistics.median(values), "interval": around(values, statistics.median, lambda value: value),
            "count": len(values), "confident": len(values) >= CONFIDENT}


def paired(pairs):
    """What (a, b) pairs say of a/b: the median of the ratios, and the ratio of the medians; "confident" as above."""
    def of_medians(some):
        return statistics.median(a for a, _ in some) / statistics.median(b for _, b in some)

    ratios = [a / b for a, b in pairs]
    return {"median_of_ratios": statistics.median(ratios),
            "interval": around(ratios, statistics.median, lambda ratio: ratio),
            "ratio_of_medians": of_medians(pairs),
            "medians_interval": around(pairs, of_medians, lambda pair: pair[0] / pair[1]),
            "pairs": len(pairs), "confident": len(pairs) >= CONFIDENT}


def enough(good, planned):
    """Are so many good ones of those that were to be taken enough for a verdict? What is left of many failures is not
    what was to be measured."""
    return good > 0 and good >= GOOD_SHARE * planned and good >= min(GOOD_LEAST, planned)


def agrees(ratio, within, sure):
    """Is this the ratio of a thing and itself: one within its interval, the median no further off than `within`, and
    the interval no wider than `sure` to each side? A wide one holds 1 whatever was measured."""
    low, high = ratio["interval"]
    return low <= 1 <= high and abs(ratio["median_of_ratios"] - 1) <= within and (high - low) / 2 <= sure
