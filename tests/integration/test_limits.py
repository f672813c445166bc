"""Every kind of limit, through the real gate and Redis: what passes, what is refused, what is told."""

import json
import ssl
import time
from math import floor

import pytest

from tests.integration.mail import RECIPIENT, Client, attempt, meters, server_time_us, unit
from tests.lab.process import wait_for

MX4, MX6 = "198.51.100.10", "2001:db8:ffff::10"
MANY4 = [f"198.51.100.{n}" for n in range(10, 15)]
MANY6 = [f"2001:db8:ffff::{n}" for n in range(10, 15)]
FAMILIES = [pytest.param("10.20.1.1", MANY4, id="ipv4"),
            pytest.param("2001:db8:20:100::1", MANY6, id="ipv6")]
MAIL, RCPT = "MAIL FROM:<me@home.example>", f"RCPT TO:<{RECIPIENT}>"
HOUR_US = 3600 * 1_000_000


class Line:
    """A subscriber who tries the same thing again and again; next() is the reply to it."""

    def __init__(self, lab, source, servers):
        self.lab, self.source, self.servers = lab, source, servers
        self.tried = 0
        self.open = []

    def client(self, server=None):
        self.open.append(Client(self.lab, self.source, server or self.servers[0]))
        return self.open[-1]

    def close(self):
        for client in self.open:
            client.close()

    def next_session(self):
        return self.client().greeting

    def next_destination(self):
        self.tried += 1
        return self.client(self.servers[self.tried - 1]).greeting

    def next_message(self):
        client = self.open[-1] if self.open else self.client()
        reply = client.say(MAIL)
        assert client.say("RSET").code == 250
        return reply

    def next_recipient(self):
        if not self.open:
            assert self.client().say(MAIL).code == 250
        return self.open[-1].say(RCPT)


# limit -> how to try; configured; the reply's code where it is deferred and where it is refused,
# each with its enhanced code; the limit in words; the journal's rule
KINDS = {
    "sessions": (Line.next_session, ["3/1h"], (421, "4.7.0"), (554, "5.7.1"), "3 sessions in 1 hour",
                 "sessions:3/1h"),
    "messages": (Line.next_message, ["3/1h"], (450, "4.7.1"), (550, "5.7.1"), "3 messages in 1 hour",
                 "messages:3/1h"),
    "recipients": (Line.next_recipient, ["3/1h"], (452, "4.5.3"), (550, "5.7.1"), "3 recipients in 1 hour",
                   "recipients:3/1h"),
    "spread": (Line.next_destination, ["3/1h"], (421, "4.7.0"), (554, "5.7.1"), "3 destinations in 1 hour",
               "spread:3/1h"),
    "concurrent": (Line.next_session, 3, (421, "4.7.0"), (554, "5.7.1"),
                   "3 sessions at once (one that was broken off may count for 15 minutes more)", "concurrent:3"),
}


@pytest.fixture(name="line")
def line_fixture(lab):
    """line(source, servers) makes a Line whose sessions end with the test."""
    made = []

    def make(source, servers=tuple(MANY4)):
        made.append(Line(lab, source, list(servers)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def check_case(gate, redis, reply, source, rule, verdict, shadow=None):
    """The journal, the subscriber's stream and gate25ctl all tell the case; returns its line."""
    refusal = reply.refusal
    told = gate.wait_journal(event="refusal", case=refusal["case"])
    assert len(told) == 1
    line = told[0]
    assert refusal["id"] == unit(source)
    assert (line["id"], line["class"], line["verdict"], line["rule"], line.get("shadow")) == (
        unit(source), "ordinary", verdict, rule, shadow)
    assert line["retry_after_s"] == refusal["retry"]
    assert line["client"].rpartition(":")[0].strip("[]") == source

    def entry():
        entries = redis.cli("xrange", f"g25:log:{{{unit(source)}}}", "-", "+")
        return [json.loads(fields["line"]) for _, fields in entries
                if json.loads(fields["line"])["case"] == refusal["case"]]

    assert line in wait_for(entry, what="the case in the subscriber's stream")
    assert redis.cli("ttl", f"g25:log:{{{unit(source)}}}") > 0
    assert f"case {refusal['case']}" in gate.ctl("log", source).stdout
    assert line in [json.loads(text) for text in gate.ctl("log", source, "--json").stdout.splitlines()]
    return line


def exhaust(kind, who):
    """Tries until one is refused; how many went through, and the refusal."""
    for through in range(20):
        reply = KINDS[kind][0](who)
        if not reply.positive:
            return through, reply
    raise AssertionError(f"20 times {kind} went through")


@pytest.mark.parametrize("source, servers", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_exactly_as_many_as_the_limit_allows(gate, redis, sink, line, kind, source, servers):
    _, limit, (code, enhanced), _, words, rule = KINDS[kind]
    sink(servers)
    running = gate({"class ordinary": {kind: limit}})
    who = line(source, servers)
    through, reply = exhaust(kind, who)
    assert through == 3
    refusal = reply.refusal
    assert (reply.code, refusal["enhanced"]) == (code, enhanced)
    assert refusal["words"] == f"has reached its limit of {words}"
    check_case(running, redis, reply, source, rule, "defer")
    if code == 421:
        assert who.open[-1].ended()

    # A refused attempt uses nothing up, and is told the truth about the wait.
    before, a = meters(redis, unit(source)), server_time_us(redis)
    reply = KINDS[kind][0](who)
    after, b = meters(redis, unit(source)), server_time_us(redis)
    assert reply.code == code
    assert after == before
    hashed, slots, destinations = before
    if kind == "concurrent":
        assert (hashed, len(slots), reply.refusal["retry"]) == ({}, 3, 60)
    else:
        if kind == "spread":
            assert len(destinations) == 3
            free_us = min(destinations.values()) * 1000 + HOUR_US
        else:
            free_us = int(hashed[f"{kind}:3600"]) + HOUR_US // 3 - HOUR_US
        # The spread's times are whole milliseconds; what is told are whole seconds, rounded up.
        assert (free_us - b - 2000) / 1e6 <= reply.refusal["retry"] <= (free_us - a + 2000) / 1e6 + 1


@pytest.mark.parametrize("kind", KINDS)
def test_over_refuse_is_final(gate, redis, sink, line, kind):
    _, limit, _, (code, enhanced), words, rule = KINDS[kind]
    sink(MANY4)
    running = gate({"class ordinary": {kind: limit, "over": "refuse"}})
    through, reply = exhaust(kind, line("10.20.1.2"))
    assert (through, reply.code, reply.refusal["enhanced"]) == (3, code, enhanced)
    assert reply.refusal["words"] == f"has reached its limit of {words}"
    check_case(running, redis, reply, "10.20.1.2", rule, "refuse")


@pytest.mark.parametrize("kind", KINDS)
def test_without_enforcement_all_pass_and_are_told_of(gate, sink, line, kind):
    _, limit, _, _, _, rule = KINDS[kind]
    sink(MANY4)
    running = gate({"class ordinary": {kind: limit, "enforce": False}})
    who = line("10.20.1.3")
    for _ in range(5):
        assert KINDS[kind][0](who).positive
    shadows = running.wait_journal(2, event="refusal")
    assert len(shadows) == 2
    for told in shadows:
        assert (told["rule"], told["verdict"], told["shadow"], told["id"]) == (rule, "defer", True, "10.20.1.3")
        assert told["retry_after_s"] > 0
    assert "would defer: " in running.ctl("log", "10.20.1.3").stdout
    who.close()
    assert {told["verdict"] for told in running.wait_journal(len(who.open), event="session")} == {"forward"}


def test_without_enforcement_what_is_open_counts(gate, redis, sink, line):
    """A session over the limit holds no slot when it begins; the first thing that it asks for gives it one."""
    sink(MX4)
    gate({"class ordinary": {"concurrent": 1, "enforce": False}})
    who = line("10.20.1.9")
    clients = [who.client() for _ in range(3)]
    assert redis.cli("zcard", "g25:open:{10.20.1.9}") == 1
    for client in clients:
        assert client.say(MAIL).positive
    assert redis.cli("zcard", "g25:open:{10.20.1.9}") == 3
    who.close()
    wait_for(lambda: redis.cli("zcard", "g25:open:{10.20.1.9}") == 0, what="they have left")


def test_two_windows_of_one_kind_both_hold(gate, redis, sink, line):
    sink(MX4)
    running = gate({"class ordinary": {"messages": ["4/1h", "6/1d"]}})
    who = line("10.20.1.4")
    through, reply = exhaust("messages", who)
    assert (through, reply.refusal["words"]) == (4, "has reached its limit of 4 messages in 1 hour")
    # An hour later, as far as the first window knows.
    redis.cli("hdel", "g25:meter:{10.20.1.4}", "messages:3600")
    running.end()  # it remembers the refusal for a minute
    running.start()
    who = line("10.20.1.4")
    through, reply = exhaust("messages", who)
    assert (through, reply.refusal["words"]) == (2, "has reached its limit of 6 messages in 1 day")
    # What the day's window refuses has taken nothing from the hour's.
    before = redis.cli("hget", "g25:meter:{10.20.1.4}", "messages:3600")
    assert who.next_message().code == 450
    assert redis.cli("hget", "g25:meter:{10.20.1.4}", "messages:3600") == before


def test_a_decision_takes_from_all_windows_or_from_none(gate, redis, sink, line):
    """A session that is refused for its destination costs no session token."""
    sink(MANY4)
    gate({"class ordinary": {"sessions": ["10/1h"], "spread": ["2/1h"]}})
    who = line("10.20.1.5")
    assert [who.next_destination().code for _ in range(2)] == [220, 220]
    before = meters(redis, "10.20.1.5")
    assert "2 destinations in 1 hour" in who.next_destination().refusal["words"]
    assert meters(redis, "10.20.1.5") == before
    assert who.next_session().code == 220, "a destination of before stays free"


def test_ipv6_addresses_of_one_delegated_prefix_share(gate, sink, line):
    sink(MX6)
    gate({"class ordinary": {"sessions": ["2/1h"]}})
    tried = ["2001:db8:20:6600::6", "2001:db8:20:66ff::bad", "2001:db8:20:6642:1:2:3:4", "2001:db8:20:6700::6"]
    replies = [line(source, [MX6]).next_session() for source in tried]
    assert [reply.code for reply in replies] == [220, 220, 421, 220]
    assert replies[2].refusal["id"] == "2001:db8:20:6600::/56"


def test_the_unit_of_ipv6_is_configured(gate, sink, line):
    sink(MX6)
    gate({"subscribers": {"ipv6-unit": 64}, "class ordinary": {"sessions": ["1/1h"]}})
    tried = ["2001:db8:20:6600::6", "2001:db8:20:6601::6", "2001:db8:20:6600::7"]
    replies = [line(source, [MX6]).next_session() for source in tried]
    assert [reply.code for reply in replies] == [220, 220, 421]
    assert replies[2].refusal["id"] == "2001:db8:20:6600::/64"


def test_ipv4_addresses_do_not_share(gate, sink, line):
    sink(MX4)
    gate({"class ordinary": {"sessions": ["1/1h"]}})
    replies = [line(f"10.20.1.{n}").next_session() for n in (6, 7, 6, 7)]
    assert [reply.code for reply in replies] == [220, 220, 421, 421]
    assert [reply.refusal["id"] for reply in replies[2:]] == ["10.20.1.6", "10.20.1.7"]


def test_recipients_beyond_the_limit_are_refused_one_by_one(gate, sink, line):
    """A pipelined envelope: the message goes to those that were accepted."""
    heard = sink(MX4)
    running = gate({"class ordinary": {"recipients": ["3/1h"]}})
    client = line("10.20.1.8").client()
    recipients = [f"user{n}@mx.example" for n in range(5)]
    replies = client.replies([MAIL, *(f"RCPT TO:<{to}>" for to in recipients), "DATA"])
    assert [reply.code for reply in replies] == [250, 250, 250, 250, 452, 452, 354]
    client.send(b"Hello.\r\n.\r\n")
    assert client.reply().code == 250
    assert heard.wait_messages(1)[0]["to"] == recipients[:3]
    told = running.wait_journal(2, event="refusal")
    assert [entry["to"] for entry in told] == recipients[3:]


def test_a_refused_message_costs_its_recipients_nothing(gate, redis, sink, line):
    sink(MX4)
    gate({"class ordinary": {"messages": ["1/1h"], "recipients": ["10/1h"]}})
    client = line("10.20.1.9").client()
    assert client.deliver().code == 250
    before = meters(redis, "10.20.1.9")
    replies = client.replies([MAIL, RCPT, RCPT, "DATA"])
    assert [reply.code for reply in replies] == [450] * 4
    assert meters(redis, "10.20.1.9") == before


def test_who_waits_as_long_as_told_passes(gate, redis, sink, line):
    """All kinds at once: each has one token, and gets it back within two seconds."""
    sink(MANY4)
    limits = {"sessions": ["1/2s"], "messages": ["1/2s"], "recipients": ["1/2s"], "spread": ["1/2s"]}
    people = {}
    for number, kind in enumerate(limits, 20):
        redis.cli("hset", "g25:standings", f"10.20.1.{number}", f"slow-{kind} 0")
        people[kind] = line(f"10.20.1.{number}", MANY4 * 10)
    gate({f"class slow-{kind}": {"action": "meter", kind: limit} for kind, limit in limits.items()}
         | {"class ordinary": {"sessions": ["100/1s"]}})
    waits = {}
    for kind, who in people.items():
        _, reply = exhaust(kind, who)
        waits[kind] = time.monotonic() + reply.refusal["retry"]
        assert 1 <= reply.refusal["retry"] <= 2
    for kind, who in people.items():
        time.sleep(max(0, waits[kind] - time.monotonic()))
        assert KINDS[kind][0](who).positive, kind


def test_bytes_over_the_limit_never_break_a_message(gate, redis, sink, line):
    heard = sink(MX4)
    running = gate({"class ordinary": {"bytes": ["20k/1h"]}})
    body = b"Subject: long\r\n\r\n" + b"x" * 70 + b"\r\n" + b"A line of the body.\r\n" * 3000
    client = line("10.20.1.30").client()
    assert client.deliver(body).code == 250
    assert heard.wait_messages(1)[0]["body"].encode("latin-1") == body
    reply = client.say(MAIL)
    assert (reply.code, reply.refusal["enhanced"]) == (450, "4.7.1")
    assert reply.refusal["words"] == "has reached its limit of 20000 bytes in 1 hour"
    check_case(running, redis, reply, "10.20.1.30", "bytes:20000/1h", "defer")
    client.leave()

    told = running.wait_journal(event="session")[0]
    assert told["bytes_up"] == len(heard.received(1))
    reply = line("10.20.1.30").next_session()
    assert (reply.code, reply.refusal["enhanced"]) == (421, "4.7.0")
    assert "20000 bytes" in reply.refusal["words"]
    # The wait is for all that was sent, as far as one period: the bucket's debt is bounded.
    assert 3000 < reply.refusal["retry"] <= 3600


def test_bytes_are_counted_as_they_are_sent(gate, redis, sink, line):
    heard = sink(MX4)
    gate({"class ordinary": {"bytes": ["1M/1h"]}})
    before = server_time_us(redis)
    for _ in range(3):
        client = line("10.20.1.31").client()
        assert client.deliver().code == 250
        client.leave()
    sent = sum(len(heard.received(number)) for number in (1, 2, 3))
    cost = floor(sent * HOUR_US / 1_000_000)
    key = "g25:meter:{10.20.1.31}"
    wait_for(lambda: int(redis.cli("hget", key, "bytes:3600") or 0) >= before + cost,
             what="the last session's bytes")
    assert int(redis.cli("hget", key, "bytes:3600")) <= server_time_us(redis) + cost


def seconds_for(client, body):
    began = time.monotonic()
    assert client.deliver(body).code == 250
    return time.monotonic() - began


def test_an_encrypted_session_over_its_bytes_is_slowed_down(gate, sink, line):
    heard = sink(MX4, starttls=True)
    running = gate({"class ordinary": {"bytes": ["200k/1s"]}})
    body = b"Subject: long\r\n\r\n" + b"A line of the body, in a session that nobody reads.\r\n" * 20000
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = line("10.20.1.32").client()
    client.starttls(context=context)
    # Of a megabyte all that is not in the bucket or behind the last look waits for 200 kB a second.
    assert seconds_for(client, body) >= 2
    assert heard.wait_messages(1)[0]["body"].encode("latin-1") == body
    client.leave()
    told = running.wait_journal(event="session")[0]
    assert (told["tls"], told["verdict"], told["rule"]) == (True, "forward", None)
    assert told["bytes_up"] > len(body)
    assert running.journal(event="refusal") == []


def test_slots_are_given_back(lab, gate, redis, sink, line):
    sink(MX4)
    listener = lab.internet.listen("198.51.100.200")
    gate({"class ordinary": {"concurrent": 2}})
    key = "g25:open:{10.20.1.33}"
    who = line("10.20.1.33")

    def fill():
        assert [who.next_session().code for _ in range(3)] == [220, 220, 421]
        assert redis.cli("zcard", key) == 2
        return who.open[-3:-1]

    def wait_free():
        wait_for(lambda: redis.cli("zcard", key) == 0, what="both slots")

    for client in fill():
        client.leave()
    wait_free()
    for client in fill():
        client.reset()
    wait_free()
    for client in fill():
        client.close()
    wait_free()

    # The server ends it.
    with listener, lab.subscribers.connect("198.51.100.200", "10.20.1.33") as client:
        server, _ = listener.accept()
        server.sendall(b"220 mx.example\r\n")
        assert client.recv(100) == b"220 mx.example\r\n"
        assert redis.cli("zcard", key) == 1
        server.close()
        assert client.recv(100) == b""
    wait_free()
    fill()


def test_a_slot_stays_with_an_encrypted_session(gate, redis, sink, line):
    sink(MX4, starttls=True)
    gate({"class ordinary": {"concurrent": 1}})
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    who = line("10.20.1.34")
    client = who.client()
    client.starttls(context=context)
    assert who.next_session().code == 421
    assert client.deliver().code == 250
    assert redis.cli("zcard", "g25:open:{10.20.1.34}") == 1
    client.leave()
    wait_for(lambda: redis.cli("zcard", "g25:open:{10.20.1.34}") == 0, what="the slot")
    assert who.next_session().code == 220


def test_limits_hold_over_all_workers(lab, gate, redis, sink):
    """Whoever is asked, Redis counts: 6 workers and gate25ctl agree on what is left."""
    sink(MX4)
    running = gate({"intercept": {"workers": 6}, "class ordinary": {"messages": ["12/1d"]}})
    replies = [attempt(lab, "10.20.1.35", MX4).code for _ in range(15)]
    assert replies == [250] * 12 + [450] * 3
    limits = running.ctl_json("explain", "10.20.1.35")["limits"]
    assert [(limit["limit"], limit["count"], limit["left"]) for limit in limits] == [("messages", 12, 0)]
    assert len({told["case"] for told in running.wait_journal(15, event="session")}) == 15
