"""SPF: gate25-spfd against a real DNS server, what the gate makes of it, and what it survives."""

import os
import signal

import pytest

from tests.lab import dns
from tests.lab.process import wait_for
from tests.lab.servers import read_until

CLIENT, OTHER = "10.20.0.7", "10.20.0.8"
CLIENT6 = "2001:db8:20:700::7"
SMASH = "v=spf1 exists:" + "%{d}" * 127 + "x" * 3700  # CVE-2023-42118

RECORDS = {
    "pass.spf.example": [dns.txt("v=spf1 ip4:10.20.0.7 ip6:2001:db8:20::/48 -all")],
    "fail.spf.example": [dns.txt("unrelated"), dns.txt("v=spf1 -all exp=why.spf.example")],
    "why.spf.example": [dns.txt("%{i} is no sender of %{d}")],
    "softfail.spf.example": [dns.txt("v=spf1 ~all")],
    "neutral.spf.example": [dns.txt("v=spf1 ?all")],
    "none.spf.example": [dns.txt("unrelated")],
    "two.spf.example": [dns.txt("v=spf1 -all"), dns.txt("v=spf1 +all")],
    "a.spf.example": [dns.txt("v=spf1 a -all"), "A 10.20.0.7"],
    "mx.spf.example": [dns.txt("v=spf1 mx -all"), "MX 10 a.spf.example."],
    "ptr.spf.example": [dns.txt("v=spf1 ptr -all")],
    "7.0.20.10.in-addr.arpa": ["PTR host.ptr.spf.example."],
    "host.ptr.spf.example": ["A 10.20.0.7"],
    "include.spf.example": [dns.txt("v=spf1 include:pass.spf.example -all")],
    "redirect.spf.example": [dns.txt("v=spf1 redirect=softfail.spf.example")],
    "macro.spf.example": [dns.txt("v=spf1 exists:%{ir}.%{l}.list.spf.example -all")],
    "7.0.20.10.user.list.spf.example": ["A 127.0.0.2"],
    "cname.spf.example": ["CNAME pass.spf.example."],
    "loop.spf.example": [dns.txt("v=spf1 include:loop.spf.example -all")],
    "voids.spf.example": [dns.txt("v=spf1 a:v1.spf.example a:v2.spf.example a:v3.spf.example -all")],
    "elsewhere.spf.example": [dns.txt("v=spf1 include:not.ours.example -all")],
    # Over 512 bytes and below 2 KB: it comes by TCP or EDNS.
    "long.spf.example": [dns.txt("v=spf1 " + " ".join(f"ip4:192.0.2.{n}" for n in range(50)) + " ip4:10.20.0.7 -all")],
    "many.spf.example": [dns.txt("v=spf1 " + " ".join(f"ip4:192.0.2.{n}" for n in range(70)) + " -all")],
    "toolong.spf.example": [dns.txt("v=spf1 " + " ".join(f"ip4:192.0.2.{n}" for n in range(140)) + " -all")],
    "smash.spf.example": [dns.txt(SMASH)],
    "includesmash.spf.example": [dns.txt("v=spf1 include:smash.spf.example -all")],
    **{f"i{n}.spf.example": [dns.txt(f"v=spf1 include:i{n + 1}.spf.example -all")] for n in range(1, 23)},
    "i23.spf.example": [dns.txt("v=spf1 +all")],
}

RESULTS = [
    ("pass", CLIENT, "pass"), ("pass", CLIENT6, "pass"), ("pass", OTHER, "fail"), ("fail", CLIENT, "fail"),
    ("softfail", CLIENT, "softfail"), ("neutral", CLIENT, "neutral"), ("none", CLIENT, "none"),
    ("nowhere", CLIENT, "none"), ("two", CLIENT, "permerror"), ("a", CLIENT, "pass"), ("a", OTHER, "fail"),
    ("mx", CLIENT, "pass"), ("mx", OTHER, "fail"), ("ptr", CLIENT, "pass"), ("ptr", OTHER, "fail"),
    ("include", CLIENT, "pass"), ("include", OTHER, "fail"), ("redirect", CLIENT, "softfail"),
    ("macro", CLIENT, "pass"), ("macro", OTHER, "fail"), ("cname", CLIENT, "pass"), ("loop", CLIENT, "permerror"),
    ("i1", CLIENT, "permerror"), ("voids", CLIENT, "permerror"), ("elsewhere", CLIENT, "temperror"),
    ("long", CLIENT, "pass"), ("long", OTHER, "fail"), ("toolong", CLIENT, "permerror"), ("many", CLIENT, "permerror"),
    ("smash", CLIENT, "permerror"), ("includesmash", CLIENT, "permerror"),
]


@pytest.fixture(name="nsd")
def nsd_fixture(lab, started):
    return started(dns.Nsd(lab.gate, RECORDS))


@pytest.fixture(name="spf_gate")
def spf_gate_fixture(gate, nsd):
    """spf_gate("refuse") starts a gate that asks nsd."""
    def start(use, classes=None, **spf):
        return gate({"class ordinary": {"messages": ["100/1m"], **(classes or {})},
                     "spf": {"use": use, "resolvers": [nsd.address], "deadline": "4s", **spf}})
    return start


def helper(gate):
    """The pid of its gate25-spfd, or None."""
    for pid in gate.workers():
        try:
            with open(f"/proc/{pid}/comm", encoding="ascii") as file:
                if file.read().strip() == "gate25-spfd":
                    return pid
        except OSError:
            pass
    return None


def ask(gate, address, sender, helo="pc.example"):
    return gate.ctl_json("spf", address, sender, helo)


class Client:
    """A subscriber's session with the sink, greeted."""

    def __init__(self, lab, source=CLIENT, timeout=20):
        self.socket = lab.subscribers.connect("198.51.100.10", source, timeout=timeout)
        assert self.reply().startswith("220")
        assert self.say("HELO pc.example").startswith("250")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def reply(self):
        return read_until(self.socket).decode("ascii")

    def send(self, line):
        self.socket.sendall(line.encode("ascii") + b"\r\n")

    def say(self, line):
        self.send(line)
        return self.reply()


def test_results(spf_gate):
    """All of them at once, twice: the second time from libunbound's cache or not."""
    gate = spf_gate("log")
    pid = helper(gate)
    for _ in range(2):
        answers = {(domain, address): ask(gate, address, f"user@{domain}.spf.example")["result"]
                   for domain, address, _ in RESULTS}
        assert answers == {(domain, address): result for domain, address, result in RESULTS}
    assert helper(gate) == pid  # nothing of this killed it


def test_ctl(spf_gate):
    gate = spf_gate("log")
    shown = gate.ctl("spf", CLIENT, "user@fail.spf.example", "pc.example")
    assert shown.stdout == f"fail: {CLIENT} is no sender of fail.spf.example\n"
    assert ask(gate, CLIENT, "", "pass.spf.example")["result"] == "pass"
    assert ask(gate, OTHER, "", "pass.spf.example")["result"] == "fail"
    assert ask(gate, CLIENT, "", "[10.20.0.7]")["result"] == "none"
    assert "10 terms" in ask(gate, CLIENT, "user@i1.spf.example")["explanation"]
    assert "2048" in ask(gate, CLIENT, "user@smash.spf.example")["explanation"]
    bad = gate.ctl("spf", "nonsense", "user@fail.spf.example", "pc.example", check=False)
    assert (bad.returncode, bad.stderr) == (1, "gate25ctl: wanted: ADDRESS SENDER HELO\n")
    assert gate.ctl("spf", CLIENT, "a b", "pc.example", check=False).returncode == 2


def test_ctl_without_spf(gate):
    running = gate({"class ordinary": {"messages": ["100/1m"]}})
    assert helper(running) is None
    refused = running.ctl("spf", CLIENT, "user@fail.spf.example", "pc.example", check=False)
    assert refused.returncode == 1
    assert "SPF is not in use" in refused.stderr


def test_refuse(lab, spf_gate, sink):
    gate = spf_gate("refuse")
    sink()
    with Client(lab) as client:
        reply = client.say("MAIL FROM:<user@fail.spf.example>")
        assert reply.startswith("550 5.7.23 10.20.0.7 may not send for this sender")
        assert "10.20.0.7 is no sender of fail.spf.example" in reply
        assert client.say("RCPT TO:<b@mx.example>").startswith("554 5.7.23")
        for domain in ("pass", "softfail", "none", "two", "smash", "elsewhere"):
            assert client.say(f"MAIL FROM:<user@{domain}.spf.example>").startswith("250")
            assert client.say("RSET").startswith("250")
        assert client.say("QUIT").startswith("221")
    line = gate.wait_journal(event="refusal")[0]
    assert (line["rule"], line["spf"], line["verdict"]) == ("spf", "fail", "refuse")
    assert gate.wait_journal(event="session")[0]["spf"] == "temperror"
    counters = gate.ctl_json("status")["counters"]
    assert (counters["spf_total"], counters["spf_fail_total"], counters["spf_unknown_total"]) == (7, 1, 0)


def test_refuse_the_helo_name_of_a_bounce(lab, spf_gate, sink):
    spf_gate("refuse")
    sink()
    with Client(lab, OTHER) as client:
        assert client.say("HELO pass.spf.example").startswith("250")
        assert client.say("MAIL FROM:<>").startswith("550 5.7.23")
        assert client.say("HELO pc.example").startswith("250")
        assert client.say("MAIL FROM:<>").startswith("250")


def test_log(lab, spf_gate, sink):
    gate = spf_gate("log")
    sink()
    with Client(lab) as client:
        assert client.say("MAIL FROM:<user@fail.spf.example>").startswith("250")
        assert client.say("QUIT").startswith("221")
    line = gate.wait_journal(event="session")[0]
    assert (line["spf"], line["verdict"]) == ("fail", "forward")


def test_shadow(lab, spf_gate, sink):
    gate = spf_gate("refuse", {"enforce": False})
    sink()
    with Client(lab) as client:
        assert client.say("MAIL FROM:<user@fail.spf.example>").startswith("250")
        assert client.say("QUIT").startswith("221")
    line = gate.wait_journal(event="refusal")[0]
    assert (line["rule"], line["verdict"], line["shadow"]) == ("spf", "refuse", True)


def test_meter(lab, spf_gate, sink):
    """10 messages: two that fail cost 4 each, so two more go."""
    spf_gate("meter", {"messages": ["10/1d"]}, **{"fail-cost": 4})
    sink()
    with Client(lab) as client:
        for domain in ("fail", "fail", "pass", "pass"):
            assert client.say(f"MAIL FROM:<user@{domain}.spf.example>").startswith("250")
            assert client.say("RSET").startswith("250")
        assert client.say("MAIL FROM:<user@pass.spf.example>").startswith("450 4.7.1")


def test_pass_classes_do_not_ask(lab, spf_gate, sink, redis):
    redis.cli("hset", "g25:standings", CLIENT, "registered 0")
    gate = spf_gate("refuse")
    sink()
    with Client(lab) as client:
        assert client.say("MAIL FROM:<user@fail.spf.example>").startswith("250")
    assert gate.ctl_json("status")["counters"]["spf_total"] == 0


def test_dead_dns_delays_nobody_else(lab, spf_gate, nsd, sink):
    """With a silent DNS a mail waits for its deadline; whoever asks nothing does not wait at all."""
    gate = spf_gate("refuse")
    sink()
    nsd.stop()
    with Client(lab) as waiting, Client(lab, OTHER) as other:
        waiting.send("MAIL FROM:<user@fail.spf.example>")
        for _ in range(3):
            assert other.say("NOOP").startswith("250")
        waiting.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            waiting.socket.recv(1)
        waiting.socket.settimeout(20)
        assert waiting.reply().startswith("250")  # not known is no fail
        assert waiting.say("QUIT").startswith("221")
    assert gate.wait_journal(event="session", spf="temperror")
    nsd.cont()


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGABRT])
def test_the_helper_dies(lab, spf_gate, sink, death):
    gate = spf_gate("refuse")
    sink()
    assert ask(gate, CLIENT, "user@pass.spf.example")["result"] == "pass"
    with Client(lab) as client:
        first = helper(gate)
        os.kill(first, death)
        assert client.say("MAIL FROM:<user@pass.spf.example>").startswith("250")
        second = wait_for(lambda: helper(gate) not in (None, first) and helper(gate), 20, "another helper")
        wait_for(lambda: ask(gate, CLIENT, "user@fail.spf.example")["result"] == "fail", 20, "answers again")
        assert client.say("RSET").startswith("250")
        assert client.say("MAIL FROM:<user@fail.spf.example>").startswith("550 5.7.23")
    assert first != second
    assert "gate25-spfd" in gate.text() and "was killed by signal" in gate.text()


def test_a_helper_that_hangs(lab, spf_gate, sink):
    gate = spf_gate("refuse", deadline="200ms")
    sink()
    pid = helper(gate)
    wait_for(lambda: ask(gate, CLIENT, "user@fail.spf.example")["result"] == "fail", 20, "an answer")
    os.kill(pid, signal.SIGSTOP)
    with Client(lab) as client:
        assert client.say("MAIL FROM:<user@fail.spf.example>").startswith("250")
        assert client.say("QUIT").startswith("221")
    assert gate.wait_journal(event="session", spf="unknown")
    assert ask(gate, CLIENT, "user@fail.spf.example")["result"] == "unknown"
    os.kill(pid, signal.SIGCONT)


def test_reload(lab, spf_gate, nsd):
    """SPF can be switched off and on, and asked of other servers, while the gate runs."""
    gate = spf_gate("log")
    first = helper(gate)
    gate.configure({"spf": {"use": "off"}})
    gate.ctl("reload")
    wait_for(lambda: helper(gate) is None, 10, "no helper")
    gate.configure({"spf": {"use": "log"}})
    gate.ctl("reload")
    second = wait_for(lambda: helper(gate), 10, "a helper")
    gate.configure({"spf": {"resolvers": ["127.0.0.1:5399", nsd.address]}})
    gate.ctl("reload")
    third = wait_for(lambda: helper(gate) not in (None, second) and helper(gate), 10, "another helper")
    assert len({first, second, third}) == 3
    gate.configure({"spf": {"resolvers": [nsd.address]}})
    gate.ctl("reload")
    wait_for(lambda: ask(gate, CLIENT, "user@fail.spf.example")["result"] == "fail", 20, "an answer")
    assert "was killed" not in gate.text()


def test_sandbox(spf_gate):
    """What its /proc entry says: no capabilities, seccomp, no new privileges, bounded memory."""
    gate = spf_gate("log")
    assert ask(gate, CLIENT, "user@pass.spf.example")["result"] == "pass"
    pid = helper(gate)
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        status = dict(line.split(":\t", 1) for line in file.read().splitlines())
    assert {status[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {""}
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    with open(f"/proc/{pid}/limits", encoding="ascii") as file:
        limits = file.read()
    assert "Max processes             0 " in limits
    # Nothing but sockets, the loop's own descriptors and what gate25d gave it as its output.
    with os.scandir(f"/proc/{pid}/fd") as entries:
        opened = {os.readlink(entry.path) for entry in entries if int(entry.name) > 2}
    assert not [name for name in opened if not name.startswith(("socket:", "anon_inode:", "pipe:"))]


def test_the_gate_takes_its_helper_along(spf_gate):
    gate = spf_gate("log")
    pid = helper(gate)
    gate.process.kill()
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), 10, "the helper's end")
