#!/usr/bin/python3
"""A gate that mirrors a million standings: how soon after its start, with what memory, how soon a change.

`make million`, or STANDINGS=1200000 for others. Standings are single addresses and IPv6 units; prints what the README
says.
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.integration.wire import FREE, Client, first_reply  # noqa: E402
from tests.lab import servers, topology  # noqa: E402
from tests.lab.gate import Gate  # noqa: E402
from tests.lab.process import wait_for  # noqa: E402

STANDINGS = int(os.environ.get("STANDINGS", 1_000_000))
STARTS = 5
CHANGES = 20
SPACE = {"subscribers": {"prefixes": ["10.0.0.0/8", topology.SUBSCRIBERS6]}}
COPY_END = b"end "  # the last line of a copy that is whole


def fill(redis):
    """Three of four are IPv4 addresses, the others /56es; nobody in the lab's own 10.20.0.0/16."""
    with redis.client() as client:
        pipeline = client.pipeline(transaction=False)
        for number in range(STANDINGS):
            if number % 4:
                identity = f"10.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
            else:
                identity = f"2001:db8:{0x4000 + (number >> 10):x}:{(number >> 2 & 255) << 8:x}::/56"
            pipeline.hset("g25:standings", identity, "registered 0")
            if number % 10000 == 9999:
                pipeline.execute()
        pipeline.execute()
        return client.hlen("g25:standings")


def memory(pid, what):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{what}:")) * 1024


def start(lab, redis, sections):
    """A started gate, and the seconds until every worker followed the changes."""
    running = Gate(lab, redis, sections)
    began = time.monotonic()
    running.start(seconds=120)
    wait_mirrors(running, 2)
    return running, time.monotonic() - began


def wait_mirrors(running, count):
    wait_for(lambda: running.text().count(f"standings: {STANDINGS} mirrored, following changes") == count, 120,
             "the mirrors", every=0.005)


def start_with_copy(running):
    """Seconds until a gate that has a copy of its standings is ready: it has read them by then."""
    copy = running.folder / "standings"
    wait_for(lambda: copy.exists() and COPY_END in copy.read_bytes()[-64:], 120, "the copy", every=0.1)
    running.end()
    began = time.monotonic()
    running.start(seconds=120)
    took = time.monotonic() - began
    wait_mirrors(running, 4)
    return took


def change(lab, running, number):
    """Seconds from gate25ctl's end until two workers' new sessions have the new class."""
    line = f"10.20.9.{number}"
    running.ctl("quarantine", line, "--reason", "bench")
    began = time.monotonic()
    while any(first_reply(lab, line).startswith("220") for _ in range(4)):
        pass
    return time.monotonic() - began


def main():
    lab = topology.Lab()
    with servers.Redis(lab.gate) as redis, servers.Sink(lab.internet, "198.51.100.10"):
        print(f"{fill(redis)} standings")
        times = []
        for _ in range(STARTS):
            running, took = start(lab, redis, {**FREE, **SPACE})
            times.append(took)
            private = [memory(pid, "Private_Dirty") for pid in running.workers()]
            if len(times) < STARTS:
                running.end()
        print(f"from the start until all workers followed changes: {statistics.median(times):.2f} s in the median of "
              f"{STARTS}, {max(times):.2f} s at most; with other load this grows")
        print(f"a worker's own memory: {max(private) / 1e6:.0f} MB")
        with_copy = start_with_copy(running)
        print(f"a start with the copy: ready after {with_copy:.2f} s")
        with Client(lab, "10.20.8.1") as client:
            assert client.reply().startswith("220 ")
        changes = [change(lab, running, number) for number in range(1, CHANGES + 1)]
        print(f"a change is in force {statistics.median(changes) * 1000:.0f} ms after gate25ctl's end in the median of "
              f"{CHANGES}, {max(changes) * 1000:.0f} ms at most (sessions of both workers asked, one after another)")
        print(json.dumps({"standings": STANDINGS, "start_s": times, "start_with_copy_s": with_copy,
                          "worker_bytes": private, "change_s": changes}))
        running.end()


if __name__ == "__main__":
    main()
