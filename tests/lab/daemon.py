"""What the daemons under test have in common: where they are, how they say that they are ready, what ends a test."""

import contextlib
import os
import re
import shlex
import socket

from . import sandbox
from .process import Process

# What valgrind -q and the sanitizers print, and print only when they find something.
FINDING = re.compile(r"^==\d+==|ERROR: \w*Sanitizer|runtime error:", re.MULTILINE)


def binaries():
    """The folder of the programs under test: GATE25_BIN, or build/bin."""
    return os.environ.get("GATE25_BIN", str(sandbox.PROJECT / "build" / "bin"))


def wrapper():
    """What the programs under test are run by, as words: GATE25_WRAP."""
    return shlex.split(os.environ.get("GATE25_WRAP", ""))


class Daemon(Process):
    """One that says by sd_notify(3) when it serves. Subclasses call launch_daemon()."""

    def launch_daemon(self, *command, seconds=30, environment=None, **options):
        path = self.folder / "notify.sock"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(path))
            path.chmod(0o777)  # for a daemon of another user
            notify.setblocking(False)
            self._notify = notify
            env = {**os.environ, **(environment or {}), "NOTIFY_SOCKET": str(path)}
            env.pop("JOURNAL_STREAM", None)
            return self.launch(*command, seconds=seconds, env=env, **options)

    def ready(self):
        with contextlib.suppress(BlockingIOError):
            return b"READY=1" in self._notify.recv(4096).split(b"\n")
        return False

    def kill(self):
        """Ends it; a finding of valgrind or a sanitizer fails whoever ends it."""
        super().kill()
        found = FINDING.search(self.text())
        assert not found, f"found in the {self.name}:\n{self.text()[found.start():][:6000]}"
