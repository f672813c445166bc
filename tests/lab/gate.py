"""gate25d in a gate of the lab, with its configuration, its journal and gate25ctl."""

import contextlib
import json
import os
import re
import signal

from . import topology
from .daemon import Daemon, binaries, wrapper as default_wrapper
from .proc import lives
from .process import wait_for

LISTEN = {
    "tproxy": [f"127.0.0.1:{topology.GATE_PORT}", f"[::1]:{topology.GATE_PORT}"],
    "redirect": [f"0.0.0.0:{topology.GATE_PORT}", f"[::]:{topology.GATE_PORT}"],
}
HELP_URL = "https://mail.isp.example/"
PATIENCE = "10s"  # on a machine that is busy too it is Redis that decides, unless a test is about its silence


def config_text(sections):
    """A configuration file from {"section": {"key": value}}; None leaves a key out.

    Lists become { "a", "b" }; a section called "class NAME" is that class.
    """
    def write(value):
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int):
            return str(value)
        if isinstance(value, (list, tuple)):
            return "{ " + ", ".join(write(item) for item in value) + " }"
        return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'

    lines = []
    for section, options in sections.items():
        if options is None:
            continue
        lines.append(f"{section} {{")
        lines += [f"    {key} = {write(value)}" for key, value in options.items() if value is not None]
        lines.append("}")
    return "\n".join(lines) + "\n"


class Gate(Daemon):
    """gate25d, running.

    `overrides` change single keys of the lab's defaults: {"class ordinary": {"sessions": ["3/1m"]}};
    None removes a key or a whole section. `redis` is a lab Redis or a URL.
    """

    name = "gate"

    def __init__(self, lab, redis, overrides=None, number=1, mode=None, environment=None, wrapper=(),
                 program=None, sockets=()):
        super().__init__(lab[f"gate{number}"])
        self.mode = mode or lab.mode
        self.wrapper = list(wrapper) or default_wrapper()
        self.environment = environment or {}
        self.successors = []
        self.sockets = sockets
        self.program = program or f"{binaries()}/gate25d"
        self.config = self.folder / "gate25.conf"
        self.journal_file = self.folder / "journal.jsonl"
        self.control = self.folder / "control.sock"
        self.sections = {
            "subscribers": {"prefixes": [topology.SUBSCRIBERS4, topology.SUBSCRIBERS6]},
            "intercept": {"mode": self.mode, "listen": LISTEN[self.mode], "workers": 2},
            "redis": {"url": getattr(redis, "url", redis), "deadline": PATIENCE},
            "class registered": {"action": "pass"},
            "class ordinary": {"action": "meter"},
            "class quarantined": {"action": "refuse"},
            "help": {"url": HELP_URL},
            "journal": {"file": self.journal_file},
            "registry": {"copy": self.folder / "standings"},
            "control": {"socket": self.control},
            "node": {"name": f"gate{number}"},
        }
        self.configure(overrides or {})

    def configure(self, overrides):
        """Changes the configuration file; reload() or start() makes the gate see it."""
        for section, options in overrides.items():
            self.sections[section] = None if options is None else {**(self.sections.get(section) or {}), **options}
        self.config.write_text(config_text(self.sections), encoding="utf-8")

    def start(self, *options, seconds=30, programs=None):
        program = f"{programs}/gate25d" if programs else self.program
        return self.launch_daemon(*self.wrapper, program, "--config", self.config, *options, seconds=seconds,
                                  environment=self.environment, pass_fds=[item.fileno() for item in self.sockets])

    @property
    def pid(self):
        """The gate that serves now: the one that was started, or the last that took over."""
        return self.successors[-1] if self.successors else self.process.pid

    def signal(self, number):
        if self.successors:
            os.kill(self.pid, number)
        else:
            super().signal(number)

    def upgrade(self):
        """gate25ctl upgrade; the pid of the gate that serves now, to which all that comes from now on goes."""
        older = set(self.workers())
        self.successors.append(self.ctl_json("upgrade")["pid"])
        # The answer may come a moment before they have closed their side of the shared sockets.
        wait_for(lambda: older.isdisjoint(self.listening()), 30, "the older workers to accept no more")
        return self.pid

    def listening(self):
        """The pids of whoever listens for TCP in the gate's host."""
        return {int(pid) for pid in re.findall(r"\bpid=(\d+)", self.host.run("ss", "-Hltnp").stdout)}

    def end(self, seconds=10):
        """The gate that serves is asked first; then the one that was started, if it is still there."""
        upgraded = bool(self.successors)
        if upgraded:
            with contextlib.suppress(ProcessLookupError, TimeoutError):
                os.kill(self.pid, signal.SIGTERM)
                wait_for(lambda: not lives(self.pid), seconds)
            self.successors.clear()  # from here on it is about the first one, which may still be draining
        status = super().end(seconds)
        if upgraded:
            self.kill()
        return status

    def ctl(self, *arguments, check=True):
        """gate25ctl in the gate: a CompletedProcess."""
        return self.host.run(f"{binaries()}/gate25ctl", "--config", self.config, *arguments, check=check)

    def ctl_json(self, *arguments):
        """The same with --json, parsed."""
        return json.loads(self.ctl(*arguments, "--json").stdout)

    def journal(self, **wanted):
        """The journal's lines as dicts, those whose fields equal `wanted`. Every line must parse."""
        if not self.journal_file.exists():
            return []
        lines = self.journal_file.read_bytes().splitlines(keepends=True)
        entries = [json.loads(line) for line in lines if line.endswith(b"\n")]
        return [entry for entry in entries
                if all(entry.get(field) == value for field, value in wanted.items())]

    def wait_journal(self, count=1, seconds=10, **wanted):
        """The lines once there are at least `count` of them."""
        wait_for(lambda: len(self.journal(**wanted)) >= count, seconds,
                 f"{count} journal lines with {wanted}; there are: {self.journal()[-5:]}")
        return self.journal(**wanted)

    def workers(self):
        """The pids of the master's children."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
