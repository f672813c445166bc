"""What the kernel says that processes have cost: CPU time, memory."""

import contextlib
import os
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
# Of /proc/stat's first line: user, nice, system, idle, iowait, irq, softirq, steal.
BUSY = (0, 1, 2, 5, 6)
STEAL = 7


def family(pid):
    """The process and all its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            found += family(int(child))
    return found


def seconds(pids):
    """CPU time of all their threads, in s."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):  # it has ended
            for task in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                        total += int(file.read().split()[0])
    return total / 1e9


def machine():
    """Seconds of all cores: (busy, stolen by the host)."""
    with open("/proc/stat", encoding="ascii") as file:
        values = [int(value) for value in file.readline().split()[1:]]
    return sum(values[i] for i in BUSY) * TICK, values[STEAL] * TICK


def rollup(pids, what):
    """Sum of one line of smaps_rollup, in bytes."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            total += next(int(line.split()[1]) for line in file if line.startswith(f"{what}:"))
    return total * 1024
