"""One program running in a host of the lab, with its output in a file."""

import collections
import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from . import freezer, sandbox

PARTS = sandbox.PROJECT / ".parts" / "root"


class StartFailed(Exception):
    """A server did not become ready; the text holds what it said."""


def wait_for(condition, seconds=10, what="condition", every=0.01):
    """The first true value of condition(); TimeoutError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(every)


_numbers = collections.Counter()
launched = []  # every server that was started: what a failed test's report shows the logs of


def fresh_folder(name):
    """A new folder below the sandbox's own; it vanishes with the sandbox."""
    _numbers[name] += 1
    folder = sandbox.WORK / f"{name}-{os.getpid()}-{_numbers[name]}"
    folder.mkdir()
    return folder


class Process:
    """Base of all servers. Subclasses set `name` and `ready()` and call launch()."""

    name = "process"

    def __init__(self, host, folder=None):
        self.host = host
        self.folder = Path(folder) if folder else fresh_folder(self.name)
        self.log = self.folder / "log"
        self.process = None

    def __enter__(self):
        if self.process is None:
            self.start()
        return self

    def __exit__(self, *_):
        self.end()

    def start(self):
        raise NotImplementedError

    def ready(self):
        """True when the server can be used."""
        raise NotImplementedError

    def listens(self, address, **options):
        """True when something accepts a connection there."""
        with contextlib.suppress(OSError):
            self.host.connect(address, **options).close()
            return True
        return False

    def launch(self, *command, seconds=10, **options):
        if self not in launched:
            launched.append(self)
        with open(self.log, "ab") as log:
            self.process = self.host.popen(*command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                           start_new_session=True, **options)
        try:
            wait_for(self._ready_or_dead, seconds, f"{self.name} ready")
        except TimeoutError as error:
            self.kill()
            raise StartFailed(f"{error}\n{self.tail()}") from None
        return self

    def _ready_or_dead(self):
        if self.process.poll() is not None:
            raise StartFailed(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")
        return self.ready()

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Freezes it: it answers nothing, and its connections stay."""
        freezer.stop(self.pid)

    def cont(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        """Ends it and its children at once."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self, seconds=10):
        """Asks it to end; its exit status, or it is killed."""
        if not self.alive():
            return self.process.returncode if self.process else None
        self.cont()
        self.process.terminate()
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        self.kill()
        return status

    def text(self):
        return self.log.read_text(encoding="utf-8", errors="backslashreplace") if self.log.exists() else ""

    def tail(self, lines=40):
        return "\n".join(self.text().splitlines()[-lines:])
