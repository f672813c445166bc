"""System calls: how many a session under load (tracepoints), and which ones a session alone makes (strace)."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from tests.lab.process import fresh_folder, wait_for

from . import cpu
from .tools import Load

EVENT = "raw_syscalls:sys_enter"
TRACING = Path("/sys/kernel/tracing")
SERIES = 50  # sessions one after another, for the list
WARM = 5  # sessions before anything is counted; the flood's first is let through
FURTHER = 10  # mails more in each


def tracepoints():
    """True when the kernel's tracepoints can be counted here; mounts their file system in the sandbox."""
    if not (TRACING / "events").exists():
        subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACING], capture_output=True, check=False)
    return (TRACING / "events" / "raw_syscalls").exists() and subprocess.run(
        ["perf", "stat", "-e", EVENT, "true"], capture_output=True, check=False).returncode == 0


class Counter:
    """Counts what the processes call, from `with` to its end; then `calls`, {name: count}, and `seconds`."""

    def __init__(self, pids, names):
        self.pids, self.names = pids, names
        self.folder = fresh_folder("calls")
        self.out, self.log = self.folder / "out", self.folder / "log"
        self.calls, self.seconds, self._began, self._process = {}, 0, 0, None

    def _command(self):
        if self.names:
            return ["strace", "-f", "-c", "-U", "calls,name", "-o", self.out,
                    *(word for pid in self.pids for word in ("-p", pid))]
        return ["perf", "stat", "-x", ",", "-e", EVENT, "-o", self.out, "-p", ",".join(map(str, self.pids))]

    def _attached(self):
        assert self._process.poll() is None, self.log.read_text(encoding="utf-8")
        if self.names:
            return self.log.read_text(encoding="utf-8").count(" attached") >= len(self.pids)
        return any("perf_event" in link for link in _links(self._process.pid))

    def __enter__(self):
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(list(map(str, self._command())), stdout=log, stderr=log)
        wait_for(self._attached, 20, "the counter of system calls")
        self._began = time.monotonic()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self._began
        self._process.send_signal(signal.SIGINT)
        self._process.wait()
        for line in self.out.read_text(encoding="utf-8").splitlines():
            words = line.replace(",", " ").split()
            if words and words[0].isdigit() and words[-1] != "total":
                self.calls[words[1] if self.names else "all"] = int(words[0])


def _links(pid):
    """What its descriptors are."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield os.readlink(descriptor)


def run_sessions(bench, workload, sessions, *options):
    """So many, all done, by the arm that serves; what load says of them."""
    words = (*workload.options, "--sessions", sessions, *options)
    with Load(bench.lab.subscribers, bench.arms[bench.serving].servers, *words, sources=workload.sources) as load:
        return load.result()


def count(bench, arm, workload, options, sessions, names):
    """{name: calls a session} of an arm, less what it calls while nothing is done."""
    bench.serve(arm.name)
    run_sessions(bench, workload, WARM, "--concurrent", 1)
    with Counter(arm.pids(), names) as idle:
        time.sleep(1)
    with Counter(arm.pids(), names) as busy:
        done = run_sessions(bench, workload, sessions, *options)
    through = sum(done["refused"].values()) if workload.refused else done["sessions"]
    assert through == sessions and not done["failed"], done
    found = {name: (calls - idle.calls.get(name, 0) * busy.seconds / idle.seconds) / sessions
             for name, calls in busy.calls.items()}
    return {name: each for name, each in sorted(found.items(), key=lambda item: -item[1]) if each > 0.005}


def alone(bench, arm, workload):
    """What one unpipelined mail takes, and each further one in the same session."""
    one = count(bench, arm, workload, ("--concurrent", 1), SERIES, names=True)
    found = {"one": one, "one_total": sum(one.values())}
    if not workload.refused:
        more = count(bench, arm, workload, ("--concurrent", 1, "--messages", 1 + FURTHER), SERIES, names=True)
        further = {name: (more.get(name, 0) - one.get(name, 0)) / FURTHER for name in {**more, **one}}
        found.update(further={name: each for name, each in sorted(further.items(), key=lambda item: -item[1])
                              if abs(each) > 0.005}, further_total=sum(further.values()))
    return found


def loaded(bench, arm, workload, sessions, names):
    """The same where many sessions go on at once, so that a call may serve several."""
    options = ("--concurrent", workload.concurrent)
    one = sum(count(bench, arm, workload, options, sessions, names).values())
    if workload.refused:
        return {"loaded_total": one}
    more = sum(count(bench, arm, workload, (*options, "--messages", 1 + FURTHER), sessions, names).values())
    return {"loaded_total": one, "loaded_further": (more - one) / FURTHER}


class Machine:
    """How busy the machine was, from `with` to its end: what others do changes what a call under load serves."""

    def __enter__(self):
        self._began, (self._busy, _) = time.monotonic(), cpu.machine()
        return self

    def __exit__(self, *_):
        seconds, busy = time.monotonic() - self._began, cpu.machine()[0] - self._busy
        # The load average is of the last minute: all that wanted a core, and what was measured among them.
        self.found = {"busy": busy / seconds / os.cpu_count(), "load_average": os.getloadavg()[0]}


def run(bench, names, workload_of, sessions, tell):
    """{arm: {"loaded_total", "loaded_further", "machine", "method", "alone"}} of those arms."""
    with_tracepoints = tracepoints()
    found = {}
    for name in names:
        arm, workload = bench.arms[name], workload_of(name)
        with Machine() as machine:
            under_load = loaded(bench, arm, workload, sessions, not with_tracepoints)
        found[name] = {"workload": workload.name, "method": "tracepoints" if with_tracepoints else "strace",
                       **under_load, "machine": machine.found,
                       "alone": alone(bench, arm, workload)}
        tell(f"  {name}: {found[name]['loaded_total']:.1f} a session under load "
             f"(cores {machine.found['busy']:.0%} busy, load average {machine.found['load_average']:.1f}), "
             f"each further mail {found[name].get('loaded_further', 0):.1f}; "
             f"alone {found[name]['alone']['one_total']:.1f}, each further mail "
             f"{found[name]['alone'].get('further_total', 0):.1f}")
    return found
