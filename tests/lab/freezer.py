"""Freezes processes of a lab at random, for as long as a busy machine may let them wait.

`make freezes` runs the lab's tests beside it: what counts on an answer that comes at once, or frees what is still
under way, fails there. Run as `python3 -m tests.lab.freezer SEED` in the lab's sandbox, until it is ended.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time

from . import proc, sandbox

FREEZE = "GATE25_FREEZE"  # a number: the labs' processes are frozen, by chance that begins there
FROZEN_S = (0.03, 0.06, 0.12, 0.25)
BETWEEN_S = (0.02, 0.15)
STOPPED = ("T", "t", "Z")


def candidates():
    """All but the sandbox's first process and those who run the tests. The servers have groups of their own; a group
    that nobody's shell waits for is hung up as a whole when one of it ends while another one is stopped."""
    found = proc.groups()
    return [pid for pid, group in found.items() if group not in (found[1], os.getpgrp())]


def freeze_one(chance):
    """One that a test has stopped itself is left alone."""
    pid = chance.choice(candidates() or [0])
    if pid == 0 or proc.state(pid) in STOPPED:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(chance.choice(FROZEN_S))
        os.kill(pid, signal.SIGCONT)


def stop(pid):
    """Stops a process for a test, until that wakes it: whoever has frozen it for a moment would do so, too."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        if FREEZE not in os.environ:
            return
        until = time.monotonic() + 2 * max(FROZEN_S)
        while proc.state(pid) in STOPPED and time.monotonic() < until:
            time.sleep(0.01)
        if time.monotonic() >= until:
            return


@contextlib.contextmanager
def running(seed):
    """One beside the block."""
    process = subprocess.Popen([sys.executable, "-m", "tests.lab.freezer", str(seed)], cwd=sandbox.PROJECT,
                               preexec_fn=sandbox.dies_with_parent())
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def main(seed):
    if not sandbox.inside():
        sys.exit("freezer: only in a lab: make freezes")
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    chance = random.Random(seed)
    while not ended:
        freeze_one(chance)
        time.sleep(chance.uniform(*BETWEEN_S))


if __name__ == "__main__":
    main(int(sys.argv[1]))
