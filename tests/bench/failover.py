#!/usr/bin/python3
"""How soon a gate follows its Redis to a new master: `make failover`, or `make failover SWITCHES=40`.

Sentinels switch SWITCHES times; half of the time by hand, half of the time because the master is killed.
The clock runs from the first sentinel's word of the switch to the first message that every worker has
had granted by the new master. With when-down = "refuse" nothing passes in between.
"""

import contextlib
import json
import os
import statistics
import sys
import threading
import time
from pathlib import Path

import redis

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.integration.mail import attempt  # noqa: E402
from tests.lab import servers, topology  # noqa: E402
from tests.lab.gate import Gate  # noqa: E402
from tests.lab.process import wait_for  # noqa: E402
from tests.lab.redis_fleet import PATIENCE_S, Watched  # noqa: E402

SWITCHES = int(os.environ.get("SWITCHES", "10"))
MX4 = "198.51.100.10"
CLASS = {"action": "meter", "messages": ["1000000/1d"]}


def told(sentinels, heard):
    """Puts the time of each sentinel's word of a switch into `heard`, in threads that end with the process."""
    def listen(sentinel):
        # It ends with the lab.
        with contextlib.suppress(redis.ConnectionError), sentinel.client().pubsub() as feed:
            feed.subscribe("+switch-master")
            for message in feed.listen():
                if message["type"] == "message":
                    heard.append(time.monotonic())

    for sentinel in sentinels:
        threading.Thread(target=listen, args=(sentinel,), daemon=True).start()


def serving(lab, workers):
    """Waits until so many sessions in a row, spread over the workers by the kernel, have passed."""
    row = 0
    while row < 4 * workers:
        row = row + 1 if attempt(lab, "10.20.1.1", MX4).code == 250 else 0
        if row == 1:
            began = time.monotonic()
    return began


def switch(fleet, kill):
    old = fleet.master()
    if not kill:
        fleet.switch()
        return None
    old.kill()
    fleet.wait_master(fleet.other(old))
    return old


def main():
    lab, times = topology.Lab(), []
    with contextlib.ExitStack() as stack:
        fleet = Watched(lab.gate, stack.enter_context)
        stack.enter_context(servers.Sink(lab.internet, MX4))
        gate = stack.enter_context(Gate(lab, fleet.url("gate25d"), {
            "redis": {**fleet.settings, "when-down": "refuse", "deadline": None}, "class ordinary": CLASS}))
        workers, heard = len(gate.workers()), []
        told(fleet.sentinels, heard)
        serving(lab, workers)
        for number in range(SWITCHES):
            wait_for(fleet.in_step, PATIENCE_S, "the replica has all of it")
            heard.clear()
            passed = []
            prober = threading.Thread(target=lambda into=passed: into.append(probe(lab, workers, heard)))
            prober.start()
            dead = switch(fleet, kill=number % 2 == 1)
            prober.join()
            times.append(passed[0] - min(heard))
            if dead:
                dead.start()
            fleet.wait_whole()
    print(f"{SWITCHES} switches: the first of {4 * workers} granted messages in a row "
          f"{statistics.median(times) * 1000:.0f} ms after the first sentinel's word in the median, "
          f"{max(times) * 1000:.0f} ms at most")
    print(json.dumps({"switch_s": times}))


def probe(lab, workers, heard):
    wait_for(lambda: heard, PATIENCE_S, "the switch", every=0.001)
    return serving(lab, workers)


if __name__ == "__main__":
    main()
