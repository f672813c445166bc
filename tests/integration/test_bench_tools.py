"""The bench's own load generator and sink (tests/bench): do they do what they say, and count what happened?"""

import contextlib
import json
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from tests.bench.tools import HOLDING, MEASURED, MEASURING, FastSink, Load, tool
from tests.differential.receivers import Aiosmtpd
from tests.lab import sandbox, servers, topology
from tests.lab.process import wait_for

FAMILIES = {"ipv4": ("198.51.100.10", ("10.20.5.0", 300)), "ipv6": ("2001:db8:ffff::10", ("2001:db8:20:500::1", 300))}
SERVER, SOURCES = FAMILIES["ipv4"]
HEADER = b"From: <load@client.example>\r\nTo: <user1@mx.example>\r\nSubject: load\r\n\r\n"


@pytest.fixture(name="fast_sink")
def fast_sink_fixture(unsteered, started):
    """The sink of the bench, and the router that lets everything through to it."""
    return started(FastSink(unsteered.internet, [server for server, _ in FAMILIES.values()]))


def run(lab, *options, server=SERVER, sources=(SOURCES,)):
    """A run of load, to its end; what it counted."""
    with Load(lab.subscribers, [server], *options, sources=sources) as load:
        return load.result()


@contextlib.contextmanager
def one_session(lab, *options):
    """A run of one session, whose server the test plays: load, and the server's end of the connection."""
    with lab.internet.listen(SERVER) as listener, \
            Load(lab.subscribers, [SERVER], "--sessions", 1, *options, sources=[SOURCES]) as load:
        connection, _ = listener.accept()
        with connection:
            yield load, connection


def told(sink):
    """Ends the sink; what it counted."""
    assert sink.end() == 0
    return json.loads(sink.text().splitlines()[-1])


def counted(result):
    return {name: result[name] for name in ("sessions", "messages", "recipients")}


def writes(messages=1, recipients=1, pipelined=False, starttls=False):
    """How often a session writes and then waits for a reply."""
    turns = messages + 1 if pipelined else messages * (3 + recipients) + 1
    return 1 + turns + (2 if starttls else 0)


# -- load and sink together -------------------------------------------------------------------------

@pytest.mark.parametrize("family", FAMILIES)
def test_both_ends_count_the_same(fast_sink, unsteered, family):
    server, sources = FAMILIES[family]
    result = run(unsteered, "--sessions", 300, server=server, sources=[sources])
    assert counted(result) == {"sessions": 300, "messages": 300, "recipients": 300}
    assert result["refused"] == result["failed"] == {} and result["missed"] == 0
    assert result["rate"] == pytest.approx(300 / result["seconds"], rel=1e-6)
    assert result["message_rate"] == pytest.approx(300 / result["seconds"], rel=1e-6)
    assert 0 < result["cpu_s"] < result["seconds"] + 0.1
    heard = told(fast_sink)
    assert counted(heard) == counted(result)
    assert heard["bytes"] == 300 * 4096 and heard["cpu_s"] > 0


SHAPES = {
    "many-messages": {"messages": 20},
    "many-recipients": {"recipients": 50, "messages": 2},
    "tiny": {"size": 2, "messages": 2},
    "odd": {"size": 4097},
    "large": {"size": 1 << 20, "messages": 2},
}


@pytest.mark.parametrize("starttls", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("pipelined", [False, True], ids=["in-steps", "pipelined"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_shapes_of_sessions(fast_sink, unsteered, shape, pipelined, starttls):
    sessions, messages, recipients = 12, shape.get("messages", 1), shape.get("recipients", 1)
    options = [word for name, value in shape.items() for word in (f"--{name}", value)]
    options += ["--pipelined"] * pipelined + ["--starttls"] * starttls
    result = run(unsteered, "--sessions", sessions, "--concurrent", 4, *options)
    assert counted(result) == {"sessions": sessions, "messages": sessions * messages,
                               "recipients": sessions * messages * recipients}
    assert result["refused"] == result["failed"] == {}
    hops = sessions * writes(messages, recipients, pipelined, starttls)
    counts = {name: times["count"] for name, times in result["latency_us"].items()}
    assert counts == {"hop": hops, "connect": sessions, "banner": sessions, "session": sessions,
                      "tls": sessions if starttls else 0}
    for name, times in result["latency_us"].items():
        assert times["p50"] <= times["p90"] <= times["p99"] <= times["p999"], name
    heard = told(fast_sink)
    assert counted(heard) == counted(result)
    assert heard["bytes"] == sessions * messages * shape.get("size", 4096)


def test_sessions_are_held(fast_sink, unsteered):
    def established():
        return len(unsteered.internet.run("ss", "-Htn", "state", "established").stdout.splitlines())

    before = established()
    with Load(unsteered.subscribers, [SERVER], "--hold", "--concurrent", 1500, sources=[SOURCES]) as load:
        assert load.wait_word(HOLDING) == "1500"
        assert established() - before == 1500
        load.process.stdin.write("what is said does not end it\n")
        load.process.stdin.flush()
        result = load.result()
    assert counted(result) == {"sessions": 1500, "messages": 0, "recipients": 0}
    assert result["failed"] == {}
    assert counted(told(fast_sink)) == counted(result)


@pytest.mark.parametrize("said", [None, b"", b"what is said does not end it\n" * 100],
                         ids=["dev-null", "empty", "some-lines"])
def test_sessions_are_held_until_a_file_ends_which_cannot_be_waited_for(fast_sink, unsteered, tmp_path, said):
    path = "/dev/null"
    if said is not None:
        path = tmp_path / "stdin"
        path.write_bytes(said)
    with open(path, "rb") as stdin:
        shown = unsteered.subscribers.run(tool("load"), "--server", SERVER, "--hold", "--concurrent", 5,
                                          "--source", "10.20.5.1", stdin=stdin, timeout=60).stdout
    assert shown.startswith("holding 5\n")
    assert json.loads(shown[shown.index("{"):])["sessions"] == 5
    assert told(fast_sink)["sessions"] == 5


def test_a_time_is_measured_behind_the_warm_up(fast_sink, unsteered):
    with Load(unsteered.subscribers, [SERVER], "--seconds", 1, "--warmup", 0.01, "--concurrent", 600,
              sources=[("10.20.77.0", 250)]) as load:
        load.wait_word(MEASURING)
        # It has waited for all of them to be there, or to have been: those are in TIME_WAIT.
        assert len(unsteered.subscribers.run("ss", "-Htan", "src", "10.20.77.0/24").stdout.splitlines()) >= 600
        load.wait_word(MEASURED)
        result = load.result()
    assert 1 <= result["seconds"] < 60 and result["failed"] == {}
    heard = told(fast_sink)
    # What was begun is brought to its end, but what is completed outside the interval does not count.
    assert heard["messages"] == heard["sessions"] >= result["sessions"]


def test_what_is_over_before_the_warm_up_does_not_count(fast_sink, unsteered):
    result = run(unsteered, "--sessions", 30, "--warmup", 600)
    assert counted(result) == {"sessions": 0, "messages": 0, "recipients": 0}
    assert all(times["count"] == 0 for times in result["latency_us"].values())
    assert told(fast_sink)["sessions"] == 30


def test_a_rate_is_kept(fast_sink, unsteered):
    result = run(unsteered, "--sessions", 101, "--rate", 100, "--concurrent", 200)
    assert counted(result) == {"sessions": 101, "messages": 101, "recipients": 101}
    assert result["seconds"] >= 1 and result["missed"] == 0
    assert told(fast_sink)["sessions"] == 101


def test_sessions_pause_before_each_command(fast_sink, unsteered):
    """Which takes time of sessions, but not of hops; so many are open as begin meanwhile."""
    result = run(unsteered, "--seconds", 1, "--warmup", 1, "--rate", 100, "--concurrent", 200, "--pause", 0.1)
    assert result["failed"] == {} and result["missed"] == result["silent"] == 0
    assert 590_000 <= result["latency_us"]["session"]["p50"] and result["latency_us"]["hop"]["p50"] < 100_000
    assert 50 <= result["open"] <= 100
    assert result["sessions"] == pytest.approx(100, abs=30)


def test_a_pause_is_not_the_server_s_silence(fast_sink, unsteered):
    result = run(unsteered, "--sessions", 1, "--pause", 0.5, "--timeout", 0.45)
    assert result["failed"] == {} and result["sessions"] == 1


def test_what_is_said_into_a_pause_is_heard(unsteered):
    with one_session(unsteered, "--pause", 0.5) as (load, connection):
        connection.sendall(b"220 mx.example\r\n")
        connection.sendall(b"421 4.3.2 Closing\r\n")
        assert servers.read_until(connection, b"\n") == b"QUIT\r\n", "in place of what it paused before"
        connection.sendall(b"221 2.0.0 Bye\r\n")
        result = load.result()
    assert result["refused"] == {"ehlo 421": 1} and result["failed"] == {}


def test_who_leaves_in_a_pause_has_failed(unsteered):
    with one_session(unsteered, "--pause", 0.5) as (load, connection):
        connection.sendall(b"220 mx.example\r\n")
        connection.close()
        assert load.result()["failed"] == {"ehlo end": 1}


# -- load against others ----------------------------------------------------------------------------

def test_what_load_says(unsteered, sink):
    heard = sink(SERVER)
    run(unsteered, "--sessions", 1, "--messages", 2, "--recipients", 3, "--size", 1000)
    for message in heard.messages():
        body = message["body"].encode("latin-1")
        assert message["from"] == "load@client.example" and message["helo"] == "client.example"
        assert message["to"] == [f"user{number}@mx.example" for number in (1, 2, 3)]
        assert len(body) == 1000 and body.startswith(HEADER)
        assert body.endswith(b"\r\n") and b"\n" not in body.replace(b"\r\n", b"")
        assert max(map(len, body.split(b"\r\n"))) <= 78
    assert len(heard.messages()) == 2
    session, = {event["session"] for event in heard.events("connect")}
    verbs = [line.split()[0] for line in heard.received(session).split(b"\r\n") if line[:4].isupper()]
    assert verbs == [b"EHLO", *[b"MAIL", b"RCPT", b"RCPT", b"RCPT", b"DATA"] * 2, b"QUIT"]


def test_source_addresses(unsteered, sink):
    heard = sink(["198.51.100.10", "2001:db8:ffff::10"])

    def peers(*options, server=SERVER, sources=(("10.20.0.254", 4), ("10.20.9.9", 1))):
        before = len(heard.peers())
        assert run(unsteered, "--concurrent", 1, *options, server=server, sources=sources)["failed"] == {}
        return heard.peers()[before:]

    all_five = ["10.20.0.254", "10.20.0.255", "10.20.1.0", "10.20.1.1", "10.20.9.9"]
    assert peers("--in-turn", "--sessions", 7) == all_five + all_five[:2]
    chosen = peers("--sessions", 60)
    assert set(chosen) == set(all_five)
    assert peers("--sessions", 60, "--seed", 1) == chosen != peers("--sessions", 60, "--seed", 2)
    assert peers("--in-turn", "--sessions", 3, server="2001:db8:ffff::10", sources=[("2001:db8:20::ffff", 3)]) == [
        "2001:db8:20::ffff", "2001:db8:20::1:0", "2001:db8:20::1:1"]


def test_servers_are_taken_in_turn(unsteered, sink):
    heard = sink(["198.51.100.10", "2001:db8:ffff::10", "198.51.100.12"])
    with Load(unsteered.subscribers, ["198.51.100.10", "[2001:db8:ffff::10]:25", "198.51.100.12:25"], "--sessions", 6,
              "--concurrent", 1, sources=[("10.20.0.1", 1), ("2001:db8:20::1", 1)]) as load:
        assert load.result()["sessions"] == 6
    ends = [(event["local"], event["peer"]) for event in heard.events("connect")]
    assert ends == [("198.51.100.10", "10.20.0.1"), ("2001:db8:ffff::10", "2001:db8:20::1"),
                    ("198.51.100.12", "10.20.0.1")] * 2


REFUSALS = {"CONNECT": "banner", "EHLO": "ehlo", "STARTTLS": "starttls", "MAIL": "mail", "RCPT": "rcpt",
            "DATA": "data", "MESSAGE": "message", "QUIT": "quit"}


@pytest.mark.parametrize("pipelined", [False, True], ids=["in-steps", "pipelined"])
@pytest.mark.parametrize("verb", REFUSALS)
def test_a_refusal_is_counted_where_it_happens(unsteered, sink, verb, pipelined):
    heard = sink(SERVER, starttls=verb == "STARTTLS",
                 replies={verb: ["451-4.3.0 not\n451 4.3.0 now", "554 5.7.1 no", "554 5.7.1 no"]})
    options = ["--pipelined"] * pipelined + ["--starttls"] * (verb == "STARTTLS")
    result = run(unsteered, "--sessions", 4, "--concurrent", 1, *options)
    place = REFUSALS[verb]
    assert result["refused"] == {f"{place} 451": 1, f"{place} 554": 2}
    assert result["failed"] == {}
    assert result["sessions"] == 4
    # The lab's sink takes a pipelined message without a sender, too.
    taken = 4 if verb == "QUIT" or (verb == "MAIL" and pipelined) else 1
    assert (result["messages"], len(heard.messages())) == (taken, taken)
    if verb != "CONNECT":  # the server has closed then
        for session in {event["session"] for event in heard.events("connect")}:
            assert heard.received(session).endswith(b"QUIT\r\n")


def test_of_pipelined_recipients_one_is_refused(unsteered, sink):
    heard = sink(SERVER, replies={"RCPT": [None, "550 5.1.1 no", None]})
    result = run(unsteered, "--sessions", 1, "--messages", 5, "--recipients", 3, "--pipelined")
    assert result["refused"] == {"rcpt 550": 1} and result["failed"] == {}
    # The server waits for a message's text, and gets it; another does not follow.
    assert counted(result) == {"sessions": 1, "messages": 1, "recipients": 2}
    message, = heard.messages()
    assert message["to"] == ["user1@mx.example", "user3@mx.example"]


def test_a_pipelined_message_is_refused_when_the_next_is_said(unsteered, sink):
    heard = sink(SERVER, replies={"MESSAGE": ["452 4.3.1 full"]})
    result = run(unsteered, "--sessions", 1, "--messages", 5, "--pipelined")
    assert result["refused"] == {"message 452": 1} and result["failed"] == {}
    assert counted(result) == {"sessions": 1, "messages": 1, "recipients": 2}
    assert len(heard.messages()) == 1


def test_a_refusal_while_sessions_are_opened_to_be_held(unsteered, sink):
    sink(SERVER, replies={"EHLO": ["550 5.5.0 no"]})
    with Load(unsteered.subscribers, [SERVER], "--hold", "--concurrent", 10, sources=[SOURCES]) as load:
        assert load.wait_word(HOLDING) == "9"
        result = load.result()
    assert result["sessions"] == 10 and result["refused"] == {"ehlo 550": 1}


@pytest.mark.parametrize("verb, place", [("EHLO", "mail"), ("MAIL", "rcpt"), ("DATA", "quit")])
def test_an_early_end_is_a_failure(unsteered, sink, verb, place):
    sink(SERVER, close_after=verb)
    result = run(unsteered, "--sessions", 3)
    # What is under way when the server closes has it reset the connection.
    assert set(result["failed"]) <= {f"{place} end", f"{place} ECONNRESET", f"{place} EPIPE"}
    assert sum(result["failed"].values()) == 3
    assert result["sessions"] == 0 and result["refused"] == {}


def test_where_nobody_listens(unsteered):
    result = run(unsteered, "--sessions", 3)
    assert result["failed"] == {"connect ECONNREFUSED": 3} and result["sessions"] == 0


@pytest.mark.parametrize("sent", [b"hello\r\n", b"22\r\n", b"220x\r\n", b"999 what\r\n", b"220-first\r\nsecond\r\n"])
def test_what_is_no_reply_is_a_failure(unsteered, sent):
    with one_session(unsteered) as (load, connection):
        connection.sendall(sent)
        assert load.result()["failed"] == {"banner no reply": 1}


def test_silence_is_a_failure_and_what_cannot_begin_is_missed(unsteered, sink):
    sink(SERVER, banner=None)
    result = run(unsteered, "--sessions", 30, "--rate", 1000, "--concurrent", 5, "--timeout", 1)
    assert set(result["failed"]) == {"banner timeout"} and result["sessions"] == 0
    assert result["failed"]["banner timeout"] + result["missed"] == 30
    assert result["missed"] > 0


def test_who_hangs_over_the_end_of_the_interval_has_failed(unsteered, sink):
    """As where a server falls silent in the midst of a sample: there was no time yet to lose patience within it."""
    sink(SERVER, banner=None)
    result = run(unsteered, "--seconds", 0.2, "--concurrent", 7, "--timeout", 2)
    assert result["failed"] == {"banner timeout": 7} and result["sessions"] == 0


def test_who_hangs_at_the_end_is_told_though_it_may_go_on_later(unsteered, sink):
    sink(SERVER, banner=None)
    result = run(unsteered, "--seconds", 1.5, "--concurrent", 7, "--timeout", 10)
    assert (result["open"], result["silent"]) == (7, 7)
    sink("198.51.100.11")
    result = run(unsteered, "--sessions", 7, server="198.51.100.11")
    assert (result["open"], result["silent"]) == (0, 0)


def test_who_fails_before_the_interval_does_not_count(unsteered):
    """Nobody listens: each is refused at once, the first of them within the warm-up."""
    result = run(unsteered, "--sessions", 3, "--warmup", 600)
    assert result["failed"] == {}
    assert run(unsteered, "--sessions", 3)["failed"] == {"connect ECONNREFUSED": 3}


def test_load_to_aiosmtpd(unsteered, started):
    started(Aiosmtpd(unsteered.internet, SERVER))
    for options in ((), ("--starttls", "--messages", 3, "--recipients", 2), ("--size", 100000)):
        result = run(unsteered, "--sessions", 5, *options)
        assert result["sessions"] == 5 and result["failed"] == result["refused"] == {}


def test_load_to_postfix(unsteered, started):
    if not sandbox.many_users():
        pytest.skip("Postfix needs users of its own: an entry for this user in /etc/subuid")
    postfix = started(servers.Postfix(unsteered.internet, SERVER, starttls=True))
    for options in ((), ("--pipelined", "--messages", 2), ("--starttls", "--pipelined", "--messages", 2)):
        result = run(unsteered, "--sessions", 3, *options)
        assert result["sessions"] == 3 and result["failed"] == result["refused"] == {}
    assert len(postfix.wait_messages(15, seconds=60)) == 15


@pytest.mark.parametrize("options, what", [
    ((), "needs --server"),
    (("--server", "mx.example"), "ADDR:PORT"),
    (("--server", "192.0.2.1:0"), "ADDR:PORT"),
    (("--server", "192.0.2.1:99999"), "PORT a whole number from 1 to 65535"),
    (("--server", "2001:db8::1]:25"), "ADDR:PORT"),
    (("--server", SERVER), "one of --sessions, --seconds and --hold"),
    (("--server", SERVER, "--sessions", "3", "--hold"), "one of --sessions, --seconds and --hold"),
    (("--server", SERVER, "--hold", "--rate", "3"), "neither --rate nor --warmup"),
    (("--server", SERVER, "--sessions", "-1"), "from 1 to"),
    (("--server", SERVER, "--sessions", "many"), "from 1 to"),
    (("--server", SERVER, "--size", "1"), "from 2 to"),
    (("--server", SERVER, "--seconds", "nan"), "from 0.001 to"),
    (("--server", SERVER, "--sessions", "1", "--source", "2001:db8:20::1"), "of its family"),
    (("--server", SERVER, "--source", "10.20.0.1+0"), "FIRST+COUNT"),
    (("--server", SERVER, "--sessions", "1", "more"), "options alone"),
    (("--fast",), "--fast"),
])
def test_load_says_what_is_allowed(options, what):
    done = subprocess.run([tool("load"), *options], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2 and what in done.stderr and done.stdout == ""


@pytest.mark.parametrize("name, arguments, what", [
    ("relay", (), "PORT PROCESSES"),
    ("relay", ("0", "2"), "relay: PORT 0: it is a whole number from 1 to 65535"),
    ("relay", ("25", "many"), "PROCESSES many: it is a whole number from 1 to"),
    ("lookup", ("1000",), "STANDINGS LOOKUPS"),
    ("lookup", ("--help",), "STANDINGS is a whole number from 1 to 4000000, LOOKUPS one from 100 to 100000000"),
    ("lookup", ("1000", "1"), "LOOKUPS 1: it is a whole number from 100 to"),
])
def test_the_small_tools_say_what_is_allowed(name, arguments, what):
    done = subprocess.run([tool(name), *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2 and what in done.stderr and done.stdout == ""


# -- the sink against others ------------------------------------------------------------------------

def test_swaks_to_the_sink(fast_sink, unsteered):
    shown = servers.swaks(unsteered.subscribers, SERVER, "--body", "Hello", source="10.20.0.9").stdout
    assert "250-PIPELINING" in shown and "250-STARTTLS" in shown
    shown = servers.swaks(unsteered.subscribers, SERVER, "--tls", "--body", "Hello", source="10.20.0.9").stdout
    assert "TLSv1.3" in shown
    assert counted(told(fast_sink)) == {"sessions": 2, "messages": 2, "recipients": 2}


def test_smtp_source_to_the_sink(fast_sink, unsteered):
    servers.smtp_source(unsteered.subscribers, SERVER, "-m", "60", "-s", "5", "-r", "3", "-l", "4096", source="10.20.0.9")
    servers.smtp_source(unsteered.subscribers, SERVER, "-d", "-m", "60", "-s", "5", source="10.20.0.9")
    heard = told(fast_sink)
    assert heard["messages"] == 120 and heard["recipients"] == 60 * 3 + 60


def conversation(lab, *pieces, end=True):
    """Sends the pieces one by one, and the end; all that the sink has said until its own."""
    said = b""
    with lab.subscribers.connect(SERVER, "10.20.0.9", timeout=30) as client:
        for piece in pieces:
            client.sendall(piece)
        if end:
            client.shutdown(socket.SHUT_WR)
        while more := client.recv(1 << 16):
            said += more
    return said


def codes(said):
    """The codes of all replies."""
    return [int(line[:3]) for line in said.split(b"\r\n") if line[3:4] == b" "]


MAIL = b"MAIL FROM:<a@client.example>\r\nRCPT TO:<b@mx.example>\r\nDATA\r\n"


def test_the_sink_answers_what_is_pipelined_and_half_closed(fast_sink, unsteered):
    said = conversation(unsteered, b"EHLO client.example\r\n" + MAIL + b"Hello\r\n.\r\n" + MAIL + b"again\r\n.\r\nquit\r\n")
    assert codes(said) == [220, 250, 250, 250, 354, 250, 250, 250, 354, 250, 221]
    assert counted(told(fast_sink)) == {"sessions": 1, "messages": 2, "recipients": 2}


def test_the_sink_wants_order(fast_sink, unsteered):
    said = conversation(unsteered, b"HELO client.example\r\nRCPT TO:<b@mx.example>\r\nDATA\r\nMAIL FROM:<>\r\nMAIL FROM:<>\r\n"
                                   b"DATA\r\nRSET\r\nRCPT TO:<b@mx.example>\r\nNOOP\r\nVRFY x\r\nMAILX\r\n\r\nQUIT\r\n")
    assert codes(said) == [220, 250, 503, 503, 250, 503, 503, 250, 503, 250, 502, 502, 502, 221]
    assert told(fast_sink)["messages"] == 0


TEXTS = [b"", b"Hello\r\n", b"..\r\n", b"\r\n", b"\r\n\r\n..\r\n.x\r\n", b"a.b\r\n.\r.\n.\r\r\n", b"x\n.\n\r\r\n", b"\r.\r\n"]


@pytest.mark.parametrize("text", TEXTS)
def test_the_sink_finds_the_end_of_a_text_wherever_it_is_cut(fast_sink, unsteered, text):
    whole = MAIL + text + b".\r\n"
    for cut in range(len(MAIL), len(whole)):
        with unsteered.subscribers.connect(SERVER, "10.20.0.9") as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(whole[:cut])
            servers.read_until(client, b"354 End data with <CR><LF>.<CR><LF>\r\n")
            client.sendall(whole[cut:] + b"QUIT\r\n")
            assert codes(servers.read_until(client, b"Bye\r\n")) == [250, 221], cut
    heard = told(fast_sink)
    assert heard["messages"] == len(whole) - len(MAIL)
    assert heard["bytes"] == heard["messages"] * len(text)


def test_the_sink_lets_clients_close_first_but_waits_for_none(fast_sink, unsteered):
    assert codes(conversation(unsteered, b"QUIT\r\n", end=False)) == [220, 221]
    assert fast_sink.alive()


def test_the_sink_answers_who_reads_late(fast_sink, unsteered):
    """Its replies, some 14 MB, fill all buffers on the way: it holds what is left, and reads no more."""
    count = 1_000_000
    with unsteered.subscribers.connect(SERVER, "10.20.0.9", timeout=60) as client:
        sender = threading.Thread(target=client.sendall, args=(b"NOOP\r\n" * count + b"QUIT\r\n",))
        sender.start()
        wait_for(lambda: int(unsteered.internet.run("ss", "-Htn", "src", SERVER).stdout.split()[1]) > 0, 60,
                 "the sink to read no more")
        said = servers.read_until(client, b"221 2.0.0 Bye\r\n", limit=1 << 30)
        sender.join()
    assert said.count(b"250 2.0.0 Ok\r\n") == count and said.startswith(b"220 ")
    assert counted(told(fast_sink)) == {"sessions": 1, "messages": 0, "recipients": 0}


def test_the_sink_waits_for_who_reads_late(fast_sink, unsteered):
    """Who has said QUIT and not read all has half a second to close from when the last of it went out."""
    count = 20_000
    said = bytearray()
    with topology.other_sysctls(unsteered.internet, {"net.ipv4.tcp_wmem": "4096 16384 16384"}), \
            unsteered.subscribers.connect(SERVER, "10.20.0.9", timeout=60) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        client.sendall(b"NOOP\r\n" * count + b"QUIT\r\n")
        while not said.endswith(b"Bye\r\n") and (more := client.recv(8192)):
            said += more
            time.sleep(0.05)
    assert said.count(b"250 2.0.0 Ok\r\n") == count and said.endswith(b"221 2.0.0 Bye\r\n")


def test_the_sink_survives_resets(fast_sink, unsteered):
    for sent in (b"", b"EHLO client.example\r\n", MAIL, b"QUIT\r\n", MAIL + b"Hello\r\n.\r\nQUIT\r\n" * 100):
        with unsteered.subscribers.connect(SERVER, "10.20.0.9") as client:
            client.sendall(sent)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert codes(conversation(unsteered, b"QUIT\r\n")) == [220, 221]
    assert told(fast_sink)["sessions"] == 6


def test_the_sink_forgets_what_was_injected_before_tls(fast_sink, unsteered):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with unsteered.subscribers.connect(SERVER, "10.20.0.9") as client:
        client.sendall(b"EHLO client.example\r\nSTARTTLS\r\nNOOP\r\nNOOP\r\n")
        assert codes(servers.read_until(client, b"Ready\r\n")) == [220, 250, 220]
        with context.wrap_socket(client, server_hostname="mx.example") as secure:
            assert secure.version() == "TLSv1.3"
            secure.sendall(b"EHLO client.example\r\nSTARTTLS\r\nQUIT\r\n")
            said = servers.read_until(secure, b"Bye\r\n")
    assert codes(said) == [250, 502, 221] and b"STARTTLS" not in said
    assert told(fast_sink)["sessions"] == 1


def test_the_sink_offers_tls_only_with_a_certificate(unsteered):
    with unsteered.internet.popen(tool("sink"), "--listen", f"{SERVER}:25", stdout=subprocess.PIPE, text=True) as plain:
        try:
            assert plain.stdout.readline() == "ready\n"
            assert run(unsteered, "--sessions", 2, "--starttls")["refused"] == {"starttls 502": 2}
        finally:
            plain.send_signal(signal.SIGTERM)
        assert json.loads(plain.stdout.read())["sessions"] == 2


@pytest.mark.parametrize("options, what", [
    ((), "needs --listen"),
    (("--listen", SERVER), "ADDR:PORT"),
    (("--listen", "2001:db8::1:25"), "[ADDR6]:PORT"),
    (("--listen", "127.0.0.1:0"), "PORT a whole number from 1 to 65535"),
    (("--listen", f"{SERVER}:25", "--key", "x"), "belong together"),
    (("--listen", f"{SERVER}:25", "--key", "/nowhere", "--certificate", "/nowhere"), "no PEM files"),
    (("--listen", f"{SERVER}:25", "more"), "options alone"),
])
def test_the_sink_says_what_is_allowed(options, what):
    done = subprocess.run([tool("sink"), *options], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2 and what in done.stderr and done.stdout == ""


@pytest.mark.parametrize("family, host", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "[::1]")])
def test_the_sink_says_where_it_cannot_listen(family, host):
    with socket.create_server((host.strip("[]"), 0), family=family) as other:
        where = f"{host}:{other.getsockname()[1]}"
        done = subprocess.run([tool("sink"), "--listen", where], capture_output=True, text=True, timeout=30,
                              check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"sink: cannot listen on {where}: Address already in use\n"
