"""One gate takes over from another: upgrades, socket activation, and taking a node out of service."""

import os
import shutil
import sys

import pytest

from tests.integration.load import Load
from tests.integration.wire import FREE, Client, send
from tests.lab import topology
from tests.lab.gate import Gate, binaries, lives
from tests.lab.process import wait_for

UPGRADES = 100 if os.environ.get("SOAK") else 4
LOAD = 6  # sessions at a time
NET_RAW = 1 << 13


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


def test_the_limit_of_the_older_gate(lab, gate, sink):
    sink()
    running = gate({**FREE, "timeouts": {"retire": "100ms", "drain": "60s"}})
    with Client(lab, "10.20.82.4").greet() as old:
        running.upgrade()
        assert old.reply().startswith("421 4.3.2 ")
    assert running.process.wait(30) == 0


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
    running.ctl("undrain")
    assert running.ctl("health").stdout == "good\n"
