"""How seldom Redis has to be asked, counted by the Redis server itself."""

import contextlib
import json
import re
import signal
import threading
import time

import pytest

from tests.integration.wire import MX4, Client, first_reply, send
from tests.lab.process import wait_for
from tests.lab.servers import Redis

ONE = {"intercept": {"workers": 1}}
DECISIONS = ("gate25_take", "gate25_take_ahead", "gate25_leave")


class Watch:
    """What Redis is asked for, by MONITOR. The tally, once a second, is no decision."""

    def __init__(self, redis):
        self.redis, self.words = redis, []
        self.client = redis.client()
        self.monitor = self.client.monitor()

    def __enter__(self):
        self.monitor.__enter__()
        self.thread = threading.Thread(target=self.read)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.redis.cli("echo", "the watch ends")
        self.thread.join()
        self.monitor.__exit__(None, None, None)
        self.client.close()

    def read(self):
        while "the watch ends" not in (command := self.monitor.next_command()["command"]):
            self.words.append(command)

    def seen(self):
        """All functions that were called so far: a command of our own marks the end."""
        mark = f"mark {len(self.words)} {time.monotonic()}"
        self.redis.cli("echo", mark)
        wait_for(lambda: any(mark in command for command in self.words), 30, "the mark")
        return [command.split()[1] for command in self.words if command.startswith("FCALL ")]

    def decisions(self):
        return [name for name in self.seen() if name in DECISIONS]


def retry_of(reply):
    return int(re.search(r"retry in (\d+) second", reply)[1])


def case_of(reply):
    return re.search(r"\(case (\w{10})\)", reply)[1]


def kept(running, source):
    """The subscriber's stream, oldest first."""
    return [json.loads(line) for line in running.ctl("log", source, "--json", "-n", "1000").stdout.splitlines()]


def gathered(running, source):
    """The same: event, lines and cases of each entry."""
    return [(entry["event"], entry.get("times", 1), entry.get("cases", [entry["case"]]))
            for entry in kept(running, source)]


def told(running, source):
    """Of how many refusals and sessions the stream tells."""
    entries = gathered(running, source)
    return tuple(sum(times for kind, times, _ in entries if kind == event) for event in ("refusal", "session"))


def tally(redis, kind, name):
    return sum(int(redis.cli("zscore", key, name) or 0) for key in redis.cli("keys", f"g25:tally:*:{kind}"))


# --- denials -------------------------------------------------------------------------------------


def test_denied_sessions(lab, gate, redis, sink):
    """Every one is told limit, time and a case of its own, is in journal and tally; neither Redis nor a server
    is asked."""
    server = sink()
    running = gate({**ONE, "class ordinary": {"sessions": ["3/1h"], "spread": ["50/1d"], "bytes": ["1M/1h"],
                                              "messages": ["100/1d"], "concurrent": 20}})
    source = "10.20.86.1"
    replies = [first_reply(lab, source) for _ in range(4)]
    assert [reply[:4] for reply in replies] == ["220 "] * 3 + ["421 "]
    wait_for(lambda: redis.cli("zcard", f"g25:open:{{{source}}}") == 0, 30, "those who passed have left")
    wait_for(lambda: len(server.events("close")) == len(server.events("connect")), 30, "the server has seen them all")
    before = len(server.events("connect"))
    with Watch(redis) as watch:
        denied = [first_reply(lab, source) for _ in range(20)]
        assert first_reply(lab, "10.20.86.2").startswith("220 "), "somebody else is asked for, and passes"
        wait_for(lambda: len(watch.decisions()) == 2, 30, "his token, and his leave")
        running.wait_journal(21, event="refusal", id=source)
        assert watch.decisions() == ["gate25_take", "gate25_leave"]
    assert {event["peer"] for event in server.events("connect")[before:]} == {"10.20.86.2"}
    assert all("has reached its limit of 3 sessions in 1 hour; retry in" in reply for reply in denied)
    times = [retry_of(reply) for reply in (replies[3], *denied)]
    assert times == sorted(times, reverse=True) and 1000 < times[-1] <= times[0] <= 1200
    cases = {case_of(reply) for reply in denied}
    assert len(cases) == 20
    # Workers write their lines when each of them has some.
    lines = sorted(running.journal(event="refusal", id=source), key=lambda line: line["time"])
    assert cases < {line["case"] for line in lines} and {line["rule"] for line in lines} == {"sessions:3/1h"}
    assert [line["retry_after_s"] for line in lines] == times
    wait_for(lambda: tally(redis, "deferrals", source) == 21, 30, "the tally has each")
    assert running.ctl_json("status")["counters"]["denials_remembered_total"] == 20
    assert redis.cli("zcard", f"g25:open:{{{source}}}") == 0, "nobody who was turned away holds a slot"


def test_a_flood_of_denied_sessions(lab, gate, redis, sink):
    """Hardly costs Redis anything: what repeats takes an entry a second, which names 64 cases; the file has all."""
    sink()
    running = gate({**ONE, "class ordinary": {"sessions": ["1/1h"]}})
    source, flood = "10.20.86.10", 300
    for code in ("220 ", "421 "):
        assert first_reply(lab, source).startswith(code)
    running.wait_journal(2, event="session", id=source)
    log = f"g25:log:{{{source}}}"
    began = time.monotonic()
    with Watch(redis) as watch:
        cases = {case_of(first_reply(lab, source)) for _ in range(flood)}
        running.wait_journal(flood + 2, event="session", id=source)
        waits = time.monotonic() - began + 2
        wait_for(lambda: told(running, source) == (flood + 1, flood + 2), 30, "the stream counts each")
        assert watch.decisions() == []
        entries = [words for words in watch.words if words.startswith("XADD ") and log in words]
    assert len(cases) == flood
    # Refusals, and ends of sessions.
    assert len(entries) <= 2 * (1 + waits), f"{len(entries)} entries for {flood} sessions"
    for event in ("refusal", "session"):
        assert cases <= {line["case"] for line in running.journal(event=event, id=source)}, f"the file has each {event}"
    times = [entry["time"] for entry in kept(running, source)]
    assert times == sorted(times), "a stream is in order"
    several = [entry for entry in kept(running, source) if "times" in entry]
    assert several
    for entry in several:
        assert len(entry["cases"]) == len(set(entry["cases"])) == min(entry["times"], 64)
        assert set(entry["cases"]) <= cases
        assert entry["since"] <= entry["time"] and entry["case"] == entry["cases"][-1]
        first = next(line for line in running.journal(event=entry["event"], case=entry["cases"][0]))
        last = next(line for line in running.journal(event=entry["event"], case=entry["case"]))
        assert first["time"] == entry["since"]
        assert {**last, **{key: entry[key] for key in ("times", "since", "cases")}} == entry
    assert "times since 20" in running.ctl("log", source).stdout
    counters = running.ctl_json("status")["counters"]
    assert (counters["journal_lines_total"], counters["journal_dropped_total"]) == (len(running.journal()), 0)


def test_a_flood_of_refused_mail(lab, gate, redis, sink):
    """The same of sessions that say EHLO, MAIL and QUIT: what they have sent pushes nothing out of its entry."""
    sink()
    running = gate({**ONE, "class ordinary": {"messages": ["1/1h"]}})
    source, flood = "10.20.86.12", 200
    send(lab, source)
    running.wait_journal(1, event="session", id=source)
    began = time.monotonic()
    for _ in range(flood):
        with Client(lab, source) as client:
            client.greet()
            client.expect("MAIL FROM:<me@home.example>", 450)
            client.expect("QUIT", 221)
    running.wait_journal(flood + 1, event="session", id=source)
    waits = time.monotonic() - began + 2
    wait_for(lambda: told(running, source) == (flood, flood + 1), 30, "the stream counts each")
    entries = kept(running, source)
    assert len(entries) <= 1 + 2 * (1 + waits), f"{len(entries)} entries for {flood} sessions"
    several = [entry for entry in entries if "times" in entry]
    assert {entry["event"] for entry in several} == {"refusal", "session"}
    for entry in several:
        line, = (line for line in running.journal(event=entry["event"], case=entry["case"]))
        assert {**line, **{key: entry[key] for key in ("times", "since", "cases")}} == entry, "the newest's bytes"
        assert entry["event"] == "refusal" or 0 < entry["bytes_up"] <= 1024
    ends = [entry for entry in entries if entry["event"] == "session"]
    assert (ends[0]["messages"], "times" in ends[0]) == (1, False), "what carried a message has an entry of its own"


def test_a_scanner_is_shown_with_its_servers(lab, gate, redis, sink):
    """Over its spread it asks one server after the other: an entry names them, the newest's own among them."""
    servers = [f"198.51.100.{number}" for number in range(10, 16)]
    sink(servers)
    running = gate({**ONE, "class ordinary": {"spread": ["1/1h"]}})
    source = "10.20.86.13"
    assert first_reply(lab, source, servers[0]).startswith("220 ")
    for server in servers[1:] * 3:
        assert first_reply(lab, source, server).startswith("421 ")

    def refusals():
        found = [entry for entry in kept(running, source) if entry["event"] == "refusal"]
        return sum(entry.get("times", 1) for entry in found) == 15 and found

    entries = wait_for(refusals, 30, "the stream counts each")
    several = [entry for entry in entries if "servers" in entry]
    assert several and len(entries) < 8
    for entry in several:
        assert len(entry["servers"]) == len(set(entry["servers"])) > 1 and entry["server"] in entry["servers"]
    told = {server for entry in entries for server in entry.get("servers", [entry["server"]])}
    assert told == {f"{server}:25" for server in servers[1:]}
    assert re.search(r"times since \S+, to \d servers", running.ctl("log", source).stdout)


def test_what_waits_leaves_with_the_worker(lab, gate, redis, sink):
    sink()
    running = gate({**ONE, "class ordinary": {"sessions": ["1/1h"]}})
    source = "10.20.86.11"
    cases = [case_of(reply) for reply in (first_reply(lab, source) for _ in range(12)) if reply.startswith("421 ")]
    running.signal(signal.SIGTERM)
    assert running.process.wait(30) == 0
    entries = [json.loads(fields["line"]) for _, fields in redis.cli("xrange", f"g25:log:{{{source}}}", "-", "+")]
    told = [case for entry in entries if entry["event"] == "refusal" for case in entry.get("cases", [entry["case"]])]
    assert told == cases


def test_denied_mail_and_its_bytes(lab, gate, redis, sink):
    """Within a session: MAIL and RCPT. The bytes that were sent meanwhile are charged all the same, at its end."""
    sink()
    running = gate({**ONE, "class ordinary": {"messages": ["1/1d"], "recipients": ["1/1d"], "bytes": ["1M/1d"],
                                              "concurrent": 5}})
    source = "10.20.86.3"
    with Client(lab, source) as client:
        client.greet()
        client.expect("MAIL FROM:<me@home.example>", 250)
        client.expect("RCPT TO:<user@mx.example>", 250)
        client.expect("RCPT TO:<user@mx.example>", 452)
        with Watch(redis) as watch:
            for _ in range(10):
                client.expect("NOOP some words that are bytes", 250)
                client.expect("RCPT TO:<user@mx.example>", 452)
            client.expect("RSET", 250)
            client.expect("MAIL FROM:<me@home.example>", 450)
            assert watch.decisions() == ["gate25_take"], "the first MAIL that is refused asks"
            for _ in range(10):
                client.expect("NOOP some words that are bytes", 250)
                client.expect("MAIL FROM:<me@home.example>", 450)
            assert watch.decisions() == ["gate25_take"]
    line = running.wait_journal(event="session", id=source)[0]
    used = {}

    def charged():
        used.update({limit["limit"]: limit["used"] for limit in running.ctl_json("explain", source)["limits"]})
        return used["concurrent"] == 0

    wait_for(charged, 30, "the session has left")
    assert line["bytes_up"] > 600
    # A bucket fills by 11.6 bytes a second: what is missing is what has come back since.
    assert line["bytes_up"] - 12 * (60 + line["duration_ms"] / 1000) < used["bytes"] <= line["bytes_up"] + 1


def test_a_denial_ends_in_time(lab, gate, redis, sink):
    """Not later than was said (but for the machine's own delay), and Redis is asked again then."""
    sink()
    gate({**ONE, "class ordinary": {"sessions": ["2/6s"]}})
    source = "10.20.86.4"
    reply = "220 "
    while reply.startswith("220 "):
        began, reply = time.monotonic(), first_reply(lab, source)
    told = retry_of(reply)
    assert told <= 3
    assert first_reply(lab, source).startswith("421 ") or time.monotonic() - began >= told - 1
    with Watch(redis) as watch:
        wait_for(lambda: first_reply(lab, source).startswith("220 "), 30, "it passes again")
        assert time.monotonic() - began >= told - 1
        asked = watch.decisions()
        assert "gate25_take" in asked


def test_what_ends_a_denial_early(lab, gate, started, sink):
    """A standing, another limit, a Redis that knows nothing any more: at once, and in every worker."""
    sink()
    redis = started(Redis(lab.gate))
    running = gate({"class ordinary": {"sessions": ["1/1d"]},
                    "class other": {"action": "meter", "sessions": ["9/2d"]}}, redis=redis)
    source = "10.20.86.5"

    def exhaust():
        """Until each worker has refused it from what it knows."""
        def all_know():
            assert first_reply(lab, source)[:4] in ("220 ", "421 ")
            return all(first_reply(lab, source).startswith("421 ") for _ in range(12))
        wait_for(all_know, 30, "both workers refuse it")

    def passes(why):
        wait_for(lambda: first_reply(lab, source).startswith("220 "), 20, why)

    exhaust()
    running.ctl("register", source)
    passes("registered")
    running.ctl("unregister", source)
    exhaust()
    running.ctl("register", source, "--class", "other")
    passes("another class")
    running.ctl("unregister", source)
    exhaust()
    running.configure({"class ordinary": {"sessions": ["100/3d"]}})
    running.ctl("reload")
    passes("other limits")
    running.configure({"class ordinary": {"sessions": ["1/1d"]}})
    running.ctl("reload")
    exhaust()
    redis.kill()
    redis.start()
    passes("a Redis that was restarted, and is empty")


def test_slots_are_never_remembered(lab, gate, redis, sink):
    """Whoever ends a session may begin another one at once."""
    sink()
    gate({**ONE, "class ordinary": {"concurrent": 1}})
    for _ in range(3):
        with Client(lab, "10.20.86.6") as client:
            client.greet()
            for _ in range(3):
                assert "its limit of 1 session at once" in first_reply(lab, "10.20.86.6")
        wait_for(lambda: redis.cli("zcard", "g25:open:{10.20.86.6}") == 0, 30, "the slot is back")
        assert first_reply(lab, "10.20.86.6").startswith("220 ")
        wait_for(lambda: redis.cli("zcard", "g25:open:{10.20.86.6}") == 0, 30, "the slot is back")


# --- tokens ahead --------------------------------------------------------------------------------


def mails(client, count):
    """So many MAIL commands in a row; how many were granted."""
    granted = 0
    for _ in range(count):
        granted += client.say("MAIL FROM:<me@home.example>").startswith("250")
        client.expect("RSET", 250)
    return granted


@pytest.mark.parametrize("ahead", [1, 8])
def test_a_burst(lab, gate, redis, sink, ahead):
    """With 1 each token is taken when it is needed; with 8 a burst asks seldom, and what is held counts as spent."""
    sink()
    running = gate({**ONE, "redis": {"tokens-ahead": ahead},
                    "class ordinary": {"messages": ["1000/1d"], "recipients": ["1000/1d"], "bytes": ["10M/1d"]}})
    with Watch(redis) as watch, Client(lab, "10.20.86.9") as client:
        client.greet()
        assert watch.decisions() == ["gate25_take"], "the session's own"
        assert mails(client, 60) == 60
        asked = watch.decisions()[1:]
        used = {item["limit"]: item["used"] for item in running.ctl_json("explain", "10.20.86.9")["limits"]}
        paid = running.ctl_json("status")["counters"]["paid_ahead_total"]
        assert paid == 60 - len(asked)
        if ahead == 1:
            assert asked == ["gate25_take"] * 60
            assert 58 <= used["messages"] <= 60, "one comes back in 86 seconds"
        else:
            assert len(asked) < 40 and "gate25_take_ahead" in asked
            assert used["messages"] >= 58


def test_single_mails_take_nothing_ahead(lab, gate, redis, sink):
    """Not to be kept waiting, nor robbed of tokens: who sends one mail takes one token."""
    sink()
    running = gate({**ONE, "redis": {"tokens-ahead": 100},
                    "class ordinary": {"messages": ["20/1d"]}})
    for number in range(3):
        source = f"10.20.87.{number + 1}"
        assert send(lab, source).startswith("250 ")
        assert [item["used"] for item in running.ctl_json("explain", source)["limits"]] == [1]


# --- the session's token while the server is being connected -----------------------------------------


@pytest.fixture(name="hole")
def hole_fixture(lab):
    """A server that answers no SYN, as long as the test wants."""
    lab.internet.run("nft", "-f", "-", input=(
        "table ip hole {\nchain input {\ntype filter hook input priority 0;\n"
        f"ip daddr {MX4} tcp dport 25 drop\n}}\n}}\n"))
    removed = []

    def remove():
        if not removed:
            lab.internet.run("nft", "delete", "table", "ip", "hole")
            removed.append(True)

    yield remove
    remove()


def test_the_token_does_not_wait_for_the_server(lab, gate, redis, sink, hole):
    server = sink()
    gate({**ONE, "class ordinary": {"sessions": ["30/1m"]}})
    with Watch(redis) as watch, Client(lab, "10.20.86.7", timeout=60) as client:
        wait_for(lambda: watch.decisions() == ["gate25_take"], 30, "the token is fetched")
        assert server.peers() == [] and not client.answers(), "and no server is there yet"
        hole()
        assert client.reply().startswith("220 ")
        assert watch.decisions() == ["gate25_take"], "once"


def test_nor_does_the_server_wait_for_the_token(lab, gate, started, sink):
    server, redis = sink(), started(Redis(lab.gate))
    gate({**ONE, "class ordinary": {"sessions": ["30/1m"]}}, redis=redis)
    send(lab, "10.20.86.8")
    known = len(server.peers())
    redis.stop()
    with contextlib.ExitStack() as stack:
        stack.callback(redis.cont)
        client = stack.enter_context(Client(lab, "10.20.86.8", timeout=60))
        wait_for(lambda: len(server.peers()) == known + 1, 9, "the server is connected")
        assert not client.answers(), "but nothing is said before the token is there"
        redis.cont()
        assert client.reply().startswith("220 ")
