#!/usr/bin/python3
"""How soon a killed worker is replaced: `make replacement`, or `make replacement KILLS=100`.

The clock runs from the SIGKILL: until there is another process, and until the last of the connections that
were made right behind it, which the kernel spreads over all workers' sockets, has been greeted.
"""

import contextlib
import json
import os
import signal
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.integration.wire import Client  # noqa: E402
from tests.lab import servers, topology  # noqa: E402
from tests.lab.gate import Gate  # noqa: E402
from tests.lab.process import wait_for  # noqa: E402

KILLS = int(os.environ.get("KILLS", "40"))
CLIENTS = 16
MX4 = "198.51.100.10"
# One that lives for less is taken for one that cannot run, and its successor waits.
LIFE_S = 1.2


def replaced(gate, victim):
    """Seconds from the kill until there is another worker."""
    count, began = len(gate.workers()), time.monotonic()
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: victim not in (now := gate.workers()) and len(now) == count, 20, "a new worker", every=0.0005)
    return began, time.monotonic() - began


def greeted(lab):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(lab, f"10.20.62.{number}")) for number in range(CLIENTS)]
        for client in clients:
            assert client.reply().startswith("220 ")
        return time.monotonic()


def words(name, times):
    return f"{name} {statistics.median(times) * 1000:.0f} ms in the median, {max(times) * 1000:.0f} at most"


def main():
    lab, forks, serves = topology.Lab(), [], []
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(servers.Redis(lab.gate))
        stack.enter_context(servers.Sink(lab.internet, MX4))
        gate = stack.enter_context(Gate(lab, redis, {"class ordinary": {"sessions": ["100000/1s"]}}))
        for number in range(KILLS):
            time.sleep(LIFE_S)
            workers = gate.workers()
            began, fork = replaced(gate, workers[number % len(workers)])
            forks.append(fork)
            serves.append(greeted(lab) - began)
    print(f"{KILLS} workers killed: {words('another process after', forks)}; "
          f"{words(f'{CLIENTS} of {CLIENTS} new connections greeted after', serves)}")
    print(json.dumps({"process_s": forks, "greeted_s": serves}))


if __name__ == "__main__":
    main()
