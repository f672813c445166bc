#!/usr/bin/python3
"""A gate that mirrors a million leases: what they cost in Redis and in each worker, and how soon they are in force.

Part of `make million`. The leases are made by the calls of a RADIUS server; prints what the README says.
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.million import memory  # noqa: E402
from tests.integration.wire import FREE, first_reply, send  # noqa: E402
from tests.lab import leases, servers, topology  # noqa: E402
from tests.lab.gate import Gate  # noqa: E402
from tests.lab.proc import cpu_seconds  # noqa: E402
from tests.lab.process import wait_for  # noqa: E402

ACCOUNTS = int(os.environ.get("ACCOUNTS", "500000"))  # each with an address and a prefix
LEASES = 2 * ACCOUNTS
STARTS = 3
CHANGES = 20
SPACE = {"subscribers": {"prefixes": ["10.0.0.0/8", "2001:db8::/32"]},
         "leases": {"prefixes": ["10.0.0.0/8", "2001:db8::/32"]}}


def units(number):
    """Nobody in the lab's own 10.20.0.0/16."""
    return (f"10.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}",
            f"2001:db8:{0x4000 + (number >> 8):x}:{(number & 255) << 8:x}::/56")


def call(client, function):
    """Seconds that all accounts took, 100 calls at once."""
    pipeline = client.pipeline(transaction=False)
    began = time.monotonic()
    for number in range(ACCOUNTS):
        pipeline.execute_command("fcall", f"gate25_lease_{function}", *leases.KEYS, f"customer{number}@isp.example",
                                 f"192.0.2.1/{number:016x}", 86400, 5, *units(number))
        if number % 100 == 99:
            pipeline.execute()
    pipeline.execute()
    return time.monotonic() - began


def start(lab, redis, count):
    running = Gate(lab, redis, {**FREE, **SPACE})
    began = time.monotonic()
    running.start(seconds=120)
    wait_for(lambda: running.text().count(f"leases: {count} mirrored, following changes") == 2, 120, "the mirrors",
             every=0.005)
    return running, time.monotonic() - began


def change(lab, redis, number):
    """Seconds from the call's end until two workers' new sessions are of the account that is quarantined."""
    line = f"10.20.9.{number}"
    leases.start(redis, "banned", line, session=f"s{number}")
    began = time.monotonic()
    while any(first_reply(lab, line).startswith("220") for _ in range(4)):
        pass
    return time.monotonic() - began


def main():
    lab = topology.Lab()
    with servers.Redis(lab.gate) as redis, servers.Sink(lab.internet, "198.51.100.10"):
        running, _ = start(lab, redis, 0)  # loads the functions
        before = [memory(pid, "Private_Dirty") for pid in running.workers()]
        running.end()
        with redis.client() as client:
            empty = client.info("memory")["used_memory"]
            rate = ACCOUNTS / call(client, "start")
            full = client.info("memory")["used_memory"]
            assert client.hlen("g25:{leases}") == LEASES
        print(f"{LEASES} leases: {(full - empty) / 1e6:.0f} MB in Redis, {rate:.0f} accounts a second")
        times = []
        for _ in range(STARTS):
            running, took = start(lab, redis, LEASES)
            times.append(took)
            used = max(cpu_seconds(pid) for pid in running.workers())
            own = max(memory(pid, "Private_Dirty") for pid in running.workers()) - max(before)
            if len(times) < STARTS:
                running.end()
        print(f"from the start until all workers followed changes: {statistics.median(times):.2f} s in the median of "
              f"{STARTS}, {max(times):.2f} s at most; {own / 1e6:.0f} MB in each worker, {used:.2f} s of its processor")
        running.ctl("quarantine", "banned", "--reason", "bench")
        send(lab, "10.20.8.1")
        changes = [change(lab, redis, number) for number in range(1, CHANGES + 1)]
        print(f"a lease is in force {statistics.median(changes) * 1000:.0f} ms after the call's end in the median of "
              f"{CHANGES}, {max(changes) * 1000:.0f} ms at most (sessions of both workers asked, one after another)")
        with redis.client() as client:
            rate = ACCOUNTS / call(client, "renew")
        newest = redis.cli("xrevrange", "g25:{leases}:changes", "+", "-", "COUNT", "1")[0][0]
        print(f"renewals, with two workers following: {rate:.0f} accounts a second; the last is {newest}")
        print(json.dumps({"leases": LEASES, "redis_bytes": full - empty, "worker_bytes": own, "start_s": times,
                          "change_s": changes}))
        running.end()


if __name__ == "__main__":
    main()
