"""gate25 against HAProxy, and against no proxy at all: `make bench`. See options.py for what it may be told.

Prints tables. Everything that was measured, each sample too, is in build/bench/result.json, and the plot of the
growth in build/bench/growth.svg. Exit status 1: HAProxy does not agree with itself, or too few of a comparison's pairs
were good; the run is worth nothing.
"""

import contextlib
import fcntl
import json
import os
import signal
import sys
import time

from tests.lab import sandbox

from . import arms, conditions, goals, plot, report, run, sample
from .options import TIMED, Options
from .tools import Sinks

FOLDER = sandbox.PROJECT / "build" / "bench"
INTERRUPTED = 128 + signal.SIGINT
kept = []  # the parts of this run that are in result.json


def say(text=""):
    print(text, flush=True)


@contextlib.contextmanager
def alone():
    """For as long as the block runs the folder is this run's: two would disturb, and overwrite, one another. Ends the
    program where it is another's, or where nothing can be kept in it: before a long run, not behind it."""
    try:
        FOLDER.mkdir(parents=True, exist_ok=True)
        for name in ("result.json", "growth.svg"):
            if (FOLDER / name).exists():
                with open(FOLDER / name, "ab"):
                    pass
        lock = open(FOLDER / "lock", "wb")
    except OSError as error:
        sys.exit(f"bench: cannot keep results in {FOLDER}: {error.strerror}: {error.filename}")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # goes with the process, however that ends
        except BlockingIOError:
            sys.exit(f"bench: another bench is running, which keeps its results in {FOLDER}; wait for its end")
        yield


def keep(result):
    """In place of what an older run has left: its plot goes with its figures."""
    (FOLDER / "result.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    drawn = plot.growth(result["growth"]) if "growth" in result else None
    if drawn:
        (FOLDER / "growth.svg").write_text(drawn, encoding="utf-8")
    else:
        (FOLDER / "growth.svg").unlink(missing_ok=True)


def measure(options, bench, sinks):
    """The result. What was found so far is kept after each part."""
    result = {"options": vars(options), "conditions": conditions.read(bench)}
    running = run.Run(options, bench, sinks, say)
    # First of all, HAProxy against itself.
    same = ["same"] if TIMED & set(options.parts) else []
    for part in [*same, *options.parts]:
        work = getattr(running, part.replace("-", "_"))
        began = time.monotonic()
        say(f"{part}: {work.__doc__}")
        result[part] = work()
        result["conditions"]["seconds"][part] = time.monotonic() - began
        keep(result)
        kept.append(part)
    return result


def invalid(result, options):
    """In words, why the run says nothing; [] where it is valid."""
    why = []
    if TIMED & set(options.parts) and not result.get("same", {}).get("agrees"):
        why.append(f"HAProxy does not agree with itself within {run.SAME_WITHIN:.0%} with an interval of "
                   f"{run.SAME_SURE:.0%} to each side at most, or was not measured. This machine is too noisy now")
    return why + [f"too few good pairs: {words}" for words in run.lacking(result)]


def interrupted(_number, _frame):
    """Ctrl-C: ends the program at once, and the sandbox with it, which ends all that was started."""
    # Past print(), in the midst of which it may have come.
    os.write(1, f"\ninterrupted: of this run {' '.join(kept) or 'nothing'} is kept\n".encode())
    os._exit(INTERRUPTED)


def main():
    signal.signal(signal.SIGINT, interrupted)
    options = Options(quick="--quick" in sys.argv[1:])
    with alone():
        return bench_with(options)


def bench_with(options):
    """Measures, keeps and prints; the exit status."""
    began = time.monotonic()
    arms.raise_files()
    sample.hurry()
    with arms.Bench(options.arms) as bench, Sinks(bench.lab.internet, arms.SINK, arms.cores()) as sinks:
        result = measure(options, bench, sinks)
    result["seconds"] = time.monotonic() - began
    result["goals"] = goals.judge(result)
    result["invalid"] = invalid(result, options)
    result["valid"] = not result["invalid"]
    keep(result)
    say("\n" + report.whole(result, run.samples(result)))
    say(f"{result['seconds']:.0f} s; all of it: {FOLDER / 'result.json'}")
    for why in result["invalid"]:
        say(f"INVALID: {why}; the figures say nothing.")
    return 0 if result["valid"] else 1


if __name__ == "__main__":
    sys.exit(main())
