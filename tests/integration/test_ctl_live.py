"""What gate25ctl does to real sessions, and what it tells of them."""

import json
import subprocess
import time

import pytest

from tests.integration.wire import FREE, MX4, MX6, Client, first_reply, send
from tests.lab import gate as lab_gate
from tests.lab.process import wait_for
from tests.lab.servers import Redis

SLOW = {"class ordinary": {"messages": ["3/1d"], "recipients": ["100/1d"], "sessions": ["50/1d", "500/7d"],
                           "spread": ["10/1d"], "bytes": ["1M/1d"], "concurrent": 5}}
BOTH = [pytest.param("10.20.80.1", "10.20.80.1", MX4, id="ipv4"),
        pytest.param("2001:db8:20:8000::1", "2001:db8:20:8000::/56", MX6, id="ipv6")]


def heard(lab, source, destination=MX4):
    return first_reply(lab, source, destination)


def becomes(lab, source, code, destination=MX4, seconds=5):
    """Waits until a new session's first reply has the code; the reply."""
    return wait_for(lambda: (reply := heard(lab, source, destination)).startswith(code) and reply, seconds,
                    f"{source} hears {code}")


# --- standings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("source, unit, address", BOTH)
def test_registered_within_a_second(lab, gate, sink, source, unit, address):
    sink()
    running = gate({"class ordinary": {"messages": ["1/1d"]}})
    assert send(lab, source, address).startswith("250 ")
    assert send(lab, source, address).startswith("450 4.7.1 ")
    took = []
    for _ in range(3):  # on a machine that stands still for a moment, not each time
        assert running.ctl("register", source, "--reason", "own mail server").stdout == f"{unit} is registered\n"
        began = time.monotonic()
        wait_for(lambda: send(lab, source, address).startswith("250 "), 5)
        took.append(time.monotonic() - began)
        wait_for(lambda: all(send(lab, source, address).startswith("250 ") for _ in range(8)), 5, "in each worker")
        # Its limits are as it left them.
        running.ctl("unregister", source, "--reason", "gone")
        wait_for(lambda: all(send(lab, source, address).startswith("450 4.7.1 ") for _ in range(8)), 5)
    assert min(took) < 1
    running.wait_journal(3 * 8, event="session", **{"class": "registered"}, id=unit)


CHANGED = "421 4.7.1 {} has another standing since this session began: the next one is told more"


@pytest.mark.parametrize("source, unit, address", BOTH)
def test_a_quarantine_ends_what_is_open(lab, gate, sink, source, unit, address):
    """Between transactions, with the reason; one that nobody reads at once."""
    server = sink()
    # One worker: several hear of a standing one after the other.
    running = gate({**FREE, "class registered": {"action": "pass"}, "intercept": {"workers": 1}})
    with Client(lab, source, address, timeout=60).greet() as idle, Client(lab, source, address, timeout=60) as busy:
        busy.greet()
        busy.envelope()
        running.ctl("quarantine", source, "--reason", "sends spam")
        began = time.monotonic()
        assert idle.reply().startswith(CHANGED.format(unit))
        assert time.monotonic() - began < 20, "not only when it asks again"
        assert idle.line() == ""
        assert busy.body().startswith("250 "), "what has begun is ended"
        assert busy.reply().startswith(CHANGED.format(unit))
    entries = running.wait_journal(2, event="session", rule="standing", id=unit)
    assert {entry["verdict"] for entry in entries} == {"defer"}
    assert len(server.messages()) == 1
    running.ctl("release", source)
    running.ctl("register", source)
    wait_for(lambda: (send(lab, source, address), running.journal(**{"class": "registered"}, id=unit))[1], 20)
    with Client(lab, source, address, timeout=60).greet() as passed:
        running.ctl("quarantine", source, "--reason", "sends spam")
        assert passed.line() == "", "nobody reads it, so nobody can say why"
    becomes(lab, source, "554 5.7.1 ", address)


def test_what_a_change_allows_is_for_the_next_session(lab, gate, sink):
    sink()
    running = gate(FREE)
    with Client(lab, "10.20.80.6", timeout=60).greet() as open_one, Client(lab, "10.20.80.7").greet() as neighbour:
        running.ctl("register", "10.20.80.6")
        wait_for(lambda: (send(lab, "10.20.80.6"), running.journal(**{"class": "registered"}))[1], 20)
        running.ctl("quarantine", "10.20.80.8")
        becomes(lab, "10.20.80.8", "554 ")
        time.sleep(1.5)  # a worker looks at its sessions once a second
        for client in (open_one, neighbour):
            client.envelope()
            assert client.body().startswith("250 ")
    with Client(lab, "10.20.80.6", timeout=60).greet() as passed:
        running.ctl("unregister", "10.20.80.6")
        assert passed.line() == "", "it is passed no longer"


@pytest.mark.parametrize("source, unit, address", BOTH)
def test_quarantine_refuses_and_says_why(lab, gate, sink, source, unit, address):
    server = sink()
    running = gate(FREE)
    running.ctl("quarantine", source, "--reason", "sends spam", "--note", "ticket 25", "--by", "eve@noc")
    reply = becomes(lab, source, "554 5.7.1 ", address)
    for part in (unit, "(quarantined)", "sends spam", "see https://mail.isp.example/", "(case "):
        assert part in reply
    assert "ticket" not in reply and "eve" not in reply, "the note is for operators"
    entry = running.wait_journal(event="session", rule="class", id=unit)[0]
    assert (entry["class"], entry["verdict"], entry["detail"]) == ("quarantined", "refuse", "sends spam")
    wait_for(lambda: all(heard(lab, source, address).startswith("554 ") for _ in range(8)), 5, "in each worker")
    seen = len(server.peers())
    for _ in range(8):
        assert heard(lab, source, address).startswith("554 ")
    assert len(server.peers()) == seen, "no connection is made for it any more"
    shown = running.ctl_json("show", source)["standing"]
    assert (shown["note"], shown["by"]) == ("ticket 25", "eve@noc")
    running.ctl("release", source)
    becomes(lab, source, "220 ", address)


def test_a_reason_cannot_forge_replies(lab, gate):
    running = gate({**FREE, "intercept": {"workers": 1}})
    running.ctl("quarantine", "10.20.81.1", "--reason", "bad\r\n250 fine \x1b[2J")
    becomes(lab, "10.20.81.1", "554 ")
    with Client(lab, "10.20.81.1") as client:
        reply = client.reply()
        assert client.ended(), "one reply of one line"
    assert reply.startswith("554 5.7.1 ") and "bad" in reply
    assert all(" " <= letter <= "~" for letter in reply)
    running.wait_journal(event="session", rule="class")


def test_a_standing_ends_by_itself(lab, gate, sink):
    sink()
    running = gate(FREE)
    running.ctl("quarantine", "10.20.81.2", "--until", "3s")
    running.ctl("quarantine", "10.20.81.3", "--until", "30d")
    assert running.ctl_json("explain", "10.20.81.2")["class"] == "quarantined"
    for source in ("10.20.81.2", "10.20.81.3"):
        becomes(lab, source, "554 ")
    becomes(lab, "10.20.81.2", "220 ", seconds=10)
    wait_for(lambda: running.ctl_json("explain", "10.20.81.2")["class"] == "ordinary", 5)
    assert heard(lab, "10.20.81.3").startswith("554 ")


@pytest.mark.parametrize("wide, narrow, inside, address", [
    ("10.20.82.0/24", "10.20.82.9", "10.20.82.8", MX4),
    ("2001:db8:20:8200::/55", "2001:db8:20:8200::9", "2001:db8:20:8300::8", MX6)], ids=["ipv4", "ipv6"])
def test_the_longest_prefix_counts(lab, gate, sink, wide, narrow, inside, address):
    sink()
    running = gate({"class ordinary": {"messages": ["1/1d"]}})
    running.ctl("quarantine", wide)
    running.ctl("register", narrow)
    becomes(lab, inside, "554 ", address)
    becomes(lab, narrow, "220 ", address)
    for _ in range(4):
        assert heard(lab, inside, address).startswith("554 ")
        assert send(lab, narrow, address).startswith("250 ")
    assert running.ctl_json("explain", inside)["standing"]["id"] == wide
    running.ctl("unregister", narrow)
    becomes(lab, narrow, "554 ", address)
    running.ctl("release", wide)
    becomes(lab, narrow, "220 ", address)


def test_another_class_of_the_configuration(lab, gate, sink):
    sink()
    running = gate({**FREE, "class business": {"action": "meter", "messages": ["2/1d"]}})
    running.ctl("register", "10.20.81.4", "--class", "business")
    wait_for(lambda: heard(lab, "10.20.81.4") and running.journal(**{"class": "business"}), 5)
    with Client(lab, "10.20.81.4").greet() as client:
        assert [client.mail()[:4] for _ in range(3)] == ["250 ", "250 ", "450 "]


# --- what it tells -------------------------------------------------------------------------------


def limits_of(running, source):
    """The limits by name and period, as explain has them."""
    return {(limit["limit"], limit["period_s"]): limit for limit in running.ctl_json("explain", source)["limits"]}


@pytest.mark.parametrize("source, unit, address", BOTH)
def test_explain_tells_what_was_used(lab, gate, sink, source, unit, address):
    server = sink()
    running = gate(SLOW)
    day = 86400
    fresh = limits_of(running, source)
    assert [fresh[name]["left"] for name in (("messages", day), ("sessions", day), ("sessions", 7 * day))] == [
        3, 50, 500]
    assert all(limit["used"] == 0 for limit in fresh.values())
    with Client(lab, source, address).greet() as client:
        for extra in (0, 2):
            client.envelope()
            for _ in range(extra):
                client.expect("RCPT TO:<more@mx.example>", 250)
            assert client.body().startswith("250 ")
        explained = limits_of(running, source)
        used = {name: limit["used"] for name, limit in explained.items()}
        assert used[("messages", day)] == 2
        assert used[("recipients", day)] == 4
        assert used[("sessions", day)] == used[("sessions", 7 * day)] == 1
        assert used[("spread", day)] == 1
        assert used[("concurrent", None)] == 1
        # Full again when what was used has flowed back: two of three messages a day.
        assert 0 < explained[("messages", day)]["full_in_s"] <= 2 * day / 3
        assert explained[("messages", day)]["full_in_s"] > 2 * day / 3 - 600
        text = running.ctl("explain", source).stdout
        for row in (f"unit        {unit}", "class       ordinary", "1 left, full in", "messages    3 in 1 day"):
            assert row in text
        assert client.mail().startswith("250 ")
        assert client.mail().startswith("450 4.7.1 ")
        assert limits_of(running, source)[("messages", day)]["left"] == 0, "a refused attempt uses nothing up"
    wait_for(lambda: limits_of(running, source)[("concurrent", None)]["used"] == 0, 10)
    sent = sum(len(server.received(session)) for session in {e["session"] for e in server.events("connect")})
    used = limits_of(running, source)[("bytes", day)]["used"]
    assert abs(used - sent) <= 64, "the bytes that the server got"


def test_log_tells_of_real_sessions(lab, gate, sink):
    sink()
    running = gate({"class ordinary": {"messages": ["1/1d"]}})
    assert send(lab, "10.20.83.1").startswith("250 ")
    reply = send(lab, "10.20.83.1")
    case = reply.split("(case ")[1].split(")")[0]
    running.wait_journal(3)
    lines = wait_for(lambda: len(found := running.ctl("log", "10.20.83.1", "--json").stdout.splitlines()) == 3
                     and found)
    assert sorted(lines) == sorted(running.journal_file.read_text(encoding="utf-8").splitlines())
    text = running.ctl("log", "10.20.83.1").stdout
    assert len(text.splitlines()) == 3
    refusal = next(line for line in text.splitlines() if "refusal" in line)
    for part in ("deferred: messages:1/1d", "again in", "10.20.83.1:", f"{MX4}:25", "class ordinary",
                 "from me@home.example", f"case {case}"):
        assert part in refusal
    assert len(running.ctl("log", "10.20.83.1", "-n", "1").stdout.splitlines()) == 1


def test_log_follows_real_sessions(lab, gate, sink):
    sink()
    running = gate(FREE)
    command = (f"{lab_gate.binaries()}/gate25ctl", "--config", running.config, "log", "10.20.83.2", "-f", "--json")
    with running.host.popen(*command, stdout=subprocess.PIPE, text=True) as following:
        try:
            for number in range(3):
                assert send(lab, "10.20.83.2").startswith("250 ")
                entry = json.loads(following.stdout.readline())
                assert entry["client"].startswith("10.20.83.2:")
                assert entry["case"] == running.wait_journal(number + 1)[-1]["case"]
        finally:
            following.kill()


def test_what_comes_from_the_wire_is_escaped(lab, gate, sink):
    sink()
    running = gate({"class ordinary": {"messages": ["1/1d"]}})
    nasty = "\x1b[2J\x07\x9b31m\\\xff\x7f"
    with Client(lab, "10.20.83.3") as client:
        client.expect(None, 220)
        client.expect(f"EHLO pc{nasty}", 250)
        client.expect("MAIL FROM:<a@b.example>", 250)
        client.expect("RSET", 250)
        assert client.say(f"MAIL FROM:<{nasty}@b.example>").startswith("450 ")
        client.say("QUIT")
    entry = running.wait_journal(event="refusal")[0]
    escaped = r"\x1B[2J\x07\x9B31m\x5C\xFF\x7F"
    assert entry["helo"] == f"pc{escaped}"
    running.wait_journal(event="session")
    # The file has the lines; Redis has them soon.
    wait_for(lambda: len(running.ctl("log", "10.20.83.3", "--json", check=False).stdout.splitlines()) == 2)
    for arguments in (["log", "10.20.83.3"], ["log", "10.20.83.3", "--json"]):
        said = running.ctl(*arguments).stdout
        assert "pc" in said
        assert all(letter == "\n" or " " <= letter <= "~" for letter in said), arguments
    for line in running.ctl("log", "10.20.83.3", "--json").stdout.splitlines():
        assert json.loads(line)["helo"] == f"pc{escaped}"


def test_a_bare_newline_in_helo_is_one_entry(lab, gate, sink):
    sink()
    running = gate({**FREE, "smtp": {"bare-lf": "refuse"}})
    with Client(lab, "10.20.83.4") as client:
        client.expect(None, 220)
        assert client.say("EHLO pc\n{\"event\":\"forged\"}").startswith("554 ")
    running.wait_journal(event="session", rule="newline")
    assert {entry["event"] for entry in running.journal()} <= {"session", "refusal"}
    said = wait_for(lambda: (found := running.ctl("log", "10.20.83.4", check=False)).returncode == 0
                    and found.stdout)
    assert len(said.splitlines()) == len(running.journal())


def test_json_of_every_verb(lab, gate, sink):
    sink()
    running = gate(FREE)
    assert send(lab, "10.20.84.1").startswith("250 ")
    running.wait_journal(1)
    verbs = [["register", "10.20.84.1"], ["unregister", "10.20.84.1"], ["quarantine", "10.20.84.1"],
             ["show", "10.20.84.1"], ["explain", "10.20.84.1"], ["list"], ["release", "10.20.84.1"], ["status"],
             ["reload"]]
    for verb in verbs:
        assert running.ctl_json(*verb) != {}
    for line in running.ctl("log", "10.20.84.1", "--json").stdout.splitlines():
        assert json.loads(line)["event"] == "session"


def test_status_counts_what_happened(lab, gate, sink):
    sink()
    running = gate({"class ordinary": {"messages": ["1/1d"]}})
    running.ctl("quarantine", "10.20.84.2")
    becomes(lab, "10.20.84.2", "554 ")
    assert send(lab, "10.20.84.3").startswith("250 ")
    assert send(lab, "10.20.84.3").startswith("450 ")
    with Client(lab, "10.20.84.4").greet():
        counters = running.ctl_json("status")["counters"]
        assert (counters["sessions_open"] >= 1, counters["deferred_total"], counters["messages_total"]) == (
            True, 1, 1)
        assert counters["refused_total"] >= 1
        wait_for(lambda: running.ctl_json("status")["counters"]["standings"] == 1, 5,
                 "one in every worker's mirror")
    wait_for(lambda: running.ctl_json("status")["counters"]["sessions_open"] == 0, 10)
    assert "counters.sessions_total" in running.ctl("status").stdout


def test_redis_away(lab, started, sink):
    sink()
    own = started(Redis(lab.gate))
    running = started(lab_gate.Gate(lab, own, FREE))
    own.kill()
    # All at once: each waits its two seconds.
    command = (f"{lab_gate.binaries()}/gate25ctl", "--config", running.config)
    verbs = [["register", "10.20.85.1"], ["unregister", "10.20.85.1"], ["quarantine", "10.20.85.1"],
             ["release", "10.20.85.1"], ["show", "10.20.85.1"], ["list"], ["log", "10.20.85.1"],
             ["log", "10.20.85.1", "-f"], ["explain", "10.20.85.1"]]
    asked = [running.host.popen(*command, *verb, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
             for verb in verbs]
    for process, verb in zip(asked, verbs):
        out, said = process.communicate(timeout=20)
        assert (process.returncode, out) == (1, ""), verb
        assert said == f"gate25ctl: no connection to Redis at {own.socket} within 2 seconds: Connection refused\n"
    wait_for(lambda: running.ctl_json("status")["counters"]["store_up"] == 0, 5)
    assert running.ctl("reload").returncode == 0
    own.start()
    assert running.ctl("register", "10.20.85.1").returncode == 0


@pytest.mark.parametrize("verbs, replies", [
    (("register", "unregister"), ("250 ", "450 ")), (("quarantine", "release"), ("554 ", "220 "))],
    ids=lambda pair: pair[0].strip())
def test_what_redis_lost_is_ended_as_the_hint_says(lab, started, sink, verbs, replies):
    sink()
    own = started(Redis(lab.gate))
    running = started(lab_gate.Gate(lab, own, {"class ordinary": {"messages": ["1/1d"]}}))
    source = "10.20.85.9"
    ask = heard if verbs[0] == "quarantine" else send
    if ask is send:
        assert send(lab, source).startswith("250 ")
    running.ctl(verbs[0], source)
    wait_for(lambda: all(ask(lab, source).startswith(replies[0]) for _ in range(8)), 5, "in each worker")
    own.wipe()
    wait_for(lambda: "Redis has lost its data" in running.text(), 10)
    assert all(ask(lab, source).startswith(replies[0]) for _ in range(8)), "kept"
    result = running.ctl(verbs[1], source, check=False)
    said = f"{source} has no standing\n"
    assert result.returncode == 1 and said in result.stderr
    steps = [f"{verb} {source}" for verb in verbs]
    assert f'first "{steps[0]}", then "{steps[1]}"' in result.stderr
    for step in steps:
        running.ctl(*step.split())
    if ask is send:  # its limits went with Redis's data
        wait_for(lambda: send(lab, source).startswith(replies[1]), 5)
    else:
        wait_for(lambda: all(heard(lab, source).startswith(replies[1]) for _ in range(8)), 5, "in each worker")
    assert source not in running.ctl("list").stdout


def test_a_frozen_redis_does_not_hang_it(lab, started):
    own = started(Redis(lab.gate))
    desk = lab_gate.Gate(lab, own, FREE)
    own.stop()
    try:
        result = desk.ctl("register", "10.20.85.2", check=False)
    finally:
        own.cont()
    assert result.returncode == 1
    assert "no connection to Redis" in result.stderr and result.stderr.endswith(": does not answer\n")
