"""gate25ctl operator: who may work at the desk; and what gate25d tallies for it."""

import os
import pty
import select
import signal
import subprocess
import time

import pytest

from tests.integration.wire import FREE, Client, first_reply, send
from tests.lab import gate as lab_gate
from tests.lab.process import wait_for

PASSWORD = "correct horse battery"


@pytest.fixture(name="desk")
def desk_fixture(lab, redis):
    """A gate's configuration and gate25ctl, without the gate."""
    return lab_gate.Gate(lab, redis, FREE)


def operator(desk, *arguments, password=None, status=0):
    result = desk.host.run(f"{lab_gate.binaries()}/gate25ctl", "--config", desk.config, "operator", *arguments,
                           input="" if password is None else password + "\n", check=False)
    assert result.returncode == status, result.stderr
    return result.stdout if status == 0 else result.stderr


def test_from_beginning_to_end(desk, redis):
    assert operator(desk, "add", "eve", "--role", "agent", password=PASSWORD) == "eve may work at the desk as agent\n"
    role, since, kept = redis.cli("hget", "g25:operators", "eve").split(" ")
    assert role == "agent" and abs(int(since) - time.time()) < 600
    assert kept.startswith("$scrypt$") and PASSWORD not in kept
    operator(desk, "add", "sso@isp.example", "--role", "viewer", "--no-password")
    assert redis.cli("hget", "g25:operators", "sso@isp.example").endswith(" -")
    assert {row["name"]: (row["role"], row["password"]) for row in desk.ctl_json("operator", "list")} == {
        "eve": ("agent", True), "sso@isp.example": ("viewer", False)}
    assert "eve                      agent    since 20" in operator(desk, "list")

    assert operator(desk, "passwd", "eve", password=PASSWORD + "2") == "eve has a new password\n"
    role, later, changed = redis.cli("hget", "g25:operators", "eve").split(" ")
    assert role == "agent" and int(later) > int(since) and changed != kept
    assert operator(desk, "remove", "eve", "--by", "root@noc") == "eve is no operator any more\n"
    assert [row["name"] for row in desk.ctl_json("operator", "list")] == ["sso@isp.example"]
    trail = [fields for _, fields in redis.cli("xrange", "g25:trail", "-", "+")]
    assert [(entry["what"], entry["about"]) for entry in trail] == [
        ("operator-add", "eve"), ("operator-add", "sso@isp.example"), ("operator-passwd", "eve"),
        ("operator-remove", "eve")]
    assert trail[0]["detail"] == "agent" and "@" in trail[0]["by"] and trail[3]["by"] == "root@noc"
    assert PASSWORD not in str(trail)


@pytest.mark.parametrize("arguments, password, status, said", [
    (["add", "eve", "--role", "agent"], "too short", 1, "a password has 12 to 256 bytes; this one has 9"),
    (["add", "eve", "--role", "agent"], "with a\x01control character", 1, "no control characters"),
    (["add", "eve", "--role", "agent"], "x" * 1000, 1, "too long"),
    (["add", "eve", "--role", "agent"], None, 1, "no password was given"),
    (["add", "eve", "--role", "root"], PASSWORD, 2, "viewer, agent or admin"),
    (["add", "eve"], PASSWORD, 2, "viewer, agent or admin"),
    (["add"], PASSWORD, 2, "operator add wants a NAME"),
    (["add", "eve and ann", "--role", "agent"], PASSWORD, 2, "1 to 63 of a-z A-Z 0-9 . _ - @"),
    (["list", "eve"], None, 2, "operator list takes no NAME"),
    (["passwd", "eve"], PASSWORD, 1, "there is no operator eve"),
    (["remove", "eve"], None, 1, "there is no operator eve"),
    (["promote", "eve"], None, 2, "known are: add NAME --role ROLE, passwd NAME, remove NAME, list"),
])
def test_what_is_refused(desk, redis, arguments, password, status, said):
    assert said in operator(desk, *arguments, password=password, status=status)
    assert redis.cli("exists", "g25:operators", "g25:trail") == 0


def test_nobody_is_added_twice(desk, redis):
    operator(desk, "add", "eve", "--role", "viewer", password=PASSWORD)
    before = redis.cli("hget", "g25:operators", "eve")
    assert "is an operator already" in operator(desk, "add", "eve", "--role", "admin", password=PASSWORD, status=1)
    assert redis.cli("hget", "g25:operators", "eve") == before


def heard(master, what):
    """What the terminal shows next; b"" when its other end is closed."""
    assert select.select([master], [], [], 60)[0], f"no {what}"
    try:
        return os.read(master, 1024)
    except OSError:
        return b""


def typed(desk, *lines):
    """`operator add` at a terminal, with these lines typed at its prompts: what the terminal showed, and the status."""
    master, terminal = pty.openpty()
    command = desk.host.command(f"{lab_gate.binaries()}/gate25ctl", "--config", desk.config, "operator", "add", "eve",
                                "--role", "agent")
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        shown = b""
        try:
            for line in lines:
                while not shown.endswith(b": "):
                    shown += heard(master, "prompt")
                os.write(master, line)
                shown += b"<typed>"
            while piece := heard(master, "end"):
                shown += piece
            status = process.wait(60)
        finally:
            process.kill()
    os.close(master)
    return shown.decode(), status


def test_at_a_terminal_nothing_is_shown(desk, redis):
    shown, status = typed(desk, PASSWORD.encode() + b"\n", b"something else\n")
    assert status == 1 and "the two are not the same" in shown and "correct" not in shown and "else" not in shown
    shown, status = typed(desk, PASSWORD.encode() + b"\n", PASSWORD.encode() + b"\n")
    assert status == 0 and "eve may work at the desk" in shown and "correct" not in shown
    assert redis.cli("hexists", "g25:operators", "eve") == 1


def tally(redis, kind):
    """What is tallied of a kind, over all hours: {id: count}."""
    found = {}
    for key in redis.cli("keys", f"g25:tally:*:{kind}"):
        for name in redis.cli("zrange", key, "0", "-1"):
            count = float(redis.cli("zscore", key, name))
            found[name] = found.get(name, 0) + int(count)
    return found


@pytest.mark.parametrize("enforce", [True, False], ids=["enforced", "shadow"])
def test_what_sessions_leave_in_the_tally(lab, gate, redis, sink, enforce):
    sink()
    running = gate({"class ordinary": {"messages": ["2/1d"], "enforce": enforce}})
    for _ in range(4):
        send(lab, "10.20.83.1")
    running.ctl("quarantine", "10.20.83.2")
    wait_for(lambda: first_reply(lab, "10.20.83.2").startswith("554 "), 10)
    wait_for(lambda: tally(redis, "sessions").get("10.20.83.1") == 4, 10, "four sessions in the tally")
    wait_for(lambda: tally(redis, "refusals").get("10.20.83.2", 0) >= 1, 10, "a refusal in the tally")
    assert tally(redis, "messages") == {"10.20.83.1": 2 if enforce else 4}
    assert tally(redis, "deferrals") == {"10.20.83.1": 2}
    assert "10.20.83.1" not in tally(redis, "refusals")
    entry = running.wait_journal(event="refusal", id="10.20.83.1")[0]
    wait_for(lambda: any(fields == {"case": entry["case"], "id": "10.20.83.1"} for _, fields in redis.cli(
        "xrange", f"g25:cases:{{{entry['case'][:2]}}}", "-", "+")), 10, "the case is kept")


def test_the_last_second_is_written_too(lab, gate, redis, sink):
    sink()
    running = gate(FREE)
    with Client(lab, "10.20.83.3") as client:
        client.reply()
    running.wait_journal(event="session", id="10.20.83.3")
    running.signal(signal.SIGTERM)
    wait_for(lambda: not running.alive(), 30, "the gate ends")
    assert tally(redis, "sessions") == {"10.20.83.3": 1}
