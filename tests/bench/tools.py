"""The load generator and the sink (load.c, sink.c), running in the lab."""

import contextlib
import json
import os
import subprocess

from tests.lab import sandbox
from tests.lab.certificate import make_certificate
from tests.lab.process import Process

READY, MEASURING, MEASURED, HOLDING = "ready", "measuring", "measured", "holding"


class ToolFailed(Exception):
    """load ended otherwise than it should; the text is what it said."""


def tool(name):
    """Where it is: GATE25_BENCH_BIN, or build/bench."""
    return f"{os.environ.get('GATE25_BENCH_BIN', sandbox.PROJECT / 'build' / 'bench')}/{name}"


class FastSink(Process):
    """The server of all arms."""

    name = "fast-sink"

    def __init__(self, host, addresses):
        super().__init__(host)
        self.addresses = addresses

    def start(self):
        certificate, key = make_certificate(self.folder)
        listen = [word for address in self.addresses
                  for word in ("--listen", f"[{address}]:25" if ":" in address else f"{address}:25")]
        return self.launch(tool("sink"), *listen, "--certificate", certificate, "--key", key)

    def ready(self):
        return READY in self.text().splitlines()


class Sinks:
    """As many sinks as there are cores, each for its share of the addresses: one alone would hold up plain routing."""

    def __init__(self, host, addresses, count):
        self.sinks = [FastSink(host, addresses[first::count]) for first in range(min(count, len(addresses)))]
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            for sink in self.sinks:
                stack.enter_context(sink)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def pids(self):
        return [sink.pid for sink in self.sinks]


class Load:
    """One run of load: from a host, to the servers. As a context it is ended with its block."""

    def __init__(self, host, servers, *options, sources=()):
        words = [word for server in servers for word in ("--server", server)]
        words += [word for first, count in sources for word in ("--source", f"{first}+{count}")]
        self.command = [tool("load"), *words, *map(str, options)]
        self.process = host.popen(*self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()

    @property
    def pid(self):
        return self.process.pid

    def wait_word(self, word):
        """Until it says so; the rest of that line."""
        while line := self.process.stdout.readline():
            said, _, rest = line.strip().partition(" ")
            if said == word:
                return rest
        raise ToolFailed(f"{self.command} ended before it said {word}: {self.process.stderr.read()}")

    def result(self):
        """Lets it end, and reads its JSON."""
        self.process.stdin.close()
        said, errors = self.process.stdout.read(), self.process.stderr.read()
        if self.process.wait() != 0:
            raise ToolFailed(f"{self.command} ended with {self.process.returncode}: {errors or said}")
        return json.loads(said[said.index("{"):])
