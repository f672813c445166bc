"""Sends sessions through the gate to a real server, and compares what each of the two read.

A session holds when
- the server's own log counts the messages and recipients that the gate's journal counts; where it says that the
  server's process died of a signal, which has then told nobody what it did, it may count more; behind STARTTLS,
  where the gate sees none, the messages are within its two bounds, and
- the bytes that reached the server are the client's, in order, with nothing between them but what
  normalising puts in: a CR before a bare LF, a dot into a line of a single dot, and
- all of them reached it, but for as many whole commands (and their chunks) as the gate answered with 503, or the gate
  ended the session in its own name, or the server left, and
- the client heard the server's bytes, and besides those 503 at most the gate's own word behind them.
"""

import asyncio
import contextlib
import json
import re
import time

from tests.differential import client, grammar, receivers
from tests.differential.receivers import Counts, Lines
from tests.lab import sandbox
from tests.lab.gate import HELP_URL, Gate
from tests.lab.process import wait_for

PARALLEL = 24  # sessions at once
PATIENCE = 150  # seconds for one session
LOGS = 180  # seconds until the last line about a session is written
FOUND = sandbox.PROJECT / "build/differential"
PLENTY = ["1000000000/1d"]
TIMEOUTS = {**dict.fromkeys(("banner", "reply", "command", "data-start", "data-end", "data-block"), "20s"),
            "opaque": "15s"}  # short: aiosmtpd on Python 3.11 never ends a session with TLS within TLS
OWN = re.compile(rb"^503 5\.5\.1 [^\n]*" + re.escape(HELP_URL.encode()) + rb"[^\n]*\n", re.MULTILINE)  # the gate's, which goes on
CHUNK = re.compile(rb"BDAT (\d+)(?: LAST)?\r*\n", re.IGNORECASE)
ADDRESS = "198.51.100.200"  # where subscribers find the server


def send_all(host, sessions):
    """Sends them, PARALLEL at once, from the subscribers' side."""
    queue = list(reversed(sessions))

    async def drain(loop):
        while queue:
            session = queue.pop()
            try:
                await asyncio.wait_for(session.run(loop), PATIENCE)
            except asyncio.TimeoutError:
                session.stuck = True

    async def everything():
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(drain(loop) for _ in range(PARALLEL)))

    with host.inside():
        asyncio.run(everything())


def is_inserted(arrived, at, sent, position):
    """Is arrived[at] what normalising puts in before sent[position]?"""
    rest = sent[position:position + 2]
    if arrived[at:at + 1] == b"\r":
        return rest[:1] == b"\n"
    dot_line = arrived[max(0, at - 3):at].lstrip(b"\r") in (b"\n.", b".") or arrived[:at].endswith(b"\n.")
    return arrived[at:at + 1] == b"." and dot_line and rest[:1] in (b"\n", b"\r")


def unit_end(sent, position):
    """Where the command that begins there ends, with the octets of a chunk."""
    end = sent.find(b"\n", position) + 1 or len(sent)
    chunk = CHUNK.fullmatch(sent[position:end])
    return min(len(sent), end + int(chunk[1])) if chunk else end


def compare_bytes(sent, arrived, own=0):
    """How many bytes of `sent` arrived, or what is wrong with them.

    `own` commands did not, as the gate answered them itself: which ones is tried out.
    """
    starts = {unit_end(sent, chunk.start()) for chunk in re.finditer(rb"BDAT \d", sent, re.IGNORECASE)}
    tried, untried, fault = set(), [(0, 0, own)], ""
    while untried:
        position, at, left = untried.pop()
        while (position, at, left) not in tried:
            tried.add((position, at, left))
            if left > 0 and position < len(sent) and (position in starts or sent[position - 1:position] in (b"", b"\n")):
                starts.add(unit_end(sent, position))
                untried.append((unit_end(sent, position), at, left - 1))
            if at == len(arrived):
                if left == 0:
                    return position
            elif arrived[at] == sent[position] if position < len(sent) else False:
                position, at = position + 1, at + 1
            elif is_inserted(arrived, at, sent, position):
                at += 1
            else:
                fault = fault or f"byte {at} of what arrived is not the client's: {arrived[max(0, at - 20):at + 20]!r}"
    return fault or f"{own} commands were answered by the gate, and fewer kept back"


def compare_replies(heard, said):
    """What is wrong with the bytes that the client heard when the server said `said`, or None."""
    heard = OWN.sub(b"", heard)
    same = next((at for at, (one, other) in enumerate(zip(heard, said)) if one != other), min(len(heard), len(said)))
    own = heard[same:]
    same = len(heard) - len(own) if own == b"" else heard.rfind(b"\n", 0, same) + 1  # a reply begins a line
    own = heard[same:]
    if own and (own[:1] not in b"45" or HELP_URL.encode() not in own or own.count(b"\n") != 1):
        return f"the client heard what the server did not say: {own[:80]!r}"
    return None


@contextlib.contextmanager
def running(lab, redis, name, **tamper):
    """A Harness of that server. TAMPER for the relay: see there."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(receivers.make(lab.internet, name))
        own = server.addresses[0] if hasattr(server, "addresses") else server.address
        relay = stack.enter_context(receivers.Relay(lab.internet, [(ADDRESS, own)], **tamper))
        gate = stack.enter_context(Gate(lab, redis, {
            "class ordinary": {"messages": PLENTY, "recipients": PLENTY}, "timeouts": TIMEOUTS}))
        yield Harness(lab, gate, relay, name, server, ADDRESS)


class Harness:
    """The gate, the relay and a server, all running."""

    def __init__(self, lab, gate, relay, name, server, address):
        self.lab, self.gate, self.relay, self.name, self.server, self.address = lab, gate, relay, name, server, address
        self.lines, self.known = Lines(gate.journal_file), {}

    def session(self, pieces, cuts=(), stepwise=None):
        return client.Session(self.name, self.address, pieces, cuts,
                              self.server.stepwise if stepwise is None else stepwise)

    def made(self, seed, number):
        """The grammar's session of that number."""
        pieces = grammar.session(seed, number)
        return self.session(pieces, grammar.splits(seed, number, sum(map(len, pieces))),
                            grammar.is_stepwise(seed, number, self.server.stepwise))

    def run(self, sessions, seconds=10):
        """{session: what is wrong} of those that do not hold."""
        self.journal()
        self.known.clear()
        self.relay.forget()
        self.server.forget()
        send_all(self.lab.subscribers, sessions)
        self.wait_for_all(sessions, self.journal, "the journal's line of every session")
        self.wait_for_all(sessions, self.relay.sessions, "the relay's line of every session")
        return self.judge(sessions, seconds)

    @staticmethod
    def wait_for_all(sessions, known, what):
        try:
            wait_for(lambda: known().keys() >= {session.client for session in sessions}, LOGS, what, every=0.1)
        except TimeoutError as error:
            missing = [(s.stuck, bytes(s.replies), s.pieces) for s in sessions if s.client not in known()]
            raise TimeoutError(f"{error}: {len(missing)} lack theirs, such as {missing[:2]}") from None

    def journal(self):
        for line in self.lines.new():
            entry = json.loads(line)
            if entry["event"] == "session":
                self.known[entry["client"].rsplit(":", 1)[0]] = entry
        return self.known

    def judge(self, sessions, seconds):
        """Servers write their logs when they like: what differs is looked at again for a while."""
        deadline = time.monotonic() + seconds
        while True:
            counts = self.server.counts()
            wrong = {session: fault for session in sessions if (fault := self.fault(session, counts))}
            if not wrong or time.monotonic() > deadline:
                return wrong
            time.sleep(0.2)

    def fault(self, session, counts):
        if session.stuck:
            return "it did not end"
        entry, events = self.known[session.client], self.relay.known[session.client]
        arrived, said = ("".join(data for side, data in events if side == which).encode("latin-1") for which in "CS")
        counted = counts.get(session.logged, Counts())
        recipients = self.server.recipients(counted, said)
        return (compare_counts(entry, counted.messages, recipients, self.server.died(session.logged), session.secret) or
                self.compare_sent(session, entry, events, arrived, said) or compare_replies(bytes(session.replies), said))

    @staticmethod
    def compare_sent(session, entry, events, arrived, said):
        sent = bytes(session.sent)
        position = compare_bytes(sent, arrived, len(OWN.findall(bytes(session.replies))))
        if isinstance(position, str):
            return position
        client_first = events.index(["C", ""]) < events.index(["S", ""]) if ["S", ""] in events else True
        left = ["hung", ""] in events or LEAVE.search(said)
        if entry["verdict"] == "forward" and client_first and b"\n" in sent[position:] and not left:
            return f"bytes are lost: {sent[position:position + 60]!r}"
        return None

    def check(self, sessions, name):
        """All hold, or those that do not are made short and kept, and what is wrong is raised."""
        wrong = self.run(sessions)
        kept = [f"{fault}; kept as {self.keep(self.minimise(session), fault, f'{name}-{index}')}"
                for index, (session, fault) in enumerate(list(wrong.items())[:3])]
        if wrong:
            raise AssertionError("\n".join([f"{len(wrong)} sessions differ", *kept]))

    def minimise(self, session, seconds=120):
        """The same fault with as few pieces as possible, each as short as possible."""
        deadline = time.monotonic() + seconds

        def fails(candidate):
            if not candidate or time.monotonic() > deadline:
                return False
            return bool(self.run([self.session(candidate, stepwise=session.stepwise)], seconds=1))

        pieces = shortened(session.pieces, fails)
        for at, piece in enumerate(pieces):
            lines = piece.splitlines(keepends=True)
            if len(lines) > 1:
                pieces[at] = b"".join(shortened(lines, lambda some: fails(
                    pieces[:at] + [b"".join(some)] + pieces[at + 1:])))  # pylint: disable=cell-var-from-loop
        return self.session(pieces, stepwise=session.stepwise)

    def keep(self, session, fault, name):
        """Writes it down as a transcript: what the client and the server said, in order."""
        self.run([session], seconds=1)
        lines = [f"# {session.server}: {fault}", "limit: messages 1000/1h", "---", f"C>> {escape(bytes(session.sent))}"]
        for side, data in self.relay.sessions()[session.client]:
            sign = "S<<" if side == "C" else "S>>"
            lines.append(f"{sign} {escape(data.encode('latin-1'))}" if data else ("S<." if side == "C" else "S."))
        FOUND.mkdir(parents=True, exist_ok=True)
        path = FOUND / f"{session.server}-{name}.txt"
        path.write_text("\n".join(lines) + "\n", encoding="ascii")
        return path


LEAVE = re.compile(rb"^221[ \r\n]", re.MULTILINE)  # what a client says behind it is for nobody
BURST = 256  # octets that a single command may have: see the README on metering through TLS


def compare_counts(entry, messages, recipients, died, secret=0):
    """What is wrong with the gate's counts when the server's are these, or None.

    `secret` are the octets that the client said within TLS. The lower bound is one of messages sent:
    not each was accepted, and who says long commands may have sent none.
    """
    counted = entry["messages"], entry["recipients"]
    words = f"the gate counted {counted[0]} messages and {counted[1]} recipients, the server {messages} and {recipients}"
    if entry["tls"]:
        least, most = entry["messages_least"] or 0, entry["messages_most"] or 0
        if least > max(messages - counted[0], secret // BURST) or messages > counted[0] + most or recipients < counted[1]:
            return f"{words}; behind STARTTLS {least} to {most} messages were expected"
        return None
    if counted == (messages, recipients) or (died and counted[0] <= messages and counted[1] <= recipients):
        return None
    return words


def shortened(items, fails):
    """As few of the items as still fail."""
    size = max(1, len(items) // 2)
    while size >= 1:
        for at in range(0, len(items), size):
            if fails(items[:at] + items[at + size:]):
                items = items[:at] + items[at + size:]
                break
        else:
            size //= 2
    return items


def escape(data):
    plain = {"\r": "\\r", "\n": "\\n", "\t": "\\t", "\\": "\\\\"}
    return "".join(plain.get(c, c if " " <= c <= "~" else f"\\x{ord(c):02x}") for c in data.decode("latin-1"))
