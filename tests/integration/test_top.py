"""gate25ctl top: the busiest, at a terminal of any size, in a pipe, as JSON."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from tests.integration.wire import FREE, MX4, MX6, first_reply, send
from tests.lab import gate as lab_gate
from tests.lab.process import wait_for
from tests.lab.servers import Gate, Redis

HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202eevil\\\n"
BEGINS, ENDS = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


@pytest.fixture(name="desk")
def desk_fixture(lab, redis):
    """A gate that does not run: its configuration and its gate25ctl."""
    return Gate(lab, redis, FREE)


def add(redis, kind, name, count, hours_ago=0):
    redis.cli("zincrby", f"g25:tally:{{{int(time.time()) // 3600 - hours_ago}}}:{kind}", count, name)


class Terminal:
    """gate25ctl top at a terminal of its own; what it shows is read as a screen of lines."""

    def __init__(self, desk, *options, columns=80, lines=24, kind="xterm"):
        self.master, self.terminal = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self.terminal)
        self.shown = ""
        command = desk.host.command(f"{lab_gate.binaries()}/gate25ctl", "--config", desk.config, "top", *options)
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            command, stdin=self.terminal, stdout=self.terminal, stderr=self.terminal, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), env={**os.environ, "TERM": kind})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)
        os.close(self.master)

    def resize(self, columns, lines):
        self.columns, self.lines = columns, lines
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys):
        os.write(self.master, keys)

    def read(self, seconds=0.05):
        while select.select([self.master], [], [], seconds)[0]:
            piece = os.read(self.master, 65536)
            self.shown += piece.decode("utf-8")
            if not piece:
                break
        return self.shown

    def screens(self):
        """The frames that are complete: the first sequence of each puts the cursor home."""
        frames = self.read().removeprefix(BEGINS).removesuffix(ENDS).split("\x1b[H")[1:]
        return [[line.removeprefix("\x1b[2K") for line in re.split("\r+\n", frame.removesuffix("\r"))]
                for frame in frames]

    def wait(self, condition, what, seconds=30):
        """The last screen, once it is as wanted."""
        return wait_for(lambda: (found := self.screens()) and condition(found[-1]) and found[-1], seconds, what)

    def end(self, seconds=30):
        wait_for(lambda: self.read() is None or self.process.poll() is not None, seconds, "top ends")
        self.read()
        return self.process.returncode


def has(text):
    return lambda screen: any(text in line for line in screen)


@pytest.mark.parametrize("arguments", [
    "top", "top --json", "top --once", "top -n 2 --interval 100ms", "status", "--version", "top --help"])
def test_what_cannot_be_written_is_no_success(lab, gate, arguments):
    running = gate(FREE)
    with open("/dev/full", "wb") as full:
        with lab.gate.inside():
            result = subprocess.run([f"{lab_gate.binaries()}/gate25ctl", "--config", running.config, *arguments.split()],
                                    stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert result.returncode == 1, result.stderr


def test_what_a_gate_has_done(lab, gate, redis, sink):
    sink()
    running = gate({"class ordinary": {"messages": ["2/1d"]}})
    for _ in range(4):
        send(lab, "10.20.84.1")
    first_reply(lab, "2001:db8:20:8400::2", MX6)
    wait_for(lambda: [row["sessions"] for row in running.ctl_json("top")["destinations"]] == [4, 1], 20, "the tally")
    found = running.ctl_json("top")
    assert found["hours"] == 2 and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}Z", found["time"])
    assert found["subscribers"] == [
        {"id": "10.20.84.1", "sessions": 4, "messages": 2, "deferrals": 2, "refusals": 0},
        {"id": "2001:db8:20:8400::/56", "sessions": 1, "messages": 0, "deferrals": 0, "refusals": 0}]
    assert [row["id"] for row in found["deferred"]] == ["10.20.84.1"]
    assert found["destinations"] == [{"id": MX4, "sessions": 4}, {"id": MX6, "sessions": 1}]
    # In a pipe it is one look, in words.
    text = running.ctl("top").stdout
    assert "\x1b" not in text
    tables = [table.splitlines() for table in text.split("\n\n")]
    assert [table[0] for table in tables] == ["Busiest subscribers", "Held back most", "Busiest destinations"]
    assert tables[0][1].split() == ["SUBSCRIBER", "SESSIONS", "MESSAGES", "DEFERRED", "REFUSED"]
    assert tables[0][2].split() == ["10.20.84.1", "4", "2", "2", "0"]
    assert tables[1][2].split() == ["10.20.84.1", "2", "4", "2", "0"]
    assert tables[2][2].split() == [MX4, "4"]


def test_hours_rows_and_count(desk, redis):
    for i in range(1, 40):
        add(redis, "sessions", f"10.20.1.{i}", i)
    add(redis, "sessions", "10.20.2.2", 1000, hours_ago=5)
    rows = desk.ctl_json("top")["subscribers"]
    assert [row["sessions"] for row in rows] == list(range(39, 29, -1))
    assert len(desk.ctl_json("top", "--rows", "39")["subscribers"]) == 39
    assert desk.ctl_json("top", "--hours", "6", "--rows", "1")["subscribers"][0]["id"] == "10.20.2.2"
    looks = desk.ctl("top", "--json", "--count", "3", "--interval", "100ms").stdout.splitlines()
    assert len(looks) == 3 and all(json.loads(look)["subscribers"] for look in looks)
    assert desk.ctl("top", "--count", "2", "--interval", "100ms").stdout.count("Held back most") == 2


def test_an_empty_tally(desk, redis):
    assert redis.cli("keys", "*") == []
    assert desk.ctl_json("top")["subscribers"] == []
    assert desk.ctl("top").stdout.count("(none)") == 3


def test_hostile_names(desk, redis):
    for kind in ("sessions", "deferrals", "destinations"):
        add(redis, kind, HOSTILE, 7)
        add(redis, kind, b"\xff\xfe", 3)
    text = desk.ctl("top").stdout
    assert all(letter == "\n" or " " <= letter <= "~" for letter in text)
    assert text.count("\\x1b]0;owned\\x07\\x1b[2J\\xe2\\x80\\xaeevil\\\\\\x0a") == 3 and text.count("\\xff\\xfe") == 3
    assert [row["id"] for row in desk.ctl_json("top")["destinations"]] == [HOSTILE, "\\xff\\xfe"]
    with Terminal(desk) as terminal:
        for line in terminal.wait(has("\\x1b]0;owned"), "the table"):
            assert "\x1b" not in line and len(line) <= 80


def test_it_is_live(desk, redis):
    add(redis, "sessions", "10.20.1.1", 5)
    with Terminal(desk, "--interval", "100ms") as terminal:
        screen = terminal.wait(has("10.20.1.1"), "the table")
        assert terminal.shown.startswith(BEGINS)
        assert re.fullmatch(r"gate25  \S+Z  last 2 h  every 100ms  q ends", screen[0]), screen
        assert len(screen) == 24
        assert screen[3].split() == ["SUBSCRIBER", "SESSIONS", "NEW", "MESSAGES", "DEFERRED", "REFUSED"]
        add(redis, "sessions", "10.20.1.1", 3)
        add(redis, "deferrals", "10.20.1.1", 2)
        seen = set()

        def grew():
            seen.update(tuple(line.split()) for screen in terminal.screens() for line in screen)
            return ("10.20.1.1", "8", "+3", "0", "2", "0") in seen or ("10.20.1.1", "8", "+3", "0", "0", "0") in seen

        wait_for(grew, 30, "the three new sessions")
        changed = termios.tcgetattr(terminal.terminal)
        assert not changed[3] & (termios.ICANON | termios.ECHO)
        terminal.type(b"xq")
        assert terminal.end() == 0
        assert terminal.shown.endswith(ENDS)
        assert termios.tcgetattr(terminal.terminal) == terminal.before
        assert "xq" not in terminal.shown


@pytest.mark.parametrize("how", ["ctrl-c", "term", "hang-up"])
def test_other_ends(desk, redis, how):
    add(redis, "sessions", "10.20.1.1", 5)
    with Terminal(desk) as terminal:
        terminal.wait(has("10.20.1.1"), "the table")
        if how == "ctrl-c":
            # Ctrl-Z in the middle would leave the terminal changed: it does nothing. And Ctrl-C empties the
            # terminal's queue: a key that was seen in it may be gone when it is read.
            terminal.type(b"\x1a" + b"x" * 20)
            terminal.type(b"\x03")
        else:
            os.kill(terminal.process.pid, signal.SIGTERM if how == "term" else signal.SIGHUP)
        assert terminal.end() == 0
        assert terminal.shown.endswith(ENDS)
        assert termios.tcgetattr(terminal.terminal) == terminal.before


def test_the_terminal_is_closed(desk):
    with Terminal(desk, "--interval", "1h") as terminal:
        terminal.wait(has("(none)"), "the table")
        os.close(terminal.terminal)
        os.close(terminal.master)
        terminal.process.wait(30)
        terminal.master, terminal.terminal = pty.openpty()


@pytest.mark.parametrize("columns, lines", [(200, 60), (80, 24), (37, 11), (20, 5), (9, 3), (1, 1)])
def test_sizes(desk, redis, columns, lines):
    for i in range(30):
        add(redis, "sessions", f"2001:db8:20:{i}00::/56", 1000 - i)
    with Terminal(desk, "--interval", "100ms", columns=columns, lines=lines) as terminal:
        screen = terminal.wait(lambda screen: len(screen) == lines, "a screen")
        assert all(len(line) <= columns for line in screen)
        # ... and another one while it runs.
        terminal.resize(60, 30)
        screen = terminal.wait(lambda screen: len(screen) == 30 and has("2001:db8:20:500::/56")(screen), "the new size")
        assert all(len(line) <= 60 for line in screen)
        terminal.type(b"q")
        assert terminal.end() == 0


def test_once_leaves_the_terminal_alone(desk, redis):
    add(redis, "sessions", "10.20.1.1", 5)
    for options, kind in ((["--once"], "xterm"), ([], "dumb"), (["--json"], "xterm")):
        with Terminal(desk, *options, columns=30, kind=kind) as terminal:
            assert terminal.end() == 0
            assert "\x1b" not in terminal.shown and "10.20.1.1" in terminal.shown
            assert options == ["--json"] or max(len(line) for line in terminal.shown.splitlines()) <= 30


def test_redis_away(lab, started):
    server = started(Redis(lab.gate))
    desk = Gate(lab, server, FREE)
    add(server, "sessions", "10.20.1.1", 5)
    with Terminal(desk, "--interval", "100ms") as terminal:
        terminal.wait(has("10.20.1.1"), "the table")
        server.kill()
        screen = terminal.wait(lambda screen: screen[0].startswith("waiting for Redis: "), "it says so")
        assert has("10.20.1.1")(screen), "what was known stays"
        refused = desk.ctl("top", check=False)
        assert refused.returncode == 1 and refused.stderr.startswith("gate25ctl: no connection to Redis at ")
        server.start()
        terminal.wait(lambda screen: "q ends" in screen[0] and not has("10.20.1.1")(screen), "and goes on")
        # A Redis that hangs keeps nobody from leaving.
        server.stop()
        terminal.type(b"q")
        assert terminal.end() == 0
        server.cont()


def test_a_key_of_the_wrong_type_is_told(desk, redis):
    redis.cli("set", f"g25:tally:{{{int(time.time()) // 3600}}}:sessions", "nonsense")
    refused = desk.ctl("top", check=False)
    assert refused.returncode == 1
    assert refused.stderr == ("gate25ctl: Redis does not tell of the tally: WRONGTYPE Operation against a key holding the "
                              "wrong kind of value\n")


def test_many_looks_in_a_pipe_end_with_its_reader(desk, redis):
    add(redis, "sessions", "10.20.1.1", 5)
    command = desk.host.command(f"{lab_gate.binaries()}/gate25ctl", "--config", desk.config, "top", "--count", "100000",
                                "--interval", "100ms")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        process.stdout.readline()
        process.stdout.close()
        with contextlib.ExitStack() as stack:
            stack.callback(process.kill)
            assert process.wait(30) == 1
