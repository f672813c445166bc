"""A session costs bounded memory, whatever is sent and whoever does not read."""

import contextlib
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.integration.test_capacity import LEAN, instrumented, memory
from tests.integration.test_faults import cpu_seconds
from tests.lab.process import wait_for
from tests.lab.servers import Gate, Redis

SERVER = "198.51.100.77"
AT_ONCE = 2       # sessions of a kind
KINDS_AT_ONCE = 5
FLOOD = 10 << 20  # a session
BOUND = 1 << 20   # a session
SMALL = 32768     # socket buffers: what the kernel holds is not the gate's
EHLO = ("EHLO c\r\n", "250-mx\r\n250-STARTTLS\r\n250 CHUNKING\r\n")
MAIL, RCPT = ("MAIL FROM:<a@c>\r\n", "250 a\r\n"), ("RCPT TO:<b@x>\r\n", "250 b\r\n")

# Name: what is said first by turns, who floods (C, S), with what; whether the other side answers each
# line ("answers"), only reads ("reads") or does nothing. A message and a recipient are within the limits.
FLOODS = {
    "refused recipients": ([EHLO, MAIL, RCPT], "C", "RCPT TO:<b@x>\r\n", ""),
    "refused mails": ([EHLO, MAIL], "C", "MAIL FROM:<>\r\n", ""),
    "recipients of a refused mail": ([EHLO, MAIL, ("RSET\r\n", "250 c\r\n")], "C",
                                     "MAIL FROM:<>\r\n" + "RCPT TO:<b@x>\r\n" * 50, ""),
    "commands that the server does not read": ([EHLO], "C", "NOOP\r\n", ""),
    "commands whose replies the client does not read": ([EHLO], "C", "NOOP\r\n", "answers"),
    "empty lines": ([EHLO], "C", "\n", "answers"),
    "a line without an end": ([EHLO], "C", "x" * 1000, "reads"),
    "an AUTH line without an end": ([EHLO, ("AUTH LOGIN\r\n", "334 x\r\n")], "C", "=" * 1000, "reads"),
    "what comes before the greeting": (None, "C", "NOOP\r\n", ""),
    "what comes behind EHLO": ([("EHLO c\r\n", "")], "C", "NOOP\r\n", ""),
    "what comes behind STARTTLS": ([EHLO, ("STARTTLS\r\n", "")], "C", "NOOP\r\n", ""),
    "what comes behind a verb that nobody knows": ([EHLO, ("XVERB\r\n", "")], "C", "NOOP\r\n", ""),
    "a message": ([EHLO, MAIL, RCPT, ("DATA\r\n", "354 go\r\n")], "C", "text\r\n", ""),
    "a message of bare LF": ([EHLO, MAIL, RCPT, ("DATA\r\n", "354 go\r\n")], "C", "\n.\n", ""),
    "a message of one line": ([EHLO, MAIL, RCPT, ("DATA\r\n", "354 go\r\n")], "C", "x" * 1000, ""),
    "chunks": ([EHLO, MAIL, RCPT], "C", "BDAT 10\r\n0123456789", ""),
    "a chunk": ([EHLO, MAIL, RCPT, ("BDAT 2147483647\r\n", "")], "C", "text", ""),
    "the chunk of a refused mail": ([EHLO, MAIL, ("RSET\r\n", "250 c\r\n")], "C", "MAIL FROM:<>\r\n"
                                    "BDAT 20000\r\n" + "x" * 20000, ""),
    "a reply without an end": ([("HELP\r\n", "")], "S", "214-help\r\n", ""),
    "a reply line without an end": ([("HELP\r\n", "")], "S", "x" * 1000, ""),
    "replies that nobody asked for": ([EHLO], "S", "250 ok\r\n", ""),
    "an encrypted stream, up": ([EHLO, ("STARTTLS\r\n", "220 go\r\n"), ("hello", "hi")], "C", "\x17\x03\x03", ""),
    "an encrypted stream, down": ([EHLO, ("STARTTLS\r\n", "220 go\r\n"), ("hello", "hi")], "S", "\x17\x03\x03", ""),
    "a passed stream, up": ([], "C", "anything", ""),
    "a passed stream, down": ([], "S", "anything", ""),
}


@pytest.fixture(scope="module", name="gate")
def gate_fixture(lab):
    with Redis(lab["gate1"]) as redis:
        redis.cli("hset", "g25:standings", "10.20.82.250", "registered 0")
        few = {"messages": ["1/1d"], "recipients": ["1/1d"]}
        with Gate(lab, redis, {"class ordinary": few, "intercept": {"workers": 1}}, environment=LEAN) as running:
            yield running


def take(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        assert more, f"ended behind {data!r}"
        data += more
    return data


class Flood:
    """One connection, flooded from one side."""

    def __init__(self, lab, stack, listener, source, kind):
        steps, side, self.text, self.other_does = FLOODS[kind]
        self.client = stack.enter_context(lab.subscribers.connect(SERVER, source))
        self.server, _ = listener.accept()
        stack.enter_context(self.server)
        self.ends = (self.client, self.server)
        for end in self.ends:
            end.settimeout(30)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        if steps is not None:
            self.greet(steps)
        self.sender, self.other = self.ends if side == "C" else self.ends[::-1]
        self.sent, self.over = 0, False
        self.threads = [threading.Thread(target=self.send, daemon=True)]
        if self.other_does:
            self.threads.append(threading.Thread(target=self.serve, daemon=True))

    def greet(self, steps):
        for said, answered in [("", "220 mx\r\n"), *steps]:
            self.client.sendall(said.encode())
            assert take(self.server, len(said)) == said.encode()
            self.server.sendall(answered.encode())
            assert take(self.client, len(answered)) == answered.encode()

    def start(self):
        for thread in self.threads:
            thread.start()

    def send(self):
        data = (self.text * (65536 // len(self.text) + 1)).encode("latin-1")
        with contextlib.suppress(OSError):
            self.sender.settimeout(None)
            while self.sent < FLOOD:
                self.sent += self.sender.send(data)
        self.over = True

    def serve(self):
        with contextlib.suppress(OSError):
            self.other.settimeout(None)
            while data := self.other.recv(65536):
                if self.other_does == "answers":
                    self.other.sendall(b"250 2.0.0 as you wish\r\n" * data.count(b"\n"))

    def stop(self):
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()


def wait_quiet(worker, floods):
    """Until nothing more goes, and the gate has nothing more to do: all is sent, held up, or ended."""
    seen, since, deadline = None, time.monotonic(), time.monotonic() + 120
    while True:
        now = [flood.sent for flood in floods], cpu_seconds(worker)
        if seen is None or now[0] != seen[0] or now[1] - seen[1] > 0.03:
            seen, since = now, time.monotonic()
        if time.monotonic() - since > 1:
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def peak(pid):
    """The most that was ever resident."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def source_of(kind, number):
    if "passed" in kind:
        return "10.20.82.250"
    row = AT_ONCE * list(FLOODS).index(kind) + number
    return f"10.20.84.{row}"


def warm(lab, gate, listener, worker):
    """Lets the worker take what it takes in any case."""
    if not hasattr(gate, "warmed"):
        gate.warmed = True
        with contextlib.ExitStack() as stack:
            floods = [Flood(lab, stack, listener, f"10.20.83.{number}", "a message") for number in range(AT_ONCE)]
            for flood in floods:
                flood.start()
            wait_quiet(worker, floods)
            for flood in floods:
                flood.stop()
        wait_for(lambda: gate.ctl_json("status")["counters"]["sessions_open"] == 0, 60, "the warming is over")


def groups():
    names = list(FLOODS)
    return [names[at:at + KINDS_AT_ONCE] for at in range(0, len(names), KINDS_AT_ONCE)]


@pytest.mark.parametrize("kinds", groups(), ids=lambda kinds: kinds[0].replace(" ", "-"))
def test_floods_cost_bounded_memory(lab, gate, kinds):
    worker, = gate.workers()
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(contextlib.closing(lab.internet.listen(SERVER)))
        listener.settimeout(20)
        warm(lab, gate, listener, worker)
        before = memory([worker])["Rss"]
        Path(f"/proc/{worker}/clear_refs").write_text("5", encoding="ascii")  # the peak counts from now
        floods = [Flood(lab, stack, listener, source_of(kind, number), kind)
                  for kind in kinds for number in range(AT_ONCE)]
        for flood in floods:
            flood.start()
        wait_quiet(worker, floods)
        grown = peak(worker) - before
        for flood in floods:
            flood.stop()
    bound = len(floods) * BOUND * (4 if instrumented(gate.pid) else 1)
    print(f"{kinds}: {grown // len(floods)} bytes a session, {sum(flood.sent for flood in floods) >> 20} MB were sent")
    assert grown < bound, f"{grown} bytes more for {len(floods)} sessions"
    wait_for(lambda: gate.ctl_json("status")["counters"]["sessions_open"] == 0, 60, "nothing is left")
    assert gate.workers() == [worker]
