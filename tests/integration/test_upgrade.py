"""One gate takes over from another: upgrades, socket activation, and taking a node out of service."""

import contextlib
import json
import os
import shutil
import signal
import socket
import sys

import pytest

from tests.integration.load import Load
from tests.integration.wire import FREE, Client, send
from tests.lab import topology
from tests.lab.gate import Gate, binaries
from tests.lab.proc import lives
from tests.lab.process import wait_for

UPGRADES = 100 if os.environ.get("SOAK") else 4
LOAD = 6  # sessions at a time
NET_RAW = 1 << 13
PAGES_PORT = 9125
PAGES = {"metrics": {"listen": f"127.0.0.1:{PAGES_PORT}"}}


@pytest.fixture(name="installed")
def installed_fixture(tmp_path):
    """A copy of the programs that a test may replace."""
    folder = tmp_path / "sbin"
    folder.mkdir()
    for program in ("gate25d", "gate25-spfd"):
        shutil.copy2(f"{binaries()}/{program}", folder)
    return folder


def test_sessions_stay_and_new_ones_go_to_the_new_gate(lab, gate, sink):
    sink()
    running = gate(FREE)
    older = running.pid
    with Client(lab, "10.20.80.1").greet() as old:
        old.envelope()
        younger = running.upgrade()
        assert younger != older and lives(older) and lives(younger)
        assert running.ctl_json("status")["pid"] == younger
        assert send(lab, "10.20.80.2").startswith("250 ")
        assert running.ctl_json("status")["counters"]["sessions_total"] == 1
        assert old.body().startswith("250 "), "the old session goes on where it is"
        assert old.say("MAIL FROM:<me@home.example>").startswith("250 "), "and may even send again"
        assert lives(older)
    wait_for(lambda: not lives(older), 30, "the older gate's end")
    assert running.process.wait(10) == 0
    assert {line["client"].split(":")[0] for line in running.wait_journal(2, event="session")} == {
        "10.20.80.1", "10.20.80.2"}
    assert f"pid {younger} has taken over" in running.text()


def test_only_what_is_needed_is_kept_through_an_upgrade(gate):
    running = gate(FREE)
    running.upgrade()
    for pid in [running.pid, *running.workers()]:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file)
        assert {name: int(status[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {
            "CapPrm": NET_RAW, "CapEff": NET_RAW, "CapInh": 0, "CapAmb": 0}


def test_a_gate_of_an_ordinary_user(lab, redis, sink, started):
    """As its systemd unit runs it: CAP_NET_RAW as an ambient capability, and no other right."""
    sink()
    wrapper = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps", "-all,+net_raw",
               "--ambient-caps", "+net_raw", "--bounding-set", "-all,+net_raw"]

    running = Gate(lab, redis, FREE, wrapper=wrapper)
    running.folder.chmod(0o777)
    running.program = shutil.copy2(f"{binaries()}/gate25d", running.folder)
    started(running)
    for number in range(3):
        running.upgrade()
        assert send(lab, f"10.20.80.{10 + number}").startswith("250 ")


def talk(connection, question):
    """Everything that is answered to it."""
    connection.sendall(question)
    answer = b""
    while more := connection.recv(65536):
        answer += more
    return answer.decode()


def fetch(lab, path):
    with lab.gate.connect("127.0.0.1", port=PAGES_PORT, timeout=30) as connection:
        return talk(connection, f"GET {path} HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n".encode())


class Probes(Load):
    """Asks for the health, again and again, by one of its two ways in each thread."""

    def __init__(self, lab, control):
        super().__init__(2)
        self.lab, self.control, self.done, self.failed = lab, control, [0, 0], []

    def by_control(self):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(str(self.control))
            return talk(connection, b"health\n")

    def one(self, number, turn):
        try:
            answer = fetch(self.lab, "/health") if number == 0 else self.by_control()
        except OSError as error:
            answer = f"way {number}, turn {turn}: {error!r}"
        with self.lock:
            self.done[number] += 1
            if '"health":"good"' not in answer and "good" not in answer.splitlines():
                self.failed.append(answer)

    def more(self, count):
        until = [done + count for done in self.done]
        wait_for(lambda: all(done >= wanted for done, wanted in zip(self.done, until)), 120, f"{count} more answers")


def test_no_probe_is_lost(lab, gate):
    """A router that is refused takes the node out."""
    running = gate({**FREE, **PAGES})
    with Probes(lab, running.control) as probes:
        probes.more(20)
        for _ in range(UPGRADES):
            running.upgrade()
            probes.more(20)
    assert not probes.failed, probes.failed[:10]


def test_other_doors(lab, gate):
    """The control socket and the pages may move with an upgrade; a place that is taken stops it."""
    running = gate({**FREE, **PAGES})
    taken = lab.gate.listen("127.0.0.1", PAGES_PORT + 1)
    before, old = running.pid, running.control
    moved = running.folder / "moved.sock"
    config = running.config.read_text(encoding="utf-8")
    running.configure({"metrics": {"listen": f"127.0.0.1:{PAGES_PORT + 1}"}})
    result = running.ctl("upgrade", check=False)
    assert result.returncode == 1 and f"cannot listen on 127.0.0.1:{PAGES_PORT + 1}: Address already" in result.stderr
    taken.close()
    assert running.ctl_json("status")["pid"] == before and " 200 " in fetch(lab, "/health")
    running.config.write_text(config.replace(str(old), str(moved)), encoding="utf-8")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(old))
        younger = json.loads(talk(connection, b"upgrade\n"))["pid"]
    running.successors.append(younger)
    wait_for(lambda: not old.exists(), 30, "the old control socket's end")
    running.configure({"control": {"socket": moved}, **PAGES})
    assert running.ctl_json("status")["pid"] == younger and " 200 " in fetch(lab, "/health")
    running.configure({"metrics": None})
    running.upgrade()
    with pytest.raises(ConnectionRefusedError):
        fetch(lab, "/health")
    assert running.end() == 0 and not moved.exists()


class Sessions(Load):
    """Sessions from many lines, one after the other in each of LOAD threads."""

    def __init__(self, lab):
        super().__init__(LOAD)
        self.lab, self.done, self.failed = lab, 0, []

    def one(self, number, turn):
        source = f"10.20.{100 + number}.{turn % 250 + 1}"
        try:
            reply = send(self.lab, source, timeout=60)
        except (OSError, AssertionError) as error:
            reply = f"{source}: {error!r}"
        with self.lock:
            self.done += 1
            if not reply.startswith("250 "):
                self.failed.append(reply)

    def more(self, count):
        """Waits until so many more sessions have ended."""
        until = self.done + count
        wait_for(lambda: self.done >= until, 120, f"{count} more sessions")


def test_no_connection_is_lost_under_load(lab, gate, sink):
    server = sink()
    running = gate({**FREE, "intercept": {"workers": 2}})
    with Sessions(lab) as load:
        load.more(2 * LOAD)
        for _ in range(UPGRADES):
            before = running.pid
            running.upgrade()
            load.more(2 * LOAD)
            wait_for(lambda pid=before: not lives(pid), 60, "the older gate's end")
    assert not load.failed, load.failed[:10]
    assert load.done >= (UPGRADES + 1) * 2 * LOAD
    wait_for(lambda: len(running.journal(event="session")) == load.done, 30, "a line for each session")
    assert len(server.messages()) == load.done


@pytest.mark.parametrize("workers", [1, 3])
def test_another_number_of_workers(lab, gate, sink, workers):
    """Each inherited socket has a queue of its own, which somebody must serve."""
    sink()
    running = gate({**FREE, "intercept": {"workers": 2}})
    running.configure({"intercept": {"workers": workers}})
    running.upgrade()
    assert len(running.workers()) == workers
    for number in range(24):
        assert send(lab, f"10.20.81.{number + 1}").startswith("250 ")
    running.configure({"intercept": {"workers": 2}})
    running.upgrade()
    for number in range(24):
        assert send(lab, f"10.20.81.{number + 1}").startswith("250 ")


def test_a_new_gate_that_does_not_start(lab, gate, sink, installed):
    sink()
    running = gate(FREE, program=installed / "gate25d")
    before = running.pid
    (installed / "gate25d").unlink()
    (installed / "gate25d").write_text("#!/bin/sh\nexit 3\n", encoding="ascii")
    (installed / "gate25d").chmod(0o755)
    result = running.ctl("upgrade", check=False)
    assert result.returncode == 1 and "ended before it served" in result.stderr
    (installed / "gate25d").unlink()
    assert running.ctl("upgrade", check=False).returncode == 1
    assert running.pid == before and running.ctl_json("status")["pid"] == before
    assert send(lab, "10.20.82.1").startswith("250 ")
    shutil.copy2(f"{binaries()}/gate25d", installed)
    assert running.upgrade() != before
    assert send(lab, "10.20.82.2").startswith("250 ")


def test_a_bad_configuration_stops_the_upgrade_alone(lab, gate, sink):
    sink()
    running = gate(FREE)
    before = running.pid
    good = running.config.read_text(encoding="utf-8")
    running.config.write_text(good + "nonsense\n", encoding="utf-8")
    good_ctl = running.folder / "good.conf"
    good_ctl.write_text(good, encoding="utf-8")
    result = lab.gate.run(f"{binaries()}/gate25ctl", "--config", good_ctl, "upgrade", check=False)
    assert result.returncode == 1 and "ended before it served" in result.stderr
    assert lives(before) and send(lab, "10.20.82.3").startswith("250 ")


OTHER_PORT = topology.GATE_PORT + 1


@pytest.mark.parametrize("intercept, said", [
    ({"mode": "redirect"}, 'intercept.mode has changed from "tproxy" to "redirect"'),
    ({"listen": [f"127.0.0.1:{OTHER_PORT}", f"[::1]:{topology.GATE_PORT}"]},
     f"intercept.listen has changed (127.0.0.1:{OTHER_PORT} is new)"),
    ({"listen": [f"[::1]:{topology.GATE_PORT}"]},
     f"intercept.listen has changed (127.0.0.1:{topology.GATE_PORT} is missing)"),
    ({"listen": [f"127.0.0.1:{topology.GATE_PORT}", f"[::1]:{topology.GATE_PORT}", f"[::1]:{OTHER_PORT}"]},
     f"intercept.listen has changed ([::1]:{OTHER_PORT} is new)"),
])
def test_what_takes_a_restart_is_no_upgrade(lab, gate, sink, intercept, said):
    """The rules still lead to the old sockets: a gate that served others would serve nobody."""
    sink()
    running = gate(FREE, mode="tproxy")
    before, old = running.pid, dict(running.sections["intercept"])
    running.configure({"intercept": intercept})
    result = running.ctl("upgrade", check=False)
    assert result.returncode == 1
    assert said in result.stderr and "takes a restart" in result.stderr
    assert running.pid == before and running.ctl_json("status")["pid"] == before
    assert send(lab, "10.20.82.7").startswith("250 ")
    running.configure({"intercept": old})
    assert running.upgrade() != before
    assert send(lab, "10.20.82.8").startswith("250 ")


def test_systemd_hears_of_the_new_gate_alone(lab, gate, sink):
    """It takes the word of any process of the unit: STOPPING=1 of an older gate would be the end of all."""
    sink()
    running = gate(FREE)
    before, path = running.pid, running.folder / "notify.sock"
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, Client(lab, "10.20.82.5").greet():
        notify.bind(str(path))
        notify.settimeout(30)
        younger = running.upgrade()
        assert f"MAINPID={younger}" in notify.recv(4096).decode()
        running.ctl("reload")
        wait_for(lambda: running.text().count("configuration read anew") == 2, 30, "both gates' word")
        os.kill(before, signal.SIGTERM)
        wait_for(lambda: not lives(before), 30, "the older gate's end")
        notify.setblocking(False)
        words = []
        with contextlib.suppress(BlockingIOError):
            while True:
                words.append(notify.recv(4096).decode())
    assert [word.split("=")[0] for word in words] == ["RELOADING", "READY"], words


def test_the_limit_of_the_older_gate(lab, gate, sink):
    sink()
    running = gate({**FREE, "timeouts": {"retire": "100ms", "drain": "60s"}})
    with Client(lab, "10.20.82.4").greet() as old:
        running.upgrade()
        assert old.reply().startswith("421 4.3.2 ")
    assert running.process.wait(30) == 0


def test_the_older_gates_are_named_and_counted(lab, gate, sink):
    """A node is drained when the older gates have no session left either."""
    sink()
    running = gate({**FREE, **PAGES})
    first = running.pid
    with Client(lab, "10.20.84.2").greet():
        second = running.upgrade()
        with Client(lab, "10.20.84.3").greet():
            third = running.upgrade()
            wait_for(lambda: {entry["pid"]: entry["sessions"] for entry in running.ctl_json("status")["older_gates"]} ==
                     {first: 1, second: 1}, 30, "both older gates with their sessions")
            status = running.ctl_json("status")
            assert status["pid"] == third and status["counters"]["sessions_open"] == 2
            page = fetch(lab, "/metrics")
            assert "\ngate25_older_gates 2\n" in page and "\ngate25_older_gates_sessions 2\n" in page
            assert "\ngate25_sessions_open 2\n" in page
        wait_for(lambda: [entry["pid"] for entry in running.ctl_json("status")["older_gates"]] == [first])
        assert running.ctl_json("status")["counters"]["sessions_open"] == 1
    wait_for(lambda: running.ctl_json("status")["older_gates"] == [])
    assert running.ctl_json("status")["counters"]["sessions_open"] == 0
    wait_for(lambda: not lives(first) and not lives(second), 30, "the older gates' end")
    assert " error: " not in running.text(), "all of that is in order"


def test_a_reload_reaches_the_older_gates(lab, gate, sink):
    """Their lines go to the new file of a journal that was rotated."""
    sink()
    running = gate(FREE)
    with Client(lab, "10.20.84.4").greet() as old:
        running.upgrade()
        with Client(lab, "10.20.84.5").greet() as middle:
            running.upgrade()
            running.journal_file.rename(running.folder / "journal.1")
            running.ctl("reload")
            wait_for(running.journal_file.exists)
            wait_for(lambda: running.text().count("configuration read anew") == 3, 30, "each gate's word")
            middle.say("QUIT")
        old.say("QUIT")
    lines = running.wait_journal(2, event="session")
    assert {line["client"].split(":")[0] for line in lines} == {"10.20.84.4", "10.20.84.5"}
    assert (running.folder / "journal.1").read_text() == ""


# Does what systemd does: descriptors from 3 on, and LISTEN_PID is the daemon's own.
ACTIVATE = """
import fcntl, os, sys
sockets = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 20) for number in sys.argv[1].split(",")]
for place, number in enumerate(sockets):
    os.dup2(number, 3 + place)
os.closerange(3 + len(sockets), 64)
os.environ.update(LISTEN_FDS=str(len(sockets)), LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_socket_activation(lab, redis, sink, started):
    """A restart under systemd: the sockets stay, and who connects meanwhile waits, and is served."""
    sink()
    sockets = [lab.gate.listen(address, topology.GATE_PORT) for address in ("127.0.0.1", "::1")]
    numbers = ",".join(str(listener.fileno()) for listener in sockets)
    running = Gate(lab, redis, FREE, wrapper=[sys.executable, "-c", ACTIVATE, numbers], sockets=sockets)
    started(running)
    assert send(lab, "10.20.83.1").startswith("250 ")
    assert running.end() == 0
    waiting = [Client(lab, f"10.20.83.{number}", timeout=60) for number in range(2, 12)]
    running.start()
    for client in waiting:
        with client:
            assert client.reply().startswith("220 ")
    running.upgrade()
    assert send(lab, "10.20.83.20").startswith("250 ")
    for listener in sockets:
        listener.close()


def test_a_descriptor_that_is_no_listener(lab, redis):
    running = Gate(lab, redis, FREE)
    result = lab.gate.run("sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3</dev/null', "sh", running.program,
                          "--config", running.config, check=False, timeout=30)
    assert result.returncode == 1
    assert "descriptor 3, which this was started with, is no listening TCP socket" in result.stderr


def test_drain(lab, gate, sink):
    sink()
    running = gate(FREE)
    assert running.ctl("health").stdout == "good\n"
    assert "bad now" in running.ctl("drain").stdout
    result = running.ctl("health", check=False)
    assert result.returncode == 1 and result.stdout == "bad: it is being taken out of service (gate25ctl drain)\n"
    assert send(lab, "10.20.84.1").startswith("250 "), "what still comes is served"
    running.upgrade()
    running.upgrade()
    assert running.ctl("health", check=False).stdout == result.stdout, "a new program changes nothing of it"
    running.ctl("undrain")
    assert running.ctl("health").stdout == "good\n"
    running.upgrade()
    assert running.ctl("health").stdout == "good\n"
