"""What the gate does not take: direct connections, loops, sources that are no subscribers'."""

import socket

import pytest

from tests.integration.test_lab import nested
from tests.integration.wire import FREE, MX4, MX6, Client, first_reply, send
from tests.lab import servers, topology
from tests.lab.process import wait_for

GATE4, GATE6 = "172.16.3.2", "fd00:25:3::2"  # the gate's link
BOTH = [pytest.param("10.20.40.1", MX4, id="ipv4"), pytest.param("2001:db8:20:4000::1", MX6, id="ipv6")]
STRANGERS = [pytest.param("192.0.2.66", MX4, id="ipv4"), pytest.param("2001:db8:bad::66", MX6, id="ipv6")]

# A router that sends the gate's own connections to the gate again. Tracking the connections keeps
# the gate's answers to the subscribers apart from those to itself.
LOOP = """
add chain inet gate25_router loop { type filter hook prerouting priority -140; }
add rule inet gate25_router loop iifname "gate1" tcp dport 25 ct mark set 1 meta mark set 0x25
add rule inet gate25_router loop iifname "gate1" tcp sport 25 ct mark 1 meta mark set 0x25
"""


@pytest.fixture(name="looping")
def looping_fixture(lab):
    lab.router.run("nft", "-f", "-", input=LOOP)
    yield lab
    lab.router.run("nft", "flush", "chain", "inet", "gate25_router", "loop")
    lab.router.run("nft", "delete", "chain", "inet", "gate25_router", "loop")


@pytest.mark.parametrize("mode", ["tproxy", "redirect"])
def test_a_direct_connection_is_refused(request, lab, gate, sink, mode):
    if mode == "redirect":
        request.getfixturevalue("redirect")
    server = sink()
    port = topology.GATE_PORT
    running = gate({**FREE, "intercept": {"listen": [f"0.0.0.0:{port}", f"[::]:{port}"]}})
    heard = [first_reply(lab, None, address, host=lab.gate, port=port) for address in ("127.0.0.1", "::1")]
    heard += [first_reply(lab, source, address, port=port)
              for source, address in (("10.20.40.2", GATE4), ("2001:db8:20:4001::1", GATE6))]
    for reply in heard:
        assert reply.startswith("554 5.7.1 ") and "no relay" in reply
    lines = running.wait_journal(len(heard), event="session", rule="direct")
    assert {line["verdict"] for line in lines} == {"refuse"}
    assert {line["server"].rpartition(":")[2] for line in lines} == {str(port)}
    assert server.peers() == []
    for source, address in (("10.20.40.3", MX4), ("2001:db8:20:4002::1", MX6)):  # what is steered goes on
        assert send(lab, source, address).startswith("250 ")


@pytest.mark.parametrize("source, address", [("10.20.40.4", GATE4), ("2001:db8:20:4003::1", GATE6)],
                         ids=["ipv4", "ipv6"])
def test_the_gates_own_address_is_a_loop(lab, gate, source, address):
    running = gate(FREE)
    reply = first_reply(lab, source, address)
    assert reply.startswith("554 5.4.6 ") and "routing loop" in reply
    line = running.wait_journal(event="session", rule="loop")[0]
    assert (line["verdict"], line["client"].rpartition(":")[0].strip("[]")) == ("refuse", source)


@pytest.mark.parametrize("source, address", BOTH)
def test_a_routing_loop_ends_at_its_first_turn(looping, gate, sink, source, address):
    server = sink()
    running = gate(FREE)
    reply = first_reply(looping, source, address)
    assert reply.startswith("421 4.4.6 ") and "routing loop" in reply
    running.wait_journal(event="session", rule="loop")
    running.wait_journal(2, event="session")
    assert len(running.journal(event="session", rule="loop")) == 1
    assert running.ctl_json("status")["counters"]["sessions_total"] == 2, "the subscriber's and its return"
    assert server.peers() == []


def test_a_loop_that_is_mended_leaves_nothing(lab, request, gate, sink):
    sink()
    running = gate(FREE)
    request.getfixturevalue("looping")
    for number in range(20):
        assert first_reply(lab, f"10.20.41.{number}", MX4).startswith("421 4.4.6 ")
    lab.router.run("nft", "flush", "chain", "inet", "gate25_router", "loop")
    for number in range(20):
        assert send(lab, f"10.20.41.{number}", MX4).startswith("250 ")
    assert running.ctl_json("status")["counters"]["sessions_total"] == 60


def from_port(lab, source, port, address, ttl=None):
    """A subscriber's connection to port 25 from that very port (0: any), its packets with that TTL."""
    family, level, name = ((socket.AF_INET6, socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS) if ":" in address
                           else (socket.AF_INET, socket.IPPROTO_IP, socket.IP_TTL))
    with lab.subscribers.inside():
        connection = socket.socket(family, socket.SOCK_STREAM)
    connection.settimeout(20)
    if ttl:
        connection.setsockopt(level, name, ttl)
    connection.bind((source, port))
    connection.connect((address, 25))
    return connection


@pytest.mark.parametrize("registered", [True, False], ids=["registered", "ordinary"])
@pytest.mark.parametrize("source, address", BOTH)
def test_the_port_of_the_gates_own_connection_is_nobodys(lab, gate, redis, source, address, registered):
    """While a server is silent, its client's next connection has the port that the gate itself has there."""
    if registered:
        unit = source if "." in source else "2001:db8:20:4000::/56"
        redis.cli("hset", "g25:standings", unit, "registered 0")
    running = gate(FREE)
    with lab.internet.listen(address) as listener:
        listener.settimeout(20)
        with lab.subscribers.connect(address, source) as first:
            server, peer = listener.accept()
            with server, from_port(lab, source, peer[1], address) as second:
                again, other = listener.accept()
                with again:
                    assert (other[0], first.getsockname()[:1]) == (peer[0], peer[:1])
                    for end, client, words in ((again, second, b"220 two\r\n"), (server, first, b"220 one\r\n")):
                        end.sendall(words)
                        client.settimeout(20)
                        assert client.recv(100) == words
    running.wait_journal(2, event="session")
    assert not running.journal(rule="loop")


TCP_SAVE_SYN, TCP_SAVED_SYN = 27, 28


@pytest.mark.parametrize("ttl, sent", [(64, 230), (128, 230), (255, 230), (230, 210), (210, None)])
@pytest.mark.parametrize("source, address", BOTH)
def test_how_many_gates_a_connection_has_come_through(lab, gate, source, address, ttl, sent):
    """Its first packet's TTL tells, one below at each router; from the second gate on it is a loop."""
    running = gate(FREE)
    with lab.internet.listen(address) as listener:
        listener.settimeout(20)
        listener.setsockopt(socket.IPPROTO_TCP, TCP_SAVE_SYN, 1)
        with from_port(lab, source, 0, address, ttl) as client:
            if sent is None:
                assert client.recv(100).startswith(b"421 4.4.6 ")
                assert running.wait_journal(event="session", rule="loop")
                return
            server, _ = listener.accept()
            with server:
                syn = server.getsockopt(socket.IPPROTO_TCP, TCP_SAVED_SYN, 512)
                assert syn[8 if "." in address else 7] == sent - 1
                server.sendall(b"220 mx\r\n")
                assert client.recv(100) == b"220 mx\r\n"


TWO_GATES = """
from tests.integration.test_admission import send_each_other_back
from tests.lab import servers, topology
from tests.lab.process import wait_for
send_each_other_back(topology.Lab(gates=2))
"""

# A router that sends each gate's connections to the other one.
PING_PONG = """
add chain inet gate25_router loop { type filter hook prerouting priority -140; }
add rule inet gate25_router loop iifname "gate1" tcp dport 25 ct mark set 2 meta mark set 0x26
add rule inet gate25_router loop iifname "gate2" tcp dport 25 ct mark set 1 meta mark set 0x25
add rule inet gate25_router loop iifname "gate2" tcp sport 25 ct mark 2 meta mark set 0x25
add rule inet gate25_router loop iifname "gate1" tcp sport 25 ct mark 1 meta mark set 0x26
"""


def send_each_other_back(lab):
    """Runs in a sandbox of its own."""
    lab.router.run("nft", "-f", "-", input=PING_PONG)
    with servers.Redis(lab.gate) as redis, servers.Gate(lab, redis, FREE) as one, \
            servers.Gate(lab, redis, FREE, number=2) as two, servers.Sink(lab.internet, [MX4, MX6]) as sink:
        for number, (source, address) in enumerate((("10.20.40.1", MX4), ("2001:db8:20:4000::1", MX6)), start=1):
            reply = first_reply(lab, source, address)
            assert reply.startswith("421 4.4.6 ") and "routing loop" in reply, reply
            wait_for(lambda seen=3 * number: sum(len(gate.journal(event="session")) for gate in (one, two)) == seen,
                     20, "the subscriber's session, the other gate's and its return")
            assert sum(len(gate.journal(event="session", rule="loop")) for gate in (one, two)) == number
        assert sink.peers() == []


def test_two_gates_that_get_each_others_traffic():
    nested(TWO_GATES)


@pytest.mark.parametrize("source, address", STRANGERS)
def test_a_source_outside_the_prefixes_is_refused(lab, gate, sink, source, address):
    server = sink()
    running = gate(FREE)
    with Client(lab, source, address) as client:
        reply = client.reply()
        assert reply.startswith("554 5.7.1 ") and "not an address of this network's subscribers" in reply
        assert source in reply
        assert client.ended()
    line = running.wait_journal(event="session", rule="source")[0]
    assert (line["verdict"], line["id"], line["class"]) == ("refuse", None, None)
    assert line["case"] in reply
    assert server.peers() == [], "no connection was made on its behalf"


def test_a_source_outside_is_refused_by_redirect_too(redirect, gate, sink):
    server = sink()
    running = gate(FREE)
    assert first_reply(redirect, "192.0.2.67").startswith("554 5.7.1 ")
    running.wait_journal(event="session", rule="source")
    assert server.peers() == []


def test_prefixes_are_those_of_the_configuration(lab, gate, sink):
    sink()
    gate({**FREE, "subscribers": {"prefixes": ["10.20.0.0/17"]}})
    assert first_reply(lab, "10.20.127.255").startswith("220 ")
    assert first_reply(lab, "10.20.128.0").startswith("554 5.7.1 ")
    assert first_reply(lab, "2001:db8:20::1", MX6).startswith("554 5.7.1 ")
