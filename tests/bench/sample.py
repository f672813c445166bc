"""One arm under one workload for some seconds: what was done, and what it cost."""

import contextlib
import dataclasses
import os
import time

from . import cpu
from .tools import MEASURED, MEASURING, Load

MISSED = 0.01  # of the sessions that begin at their times, so many may be late
SILENT = 5  # seconds without a word from the server, and a session has failed
HUNG = 0.1  # of the sessions that are open at the end, so many may have been silent long: packets get lost
OPEN, OPEN_MORE = 0.1, 20  # of the sessions that are to be open, and beside them: so many more or fewer may be
SINK_FACTOR = 2  # the sinks alone have to manage so many times the rate


@dataclasses.dataclass
class Costs:
    """CPU seconds used up to a moment; their difference is what an interval has used."""

    at: float
    own: float
    redis: float
    sink: float
    load: float
    machine: float
    stolen: float
    commands: int
    functions: int

    @classmethod
    def read(cls, arm, sinks, load):
        at = time.monotonic()
        own, redis = cpu.seconds(arm.pids()), cpu.seconds(arm.redis_pids())
        sink_s, load_s = cpu.seconds(sinks.pids()), cpu.seconds([load.pid])
        machine, stolen = cpu.machine()
        return cls(at, own, redis, sink_s, load_s, machine, stolen, *redis_work(arm))

    def since(self, before):
        return {name: getattr(self, name) - getattr(before, name) for name in dataclasses.asdict(self)}


def redis_work(arm):
    """What its Redis has carried out: commands, those within functions too; functions that were called."""
    if not arm.redis:
        return 0, 0
    with contextlib.closing(arm.redis.client()) as client:
        told = client.info("everything")
    return told["total_commands_processed"], told.get("cmdstat_fcall", {"calls": 0})["calls"]


def hurry():
    """This process reads counters at moments: it goes before those it measures; its children do not."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, 0, -15)


def take(bench, sinks, arm_name, workload, seconds, warmup, concurrent=None, rate=None, pause=0):
    """One sample, as a dict that goes into the result as it is. With a pause, `concurrent` sessions are to be open."""
    arm = bench.arms[arm_name]
    bench.serve(arm_name)
    concurrent = concurrent or workload.concurrent
    options = [*workload.options, "--seconds", seconds, "--warmup", warmup, "--timeout", max(SILENT, seconds)]
    options += ["--concurrent", concurrent * (2 if pause else 1), "--pause", pause]
    if rate:
        options += ["--rate", rate]
    with Load(bench.lab.subscribers, arm.servers, *options, sources=workload.sources) as load:
        load.wait_word(MEASURING)
        before = Costs.read(arm, sinks, load)
        load.wait_word(MEASURED)
        after = Costs.read(arm, sinks, load)
        done = load.result()
    found = figures(done, after.since(before), workload, len(sinks.pids()))
    if pause and abs(done["open"] - concurrent) > OPEN * concurrent + OPEN_MORE:
        found["wrong"].append(f"{done['open']} sessions were open at the end instead of {concurrent}")
    return {"arm": arm_name, "workload": workload.name, "concurrent": concurrent, **found}


def figures(done, used, workload, sinks=1):
    """What load's result and the costs of the interval say; costs by rates, as their moments differ a little."""
    sessions = done["sessions"]
    if workload.refused:
        sessions = sum(done["refused"].values())
    rate = sessions / done["seconds"]
    wrong = [f"{count} {what}" for what, count in done["failed"].items()]
    if not workload.refused:
        wrong += [f"{count} refused at {what}" for what, count in done["refused"].items()]
    elif done["messages"]:
        wrong.append(f"{done['messages']} messages let through")
    if done["missed"] > MISSED * sessions:
        wrong.append(f"{done['missed']} sessions could not begin when it was time")
    if done["silent"] > HUNG * done["open"]:
        wrong.append(f"{done['silent']} of {done['open']} sessions hung at the end")
    if not sessions:
        return {"load": done, "used_s": used, "wrong": [*wrong, "no session was completed"]}

    def each(name):
        return used[name] / used["at"] / rate * 1e6

    # A sink is one thread: each can use one core, and there are no more of them than cores.
    known = sum(used[name] for name in ("own", "redis", "sink", "load"))
    alone = sinks * rate * used["at"] / used["sink"] if used["sink"] > 0 else None
    if alone is not None and alone < SINK_FACTOR * rate:
        wrong.append(f"the sinks alone manage {alone:.0f} sessions/s only")
    return {"rate": rate, "message_rate": done["messages"] / done["seconds"], "cpu_us": each("own"),
            "redis_us": each("redis"), "sink_us": each("sink"), "load_us": each("load"),
            "machine_us": each("machine"), "stolen_us": each("stolen"),
            "others_us": (used["machine"] - known) / used["at"] / rate * 1e6,
            "redis_commands": used["commands"] / used["at"] / rate,
            "redis_functions": used["functions"] / used["at"] / rate, "sink_alone_rate": alone,
            "load": done, "used_s": used, "wrong": wrong}
