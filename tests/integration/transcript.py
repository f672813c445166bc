"""Plays a file of tests/transcripts between two sockets. See tests/transcripts/README.md."""

import contextlib
import fnmatch
import re
import socket
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "transcripts"
PLAIN = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}
ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|\*(\d+)\(([^)]*)\)|(.))")
ENDS, MIDST_STEP = 16384, 251  # bytes, of what is sent byte by byte
STRAY_SECONDS = 0.1  # how long a side is watched, at the end, for bytes that nobody named


def unescape(text):
    def one(match):
        code, times, inner, plain = match.groups()
        if code:
            return chr(int(code, 16))
        return unescape(inner) * int(times) if times else PLAIN[plain]

    return ESCAPE.sub(one, text)


class Transcript:
    def __init__(self, path):
        self.name = path.stem
        settings, _, body = path.read_text(encoding="ascii").partition("\n---\n")
        pairs = [line.split(": ", 1) for line in settings.splitlines() if line and line[0] != "#"]
        self.settings = {key: value for key, value in pairs if key != "limit"}
        self.limits = {}
        for key, value in pairs:
            if key == "limit":
                kind, rate = value.split()
                self.limits.setdefault(kind, []).append(rate)
        first = settings.count("\n") + 2
        self.steps = [(number, line) for number, line in enumerate(body.splitlines(), first + 1)
                      if line and line[0] != "#"]

    def class_options(self):
        options = {"action": self.settings.get("action", "meter"), **self.limits}
        if options["action"] == "meter" and not self.limits:
            options["sessions"] = ["1000000/1s"]
        for name in ("over", "starttls", "opaque-messages"):
            if name in self.settings:
                options[name] = self.settings[name]
        if "enforce" in self.settings:
            options["enforce"] = self.settings["enforce"] == "true"
        return options


def load(wanted=lambda transcript: True):
    found = [Transcript(path) for path in sorted(FOLDER.glob("*.txt"))]
    assert found
    return [transcript for transcript in found if wanted(transcript)]


def bytes_of(data):
    """Each byte of it; but of what is very long the midst in larger pieces (the unit test plays each byte of it)."""
    at = 0
    while at < len(data):
        size = MIDST_STEP if ENDS <= at < len(data) - ENDS - MIDST_STEP else 1
        yield data[at:at + size]
        at += size


class Side:
    """The client's or the server's socket, and what has arrived at it."""

    def __init__(self, connection, bytewise):
        self.connection = connection
        self.bytewise = bytewise
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.held = b""
        self.ended = False

    def send(self, data):
        try:
            for piece in (bytes_of(data) if self.bytewise else [data]):
                self.connection.sendall(piece)
        except OSError:
            self.ended = True  # what it has sent first is still to be read

    def receive(self, seconds):
        self.connection.settimeout(seconds)
        try:
            more = self.connection.recv(65536)
        except socket.timeout:
            raise
        except OSError:
            more = b""
        self.ended = self.ended or not more
        self.held += more
        return more

    def take(self, enough):
        while True:
            size = enough(self.held)
            if size is not None:
                taken, self.held = self.held[:size], self.held[size:]
                return taken
            assert self.receive(10), f"ended; received only {self.held!r}"

    def take_line(self):
        return self.take(lambda held: held.index(b"\n") + 1 if b"\n" in held else None)

    def see_end(self):
        while not self.ended:
            self.receive(10)

    def check_nothing_left(self):
        try:
            while self.receive(STRAY_SECONDS):
                pass
        except socket.timeout:
            pass
        assert self.held == b"", f"received more: {self.held!r}"


class Player:
    def __init__(self, transcript, client, accept, bytewise):
        self.transcript = transcript
        self.bytewise = bytewise
        self.accept = accept  # waits for the server's end of the connection
        self.sides = {"C": Side(client, bytewise)}

    def side(self, letter):
        if letter not in self.sides:
            self.sides[letter] = Side(self.accept(), self.bytewise)
        return self.sides[letter]

    def play(self):
        for number, line in self.transcript.steps:
            try:
                self.step(line)
            except (AssertionError, OSError) as error:
                where = f"{self.transcript.name}.txt:{number}: {line}"
                raise AssertionError(f"{where}\n{error or type(error).__name__}") from error
        for side in self.sides.values():
            side.check_nothing_left()

    def step(self, line):
        side, verb, rest = self.side(line[0]), line[1:3], line[3:]
        if verb == ".":
            side.connection.shutdown(socket.SHUT_WR)
        elif verb == "<.":
            side.see_end()
        elif verb in (">>", "<<"):
            data = unescape(rest[1:]).encode("latin-1")
            if verb == ">>":
                side.send(data)
            else:
                got = side.take(lambda held: len(data) if len(held) >= len(data) else None)
                assert got == data, f"received instead {got!r}"
        else:
            text = unescape(line[3:]) + "\r\n"
            if line[1] == ">":
                side.send(text.encode("latin-1"))
            else:
                self.expect_line(side, text, glob=line[0] == "C")

    @staticmethod
    def expect_line(side, text, glob):
        got = side.take_line().decode("latin-1")
        if glob:
            pattern = re.sub(r"[\[?]", r"[\g<0>]", text)
            assert fnmatch.fnmatchcase(got, pattern), f"received instead {got!r}"
        else:
            assert got == text, f"received instead {got!r}"

    def close(self):
        for side in self.sides.values():
            side.connection.close()


UNIT6 = 60  # a subscriber's prefix: 2,000 transcripts have one each


def client_of(index, family, bytewise):
    low = 2 * index + bytewise
    return f"10.20.{9 + low // 250}.{low % 250 + 1}" if family == 4 else f"2001:db8:20:{(low + 1) << 4:x}::7"


def cut_client_of(index):
    """The subscriber of play_cut()."""
    return f"10.20.{12 + index // 250}.{index % 250 + 1}"


def server_of(index, family):
    return f"198.51.100.{20 + index}" if family == 4 else f"2001:db8:ffff::{20 + index:x}"


@contextlib.contextmanager
def player_of(lab, played, source, address, bytewise):
    listener = None
    if played.settings.get("server") != "refused":
        listener = lab.internet.listen(address, int(played.settings.get("port", 25)))
        listener.settimeout(10)
    client = lab.subscribers.connect(address, source)

    def accept():
        connection, peer = listener.accept()
        assert peer[0] == client.getsockname()[0], "the server sees the subscriber's own address"
        return connection

    player = Player(played, client, accept, bytewise)
    try:
        yield player
    finally:
        player.close()
        if listener:
            listener.close()


def play(lab, played, index, family, bytewise):
    with player_of(lab, played, client_of(index, family, bytewise), server_of(index, family), bytewise) as player:
        player.play()


def text_of(line):
    raw = line[1:3] in (">>", "<<")
    return unescape(line[4:] if raw else line[3:] + "\\r\\n").encode("latin-1")


def play_cut(lab, played, index, chance):
    """Plays until somewhere in a send, where its side ends, and then the other: what the server had is the
    beginning of what it has in the whole play."""
    sends = [at for at, (_, line) in enumerate(played.steps) if line[1] == ">"]
    if not sends:
        return
    last = chance.choice(sends)
    text = text_of(played.steps[last][1])
    whole = b"".join(text_of(line) for _, line in played.steps if line[:2] == "S<" and line[2:3] != ".")
    with player_of(lab, played, cut_client_of(index), server_of(index, 4), bytewise=False) as player:
        for _, line in played.steps[:last]:
            player.step(line)
        had = b"".join(text_of(line) for _, line in played.steps[:last] if line[:2] == "S<" and line[2:3] != ".")
        cut = played.steps[last][1][0]
        player.side(cut).send(text[:chance.randrange(len(text) + 1)])
        for letter in (cut, "S" if cut == "C" else "C"):
            with contextlib.suppress(OSError):  # it may have been ended, or refused
                player.side(letter).connection.shutdown(socket.SHUT_WR)
        for letter in ("S", "C"):
            if letter in player.sides:
                player.sides[letter].see_end()
        had += player.sides["S"].held if "S" in player.sides else b""
        assert whole.startswith(had), f"the server had {had!r}"
