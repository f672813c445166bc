"""gate25-bypassd: registered subscribers are routed on by the kernel, and gate25d never sees them."""

import contextlib
import socket

import pytest

from tests.integration import let_by
from tests.integration.let_by import EITHER, LINE4, LINE6, is_reset, register, sessions, store_of
from tests.integration.wire import MX4, MX6, Client, first_reply, send
from tests.lab.process import wait_for

FAMILIES = [pytest.param(*family, id=name) for name, family in zip(("ipv4", "ipv6"), let_by.FAMILIES)]


# -- what passes, and what does not ----------------------------------------------------------------


@EITHER
@pytest.mark.parametrize("source, server", FAMILIES)
def test_registered_subscribers_never_reach_the_gate(lab, sink, bypass, source, server):
    heard = sink()
    b = bypass()
    assert send(lab, source, server).startswith("250 ")
    assert sessions(b) == 1, "without a standing the gate takes it"
    register(b, source)
    for _ in range(3):
        assert send(lab, source, server).startswith("250 ")
    assert sessions(b) == 1
    assert len(heard.wait_messages(4)) == 4
    assert set(heard.peers()) == {source}, "the server sees the subscriber's own address"


@EITHER
@pytest.mark.parametrize("source, server", FAMILIES)
def test_others_are_metered_as_before(lab, sink, bypass, source, server):
    sink()
    b = bypass()
    register(b, source)
    other = "10.20.0.26" if server == MX4 else "2001:db8:20:2600::25"
    assert send(lab, other, server).startswith("250 ")
    assert send(lab, other, server).startswith("450 4.7.1 ")
    assert sessions(b) == 2


@EITHER
def test_a_whole_delegated_prefix_is_let_by(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, LINE6)
    assert send(lab, "2001:db8:20:25ff:ffff::1", MX6).startswith("250 ")
    assert sessions(b) == 0
    assert send(lab, "2001:db8:20:2600::1", MX6).startswith("250 ")
    assert sessions(b) == 1


@EITHER
def test_prefixes_are_ranges_with_holes(lab, sink, bypass):
    """The longest standing holds, as in the gate."""
    sink()
    b = bypass()
    register(b, "10.20.8.0/24", "2001:db8:20:8000::/52")
    for line in ("10.20.8.7", "2001:db8:20:8100::/56", "10.20.8.128/25"):
        b.gate.ctl("quarantine", line)
    register(b, "10.20.8.130")
    b.wait_status(in_step=True, ranges=4, units=1)
    passing = ["10.20.8.6", "10.20.8.8", "10.20.8.130", "2001:db8:20:80ff::1", "2001:db8:20:8fff::1"]
    refused = ["10.20.8.7", "10.20.8.129", "10.20.8.255", "2001:db8:20:8100::1", "2001:db8:20:81ff::1"]
    for line in passing:
        assert send(lab, line, MX6 if ":" in line else MX4).startswith("250 "), line
    assert sessions(b) == 0
    wait_for(lambda: all(first_reply(lab, "10.20.8.129").startswith("554 ") for _ in range(8)), 10,
             "each of the gate's workers has heard of the last of them")
    before = sessions(b)
    for line in refused:
        assert first_reply(lab, line, MX6 if ":" in line else MX4).startswith("554 "), line
    for line in ("10.20.9.0", "10.20.7.255", "2001:db8:20:7fff::1", "2001:db8:20:9000::1"):
        assert send(lab, line, MX6 if ":" in line else MX4).startswith("250 "), line
    assert sessions(b) == before + len(refused) + 4
    # The holes close, and the ranges are whole again.
    for line in ("10.20.8.7", "2001:db8:20:8100::/56", "10.20.8.128/25"):
        b.gate.ctl("release", line)
    b.wait_status(in_step=True, ranges=2, units=1)
    assert send(lab, "10.20.8.7").startswith("250 ") and send(lab, "2001:db8:20:8100::1", MX6).startswith("250 ")
    assert sessions(b) == before + len(refused) + 4


@EITHER
def test_everybody_passes_but_those_who_do_not(lab, sink, bypass):
    sink()
    b = bypass({"class ordinary": {"action": "pass", "messages": None}})
    b.gate.ctl("quarantine", LINE4)
    b.gate.ctl("quarantine", LINE6)
    b.wait_status(in_step=True, units=0, ranges=4)
    assert send(lab, "10.20.0.24").startswith("250 ") and send(lab, "2001:db8:20::1", MX6).startswith("250 ")
    assert sessions(b) == 0
    assert first_reply(lab, LINE4).startswith("554 ") and first_reply(lab, LINE6, MX6).startswith("554 ")


@EITHER
def test_what_lies_outside_the_subscribers_space_stays_with_the_gate(lab, sink, bypass):
    sink()
    b = bypass()
    with store_of(b) as store:
        store.hset("g25:standings", "192.0.2.7", "registered 0")
        store.xadd("g25:changes", {"id": "192.0.2.7", "class": "registered", "until": "0", "verb": "set"})
    register(b, LINE4)
    assert b.wait_status(in_step=True)["units"] == 1
    with contextlib.suppress(ConnectionError):
        assert not first_reply(lab, "192.0.2.7").startswith("220")
    assert sessions(b) == 1


# -- connections that are open ---------------------------------------------------------------------


@EITHER
@pytest.mark.parametrize("source, server", FAMILIES)
def test_a_connection_begun_before_the_registration_goes_on(lab, sink, bypass, source, server):
    heard = sink()
    b = bypass({"class ordinary": {"messages": ["10/1d"]}})
    with Client(lab, source, server) as before:
        before.greet()
        assert before.mail().startswith("250 ")
        register(b, source)
        assert before.mail().startswith("250 "), "it stays with the gate"
        assert send(lab, source, server).startswith("250 ")
        assert sessions(b) == 1, "the new one does not"
        before.expect("QUIT", 221)
    assert b.gate.wait_journal(event="session")[0]["messages"] == 2
    assert len(heard.wait_messages(3)) == 3


def resting(b):
    """The ports that the gate has used towards servers, and keeps in TIME_WAIT."""
    said = b.host.run("ss", "-Htn", "state", "time-wait", "( dport = :25 )").stdout
    return [int(line.split()[2].rpartition(":")[2]) for line in said.splitlines()]


def connect_from(lab, source, port, server):
    with lab.subscribers.inside():
        connection = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET)
    connection.settimeout(40)  # TIME_WAIT lasts a minute
    connection.bind((source, port))
    connection.connect((server, 25))
    return connection


@EITHER
@pytest.mark.parametrize("source, server", FAMILIES)
def test_a_port_that_the_gate_has_used_can_be_used_at_once(lab, sink, bypass, source, server):
    """The server's reply meets the gate's own connection, which is in TIME_WAIT."""
    sink()
    b = bypass()
    earlier = set(resting(b))
    with Client(lab, source, server) as client:
        client.greet()
    port = wait_for(lambda: set(resting(b)) - earlier, 30, "the gate's connection rests").pop()
    register(b, source)
    with contextlib.closing(connect_from(lab, source, port, server)) as connection:
        assert connection.recv(100).startswith(b"220 ")
    assert sessions(b) == 1


@EITHER
@pytest.mark.parametrize("verb", ["unregister", "quarantine"])
@pytest.mark.parametrize("source, server", FAMILIES)
def test_removal_ends_open_connections(lab, bypass, source, server, verb):
    """Both ends hear of it as soon as they send something."""
    b = bypass()
    register(b, source)
    with lab.internet.listen(server) as listener, Client(lab, source, server) as client:
        taken, _ = listener.accept()
        with taken:
            taken.settimeout(15)
            taken.sendall(b"220 mx.example\r\n")
            assert client.reply() == "220 mx.example"
            b.gate.ctl(verb, source)
            wait_for(lambda: not b.ask(f"show {source}")["let_by"], 60, "no longer let by")
            client.send("NOOP\r\n")
            with pytest.raises(ConnectionError):
                while client.connection.recv(100):
                    pass
            taken.sendall(b"421 still there?\r\n")
            with pytest.raises(ConnectionError):
                taken.recv(100)
    assert sessions(b) == 0, "it did not become a session of the gate"


@EITHER
def test_a_range_that_goes_ends_open_connections(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, "10.20.8.0/24")
    with Client(lab, "10.20.8.7") as client, Client(lab, "10.20.8.9") as other:
        client.greet()
        other.greet()
        b.gate.ctl("quarantine", "10.20.8.7")
        wait_for(lambda: not b.ask("show 10.20.8.7")["let_by"], 60, "a hole")
        assert is_reset(client)
        assert other.lives(), "the others of the range go on"


@EITHER
def test_an_end_date_passes(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, LINE4, options=("--until", "4s"))
    with Client(lab, LINE4) as client:
        client.greet()
        wait_for(lambda: not b.ask(f"show {LINE4}")["let_by"], 60, "the end")
        assert is_reset(client)
    assert send(lab, LINE4).startswith("250 ") and sessions(b) == 1


@EITHER
def test_an_end_date_passes_while_nobody_looks(lab, sink, bypass):
    """The kernel itself lets the element go."""
    sink()
    b = bypass()
    register(b, LINE4, "10.20.9.0/24", options=("--until", "2s"))
    b.stop()
    wait_for(lambda: not b.units() and not b.elements("ranges4"), 60, "the kernel's own end")
    assert send(lab, LINE4).startswith("250 ") and sessions(b) == 1
    b.cont()
    register(b, LINE4)
    assert sessions(b) == 1


@EITHER
def test_another_end_is_taken_over(bypass):
    b = bypass()
    register(b, LINE4, options=("--until", "1h"))
    assert 3500 < b.units()[LINE4]["timeout"] < 3700
    b.gate.ctl("register", LINE4, "--until", "10h")
    wait_for(lambda: b.units()[LINE4].get("timeout", 0) > 35000, 60, "the later end")
    b.gate.ctl("register", LINE4)
    wait_for(lambda: "timeout" not in b.units()[LINE4], 60, "no end")


# -- REDIRECT --------------------------------------------------------------------------------------


def test_with_redirect(redirect, sink, bypass):
    """There connection tracking has to be told of who is no longer let by."""
    lab = redirect
    heard = sink()
    b = bypass({"class ordinary": {"messages": ["10/1d"]}})
    with Client(lab, LINE4) as before:
        before.greet()
        register(b, LINE4)
        assert before.mail().startswith("250 "), "what the gate has, it keeps"
        assert sessions(b) == 1
    with Client(lab, LINE4) as client:
        client.greet()
        assert client.mail().startswith("250 ")
        assert sessions(b) == 1
        assert heard.wait_messages(2)[-1]["peer"] == LINE4
        b.gate.ctl("unregister", LINE4)
        b.wait_status(in_step=True, units=0)
        wait_for(lambda: b.status()["counters"]["connections_ended"] > 0, 60, "forgotten")
        assert is_reset(client)
    assert send(lab, LINE4).startswith("250 ")
    assert sessions(b) == 2 and heard.wait_messages(3)[-1]["peer"] != LINE4
