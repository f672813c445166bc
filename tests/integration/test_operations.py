"""How the daemon starts, stops and reads its configuration anew."""

import json
import os
import signal

import pytest

from tests.integration.wire import FREE, MX4, Client, send
from tests.lab import topology
from tests.lab.gate import Gate, binaries
from tests.lab.process import wait_for

CAP_NET_RAW = 1 << 13


def process_status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file)


def gate25d(lab, *arguments):
    """The daemon run to its end, which comes by itself."""
    return lab.gate.run(f"{binaries()}/gate25d", *arguments, check=False, timeout=20)


# --- rights --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode, kept", [("tproxy", CAP_NET_RAW), ("redirect", 0)])
def test_only_what_is_needed_is_kept(request, gate, mode, kept):
    if mode == "redirect":
        request.getfixturevalue("redirect")
    running = gate(FREE)
    workers = running.workers()
    assert len(workers) == 2
    for pid in [running.pid, *workers]:
        status = process_status(pid)
        assert {name: int(status[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {
            "CapPrm": kept, "CapEff": kept, "CapInh": 0, "CapAmb": 0}
        assert status["NoNewPrivs"] == "1"


# --- the end -------------------------------------------------------------------------------------


def test_sigterm_lets_transactions_finish(lab, gate, sink):
    server = sink()
    running = gate(FREE)
    idle = Client(lab, "10.20.50.1").greet()
    busy = Client(lab, "10.20.50.2").greet()
    busy.envelope()
    writing = Client(lab, "10.20.50.3").greet()
    writing.envelope()
    writing.expect("DATA", 354)
    running.signal(signal.SIGTERM)
    with idle, busy, writing:
        assert idle.reply().startswith("421 4.3.2 ")
        assert idle.ended()
        wait_for(lambda: f":{topology.GATE_PORT} " not in lab.gate.run("ss", "-Hltn").stdout)
        # The gate takes nothing new, and nothing gets past it.
        with pytest.raises(TimeoutError):
            lab.subscribers.connect("198.51.100.10", "10.20.50.4", timeout=1)
        assert running.ctl_json("status")["counters"]["sessions_total"] == 3
        assert busy.body().startswith("250 ")
        assert writing.say("Hello.\r\n.").startswith("250 ")
        for client in (busy, writing):
            assert client.reply().startswith("421 4.3.2 ")
            assert client.ended()
    assert running.process.wait(10) == 0
    assert len(server.messages()) == 2
    assert len(running.journal(event="session")) == 3


def test_the_last_line_is_not_lost(lab, gate, redis, sink):
    """What waits for company, for the file or for Redis, leaves before the worker ends."""
    sink()
    running = gate(FREE)
    with Client(lab, "10.20.50.8").greet() as client:
        running.signal(signal.SIGTERM)
        assert client.reply().startswith("421 4.3.2 ")
        assert client.ended()
    assert running.process.wait(10) == 0
    line, = running.journal(event="session", rule="shutdown")
    kept = redis.cli("xrange", "g25:log:{10.20.50.8}", "-", "+")
    assert [json.loads(fields["line"]) for _, fields in kept] == [line]


def test_a_second_sigterm_ends_at_once(lab, gate, sink):
    sink()
    running = gate({**FREE, "timeouts": {"drain": "1h"}})
    with Client(lab, "10.20.50.5").greet() as client:
        client.envelope()
        running.signal(signal.SIGTERM)
        wait_for(lambda: "stopping" in running.text())
        assert not client.answers(0.3), "it may go on"
        running.signal(signal.SIGTERM)
        assert running.process.wait(10) == 0
        client.connection.settimeout(10)
        while client.line():
            pass
    assert running.journal(event="session", rule="shutdown")


def test_the_time_to_drain_is_bounded(lab, gate, sink):
    sink()
    running = gate({**FREE, "timeouts": {"drain": "500ms"}})
    with Client(lab, "10.20.50.6").greet() as client:
        client.envelope()
        running.signal(signal.SIGTERM)
        assert running.process.wait(15) == 0
    assert "killed" not in running.text()


def test_sigint_ends_an_idle_gate(gate):
    running = gate(FREE)
    running.signal(signal.SIGINT)
    assert running.process.wait(10) == 0
    assert not running.control.exists()


def test_workers_follow_a_master_that_was_killed(gate):
    running = gate(FREE)
    workers = running.workers()
    os.kill(running.pid, signal.SIGKILL)
    running.process.wait(5)
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers), 10, "workers ended")


# --- reading the configuration anew ---------------------------------------------------------------


def reload_by_signal(running):
    count = running.text().count("read anew")
    running.signal(signal.SIGHUP)
    wait_for(lambda: running.text().count("read anew") > count)


def reload_by_ctl(running):
    assert running.ctl("reload").stdout == "the configuration is read anew\n"


@pytest.mark.parametrize("reload", [reload_by_signal, reload_by_ctl])
def test_new_sessions_get_the_new_configuration(lab, gate, sink, reload):
    sink()
    running = gate({"class ordinary": {"messages": ["1000/1h"]}, "help": {"url": "https://old.example/"}})
    with Client(lab, "10.20.51.1").greet() as old:
        assert old.mail().startswith("250 ")
        running.configure({"class ordinary": {"messages": ["1/1h"]}, "help": {"url": "https://new.example/"}})
        reload(running)
        addresses = iter(range(1, 250))
        # Each address has one message: the second tells which configuration the worker has. Several
        # in a row: each worker has it.
        in_a_row = 0

        def everywhere():
            nonlocal in_a_row
            with Client(lab, f"10.20.52.{next(addresses)}").greet() as new:
                assert new.mail().startswith("250 ")
                reply = new.mail()
            in_a_row = in_a_row + 1 if reply.startswith("450 ") else 0
            assert in_a_row == 0 or "https://new.example/" in reply
            return in_a_row == 12

        wait_for(everywhere, 10, "the new limit")
        for _ in range(3):
            assert old.mail().startswith("250 "), "an open session keeps what it began with"


def test_a_bad_file_changes_nothing(lab, gate, sink):
    sink()
    running = gate({"class ordinary": {"messages": ["1/1h"]}})
    good = running.config.read_text(encoding="utf-8")
    lines = good.splitlines()
    number = next(i for i, line in enumerate(lines, 1) if "messages" in line)
    running.config.write_text(good.replace("1/1h", "1/1fortnight"), encoding="utf-8")

    result = running.ctl("reload", check=False)
    # gate25ctl reads the same file to find the control socket, so it is the first to complain.
    assert result.returncode == 1
    assert f"{running.config}:{number}: class ordinary: messages: " in result.stderr
    assert "allowed: " in result.stderr

    running.signal(signal.SIGHUP)
    wait_for(lambda: f"the old configuration stays: {running.config}:{number}: " in running.text())
    running.config.unlink()
    running.signal(signal.SIGHUP)
    wait_for(lambda: running.text().count("the old configuration stays") == 2)
    with Client(lab, "10.20.53.1").greet() as client:
        assert client.mail().startswith("250 ")
        assert client.mail().startswith("450 4.7.1 "), "the old limit holds"
    running.config.write_text(good.replace("1/1h", "2/1h"), encoding="utf-8")
    assert running.ctl("reload").returncode == 0
    assert running.alive()


def test_the_gate_itself_says_what_is_wrong_with_its_file(gate):
    running = gate(FREE)
    other = running.folder / "good.conf"
    other.write_text(running.config.read_text(encoding="utf-8"), encoding="utf-8")
    running.config.write_text("class ordinary { action = \"dance\" }\n", encoding="utf-8")
    command = (f"{binaries()}/gate25ctl", "--config", other, "reload")
    result = running.host.run(*command, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert f"{running.config}:1: " in result.stderr
    result = running.host.run(*command, "--json", check=False)
    assert result.returncode == 1
    assert f"{running.config}:1: " in result.stdout


def test_what_takes_a_restart_is_named(lab, gate, sink):
    sink()
    running = gate(FREE)
    running.configure({"intercept": {"workers": 3}, "redis": {"url": "redis://127.0.0.1:1"},
                       "control": {"socket": running.folder / "other.sock"}})
    # gate25ctl now looks for the new control socket, which is not there yet.
    assert "other.sock" in running.ctl("status", check=False).stderr
    running.signal(signal.SIGHUP)
    wait_for(lambda: "takes a restart: intercept, redis, control" in running.text())
    running.configure({"control": {"socket": running.control}})
    assert running.ctl("reload").stdout.splitlines() == [
        "the configuration is read anew", "but these take a restart: intercept, redis"]
    assert running.ctl_json("reload") == {"ok": True, "restart": "intercept, redis"}
    assert len(running.workers()) == 2
    assert send(lab, "10.20.53.2").startswith("250 ")
    assert running.ctl_json("status")["counters"]["store_up"] == 2


def test_the_journal_is_opened_anew(lab, gate, sink):
    sink()
    running = gate(FREE)
    rotated = running.folder / "journal.jsonl.1"
    sent = 0

    def send_one():
        nonlocal sent
        sent += 1
        assert send(lab, f"10.20.54.{sent}").startswith("250 ")

    send_one()
    running.wait_journal(1)
    running.journal_file.rename(rotated)
    send_one()
    wait_for(lambda: rotated.read_bytes().count(b"\n") == 2)
    running.signal(signal.SIGHUP)
    wait_for(running.journal_file.exists)

    def both_write_to_the_new_one():
        before = rotated.read_bytes()
        for _ in range(8):
            send_one()
        wait_for(lambda: len(running.journal()) + rotated.read_bytes().count(b"\n") == sent)
        return rotated.read_bytes() == before

    wait_for(both_write_to_the_new_one, 10, "no worker writes to the old file")
    assert running.journal_file.stat().st_mode & 0o777 == 0o640


# --- starting, or not ----------------------------------------------------------------------------


def numbered(text, part):
    """The number of the first line that holds `part`."""
    return next(i for i, line in enumerate(text.splitlines(), 1) if part in line)


@pytest.mark.parametrize("overrides, at, said", [
    ({"sbuscribers": {"x": 1}}, "sbuscribers", "sbuscribers"),
    ({"help": {"colour": "red"}}, "colour", "colour"),
    ({"intercept": {"mode": "bridge"}}, "mode", "tproxy"),
    ({"intercept": {"workers": 257}}, "workers", "256"),
    ({"subscribers": {"prefixes": ["10.20.0.0/16", "10.20.4.0/24"]}}, "prefixes", "10.20.4.0/24"),
    ({"subscribers": {"prefixes": ["10.20.0.1/16"]}}, "prefixes", "10.20.0.0/16"),
    ({"class ordinary": {"sessions": ["30"]}}, "sessions", "30"),
    ({"metrics": {"listen": "9125"}}, "listen = \"9125\"", "ADDRESS:PORT"),
    ({"redis": {"url": "redis-sentinel://127.0.0.1"}}, "url = \"redis-sentinel", "name the master"),
])
def test_a_bad_configuration_ends_the_start(lab, redis, overrides, at, said):
    desk = Gate(lab, redis, {**FREE, **overrides})
    text = desk.config.read_text(encoding="utf-8")
    for arguments in (["--check"], []):
        result = gate25d(lab, "--config", desk.config, *arguments)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith(f"{desk.config}:{numbered(text, at)}: ")
        assert said in result.stderr and "; allowed: " in result.stderr


@pytest.mark.parametrize("section", ["class ordinary", "subscribers"])
def test_a_missing_section_ends_the_start(lab, redis, section):
    desk = Gate(lab, redis, {**FREE, section: None})
    result = gate25d(lab, "--config", desk.config, "--check")
    assert result.returncode == 1
    assert result.stderr.startswith(f"{desk.config}:") and section in result.stderr


def test_an_unreadable_file_ends_the_start(lab, redis):
    desk = Gate(lab, redis, FREE)
    for path in (desk.folder / "none.conf", desk.folder):
        result = gate25d(lab, "--config", path)
        assert result.returncode == 1
        assert str(path) in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_a_good_file_is_checked_in_silence(lab, redis):
    desk = Gate(lab, redis, FREE)
    result = gate25d(lab, "--config", desk.config, "--check")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_options_without_effect_are_named(lab, redis, started):
    """By --check, at the start and at a reload: the gate runs all the same."""
    submission = {"host": "smtp.isp.example", "address": ["198.51.100.20"], "proxy-protocol": True}
    desk = Gate(lab, redis, {**FREE, "submission": submission, "class ordinary": {"action": "submit"}})
    result = gate25d(lab, "--config", desk.config, "--check")
    assert (result.returncode, result.stdout) == (0, "")
    first, second = result.stderr.splitlines()
    assert first.startswith(f"{desk.config}: warning: submission.address: has no effect")
    assert second.startswith(f"{desk.config}: warning: submission.proxy-protocol: has no effect")
    started(desk)
    assert desk.text().count("configuration: submission.address: has no effect") == 1
    desk.configure({"submission": {"address": None, "proxy-protocol": None}})
    desk.ctl("reload")
    desk.configure({"submission": {"host": None}})
    desk.ctl("reload")
    assert desk.text().count("configuration: submission.address") == 1
    assert desk.text().count("configuration: submission.host: is missing") == 1


def test_help_version_and_wrong_use(lab):
    result = gate25d(lab, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert "usage: gate25d" in result.stdout
    assert gate25d(lab, "--version").stdout.startswith("gate25d ")
    for arguments in (["--frobnicate"], ["start"], ["--config"]):
        result = gate25d(lab, *arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert "usage: gate25d" in result.stderr


def test_an_address_that_is_taken(lab, redis):
    desk = Gate(lab, redis, FREE)
    with lab.gate.listen("127.0.0.1", topology.GATE_PORT):
        result = gate25d(lab, "--config", desk.config)
    assert (result.returncode, result.stdout) == (1, "")
    assert f"cannot listen on 127.0.0.1:{topology.GATE_PORT}: Address already in use" in result.stderr


def test_a_second_gate_beside_the_first(lab, gate, sink):
    sink()
    running = gate(FREE)
    result = gate25d(lab, "--config", running.config)
    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1:{topology.GATE_PORT}: Address already in use" in result.stderr
    assert running.control.exists()
    assert running.ctl_json("status")["pid"] == running.pid
    assert send(lab, "10.20.55.1").startswith("250 ")


def test_a_control_socket_that_cannot_be(lab, redis):
    desk = Gate(lab, redis, FREE)
    desk.configure({"control": {"socket": "/run/no-such-folder/control.sock"}})
    result = gate25d(lab, "--config", desk.config)
    assert result.returncode == 1
    assert "/run/no-such-folder/control.sock: No such file or directory" in result.stderr


def test_a_control_socket_left_by_a_killed_gate_is_replaced(gate):
    running = gate(FREE)
    running.kill()
    assert running.control.exists()
    running.start()
    assert running.ctl_json("status")["pid"] == running.pid


def test_tproxy_without_its_right(lab, redis):
    desk = Gate(lab, redis, FREE)
    result = lab.gate.run("setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", f"{binaries()}/gate25d",
                          "--config", desk.config, check=False, timeout=20)
    assert result.returncode == 1
    assert "CAP_NET_RAW" in result.stderr


def test_without_redis_it_starts_all_the_same(lab, gate, sink):
    sink()
    running = gate(FREE, redis="unix:/run/gate25-lab/no-redis.sock")
    assert send(lab, "10.20.55.2", MX4).startswith("250 ")
    assert running.ctl_json("status")["counters"]["store_up"] == 0


def sockets_of(pid):
    targets = [os.readlink(entry) for entry in os.scandir(f"/proc/{pid}/fd")]
    return {target for target in targets if target.startswith("socket:")}


def test_workers_share_no_socket(gate):
    """One that was shared would stay open, with nobody to serve it, when its owner has ended."""
    running = gate(FREE)
    running.ctl("status")
    first, second = (sockets_of(pid) for pid in running.workers())
    assert first and second and not first & second
    with open(f"/proc/{running.pid}/net/unix", encoding="ascii") as file:
        control = {f"socket:[{line.split()[6]}]" for line in file if line.endswith(f"{running.control}\n")}
    assert control and control <= sockets_of(running.pid)
    assert not control & (first | second)
