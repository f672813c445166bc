"""What the project means to reach, and whether a run has reached it."""

import dataclasses
import math

from . import growth, pairs, workloads

SMALL, FLOOD = workloads.SMALL, workloads.ALL["flood"]
MILLION = 1_000_000
NO_COMMANDS = 0.01  # a session: what Redis does by itself each second is not a session's


@dataclasses.dataclass(frozen=True)
class Goal:
    """`of(result)`: its value, an interval or None, and whether that is confident (see ratios.median()); it raises
    KeyError where it was not measured."""

    words: str
    limit: float
    of: object
    at_least: bool = False
    unit: str = ""
    digits: int = 2
    beside: tuple = ()  # a word and of(result) of the same under that other condition, to be read; it decides nothing

    def judge(self, result):
        """A row of the table, as a dict; "reached" is None where it was not measured, and not "sure" where its interval
        holds the limit."""
        row = {"goal": self.words, "limit": self.limit, "at_least": self.at_least, "unit": self.unit,
               "digits": self.digits, "value": None, "interval": None, "confident": None,
               "beside": None, "reached": None, "sure": None}
        try:
            row["value"], row["interval"], row["confident"] = self.of(result)
            if self.beside:
                row["beside"] = [self.beside[0], self.beside[1](result)[0]]
        except (KeyError, TypeError):
            return row
        row["reached"] = row["value"] >= self.limit if self.at_least else row["value"] <= self.limit
        low, high = row["interval"] or [math.inf, -math.inf]  # a count has none
        row["sure"] = not low <= self.limit <= high
        return row


def of_ratio(ratio):
    return ratio["ratio_of_medians"], ratio["medians_interval"], ratio["confident"]


def between(first, second, figure, other=SMALL, workload=SMALL):
    """The ratio of medians of two arms of the main pairs."""
    name = pairs.Comparison(pairs.Cell(first, workload), pairs.Cell(second, other), 1).name

    def of(result):
        return of_ratio(result["pairs"]["ratios"][name][figure])
    return of


def plain(*path):
    """A number of the result, without an interval."""
    def of(result):
        for step in path:
            result = result[step]
        return result, None, None
    return of


def of_growth(result):
    return of_ratio(growth.ratio(result["growth"], "meter"))


def of_latency(result):
    return of_ratio(result["latency"]["ratios"]["meter"]["p99"])


def of_lookup(figure):
    """A figure of the million standings; fewer say nothing of a million."""
    def of(result):
        if result["lookup"]["standings"] < MILLION:
            raise KeyError("a million standings")
        return figure(result["lookup"]), None, None
    return of


def of_denied_commands(result):
    figure = result["pairs"]["medians"][pairs.Cell("denied", FLOOD).name]["redis_commands"]
    return figure["median"], figure["interval"], figure["confident"]


GOALS = (
    Goal("bypass, sessions/s against direct", 0.97, between("bypass", "direct", "rate"), at_least=True),
    Goal("pass, CPU a session against HAProxy", 0.80, between("pass", "haproxy", "cpu_us")),
    Goal("meter, CPU a session against HAProxy, Redis apart", 0.95, between("meter", "haproxy", "cpu_us")),
    Goal("meter, sessions/s against HAProxy", 1.0, between("meter", "haproxy", "rate"), at_least=True),
    # A call serves several sessions where many wait: these fall as the machine has more to do.
    Goal("meter, system calls under load, one unpipelined mail", 60, plain("calls", "meter", "loaded_total"), digits=1,
         beside=("alone", plain("calls", "meter", "alone", "one_total"))),
    Goal("meter, system calls under load, each further mail", 24, plain("calls", "meter", "loaded_further"), digits=1,
         beside=("alone", plain("calls", "meter", "alone", "further_total"))),
    Goal("meter, user memory of an idle session", 1500, plain("idle", "meter", "proportional"), unit="B", digits=0),
    Goal("meter, CPU a session, most open against fewest", 1.15, of_growth),
    Goal("meter, p99 a hop against HAProxy's", 1.0, of_latency),
    Goal("denied session, Redis commands", NO_COMMANDS, of_denied_commands, digits=3),
    Goal("denied session, CPU against a metered one", 0.4, between("denied", "meter", "cpu_us", workload=FLOOD)),
    # As a session does it: the p99 of finding, and the median of what asking for the memory before has cost.
    Goal("lookup among a million standings, p99", 200,
         of_lookup(lambda found: found["prefetched_ns"]["p99"] + found["prefetch_ns"]), unit="ns", digits=0,
         beside=("not prefetched", of_lookup(lambda found: found["one_ns"]["p99"]))),
    Goal("a million standings, memory", 100, of_lookup(lambda found: found["bytes"] / 1e6), unit="MB", digits=0),
)


def judge(result):
    return [goal.judge(result) for goal in GOALS]
