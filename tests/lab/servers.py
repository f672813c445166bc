"""The parts that tests run in the lab, all real programs: see each class."""

import contextlib
import json
import os
import shutil
import socket
import sys

import redis as redis_client

from . import sandbox
from .certificate import make_certificate  # noqa: F401
from .gate import Gate  # noqa: F401  (one place to import servers from)
from .postfix import Postfix  # noqa: F401
from .process import PARTS, Process, StartFailed, wait_for  # noqa: F401


class Redis(Process):
    """redis-server, on a unix socket, and on TCP where `port` is given: of loopback, or of `address`.

    stop() freezes it, cont() goes on, kill() ends it hard; start() again uses the same folder.
    """

    name = "redis"

    def __init__(self, host, port=0, appendonly=False, folder=None, address="127.0.0.1",
                 environment=None):
        super().__init__(host, folder)
        self.port = port
        self.address = address
        self.appendonly = appendonly
        self.environment = environment or {}
        self.socket = self.folder / "redis.sock"
        self.url = f"unix:{self.socket}"
        self.tcp_url = f"redis://{address}:{port}"

    def start(self, *options):
        return self.launch(
            PARTS / "usr/bin/redis-server", "--port", self.port, "--bind", self.address, "--protected-mode", "no",
            "--unixsocket", self.socket, "--unixsocketperm", "777", "--dir", self.folder, "--save", "",
            "--appendonly", "yes" if self.appendonly else "no", "--appendfsync", "always", *options,
            env={**os.environ, **self.environment})

    def ready(self):
        with contextlib.suppress(redis_client.RedisError):
            return self.client().ping()
        return False

    def client(self, **options):
        """A python3-redis client of it."""
        return redis_client.Redis(unix_socket_path=str(self.socket), **{"decode_responses": True, **options})

    def cli(self, *arguments):
        """One command, its answer as Python has it: redis.cli("hgetall", "g25:meter:{...}")."""
        with contextlib.closing(self.client()) as client:
            return client.execute_command(*arguments)

    def wipe(self):
        """Removes all keys; functions stay."""
        self.cli("flushall")


class Sink(Process):
    """Our own SMTP server (sink.py), which writes down all that it hears. See sink.py for options."""

    name = "sink"

    def __init__(self, host, addresses, port=25, **options):
        super().__init__(host)
        self.addresses = [addresses] if isinstance(addresses, str) else list(addresses)
        self.port = port
        self.options = options
        self.record = self.folder / "record.jsonl"
        if options.get("starttls") and "certificate" not in options:
            options["certificate"], options["key"] = make_certificate(self.folder)

    def start(self):
        settings = {"addresses": self.addresses, "port": self.port, "record": str(self.record), **self.options}
        return self.launch(sys.executable, sandbox.PROJECT / "tests/lab/sink.py", json.dumps(settings, default=str))

    def ready(self):
        return "ready" in self.text()

    def events(self, kind=None):
        """All it wrote down, in order; each a dict with at least `event`, `session` and `peer`."""
        if not self.record.exists():
            return []
        lines = self.record.read_text(encoding="ascii").splitlines(keepends=True)
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        return [event for event in events if kind in (None, event["event"])]

    def messages(self):
        """The messages it accepted: dicts with from, to, peer, size, body (latin-1 for bytes)."""
        return self.events("message")

    def wait_messages(self, count, seconds=10):
        wait_for(lambda: len(self.messages()) >= count, seconds, f"{count} messages in the sink")
        return self.messages()

    def received(self, session):
        """The exact bytes that the session's client sent, TLS removed."""
        return b"".join(event["bytes"].encode("latin-1")
                        for event in self.events("bytes") if event["session"] == session)

    def peers(self):
        """The client addresses it saw, in order."""
        return [event["peer"] for event in self.events("connect")]


class SmtpSink(Process):
    """smtp-sink of Postfix, for load: counts, and keeps nothing."""

    name = "smtp-sink"

    def __init__(self, host, address, port=25, options=("-c",)):
        super().__init__(host)
        self.address, self.port, self.options = address, port, options

    def start(self):
        target = f"inet:[{self.address}]:{self.port}" if ":" in self.address else f"inet:{self.address}:{self.port}"
        return self.launch(PARTS / "usr/sbin/smtp-sink", "-u", "root", *self.options, target, 8000, env=parts_environment())

    def ready(self):
        return self.listens(self.address, port=self.port, timeout=1)


def parts_environment():
    return {"PATH": sandbox.PATH, "LD_LIBRARY_PATH": str(PARTS / "usr/lib/postfix")}


def smtp_source(host, destination, *options, source=None, port=25, check=True, timeout=120):
    """Runs smtp-source in the host until it is done; a CompletedProcess.

    It cannot choose its source address, so the host's route to the destination does it from then
    on: runs to one destination at the same time share a source.
    """
    six = ":" in destination
    if source:
        nodad = ["nodad"] if six else []
        host.run("ip", "addr", "replace", f"{source}/{128 if six else 32}", "dev", "lo", *nodad)
        gateway = host.run("ip", "-6" if six else "-4", "route", "show", "default").stdout.split()[1:5]
        host.run("ip", "route", "replace", destination, *gateway, "src", source)
    target = f"inet:[{destination}]:{port}" if six else f"inet:{destination}:{port}"
    return host.run(PARTS / "usr/sbin/smtp-source", *options, target, env=parts_environment(), check=check,
                    timeout=timeout)


def swaks(host, destination, *options, source=None, check=True, timeout=60):
    """Runs swaks in the host; a CompletedProcess whose stdout is the whole dialogue."""
    arguments = ["--server", destination, "--helo", "client.example", "--from", "sender@client.example",
                 "--to", "user@mx.example"]
    if source:
        arguments += ["--local-interface", source]
    return host.run(shutil.which("swaks", path=sandbox.PATH), *arguments, *options, check=check, timeout=timeout)


def read_until(connection, end=b"\r\n", limit=1 << 20):
    """Reads from a socket until `end` or EOF."""
    data = bytearray()
    while not data.endswith(end) and len(data) < limit:
        try:
            more = connection.recv(65536)
        except socket.timeout:
            raise TimeoutError(f"only read {bytes(data)!r}") from None
        if not more:
            break
        data += more
    return bytes(data)
