"""Many sessions at once, and few that hold much."""

import contextlib
import hashlib
import json
import os
import random
import re
import resource
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.integration.wire import FREE, MX4, MX6, Client, send
from tests.lab import sandbox
from tests.lab.process import wait_for
from tests.lab.servers import SmtpSink

SESSIONS = 5000
DESCRIPTORS = 12000
MEGABYTE = 1 << 20
BULK = 20 * MEGABYTE
GROWTH = 2 * MEGABYTE
# A sanitizer keeps freed memory for a while; without this its hoard would be measured.
LEAN = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1:thread_local_quarantine_size_kb=64"}


@pytest.fixture(name="descriptors", scope="module", autouse=True)
def descriptors_fixture():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(DESCRIPTORS, soft), max(DESCRIPTORS, hard)))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, max(DESCRIPTORS, hard)))


def memory(pids):
    """RSS and PSS of the processes together, in bytes."""
    sums = {"Rss": 0, "Pss": 0}
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name in sums:
                sums[name] += int(value.split()[0]) * 1024
    return sums


def instrumented(pid):
    """True under a sanitizer or valgrind, whose own memory is not the gate's."""
    maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    return any(tool in maps for tool in ("libasan", "valgrind"))


def counter(running, name):
    return running.ctl_json("status")["counters"][name]


def state(running, name, content):
    """Keeps what was measured, and shows it."""
    name += " (instrumented)" if instrumented(running.pid) else ""
    path = sandbox.PROJECT / "build" / "capacity.json"
    known = json.loads(path.read_text(encoding="ascii")) if path.exists() else {}
    known[name] = content
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(known, indent=2) + "\n", encoding="ascii")
    print(f"{name}: {content}")


# --- many ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def crowd(lab, sources):
    script = Path(__file__).with_name("crowd.py")
    with lab.subscribers.popen(sys.executable, script, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True) as process:
        process.stdin.write(json.dumps({"sources": sources, "destinations": [MX4, MX6]}) + "\n")
        process.stdin.flush()
        try:
            yield process
        finally:
            process.kill()


def taken(server):
    """The messages that an smtp-sink has counted."""
    counts = re.findall(r"mesg=(\d+)", server.text())
    return int(counts[-1]) if counts else 0


def test_five_thousand_metered_sessions(lab, gate, started):
    servers = [started(SmtpSink(lab.internet, address, options=("-c", "-m", "10000"))) for address in (MX4, MX6)]
    running = gate({"class ordinary": {"sessions": ["100/1m"], "messages": ["100/1m", "1000/1d"],
                                       "recipients": ["100/1m"], "spread": ["20/1h"], "concurrent": 5}})
    sources = [f"10.20.{128 + number // 250}.{number % 250}" for number in range(SESSIONS - 1000)]
    sources += [f"2001:db8:20:{number // 2:x}00::{number % 2 + 1}" for number in range(200)]
    sources += [f"10.20.{100 + number // 200}.{number % 200}" for number in range(800)]
    assert len(set(sources)) == SESSIONS
    before = memory(running.workers())
    began = time.monotonic()
    with crowd(lab, sources) as process:
        assert json.loads(process.stdout.readline()) == {"held": SESSIONS, "failed": []}
        held_s = time.monotonic() - began
        counters = running.ctl_json("status")["counters"]
        assert (counters["sessions_open"], counters["metered_total"]) == (SESSIONS, SESSIONS)
        grown = {name: value - before[name] for name, value in memory(running.workers()).items()}
        process.stdin.write("go on\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == {"done": SESSIONS, "failed": []}
    took_s = time.monotonic() - began
    wait_for(lambda: counter(running, "sessions_open") == 0, 20, "all sessions have ended")
    counters = running.ctl_json("status")["counters"]
    assert (counters["messages_total"], counters["recipients_total"]) == (SESSIONS, SESSIONS)
    assert (counters["deferred_total"], counters["refused_total"]) == (0, 0)
    assert (counters["connect_failed_total"], counters["timed_out_total"]) == (0, 0)
    lines = running.wait_journal(SESSIONS, event="session", verdict="forward", messages=1)
    assert len(lines) == SESSIONS
    assert len({line["case"] for line in lines}) == SESSIONS
    state(running, "sessions", {"count": SESSIONS, "rss_bytes_a_session": grown["Rss"] // SESSIONS,
                       "pss_bytes_a_session": grown["Pss"] // SESSIONS, "until_all_are_held_s": round(held_s, 1),
                       "until_all_are_done_s": round(took_s, 1), "store_failures": counters["store_failures_total"]})
    wait_for(lambda: sum(map(taken, servers)) == SESSIONS, 10, "the servers have all messages")
    assert took_s < 600, "it hangs"
    if not instrumented(running.pid):
        assert grown["Pss"] < SESSIONS * 10000


def test_slow_clients_hold_nobody_up(lab, gate, sink):
    server = sink()
    running = gate(FREE)
    before = memory(running.workers())
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(Client(lab, f"10.20.70.{number % 250}")) for number in range(1000)]
        for client in slow:
            client.expect(None, 220)
            client.send("E")
        began = time.monotonic()
        for number in range(20):
            assert send(lab, f"10.20.71.{number}").startswith("250 ")
        took_s = time.monotonic() - began
        grown = memory(running.workers())["Pss"] - before["Pss"]
        assert counter(running, "sessions_open") >= len(slow)
        for client in slow:
            client.send("HLO pc.example\r\n")
        assert all(client.reply().startswith("250") for client in slow), "nor are they lost"
    assert len(server.messages()) == 20
    state(running, "slow clients", {"count": len(slow), "pss_bytes_each": grown // len(slow),
                           "twenty_other_sessions_s": round(took_s, 2)})
    assert took_s < 200, "they are held up"
    if not instrumented(running.pid):
        assert grown < len(slow) * 10000


# --- much ----------------------------------------------------------------------------------------


def text_of(size):
    """Lines of a message body that hold nothing special to SMTP."""
    alphabet = bytes(range(0x41, 0x5b)) + bytes(range(0x80, 0xff))
    chunk = random.Random(25).choices(alphabet, k=size // 64)
    lines = b"".join(bytes(chunk[at:at + 70]) + b"\r\n" for at in range(0, len(chunk), 70))
    return (lines * (size // len(lines) + 1))[:size - size % len(lines)]


class Sending(threading.Thread):
    """Sends in the background, and counts what went."""

    def __init__(self, connection, data):
        super().__init__(daemon=True)
        self.connection, self.data, self.sent = connection, data, 0
        self.start()

    def run(self):
        view = memoryview(self.data)
        while self.sent < len(view):
            self.sent += self.connection.send(view[self.sent:self.sent + 65536])

    def wait_stuck(self):
        """Waits until nothing more goes; the bytes that went."""
        seen, since = -1, time.monotonic()
        deadline = since + 30
        while time.monotonic() - since < 0.5:
            assert time.monotonic() < deadline
            if self.sent != seen:
                seen, since = self.sent, time.monotonic()
            time.sleep(0.02)
        assert seen < len(self.data), "the sender was never held up"
        return seen


def digest_of(connection, size):
    """The hash of the next bytes."""
    digest = hashlib.sha256()
    while size:
        more = connection.recv(min(size, 1 << 18))
        assert more, f"{size} bytes are missing"
        digest.update(more)
        size -= len(more)
    return digest.hexdigest()


class Pair:
    """A client and the server's end of its connection, both driven by hand."""

    def __init__(self, lab, stack, source):
        listener = stack.enter_context(contextlib.closing(lab.internet.listen(MX4)))
        self.client = stack.enter_context(Client(lab, source, timeout=60))
        listener.settimeout(10)
        self.server, _ = listener.accept()
        stack.enter_context(self.server)
        self.server.settimeout(60)
        for end in (self.client.connection, self.server):  # the kernel would hold all of it itself
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        self.server.sendall(b"220 mx.example ESMTP\r\n")
        self.client.expect(None, 220)

    def step(self, line, reply):
        self.client.send(f"{line}\r\n")
        heard = b""
        while not heard.endswith(b"\n"):
            heard += self.server.recv(4096)
        assert heard == f"{line}\r\n".encode("ascii")
        self.server.sendall(f"{reply}\r\n".encode("ascii"))
        assert self.client.reply() == reply


@pytest.fixture(name="pair")
def pair_fixture(lab, gate):
    """pair("pass") is a gate and a connection through it, for subscribers of that action."""
    with contextlib.ExitStack() as stack:
        def make(action="meter"):
            running = gate({"class ordinary": {"action": action, "sessions": ["1000/1s"]}}, environment=LEAN)
            return running, Pair(lab, stack, "10.20.72.1")

        yield make


def check_bounded(running, sender, receiver, data):
    """One side does not read: the gate's memory stays; then it reads, and has every byte."""
    # A first megabyte lets the buffers and the allocator take what they keep in any case.
    warm, rest = data[:MEGABYTE], data[MEGABYTE:]
    sending = Sending(sender, warm)
    digest_of(receiver, len(warm))
    sending.join(10)
    before = memory(running.workers())["Rss"]
    sending = Sending(sender, rest)
    stuck_at = sending.wait_stuck()
    grown = memory(running.workers())["Rss"] - before
    assert grown < GROWTH * (4 if instrumented(running.pid) else 1), f"{grown} bytes more with {stuck_at} sent"
    assert digest_of(receiver, len(rest)) == hashlib.sha256(rest).hexdigest()
    sending.join(10)
    assert not sending.is_alive()
    return grown


def test_a_server_that_does_not_read_a_message(pair):
    running, ends = pair()
    ends.step("EHLO pc.example", "250 mx.example")
    ends.step("MAIL FROM:<me@home.example>", "250 2.1.0 Ok")
    ends.step("RCPT TO:<user@mx.example>", "250 2.1.5 Ok")
    ends.step("DATA", "354 go ahead")
    grown = check_bounded(running, ends.client.connection, ends.server, text_of(BULK))
    ends.client.send(".\r\n")
    assert ends.server.recv(10) == b".\r\n"
    ends.server.sendall(b"250 2.0.0 Ok\r\n")
    assert ends.client.reply() == "250 2.0.0 Ok"
    ends.step("QUIT", "221 2.0.0 Bye")
    ends.server.close()
    assert ends.client.ended()
    ends.client.close()
    assert running.wait_journal(event="session")[0]["messages"] == 1
    state(running, "server that does not read", {"grown_bytes": grown})


@pytest.mark.parametrize("action", ["meter", "pass"])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_side_that_does_not_read_a_stream(pair, action, direction):
    running, ends = pair(action)
    ends.step("EHLO pc.example", "250 STARTTLS")
    ends.step("STARTTLS", "220 2.0.0 Ready")
    sender, receiver = ends.client.connection, ends.server
    sender.sendall(b"hello")  # in TLS the client begins
    assert receiver.recv(100) == b"hello"
    if direction == "down":
        sender, receiver = receiver, sender
    data = random.Random(26).randbytes(BULK)
    grown = check_bounded(running, sender, receiver, data)
    # The other way is open all the while.
    receiver.sendall(b"still here")
    assert sender.recv(100) == b"still here"
    sender.close()
    assert receiver.recv(1) == b""
    receiver.close()
    line = running.wait_journal(event="session")[0]
    assert line["bytes_up" if direction == "up" else "bytes_down"] >= BULK
    state(running, f"{action} stream, {direction}", {"grown_bytes": grown})
