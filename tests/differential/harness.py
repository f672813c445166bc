"""Sends sessions through the gate to real servers, and compares what each of them read.

A session holds when
- the server's own log counts the messages and recipients that the gate's journal counts, and
- the bytes that reached the server are the client's, in order, with nothing between them but what
  normalising puts in: a CR before a bare LF, a dot into a line of a single dot, and
- all of them reached it, or the gate ended the session in its own name, or the server left.
"""

import asyncio
import contextlib
import time

from tests.differential import grammar
from tests.lab import sandbox
from tests.lab.process import wait_for

PARALLEL = 24  # sessions at once, a server
PATIENCE = 30  # seconds for one session
FOUND = sandbox.PROJECT / "build/differential"


class Session:
    """One session: what is sent to which server, from an address of its own."""

    count = 0

    def __init__(self, server, listen, pieces, cuts=(), stepwise=False):
        self.stepwise = stepwise
        number = Session.count = Session.count + 1
        self.server, self.listen, self.pieces, self.cuts = server, listen, pieces, list(cuts)
        self.suffix = f"{10 + number // 250}.{1 + number % 250}"
        self.client, self.logged = f"10.20.{self.suffix}", f"127.1.{self.suffix}"
        self.replies = b""
        self.stuck = False

    @property
    def sent(self):
        return b"".join(self.pieces)

    async def run(self, loop):
        import socket  # pylint: disable=import-outside-toplevel
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.bind((self.client, 0))
            with contextlib.suppress(ConnectionError):
                await loop.sock_connect(connection, (self.listen, 25))
                sending = asyncio.ensure_future(self.send_stepwise(loop, connection) if self.stepwise
                                                else self.send(loop, connection))
                while data := await loop.sock_recv(connection, 65536):
                    self.replies += data
                await sending

    async def send_stepwise(self, loop, connection):
        """As a client without PIPELINING: each piece after a reply to the one before, or a while."""
        import socket  # pylint: disable=import-outside-toplevel
        with contextlib.suppress(OSError):
            for piece in [b""] + self.pieces:
                before = len(self.replies)
                await loop.sock_sendall(connection, piece)
                for _ in range(50):
                    await asyncio.sleep(0.001)
                    if len(self.replies) > before and self.replies.endswith(b"\n"):
                        break
            connection.shutdown(socket.SHUT_WR)

    async def send(self, loop, connection):
        import socket  # pylint: disable=import-outside-toplevel
        at = 0
        with contextlib.suppress(OSError):
            for cut in self.cuts + [len(self.sent)]:
                await loop.sock_sendall(connection, self.sent[at:cut])
                await asyncio.sleep(0.002)
                at = cut
            connection.shutdown(socket.SHUT_WR)


def send_all(host, sessions):
    """Sends them, PARALLEL a server at once, from the subscribers' side."""
    queues = {}
    for session in sessions:
        queues.setdefault(session.server, []).append(session)

    async def drain(queue, loop):
        while queue:
            session = queue.pop()
            try:
                await asyncio.wait_for(session.run(loop), PATIENCE)
            except asyncio.TimeoutError:
                session.stuck = True

    async def everything():
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(drain(queue, loop) for queue in queues.values() for _ in range(PARALLEL)))

    with host.inside():
        asyncio.run(everything())


def is_inserted(arrived, at, sent, position):
    """Is arrived[at] what normalising puts in before sent[position]?"""
    rest = sent[position:position + 2]
    if arrived[at:at + 1] == b"\r":
        return rest[:1] == b"\n"
    dot_line = arrived[max(0, at - 3):at].lstrip(b"\r") in (b"\n.", b".") or arrived[:at].endswith(b"\n.")
    return arrived[at:at + 1] == b"." and dot_line and rest[:1] in (b"\n", b"\r")


def compare_bytes(sent, arrived):
    """How many bytes of `sent` arrived, or what is wrong with them."""
    position = 0
    for at in range(len(arrived)):
        if arrived[at] == sent[position] if position < len(sent) else False:
            position += 1
        elif not is_inserted(arrived, at, sent, position):
            return f"byte {at} of what arrived is not the client's: {arrived[max(0, at - 20):at + 20]!r}"
    return position


def is_unanswered(events):
    """Did the server end without a word on the client's last bytes? (Postfix: BDAT 0, BDAT 0 LAST.)
    What it did with them it told nobody."""
    spoken = [side for side, data in events if data]
    return ["S", ""] in events and spoken[-1:] == ["C"] and ("C", "") not in map(
        tuple, events[:events.index(["S", ""])])


class Harness:
    """The gate, the relay and the servers, all running."""

    def __init__(self, lab, gate, relay, servers, addresses):
        self.lab, self.gate, self.relay, self.servers, self.addresses = lab, gate, relay, servers, addresses
        self.missing = None

    def session(self, server, pieces, cuts=()):
        return Session(server, self.addresses[server], pieces, cuts, hasattr(self.servers[server], "stepwise"))

    def run(self, sessions, seconds=10):
        """{session: what is wrong} of those that do not hold."""
        send_all(self.lab.subscribers, sessions)
        wanted = {session.client for session in sessions}
        try:
            wait_for(lambda: wanted <= self.journal().keys(), 60, "the journal's line of every session", every=0.3)
        except TimeoutError as error:
            missing = [(s.server, s.stuck, s.replies, s.sent) for s in sessions if s.client not in self.journal()]
            raise TimeoutError(f"{error}: {len(missing)} lack theirs, such as {missing[:2]}") from None
        try:
            wait_for(lambda: wanted <= self.relay.sessions().keys(), 20, "the relay's line of every session", every=0.3)
        except TimeoutError as error:
            missing = sorted(wanted - self.relay.sessions().keys())[:3]
            sent = {session.client: session for session in sessions}
            raise TimeoutError("\n".join([str(error), *(f"{self.journal()[client]} {sent[client].sent!r}"
                                                        for client in missing)])) from None
        return self.judge(sessions, seconds)

    def journal(self):
        return {entry["client"].rsplit(":", 1)[0]: entry for entry in self.gate.journal(event="session")}

    def judge(self, sessions, seconds):
        """Servers write their logs when they like: what differs is looked at again for a while."""
        journal, relayed = self.journal(), self.relay.sessions()
        deadline = time.monotonic() + seconds
        while True:
            counts = {name: server.counts() for name, server in self.servers.items()}
            wrong = {session: fault for session in sessions
                     if (fault := self.fault(session, journal, relayed, counts))}
            if not wrong or time.monotonic() > deadline:
                return wrong
            time.sleep(0.5)

    @staticmethod
    def fault(session, journal, relayed, counts):
        if session.stuck:
            return "it did not end"
        entry, events = journal[session.client], relayed[session.client]
        messages, recipients = counts[session.server].get(
            session.logged, (0, None if session.stepwise else 0))
        counted = entry["messages"], entry["recipients"]
        died = is_unanswered(events) and counted[0] <= messages and counted[1] <= (recipients or 0)
        if recipients is None:  # this server's log has no word on them
            counted, recipients = (entry["messages"], None), None
        if counted != (messages, recipients) and not died:
            return (f"the gate counted {entry['messages']} messages and {entry['recipients']} recipients, "
                    f"the server {messages} and {recipients}")
        arrived = "".join(data for side, data in events if side == "C").encode("latin-1")
        position = compare_bytes(session.sent, arrived)
        if isinstance(position, str):
            return position
        client_first = events.index(["C", ""]) < events.index(["S", ""]) if ["S", ""] in events else True
        lost = session.sent[position:]
        if entry["verdict"] == "forward" and client_first and b"\n" in lost:
            return f"bytes are lost: {lost[:60]!r}"
        return None

    def minimise(self, session):
        """The same fault with as few pieces as possible, each as short as possible."""
        pieces = session.pieces

        def fails(candidate):
            return bool(candidate) and bool(self.run([self.session(session.server, candidate)], seconds=1))

        size = max(1, len(pieces) // 2)
        deadline = time.monotonic() + 120
        while size >= 1 and time.monotonic() < deadline:
            for at in range(0, len(pieces), size):
                shorter = pieces[:at] + pieces[at + size:]
                if fails(shorter):
                    pieces = shorter
                    break
            else:
                size //= 2
        return self.session(session.server, pieces)

    def keep(self, session, fault, name):
        """Writes it down as a transcript: what the client and the server said, in order."""
        self.run([session], seconds=1)
        lines = [f"# {session.server}: {fault}", "limit: messages 1000/1h", "---", f"C>> {escape(session.sent)}"]
        for side, data in self.relay.sessions()[session.client]:
            sign = "S<<" if side == "C" else "S>>"
            lines.append(f"{sign} {escape(data.encode('latin-1'))}" if data else ("S<." if side == "C" else "S."))
        FOUND.mkdir(parents=True, exist_ok=True)
        path = FOUND / f"{name}.txt"
        path.write_text("\n".join(lines) + "\n", encoding="ascii")
        return path


def escape(data):
    plain = {"\r": "\\r", "\n": "\\n", "\t": "\\t", "\\": "\\\\"}
    return "".join(plain.get(c, c if " " <= c <= "~" else f"\\x{ord(c):02x}") for c in data.decode("latin-1"))


def make_sessions(harness, seed, numbers):
    for number in numbers:
        pieces = grammar.session(seed, number)
        cuts = grammar.splits(seed, number, sum(map(len, pieces)))
        for server in harness.servers:
            yield harness.session(server, pieces, cuts)
