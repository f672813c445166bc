#!/usr/bin/python3
"""A million registered subscribers in the kernel's sets: how soon, with what memory, how soon a change.

`make bypass-million`. Three of four are IPv4 addresses, the others /56es; prints what the README says.
"""

import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench import cpu  # noqa: E402
from tests.bench.million import STANDINGS, fill, memory  # noqa: E402
from tests.integration.wire import FREE, first_reply  # noqa: E402
from tests.lab import servers, topology  # noqa: E402
from tests.lab.bypass import TABLE, Bypass  # noqa: E402
from tests.lab.gate import Gate  # noqa: E402
from tests.lab.process import wait_for  # noqa: E402

CHANGES = 20
READINGS = 4
SPACE = {"subscribers": {"prefixes": ["10.0.0.0/8", "2001:db8::/32"]}}


def until_in_step(bypass, began, **wanted):
    bypass.wait_status(600, in_step=True, well=True, **wanted)
    return time.monotonic() - began


def change(bypass, number, verb, let_by):
    """Seconds from gate25ctl's end until the kernel has it."""
    line = f"10.20.9.{number}"
    bypass.gate.ctl(verb, line)
    began = time.monotonic()
    wait_for(lambda: bypass.ask(f"show {line}")["let_by"] == let_by, 60, verb, every=0.001)
    return time.monotonic() - began


def kernel_memory():
    """Bytes that the kernel has for itself, BPF's maps among them."""
    words = Path("/proc/meminfo").read_text(encoding="ascii").split()
    return sum(int(words[words.index(f"{name}:") + 1]) for name in ("Slab", "VmallocUsed", "Percpu")) * 1024


def fast_path(bypass):
    """Seconds from the start until it stands; the kernel's memory for it; what a reading of its counters costs, in
    seconds of CPU."""
    bypass.end()
    before = kernel_memory()
    bypass.gate.configure({"bypass": {"fast-path": [topology.UPLINK]}})
    began = time.monotonic()
    bypass.start(seconds=120)
    stands = until_in_step(bypass, began, units=STANDINGS, fast_path_links=1)
    taken = kernel_memory() - before
    first, used = bypass.status()["readings"], cpu.seconds([bypass.pid])
    wait_for(lambda: bypass.status()["readings"] >= first + READINGS, 120, "readings")
    return stands, taken, (cpu.seconds([bypass.pid]) - used) / READINGS


def main():
    lab = topology.Lab()
    with servers.Redis(lab.gate) as redis, servers.Sink(lab.internet, "198.51.100.10"):
        print(f"{fill(redis)} standings")
        with Gate(lab, redis, {**FREE, **SPACE, "intercept": {"workers": 1}}) as gate:
            bypass = Bypass(gate)
            began = time.monotonic()
            bypass.start(seconds=120)
            filled = until_in_step(bypass, began, units=STANDINGS)
            print(f"an empty table is filled {filled:.1f} s after the start")
            resident = memory(bypass.pid, "Private_Dirty")
            print(f"memory of its own: {resident / 1e6:.0f} MB")
            changes = [change(bypass, number, *step) for number in range(1, CHANGES + 1)
                       for step in (("register", True), ("unregister", False))]
            print(f"a change is in the kernel {statistics.median(changes) * 1000:.0f} ms after gate25ctl's end in the "
                  f"median of {len(changes)}, {max(changes) * 1000:.0f} ms at most")
            bypass.kill()
            began = time.monotonic()
            bypass.start(seconds=120)
            ready = time.monotonic() - began
            restarted = until_in_step(bypass, began, units=STANDINGS)
            counters = bypass.status()["counters"]
            assert counters["added"] == counters["removed"] == 0, counters
            print(f"a restart: ready after {ready:.1f} s, in step after {restarted:.1f} s, nothing changed in the kernel")
            made = counters["tables_made"]
            bypass.host.run("nft", "delete", "table", *TABLE)
            began = time.monotonic()
            wait_for(lambda: bypass.status()["counters"]["tables_made"] > made, 120, "a new table", every=0.001)
            stands = time.monotonic() - began
            rebuilt = until_in_step(bypass, began, units=STANDINGS)
            print(f"a table that was deleted stands again after {stands * 1000:.0f} ms, and is full after {rebuilt:.1f} s")
            assert first_reply(lab, "10.20.9.1").startswith("220 ")
            stands_fast, kernel, reading = fast_path(bypass)
            print(f"with the fast path: in step {stands_fast:.1f} s after a restart, {kernel / 1e6:.0f} MB of the kernel's "
                  f"memory more; reading all counters, every 5 s, takes {reading:.2f} s")
            print(json.dumps({"filled_s": filled, "bytes": resident, "change_s": changes, "restart_s": restarted,
                              "rebuilt_s": rebuilt, "fast_path_s": stands_fast, "fast_path_bytes": kernel,
                              "reading_s": reading}))
            bypass.end()
            bypass.remove()


if __name__ == "__main__":
    main()
