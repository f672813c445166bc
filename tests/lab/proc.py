"""What /proc says of processes."""

import contextlib
import os

# Of proc_pid_stat(5), counted from what stands behind the name.
STATE, USER_TICKS, KERNEL_TICKS, START_TICKS = 0, 11, 12, 19


def _stat(pid):
    """None: there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()  # the name in parentheses may hold any
    except (FileNotFoundError, ProcessLookupError):
        return None


def state(pid):
    """A letter; "Z" also where there is none any more."""
    found = _stat(pid)
    return found[STATE] if found else "Z"


def lives(pid):
    """A process that has ended and only waits to be reaped does not."""
    return state(pid) != "Z"


def start_time(pid):
    """When it began: tells a process from a later one of the same number. None: it does not live."""
    found = _stat(pid)
    return found[START_TICKS] if found and found[STATE] != "Z" else None


def cpu_seconds(pid):
    """Processor time that it has used."""
    found = _stat(pid)
    return (int(found[USER_TICKS]) + int(found[KERNEL_TICKS])) / os.sysconf("SC_CLK_TCK")


def groups():
    """{pid: its process group} of all there are."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(ProcessLookupError):
                found[int(name)] = os.getpgid(int(name))
    return found
