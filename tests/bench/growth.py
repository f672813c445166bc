"""CPU a session with more and more sessions open at once, at a rate that is the same for all.

Sessions as fast as they go would not do: whatever serves them takes so many at a time, and of 9,000 nearly all
would wait to be accepted.
"""

from . import pairs, workloads
from .pairs import Cell, Comparison

STEPS = (100, 1000, 9000)
PAUSES = 6  # in a session: before EHLO, MAIL, RCPT, DATA, the message, and QUIT
SECONDS = 3  # of an interval at least, by SCALE


def steps(scale):
    return [max(1, round(step * scale)) for step in STEPS]


def run(bench, sinks, names, rate, options, tell):
    """Pairs of the fewest and each more, for each arm, at `rate` sessions a second; as pairs.run() has it, and "steps"
    with "arms" for the plot."""
    fewest, *more = steps(options.scale)

    def cell(name, many):
        lasts = many / rate
        return Cell(name, workloads.SMALL, many, warmup=1.2 * lasts, seconds=SECONDS * options.scale, rate=rate,
                    pause=lasts / PAUSES)

    count = max(1, options.pairs // 3)
    comparisons = [Comparison(cell(name, many), cell(name, fewest), count) for name in names for many in more]
    found = pairs.run(comparisons, bench, sinks, options.seconds, options.warmup, options.seed + 3, tell)
    found["steps"] = [fewest, *more]
    found["arms"] = {name: [found["medians"].get(cell(name, many).name, {}).get("cpu_us") for many in found["steps"]]
                     for name in names}
    return found


def ratio(found, name):
    """Most to fewest of an arm, as ratios.paired(); None where it was not measured."""
    most, fewest = found["steps"][-1], found["steps"][0]
    comparison = f"{name}/{workloads.SMALL.name} x{most} : {name}/{workloads.SMALL.name} x{fewest}"
    return found["ratios"].get(comparison, {}).get("cpu_us")
