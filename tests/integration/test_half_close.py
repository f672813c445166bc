"""Half-closes and resets: at each phase, by each side, no byte is lost or doubled, and nothing is left open.

Each test holds both ends of one connection through the gate in its hands.
"""

import contextlib
import fcntl
import hashlib
import random
import socket
import struct
import termios
import time

import pytest

from tests.integration.wire import MX4
from tests.lab.process import wait_for
from tests.lab.servers import Gate, Redis

BULK = 6 << 20
SMALL = 32768  # socket buffers, so that a bulk waits in the gate and not in the kernel
LINES = {"meter": "10.20.80.1", "pass": "10.20.80.2", "submit": "10.20.80.3"}
# What was said when the phase begins, by turns: (client, server).
EHLO = ("EHLO c\r\n", "250-mx\r\n250-STARTTLS\r\n250 CHUNKING\r\n")
MAIL = [("MAIL FROM:<a@c>\r\n", "250 a\r\n"), ("RCPT TO:<b@x>\r\n", "250 b\r\n")]
PHASES = {
    "banner": [],
    "command": [("", "220 mx\r\n"), EHLO],
    "data": [("", "220 mx\r\n"), EHLO, *MAIL, ("DATA\r\n", "354 go\r\n")],
    "bdat": [("", "220 mx\r\n"), EHLO, *MAIL, ("BDAT 100000000\r\n", "")],
    "opaque": [("", "220 mx\r\n"), EHLO, ("STARTTLS\r\n", "220 go\r\n"), ("hello", "hi")],
    "pass": [("", "220 mx\r\n")],
    "submit": [("", "220 mx\r\n")],
}
STREAMS = ("opaque", "pass", "submit")


@pytest.fixture(scope="module", name="gate")
def gate_fixture(lab, submission_rules):
    del submission_rules
    with Redis(lab["gate1"]) as redis:
        for action, line in LINES.items():
            redis.cli("hset", "g25:standings", line, f"by-{action} 0")
        free = {"sessions": ["100000/1s"]}
        with Gate(lab, redis, {"class ordinary": free, "submission": {"host": "smtp.isp.example"},
                               **{f"class by-{action}": {"action": action, **free} for action in LINES}}) as running:
            yield running


def take(connection, size):
    """So many bytes, or those until the end."""
    data = bytearray()
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            break
        data += more
    return bytes(data)


def rest(connection):
    """All until the end, however it comes; and whether it came as a reset."""
    data = bytearray()
    while True:
        try:
            more = connection.recv(1 << 16)
        except ConnectionResetError:
            return bytes(data), True
        if not more:
            return bytes(data), False
        data += more


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def unacknowledged(connection):
    return struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))[0]


class Ends:
    def __init__(self, lab, stack, phase):
        self.phase = phase
        action = phase if phase in LINES else "meter"
        port = 587 if phase == "submit" else 25
        self.listener = stack.enter_context(contextlib.closing(lab.internet.listen(MX4, port)))
        self.listener.settimeout(20)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        self.client = stack.enter_context(lab.subscribers.connect(MX4, LINES[action]))
        self.server, _ = self.listener.accept()
        stack.enter_context(self.server)
        for end in (self.client, self.server):
            end.settimeout(30)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        for said, answered in PHASES[phase]:
            self.client.sendall(said.encode())
            assert take(self.server, len(said)) == said.encode()
            self.server.sendall(answered.encode())
            assert take(self.client, len(answered)) == answered.encode()

    def end(self, side, kind):
        connection = self.client if side == "client" else self.server
        if kind == "FIN":
            connection.shutdown(socket.SHUT_WR)
        else:
            reset(connection)


@pytest.fixture(name="ends")
def ends_fixture(lab, gate):
    """ends("data") are the two ends of a session in that phase. Afterwards nothing of it is left open."""
    with contextlib.ExitStack() as stack:
        yield lambda phase: Ends(lab, stack, phase)
    wait_for(lambda: is_over(gate), 20, "the session has ended")
    assert gate.alive()


def is_over(gate):
    return gate.ctl_json("status")["counters"]["sessions_open"] == 0


def bulk(phase, size=BULK):
    """Bytes that may stand in that phase, and end with a whole line."""
    data = random.Random(phase).randbytes(size // 64)
    if phase == "data":
        data = b"".join(data[at:at + 50].hex().encode() + b"\r\n" for at in range(0, len(data), 50))
    elif phase == "command":
        data = b"".join(b"214-" + data[at:at + 30].hex().encode() + b"\r\n" for at in range(0, len(data), 30))
    return data * (size // len(data))


def send_aside(connection, data, end):
    """Sends in the background, and then ends its direction."""
    import threading  # pylint: disable=import-outside-toplevel

    def run():
        connection.sendall(data)
        if end:
            connection.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def read_slowly(connection, size):
    """First nothing, then little, then all; the digest of `size` bytes."""
    time.sleep(0.5)
    data = b""
    for _ in range(5):
        data += take(connection, 3000)
        time.sleep(0.05)
    data += take(connection, size - len(data))
    assert len(data) == size
    return hashlib.sha256(data).digest()


# --- FIN -------------------------------------------------------------------------------------------

LAST_WORDS = {"banner": "", "command": "NOOP\r\nQUIT\r\n", "data": "text\r\n.half", "bdat": "\r\n.\r\nQUIT\r\n"}


@pytest.mark.parametrize("phase", PHASES)
def test_the_client_ends_first(ends, phase):
    both = ends(phase)
    said = LAST_WORDS.get(phase, "\x16\x03 anything\n").encode("latin-1")
    both.client.sendall(said)
    both.end("client", "FIN")
    if phase == "banner":
        both.server.sendall(b"220 mx\r\n")
    assert rest(both.server) == (said, False)
    answer = b"250 ok\r\n221 bye\r\n" if phase == "command" else b"451 lost you\r\n"
    answer = b"" if phase == "banner" else answer
    both.server.sendall(answer)
    both.end("server", "FIN")
    heard = (b"220 mx\r\n" if phase == "banner" else b"") + answer
    assert rest(both.client) == (heard, False)


def test_early_words_and_an_end_before_the_greeting(ends):
    both = ends("banner")
    both.client.sendall(b"EHLO c\r\nQUIT\r\n")
    both.end("client", "FIN")
    both.server.sendall(b"220 mx\r\n")
    assert take(both.server, 8) == b"EHLO c\r\n"
    both.server.sendall(b"250 mx\r\n")
    assert rest(both.server) == (b"QUIT\r\n", False)
    both.server.sendall(b"221 bye\r\n")
    both.end("server", "FIN")
    assert rest(both.client) == (b"220 mx\r\n250 mx\r\n221 bye\r\n", False)


@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase != "banner"])
def test_the_server_ends_first_and_reads_on(ends, phase):
    both = ends(phase)
    said = b"421 bye\r\n421 half a line"
    if phase in ("data", "bdat"):
        said = b"421 half a line"
    both.server.sendall(said)
    both.end("server", "FIN")
    assert rest(both.client) == (said, False)
    words = b"RSET\r\nMAIL FROM:<a@c>\r\nRCPT TO:<b@x>\r\n" if phase == "command" else \
        LAST_WORDS.get(phase, "\x16\x03 anything\n").encode("latin-1")
    both.client.sendall(words)
    assert take(both.server, len(words)) == words
    both.end("client", "FIN")
    assert rest(both.server) == (b"", False)


@pytest.mark.parametrize("end_first", ["client", "server"])
@pytest.mark.parametrize("phase", STREAMS)
def test_a_stream_goes_on_the_other_way(ends, phase, end_first):
    both = ends(phase)
    both.end(end_first, "FIN")
    first, second = (both.client, both.server) if end_first == "client" else (both.server, both.client)
    assert rest(second) == (b"", False)
    data = bulk(phase)
    sending = send_aside(second, data, end=True)
    assert read_slowly(first, len(data)) == hashlib.sha256(data).digest()
    assert rest(first) == (b"", False)
    sending.join(20)


@pytest.mark.parametrize("phase", ["data", "bdat", *STREAMS])
def test_a_slow_server_has_every_byte_of_a_client_that_ended(ends, phase):
    both = ends(phase)
    data = bulk(phase)
    sending = send_aside(both.client, data, end=True)
    assert read_slowly(both.server, len(data)) == hashlib.sha256(data).digest()
    assert rest(both.server) == (b"", False)
    sending.join(20)
    both.server.sendall(b"451 lost you\r\n")
    both.end("server", "FIN")
    assert rest(both.client) == (b"451 lost you\r\n", False)


@pytest.mark.parametrize("phase", ["command", *STREAMS])
def test_a_slow_client_has_every_byte_of_a_server_that_ended(ends, phase):
    both = ends(phase)
    if phase == "command":
        both.client.sendall(b"HELP\r\n")
        assert take(both.server, 6) == b"HELP\r\n"
    data = bulk(phase)
    sending = send_aside(both.server, data, end=True)
    assert read_slowly(both.client, len(data)) == hashlib.sha256(data).digest()
    assert rest(both.client) == (b"", False)
    sending.join(20)
    both.client.sendall(b"RSET\r\n")
    both.end("client", "FIN")
    assert rest(both.server) == (b"RSET\r\n", False)


# --- what cannot be delivered ----------------------------------------------------------------------


@pytest.mark.parametrize("phase, whole, half", [
    ("banner", "", "EHLO c"), ("command", "NOOP\r\n", "MAIL FROM:<a@c>"), ("command", "", "DATA\r"),
    ("data", "text\r\n.", "\r")])
def test_a_client_that_ends_within_a_line_is_told(ends, gate, phase, whole, half):
    before = len(gate.journal(rule="half-close"))
    both = ends(phase)
    both.client.sendall((whole + half).encode())
    both.end("client", "FIN")
    heard = b""
    if phase == "banner":
        heard = b"220 mx\r\n"
        both.server.sendall(heard)
    assert take(both.server, len(whole)) == whole.encode()
    if whole == "NOOP\r\n":
        heard += b"250 ok\r\n"
        both.server.sendall(b"250 ok\r\n")
    data, _ = rest(both.client)
    assert data.startswith(heard + b"421 4.4.2 ") and data.count(b"\r\n") == heard.count(b"\r\n") + 1
    assert rest(both.server) == (b"", False), "no server hears half a line"
    both.server.close()
    gate.wait_journal(before + 2, rule="half-close")


def test_a_client_whose_words_nobody_will_explain_is_reset(ends, gate):
    before = len(gate.journal(event="session", rule="half-close"))
    both = ends("command")
    both.client.sendall(b"DATA\r\n")
    assert take(both.server, 6) == b"DATA\r\n"
    both.end("server", "FIN")
    assert both.client.recv(10) == b""
    both.client.sendall(b"text")
    assert rest(both.server) == (b"", False)

    def is_reset():
        both.client.settimeout(5)
        try:
            both.client.sendall(b"?")
            return False
        except (ConnectionResetError, BrokenPipeError):
            return True

    wait_for(is_reset, 10, "the client knows that its words went nowhere")
    gate.wait_journal(before + 1, event="session", rule="half-close")


# --- RST -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_reset_ends_the_session(ends, phase, side):
    both = ends(phase)
    other = both.server if side == "client" else both.client
    began = time.monotonic()
    both.end(side, "RST")
    data, _ = rest(other)
    # A server that went before the gate heard of being connected is one that could not be reached.
    unheard = side == "server" and not PHASES[phase]
    assert data == b"" or (unheard and data.startswith((b"421 4.4.1 ", b"554 5.7.1 "))), data
    assert time.monotonic() - began < 15, "its deadlines are minutes"


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase != "banner"])
def test_a_reset_behind_a_half_close_is_noticed(ends, gate, phase, side):
    """The one who ended its direction goes: nobody reads from it any more, and the other one is silent."""
    both = ends(phase)
    other = both.server if side == "client" else both.client
    both.end(side, "FIN")
    assert rest(other) == (b"", False)
    both.end(side, "RST")
    wait_for(lambda: is_over(gate), 15, "the session has ended")


@pytest.mark.parametrize("phase", ["data", *STREAMS])
def test_a_reset_of_a_client_that_is_not_read_from_is_noticed(ends, gate, phase):
    """The server does not read, so the gate does not read the client, which goes."""
    both = ends(phase)
    both.client.settimeout(1)
    with contextlib.suppress(TimeoutError):
        both.client.sendall(bulk(phase))
    sessions = len(gate.journal(event="session"))
    both.end("client", "RST")
    gate.wait_journal(sessions + 1, 15, event="session")
    both.server.setblocking(False)  # what was under way still arrives, and then the end
    both.server.settimeout(30)
    rest(both.server)


@pytest.mark.parametrize("phase", ["command", *STREAMS])
def test_what_a_server_said_before_its_reset_is_flushed(ends, phase):
    both = ends(phase)
    if phase == "command":
        both.client.sendall(b"HELP\r\n")
        assert take(both.server, 6) == b"HELP\r\n"
    data = bulk(phase, 150000)
    sending = send_aside(both.server, data, end=False)
    sending.join(1)
    if sending.is_alive() or unacknowledged(both.server) > 0:
        # It does not fit into the gate and the kernels: then it is read as far as is needed.
        data = data[:len(data)]
        read = take(both.client, len(data) // 2)
        wait_for(lambda: not sending.is_alive() and unacknowledged(both.server) == 0, 20, "the gate has all")
    else:
        read = b""
    both.end("server", "RST")
    time.sleep(1)
    more, _ = rest(both.client)
    assert read + more == data


def test_a_client_that_is_gone_holds_nothing(lab, gate):
    """The server resets behind its greeting, the client what it has sent: nobody is left to hear of it."""
    with contextlib.closing(lab.internet.listen(MX4)) as listener:
        for _ in range(5):
            client = lab.subscribers.connect(MX4, LINES["meter"])
            server, _ = listener.accept()
            server.sendall(b"220 mx.example\r\n")
            reset(server)
            client.sendall(b"EHLO pc.example\r\nMAIL FROM:<me@home.example>\r\n")
            client.close()  # with the greeting unread: a reset
    wait_for(lambda: is_over(gate), 15, "no session is left")
