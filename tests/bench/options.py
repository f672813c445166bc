"""What a run is to measure, from the environment: ARMS, WORKLOADS, PARTS, PAIRS, SECONDS, SEED, SCALE. README.md has
them in a table, "How fast"."""

import math
import os
import sys

from . import arms, parts, ratios, workloads

PARTS = tuple(parts.FIGURES)
# Their figures are true on a quiet machine alone; all others are counts.
TIMED = {"pairs", "workloads", "latency", "growth", "cross-check"}


class Options:
    """The choice, checked."""

    def __init__(self, environment=os.environ, quick=False):
        self.quick = quick
        self.arms = self._words(environment, "ARMS", arms.ALL)
        self.workloads = self._words(environment, "WORKLOADS", tuple(workloads.ALL))
        self.parts = self._words(environment, "PARTS", ("pairs",) if quick else PARTS)
        self.pairs = self._number(environment, "PAIRS", ratios.CONFIDENT if quick else 12, int, 1, 10_000)
        # Shorter than the clock tick by which the kernel counts the machine's time, many times over, says nothing.
        self.seconds = self._number(environment, "SECONDS", 2.0, float, 0.1, 3600)
        self.warmup = min(0.5, self.seconds)
        self.seed = self._number(environment, "SEED", 1, int, 0, 2**63)
        # Of counts of connections, sessions and standings; lookup takes four million of these.
        self.scale = self._number(environment, "SCALE", 1.0, float, 0.001, 4)
        timed = [part for part in self.parts if part in TIMED]
        if timed and "haproxy" not in self.arms:
            sys.exit(f"bench: ARMS is without haproxy, which PARTS {' '.join(timed)} are compared with; add it, or "
                     f"choose of {' '.join(part for part in PARTS if part not in TIMED)}")
        lacks = {part: why for part in self.parts if (why := parts.lacks(part, self.arms, self.workloads))}
        # Of all parts those are meant that can be had.
        self.parts = tuple(part for part in self.parts if part not in lacks)
        if lacks and (environment.get("PARTS") or not self.parts):
            sys.exit(f"bench: {next(iter(lacks.values()))}")

    @staticmethod
    def _words(environment, name, allowed):
        text = environment.get(name, "")
        words = tuple(text.replace(",", " ").split()) if text.strip() else tuple(allowed)
        known = PARTS if name == "PARTS" else arms.ALL if name == "ARMS" else tuple(workloads.ALL)
        if unknown := set(words) - set(known):
            sys.exit(f"bench: {name} has {' '.join(sorted(unknown))}; allowed are {' '.join(known)}")
        if not words:
            sys.exit(f'bench: {name} is "{text}" and names nothing; allowed are {" ".join(known)}')
        return tuple(word for word in known if word in words)

    @staticmethod
    def _number(environment, name, default, kind, least, most):
        text = environment.get(name) or default
        try:
            number = kind(text)
        except ValueError:
            number = math.nan
        if not least <= number <= most:  # nan is not
            what = "a whole number" if kind is int else "a number"
            sys.exit(f"bench: {name} is {text}; {what} from {least} to {most} is allowed")
        return number
