"""The main figures once more with smtp-source of Postfix: another load, and whole runs for intervals."""

import itertools
import random
import time

from tests.lab.servers import smtp_source

from . import arms, cpu, ratios

SERVER = arms.SINK[-1]
SOURCES = ("10.20.201.1", 200)
PARALLEL, SIZE = 20, 4096


def one(bench, name, sessions, source):
    arm = bench.arms[name]
    bench.serve(name)
    before, began = cpu.seconds(arm.pids()), time.monotonic()
    smtp_source(bench.lab.subscribers, SERVER, "-s", PARALLEL, "-m", sessions, "-l", SIZE, source=source)
    took = time.monotonic() - began
    return {"cpu_us": (cpu.seconds(arm.pids()) - before) / sessions * 1e6, "rate": sessions / took}


def run(bench, names, sessions, rounds, seed, tell):
    """{"rounds": [{arm: {...}}], "ratios": {arm: to HAProxy}}"""
    chance, found = random.Random(seed), []
    # One for each run: ports that wait for their time to be over would be missing in the next.
    first, count = SOURCES
    sources = itertools.cycle(arms.address(first, offset) for offset in range(count))
    for _ in range(rounds):
        order = list(names)
        chance.shuffle(order)
        taken = {name: one(bench, name, sessions, next(sources)) for name in order}
        found.append(taken)
        tell("  " + ", ".join(f"{name} {taken[name]['cpu_us']:.0f} us {taken[name]['rate']:.0f}/s" for name in names))
    compared = {name: {figure: ratios.paired([(taken[name][figure], taken["haproxy"][figure]) for taken in found])
                       for figure in ("cpu_us", "rate") if all(taken[name][figure] for taken in found)}
                for name in names if name != "haproxy" and "haproxy" in names}
    return {"sessions": sessions, "rounds": found, "ratios": compared}
