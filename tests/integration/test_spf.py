"""SPF: gate25-spfd against a real DNS server, what the gate makes of it, and what it survives."""

import concurrent.futures
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading

import pytest

from tests.lab import dns, freezer, servers
from tests.lab.gate import binaries
from tests.lab.odd_dns import OddDns
from tests.lab.process import fresh_folder, wait_for
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
    "xn--bcher-kva.spf.example": [dns.txt("v=spf1 -all")],
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
    "noinclude.spf.example": [dns.txt("v=spf1 include: -all")],
    "noexists.spf.example": [dns.txt("v=spf1 mx exists: -all")],
    "noredirect.spf.example": [dns.txt("v=spf1 redirect=")],
    "redirects.spf.example": [dns.txt("v=spf1 redirect: -all")],
    "first.spf.example": [dns.txt("v=spf1 redirect=fail.spf.example ip4:10.20.0.7 ~all")],
    "ignored.spf.example": [dns.txt("v=spf1 redirect=pass.spf.example -all")],
    "moo.spf.example": [dns.txt("v=spf1 moo.cow=y ip4:10.20.0.7 -all")],
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


LONG = ".".join(("a" * 63, "b" * 63, "c" * 63, "spf.example"))
RECORDS[LONG] = [dns.txt("v=spf1 -all")]
HOSTILE = [("noinclude", "permerror"), ("noexists", "permerror"), ("noredirect", "permerror"), ("redirects", "permerror"),
           ("first", "pass"), ("ignored", "fail"), ("moo", "pass")]


@pytest.fixture(name="nsd")
def nsd_fixture(lab, started):
    return started(dns.Nsd(lab.gate, RECORDS, ("spf.example", "in-addr.arpa", "pc.example")))


@pytest.fixture(name="spf_gate")
def spf_gate_fixture(gate, nsd):
    """spf_gate("refuse") starts a gate that asks nsd, with its helper."""
    def start(use, classes=None, **spf):
        running = gate({"class ordinary": {"messages": ["100/1m"], **(classes or {})},
                        "spf": {"use": use, "resolvers": [nsd.address], "deadline": "4s", **spf}})
        wait_for(lambda: helper(running), 30, "its helper: the gate serves before")
        return running
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


class SpoiledGate(servers.Gate):
    """A gate whose programs lie in `folder`."""

    def __init__(self, lab, redis, folder, overrides):
        super().__init__(lab, redis, overrides)
        self.programs = folder

    def start(self, *options, **more):
        return super().start(*options, programs=self.programs, **more)


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
    assert shown.stdout == f"MAIL FROM  fail: {CLIENT} is no sender of fail.spf.example\nHELO       none\n"
    shown = gate.ctl("spf", CLIENT, "<user@none.spf.example>", "fail.spf.example")
    assert shown.stdout == f"MAIL FROM  none\nHELO       fail: {CLIENT} is no sender of fail.spf.example\n"
    answer = gate.ctl_json("spf", OTHER, "user@softfail.spf.example", "pass.spf.example")
    assert (answer["result"], answer["helo"]) == ("softfail", "fail")
    # Without a sender the two are one: postmaster at the HELO name.
    for sender in ("", "<>"):
        assert ask(gate, CLIENT, sender, "pass.spf.example")["result"] == "pass"
        assert ask(gate, OTHER, sender, "pass.spf.example")["result"] == "fail"
        assert ask(gate, OTHER, sender, "pass.spf.example")["helo"] == "fail"
        assert ask(gate, CLIENT, sender, "[10.20.0.7]")["result"] == "none"
    assert ask(gate, CLIENT, '"us er"@pass.spf.example')["result"] == "pass"
    assert ask(gate, CLIENT, f"user@{LONG}")["result"] == "fail"
    assert ask(gate, CLIENT, "", LONG)["helo"] == "fail"
    assert "10 terms" in ask(gate, CLIENT, "user@i1.spf.example")["explanation"]
    assert "2048" in ask(gate, CLIENT, "user@smash.spf.example")["explanation"]


@pytest.mark.parametrize("words, told", [
    (("nonsense", "user@fail.spf.example", "pc.example"), '"nonsense" is no address'),
    (("10.20.0.0/16", "user@fail.spf.example", "pc.example"), '"10.20.0.0/16" is no address'),
    (("::ffff:10.20.0.7", "user@fail.spf.example", "pc.example"), "IPv4 address in an IPv6 one"),
    ((CLIENT, "a b", "pc.example"), '"a b" is no SENDER'),
    ((CLIENT, "a@b.example", "pc example"), '"pc example" is no HELO'),
    ((CLIENT, "a@b.example", ""), "HELO is empty"),
    ((CLIENT, "a" * 300 + "@b.example", "pc.example"), "SENDER: is too long"),
    ((CLIENT, "a@b.example", "a" * 300), "HELO: is too long"),
    ((CLIENT, "a@b.example"), "wants ADDRESS SENDER HELO"),
], ids=lambda value: None if isinstance(value, tuple) else value.split('"')[-1].strip())
def test_ctl_says_what_it_wants(spf_gate, words, told):
    """Wrong use, and the status of wrong use, whatever the gate would say."""
    gate = spf_gate("log")
    bad = gate.ctl("spf", *words, check=False)
    assert bad.returncode == 2, bad
    assert told in bad.stderr


def test_records_that_libspf2_does_not_survive(spf_gate):
    """They never reach it: no helper dies of them."""
    gate = spf_gate("log")
    pid = helper(gate)
    for domain, result in HOSTILE:
        assert ask(gate, CLIENT, f"user@{domain}.spf.example")["result"] == result, domain
    assert helper(gate) == pid
    assert "was killed" not in gate.text()


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


def test_refuse_by_the_helo_name(lab, spf_gate, sink):
    """A HELO name whose domain disowns the client, unless the sender's domain vouches for it."""
    gate = spf_gate("refuse")
    sink()
    with Client(lab) as client:
        assert client.say("HELO fail.spf.example").startswith("250")
        refused = client.say("MAIL FROM:<user@none.spf.example>")
        assert refused.startswith("550 5.7.23 10.20.0.7 may not use this HELO name, says its domain's SPF record")
        assert "10.20.0.7 is no sender of fail.spf.example" in refused
        assert client.say("MAIL FROM:<user@pass.spf.example>").startswith("250")
        assert client.say("RSET").startswith("250")
        for name in ("softfail.spf.example", "none.spf.example", "elsewhere.spf.example", "pc", "[10.20.0.7]"):
            assert client.say(f"HELO {name}").startswith("250")
            assert client.say("MAIL FROM:<user@none.spf.example>").startswith("250")
            assert client.say("RSET").startswith("250")
    line = gate.wait_journal(event="refusal")[0]
    assert (line["rule"], line["spf"], line["spf_helo"]) == ("spf-helo", "none", "fail")


SPELLINGS = ["<user@{}>", " < user@{} >", '<"us er"@{}>', "<@relay.example:user@{}>", "<user@{}.>",
             "<{long}@{}>", '<"user@pass.spf.example"@{}>', "user@{}", "<user@{}> SIZE=1000"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings_of_a_sender(lab, spf_gate, sink, spelling):
    """However it is spelt, the answer is that of the domain that a server would take it for."""
    gate = spf_gate("refuse")
    sink()
    with Client(lab) as client:
        for domain, code in (("fail.spf.example", "550 5.7.23"), ("pass.spf.example", "2")):
            path = spelling.format(domain, long="a" * 200)
            reply = client.say(f"MAIL FROM:{path}")
            # What the sink itself thinks of it is its own affair.
            assert reply.startswith(code) or (code == "2" and "5.7.23" not in reply), (path, reply)
            client.say("RSET")
        client.say("QUIT")
    assert gate.wait_journal(event="session")[0]["spf"] == "pass"


ODD_SENDERS = ["(<x@pass.spf.example>)<user@fail.spf.example>", "<user@fail.spf.example(<x@pass.spf.example>)>",
               "user@fail.spf.example>", '<user@"fail.spf.example">', "<group:user@fail.spf.example;>",
               "< user @ fail.spf.example >", "<user(me)@fail.spf.example>", "<x@pass.spf.example><user@fail.spf.example>"]


@pytest.mark.parametrize("use", ["refuse", "meter"])
def test_senders_that_servers_read_differently(lab, spf_gate, sink, use):
    """Where SPF decides there must be no doubt about whom it is asked about."""
    gate = spf_gate(use)
    sink()
    with Client(lab) as client:
        for path in ODD_SENDERS:
            reply = client.say(f"MAIL FROM:{path}")
            assert reply.startswith("501 5.1.7 10.20.0.7 named a sender that mail servers read differently"), path
            assert client.say("RCPT TO:<b@mx.example>").startswith("501 5.1.7")
        assert client.say("MAIL FROM:<user@pass.spf.example>").startswith("250")
        assert client.say("QUIT").startswith("221")
    lines = gate.wait_journal(len(ODD_SENDERS), event="refusal")
    assert {(line["rule"], line["spf"], line["verdict"]) for line in lines} == {("sender", "none", "refuse")}
    assert gate.ctl_json("status")["counters"]["spf_total"] == 1


def test_a_long_helo_name(lab, spf_gate, sink):
    """All of it is asked about."""
    gate = spf_gate("refuse")
    sink()
    with Client(lab) as client:
        assert client.say(f"HELO {LONG}").startswith("250")
        assert client.say("MAIL FROM:<>").startswith("550 5.7.23")
    assert gate.wait_journal(event="refusal")[0]["helo"] == LONG


def test_over_the_limit_nobody_is_asked(lab, spf_gate, sink):
    """A mail that SPF refuses has cost its message; one without a message left asks no DNS."""
    gate = spf_gate("refuse", {"messages": ["3/1d"]})
    sink()
    with Client(lab) as client:
        for number in range(3):
            assert client.say(f"MAIL FROM:<user{number}@fail.spf.example>").startswith("550 5.7.23")
        for number in range(20):
            assert client.say(f"MAIL FROM:<user@n{number}.spf.example>").startswith("450 4.7.1")
        assert client.say("QUIT").startswith("221")
    assert gate.ctl_json("status")["counters"]["spf_total"] == 3


def test_a_refused_mail_costs_no_recipients(lab, spf_gate, sink):
    spf_gate("refuse", {"recipients": ["2/1d"]})
    sink()
    with Client(lab) as client:
        client.send("MAIL FROM:<user@fail.spf.example>\r\nRCPT TO:<a@mx.example>\r\nRCPT TO:<b@mx.example>")
        said = b""
        while said.count(b"\r\n") < 3:
            said += client.socket.recv(4096)
        assert [line[:3] for line in said.splitlines()] == [b"550", b"554", b"554"]
        assert client.say("MAIL FROM:<user@pass.spf.example>").startswith("250")
        for name in "ab":
            assert client.say(f"RCPT TO:<{name}@mx.example>").startswith("250")
        assert client.say("RCPT TO:<c@mx.example>").startswith("452")


def test_a_sender_with_u_labels(lab, spf_gate, sink):
    gate = spf_gate("refuse")
    sink()
    with Client(lab) as client:
        client.socket.sendall("MAIL FROM:<ü@bücher.spf.example> SMTPUTF8\r\n".encode())
        assert client.reply().startswith("550 5.7.23")
    assert gate.wait_journal(event="refusal")[0]["spf"] == "fail"


def test_log(lab, spf_gate, sink):
    gate = spf_gate("log")
    sink()
    with Client(lab) as client:
        assert client.say("MAIL FROM:<user@fail.spf.example>").startswith("250")
        assert client.say("QUIT").startswith("221")
    line = gate.wait_journal(event="session")[0]
    assert (line["spf"], line["spf_helo"], line["verdict"]) == ("fail", "none", "forward")


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
    gate = spf_gate("meter", {"messages": ["10/1d"]}, **{"fail-cost": 4})
    sink()
    with Client(lab) as client:
        for domain in ("fail", "fail", "pass", "pass"):
            assert client.say(f"MAIL FROM:<user@{domain}.spf.example>").startswith("250")
            assert client.say("RSET").startswith("250")
        reply = client.say("MAIL FROM:<user@pass.spf.example>")
        assert reply.startswith("450 4.7.1") and "SPF" not in reply
    assert "cost" not in gate.wait_journal(event="refusal")[0]


def test_meter_says_that_it_was_spf(lab, spf_gate, sink):
    gate = spf_gate("meter", {"messages": ["10/1d"]}, **{"fail-cost": 6})
    sink()
    with Client(lab) as client:
        assert client.say("MAIL FROM:<user@fail.spf.example>").startswith("250")
        assert client.say("RSET").startswith("250")
        reply = client.say("MAIL FROM:<user@fail.spf.example>")
        assert "limit of 10 messages in 1 day, and SPF fails this mail, which counts as 6; retry in" in reply
    line = gate.wait_journal(event="refusal")[0]
    assert (line["rule"], line["spf"], line["cost"]) == ("messages:10/1d", "fail", 6)
    assert "SPF fails the mail, which counts as 6" in gate.ctl("log", CLIENT).stdout


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


@pytest.fixture(name="odd_dns")
def odd_dns_fixture(lab):
    with OddDns(lab.gate) as server:
        yield server


ODDITIES = {"plain": {"pass"}, "tcp": {"pass"}, "slow": {"pass"}, "crowd": {"pass"}, "chain5": {"pass"},
            "silent": {"temperror"}, "lame": {"temperror"}, "servfail": {"temperror"}, "garbage": {"temperror"},
            "cut": {"temperror"}, "other": {"temperror"}, "chain40": {"temperror"},
            "circle": {"temperror", "none"}}


def test_dns_on_bad_days(lab, spf_gate, sink, odd_dns):
    """All at once, by many sessions: each hears what is its own, and none waits for another's."""
    gate = spf_gate("refuse", {"messages": ["1000/1m"]}, resolvers=[odd_dns.address])
    sink()
    pid = helper(gate)

    def mail(how, source):
        with Client(lab, source, timeout=60) as client:
            assert client.say(f"MAIL FROM:<user@{how}.spf.example>").startswith("250"), how
            assert client.say("QUIT").startswith("221")

    with Client(lab) as waiting:
        waiting.send("MAIL FROM:<user@silent.spf.example>")
        wait_for(lambda: "silent" in odd_dns.asked, 10, "the question")
        mail("plain", CLIENT)  # by the same helper, meanwhile
        waiting.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            waiting.socket.recv(1)
    with concurrent.futures.ThreadPoolExecutor(len(ODDITIES)) as pool:
        list(pool.map(mail, ODDITIES, [CLIENT] * len(ODDITIES)))
    # Two more: the one that waited and left, and the one that was let by meanwhile.
    lines = gate.wait_journal(len(ODDITIES) + 2, event="session", verdict="forward")
    heard = {line["from"].split("@")[1].split(".")[0]: line["spf"] for line in lines}
    assert set(heard) >= set(ODDITIES)
    for how in [how for how in ODDITIES if heard[how] == "temperror" and "pass" in ODDITIES[how]]:
        # It was late, as all of them at once may be; by itself it is not.
        wait_for(lambda how=how: ask(gate, CLIENT, f"user@{how}.spf.example")["result"] == "pass", 60, how)
        heard[how] = "pass"
    assert {how: heard[how] for how in ODDITIES if heard[how] not in ODDITIES[how]} == {}
    assert helper(gate) == pid


def question(number, sender, deadline_ms, helo=b"", client=CLIENT):
    """What gate25d sends: core/spf_wire.c."""
    address = socket.inet_aton(client) + bytes(12)
    return (b"Q" + struct.pack("!IQIB", 1, number, deadline_ms, 4) + address +
            struct.pack("!H", len(helo)) + helo + struct.pack("!H", len(sender)) + sender)


class Spfd:
    """gate25-spfd alone, and the gate's end of its socket."""

    def __init__(self, lab, resolver):
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = (f"import os; os.dup2({theirs.fileno()}, 3); os.execv('{binaries()}/gate25-spfd', "
                   f"['gate25-spfd', '--sockets', '1', '--resolver', '{resolver}'])")
        self.process = lab.gate.popen(sys.executable, "-c", program, pass_fds=[theirs.fileno()])
        theirs.close()
        self.results = {}
        self.socket.settimeout(60)
        assert self.socket.recv(1024) == b"G", "what was asked before is to be asked again"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.socket.close()

    def read(self, wait=True):
        """Takes an answer; False: there is none yet."""
        self.socket.settimeout(60 if wait else 0)
        try:
            packet = self.socket.recv(1024)
        except BlockingIOError:
            return False
        number, result = struct.unpack("!QB", packet[5:14])
        assert number not in self.results, "each is answered once"
        self.results[number] = result
        return True

    def ask(self, number, sender, deadline_ms):
        self.socket.settimeout(60)
        self.socket.sendall(question(number, sender, deadline_ms))
        while self.read(wait=False):
            pass

    def answer(self, number):
        while number not in self.results:
            self.read()
        return self.results[number]


UNKNOWN, PASS, TEMPERROR = 1, 4, 7  # core/facts.h


def test_a_flood_of_questions(lab, odd_dns):
    """More than it takes at once: each is answered, memory is bounded, and it goes on afterwards."""
    with Spfd(lab, odd_dns.address) as spfd:
        for number in range(600):
            spfd.ask(number, b"user@silent.n%d.spf.example" % number, 8000)
        for number in range(600, 2000):
            name = (b"crowd", b"garbage")[number % 2]
            spfd.ask(number, b"user@%s.n%d.spf.example" % (name, number), 3000)
        while len(spfd.results) < 2000:
            spfd.read()
        results = [spfd.results[number] for number in range(2000)]
        assert set(results) <= {UNKNOWN, PASS, TEMPERROR}
        assert results[:600].count(UNKNOWN) == 600 - 512, "there is no room for more"
        with open(f"/proc/{spfd.process.pid}/status", encoding="ascii") as file:
            status = dict(line.split(":\t", 1) for line in file.read().splitlines())
        assert int(status["VmHWM"].split()[0]) < 256 * 1024
        spfd.ask(9000, b"user@plain.spf.example", 60000)
        assert spfd.answer(9000) == PASS


def test_silent_domains_silence_nobody_else(lab, odd_dns):
    """Hundreds of names whose servers do not answer take nobody's place: most others are answered in time."""
    rounds, in_time = 60, 0
    with Spfd(lab, odd_dns.address) as spfd:
        for turn in range(rounds):
            for number in range(6):
                spfd.ask(1000 + 6 * turn + number, b"user@silent.n%d-%d.spf.example" % (turn, number), 60000)
            spfd.ask(turn, b"user@plain.n%d.spf.example" % turn, 2000)
            in_time += spfd.answer(turn) == PASS
            assert turn - in_time < rounds // 2


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
    """SIGSTOP: mails are not held up for longer than the deadline, and another one takes its place."""
    gate = spf_gate("refuse", deadline="200ms")
    sink()
    pid = helper(gate)
    wait_for(lambda: ask(gate, CLIENT, "user@fail.spf.example")["result"] == "fail", 20, "an answer")
    freezer.stop(pid)
    with Client(lab) as client:
        assert client.say("MAIL FROM:<user@fail.spf.example>").startswith("250")
        assert client.say("QUIT").startswith("221")
    assert gate.wait_journal(event="session", spf="unknown", spf_helo="unknown")
    # Nobody asks anything meanwhile.
    wait_for(lambda: helper(gate) not in (None, pid), 60, "another helper")
    wait_for(lambda: ask(gate, CLIENT, "user@fail.spf.example")["result"] == "fail", 30, "answers again")
    assert not os.path.exists(f"/proc/{pid}")
    assert f"gate25-spfd (pid {pid}) hangs: it is killed" in gate.text()


SPOILED = r"""
#include <spf2/spf.h>
int SPF_request_set_env_from(SPF_request_t *request, const char *from)
{
    volatile int for_ever = strstr(from, "loop@") != NULL;
    while (for_ever) {
    }
    if (strstr(from, "crash@") || strstr(from, "@crash.")) {
        *(volatile int *)8 = 0;
    }
    static int (*real)(SPF_request_t *, const char *);
    if (!real) {
        real = dlsym(RTLD_NEXT, "SPF_request_set_env_from");
    }
    return real(request, from);
}
"""


@pytest.fixture(name="spoiled_spfd")
def spoiled_spfd_fixture():
    """A folder with the programs, where gate25-spfd never comes back from libspf2 for loop@..., and dies in it for
    crash@... and for mail and HELO names of crash....."""
    folder = fresh_folder("spoiled")
    source, library, wrapper = folder / "spoil.c", folder / "spoil.so", folder / "gate25-spfd"
    includes = "arpa/inet.h", "netinet/in.h", "dlfcn.h", "stdio.h", "stdlib.h", "string.h"
    source.write_text("#define _GNU_SOURCE\n" + "".join(f"#include <{name}>\n" for name in includes) + SPOILED,
                      encoding="ascii")
    subprocess.run(["cc", "-w", "-shared", "-fPIC", "-o", library, source], check=True)
    shutil.copy2(f"{binaries()}/gate25d", folder)
    wrapper.write_text(f"#!/bin/sh\nexec env LD_PRELOAD={library} ASAN_OPTIONS=verify_asan_link_order=0 "
                       f'{binaries()}/gate25-spfd "$@"\n', encoding="ascii")
    wrapper.chmod(0o755)
    return folder


@pytest.fixture(name="spoiled_gate")
def spoiled_gate_fixture(lab, redis, nsd, started, spoiled_spfd):
    def start(deadline):
        return started(SpoiledGate(lab, redis, spoiled_spfd, {
            "class ordinary": {"messages": ["100000/1m"]},
            "spf": {"use": "refuse", "resolvers": [nsd.address], "deadline": deadline}}))
    return start


def test_a_question_that_kills_the_helper(lab, spoiled_gate, sink):
    """It is answered with permerror at once; what others asked meanwhile is asked of the next one, and so on."""
    gate = spoiled_gate("4s")
    sink()
    wait_for(lambda: ask(gate, CLIENT, "user@fail.spf.example")["result"] == "fail", 20, "an answer")
    answer = ask(gate, CLIENT, "crash@pass.spf.example")
    assert (answer["result"], answer["explanation"]) == ("permerror", "the record cannot be evaluated")
    # The HELO name's record must not take the sender's result along.
    answer = ask(gate, CLIENT, "user@fail.spf.example", "crash.spf.example")
    assert (answer["result"], answer["helo"]) == ("fail", "permerror")
    answer = ask(gate, CLIENT, "", "crash.spf.example")
    assert (answer["result"], answer["helo"]) == ("permerror", "permerror")
    assert "was killed by signal" in gate.text()


def test_questions_that_kill_open_no_hole(lab, spoiled_gate, sink):
    """While one subscriber kills the helper with each mail, another's forgeries are refused, each of them."""
    gate = spoiled_gate("4s")
    sink()
    wait_for(lambda: ask(gate, CLIENT, "user@fail.spf.example")["result"] == "fail", 20, "an answer")
    ended = threading.Event()
    heard = []

    def kill():
        with Client(lab, OTHER, timeout=60) as client:
            while not ended.is_set():
                heard.append(client.say("MAIL FROM:<crash@pass.spf.example>")[:3])
                client.say("RSET")
                ended.wait(0.3)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with Client(lab, CLIENT, timeout=60) as client:
            for _ in range(60):
                assert client.say("MAIL FROM:<user@fail.spf.example>").startswith("550 5.7.23")
                client.say("RSET")
                ended.wait(0.1)
    finally:
        ended.set()
        killer.join()
    assert set(heard) == {"250"}
    assert gate.text().count("was killed by signal") > 5


def test_a_helper_that_loops(lab, spoiled_gate, sink):
    """An endless loop within libspf2: whoever asks then is not refused, and it is replaced."""
    gate = spoiled_gate("1s")
    sink()
    wait_for(lambda: ask(gate, CLIENT, "user@fail.spf.example")["result"] == "fail", 20, "an answer")
    pid = helper(gate)
    with Client(lab) as client, Client(lab, OTHER) as other:
        client.send("MAIL FROM:<loop@pass.spf.example>")
        for _ in range(3):
            assert other.say("NOOP").startswith("250")
        assert client.reply().startswith("250")
        wait_for(lambda: helper(gate) not in (None, pid), 60, "another helper")
        wait_for(lambda: ask(gate, CLIENT, "user@fail.spf.example")["result"] == "fail", 30, "answers again")
        assert other.say("MAIL FROM:<user@fail.spf.example>").startswith("550 5.7.23")
    assert f"gate25-spfd (pid {pid}) hangs: it is killed" in gate.text()


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
