"""gate25-bypassd: registered subscribers are routed on by the kernel, and gate25d never sees them."""

import contextlib
import re
import signal
import time

import pytest

from tests.integration.test_lab import nested
from tests.integration.wire import MX4, MX6, Client, first_reply, send
from tests.lab import gate as gate_module
from tests.lab import redis_fleet, servers, topology
from tests.lab.bypass import TABLE, Bypass
from tests.lab.process import PARTS, wait_for

LIMITS = {"class ordinary": {"messages": ["1/1d"]}}
LINE4, LINE6 = "10.20.0.25", "2001:db8:20:2500::25"
FAMILIES = [pytest.param(LINE4, MX4, id="ipv4"), pytest.param(LINE6, MX6, id="ipv6")]
CAP_NET_ADMIN = 1 << 12


@pytest.fixture(name="bypass")
def bypass_fixture(gate, started):
    """bypass({...}) starts a gate, and a gate25-bypassd beside it with bypass { section }."""
    begun = []

    def start(overrides=None, section=None, **options):
        begun.append(Bypass(gate({**LIMITS, **(overrides or {})}, **options), section))
        return started(begun[-1])

    yield start
    for b in begun:
        b.end()
        b.host.run("nft", "delete", "table", *TABLE, check=False)


def store_of(b):
    """A client of its Redis."""
    return contextlib.closing(servers.redis_client.Redis(
        unix_socket_path=b.gate.sections["redis"]["url"][5:], decode_responses=True))


def sessions(b):
    """How many gate25d has had."""
    return b.gate.ctl_json("status")["counters"]["sessions_total"]


def register(b, *who, options=()):
    """Registers them, and waits until the kernel lets them by."""
    for line in who:
        b.gate.ctl("register", line, *options)
    wait_for(lambda: all(b.ask(f"show {line}")["let_by"] for line in who), 60, f"{who} let by")


def unregister(b, *who):
    for line in who:
        b.gate.ctl("unregister", line)
    wait_for(lambda: not any(b.ask(f"show {line}")["let_by"] for line in who), 60, f"{who} not let by")


def is_reset(client):
    """Says something: is the connection at its end?"""
    try:
        return client.say("NOOP") == ""
    except (ConnectionError, TimeoutError) as error:
        return isinstance(error, ConnectionError)


# -- what passes, and what does not ----------------------------------------------------------------


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
    assert len(heard.messages()) == 4
    assert set(heard.peers()) == {source}, "the server sees the subscriber's own address"


@pytest.mark.parametrize("source, server", FAMILIES)
def test_others_are_metered_as_before(lab, sink, bypass, source, server):
    sink()
    b = bypass()
    register(b, source)
    other = "10.20.0.26" if server == MX4 else "2001:db8:20:2600::25"
    assert send(lab, other, server).startswith("250 ")
    assert send(lab, other, server).startswith("450 4.7.1 ")
    assert sessions(b) == 2


def test_a_whole_delegated_prefix_is_let_by(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, LINE6)
    assert send(lab, "2001:db8:20:25ff:ffff::1", MX6).startswith("250 ")
    assert sessions(b) == 0
    assert send(lab, "2001:db8:20:2600::1", MX6).startswith("250 ")
    assert sessions(b) == 1


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
    for line in refused:
        assert first_reply(lab, line, MX6 if ":" in line else MX4).startswith("554 "), line
    for line in ("10.20.9.0", "10.20.7.255", "2001:db8:20:7fff::1", "2001:db8:20:9000::1"):
        assert send(lab, line, MX6 if ":" in line else MX4).startswith("250 "), line
    assert sessions(b) == len(refused) + 4
    # The holes close, and the ranges are whole again.
    for line in ("10.20.8.7", "2001:db8:20:8100::/56", "10.20.8.128/25"):
        b.gate.ctl("release", line)
    b.wait_status(in_step=True, ranges=2, units=1)
    assert send(lab, "10.20.8.7").startswith("250 ") and send(lab, "2001:db8:20:8100::1", MX6).startswith("250 ")
    assert sessions(b) == len(refused) + 4


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
    assert len(heard.messages()) == 3


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


def test_an_end_date_passes(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, LINE4, options=("--until", "4s"))
    with Client(lab, LINE4) as client:
        client.greet()
        wait_for(lambda: not b.ask(f"show {LINE4}")["let_by"], 60, "the end")
        assert is_reset(client)
    assert send(lab, LINE4).startswith("250 ") and sessions(b) == 1


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


def test_another_end_is_taken_over(bypass):
    b = bypass()
    register(b, LINE4, options=("--until", "1h"))
    assert 3500 < b.units()[LINE4]["timeout"] < 3700
    b.gate.ctl("register", LINE4, "--until", "10h")
    wait_for(lambda: b.units()[LINE4].get("timeout", 0) > 35000, 60, "the later end")
    b.gate.ctl("register", LINE4)
    wait_for(lambda: "timeout" not in b.units()[LINE4], 60, "no end")


# -- restarts and failures -------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_its_own_restart_changes_nothing(lab, sink, bypass, how):
    sink()
    b = bypass()
    register(b, LINE4, LINE6, "10.20.8.0/24", "2001:db8:20:8000::/52")
    with Client(lab, LINE4) as open4, Client(lab, LINE6, MX6) as open6:
        open4.greet()
        open6.greet()
        b.signal(how)
        b.process.wait(30)
        assert open4.lives() and open6.lives()
        for line, server in ((LINE4, MX4), (LINE6, MX6), ("10.20.8.1", MX4)):
            assert send(lab, line, server).startswith("250 "), "without it new ones pass too"
        b.start()
        counters = b.wait_status(in_step=True, units=2, ranges=2)["counters"]
        assert (counters["added"], counters["removed"], counters["tables_made"]) == (0, 0, 0)
        assert open4.lives() and open6.lives()
    assert sessions(b) == 0


def test_it_catches_up_after_a_restart(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, LINE4, "10.20.8.0/24")
    b.kill()
    b.gate.ctl("unregister", LINE4)
    b.gate.ctl("unregister", "10.20.8.0/24")
    b.gate.ctl("register", LINE6)
    b.start()
    b.wait_status(in_step=True, units=1, ranges=0)
    assert list(b.units()) == ["2001:db8:20:2500::"]
    assert send(lab, LINE6, MX6).startswith("250 ") and sessions(b) == 0


def test_the_gates_restart_does_not_matter(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, LINE4)
    with Client(lab, LINE4) as client:
        client.greet()
        b.gate.kill()
        assert client.mail().startswith("250 ")
        assert send(lab, LINE4).startswith("250 "), "no gate is needed for it"
        with pytest.raises(TimeoutError):
            lab.subscribers.connect(MX4, "10.20.0.26", timeout=1)
        b.gate.start()
        assert client.lives()
    assert send(lab, LINE4).startswith("250 ")
    assert sessions(b) == 0


def reload_rules(lab, b):
    """What `systemctl reload nftables` does: all rules are replaced in one step by the gate's file."""
    text = (topology.CONTRIB / "routers" / "gate-tproxy.nft").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^define steered_link = .*$", f'define steered_link = "{topology.UPLINK}"', text)
    b.host.run("nft", "-f", "-", input="flush ruleset\n" + text)


def test_nftables_is_reloaded(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, LINE4, LINE6, "10.20.8.0/24")
    for _ in range(3):
        made = b.status()["counters"]["tables_made"]
        reload_rules(lab, b)
        wait_for(lambda: b.status()["counters"]["tables_made"] > made, 60, "it was noticed")
        b.wait_status(in_step=True, units=2, ranges=1, well=True)
        assert send(lab, LINE4).startswith("250 ") and send(lab, LINE6, MX6).startswith("250 ")
    assert sessions(b) == 0


def test_open_connections_outlive_a_new_table(lab, sink, bypass):
    """While the sets are filled anew, what is open goes on."""
    sink()
    b = bypass()
    lines = [f"10.20.{n >> 8}.{n & 255}" for n in range(30, 230)]
    b.gate.ctl("register", LINE4)
    with store_of(b) as store:
        for line in lines:
            store.hset("g25:standings", line, "registered 0")
            store.xadd("g25:changes", {"id": line, "class": "registered", "until": "0", "verb": "set"})
    b.wait_status(in_step=True, well=True, units=len(lines) + 1)
    with Client(lab, LINE4) as client:
        client.greet()
        for _ in range(3):
            made = b.status()["counters"]["tables_made"]
            time.sleep(0.5)  # no acknowledgement is still to come: the table is away for a moment
            b.host.run("nft", "delete", "table", *TABLE)
            wait_for(lambda: b.status()["counters"]["tables_made"] > made, 60, "a new table")
            b.wait_status(in_step=True, well=True)
            assert client.lives()
    assert sessions(b) == 0


@pytest.mark.parametrize("harm", [
    "flush set inet gate25_bypass units4_9", "flush chain inet gate25_bypass up_free",
    "delete element inet gate25_bypass ranges4 { 10.20.8.0-10.20.8.255 }",
    "add element inet gate25_bypass units4_2 { 10.20.0.66 }", "flush table inet gate25_bypass"])
def test_what_others_do_to_its_table_is_mended(lab, sink, bypass, harm):
    sink()
    b = bypass()
    register(b, LINE4, "10.20.8.0/24")
    b.host.run("nft", harm)

    def is_mended():
        with contextlib.suppress(topology.CommandFailed):
            return (list(b.units()) == [LINE4] and len(b.elements("ranges4")) == 1 and
                    "goto let_up" in b.host.run("nft", "list", "chain", *TABLE, "up_free").stdout)
        return False
    wait_for(is_mended, 60, "mended")
    assert send(lab, LINE4).startswith("250 ") and send(lab, "10.20.8.1").startswith("250 ")
    assert sessions(b) == 0
    assert send(lab, "10.20.0.66").startswith("250 ") and sessions(b) == 1


FOREIGN = """
table inet firewall {
    set friends {
        type ipv4_addr
        flags interval
        elements = { 192.0.2.0/24, 198.51.100.7 }
    }
    counter seen {
        packets 12 bytes 3456
    }
    chain input {
        type filter hook input priority filter; policy accept;
        tcp dport 1 drop
    }
    chain forward {
        type filter hook forward priority filter; policy accept;
        tcp dport 2 drop
    }
}
table ip nat {
    map ports {
        type inet_service : ipv4_addr
        elements = { 80 : 192.0.2.80 }
    }
    chain pre {
        type nat hook prerouting priority dstnat; policy accept;
        dnat to tcp dport map @ports
    }
}
table inet gate25_other {
    chain x {
        tcp dport 3 drop
    }
}
"""
FOREIGN_TABLES = [("inet", "firewall"), ("ip", "nat"), ("inet", "gate25_other"), ("inet", "gate25")]


def test_others_rules_are_never_touched(lab, sink, bypass):
    sink()
    lab.gate.run("nft", "-f", "-", input=FOREIGN)

    def all_of_them():
        return [lab.gate.run("nft", "-a", "list", "table", *table).stdout for table in FOREIGN_TABLES]
    try:
        before = all_of_them()
        b = bypass()
        register(b, LINE4, LINE6, "10.20.8.0/24")
        assert send(lab, LINE4).startswith("250 ")
        b.host.run("nft", "delete", "table", *TABLE)
        wait_for(b.table_stands, 60, "its table is back")
        unregister(b, LINE4)
        b.kill()
        b.start()
        b.wait_status(in_step=True)
        b.end()
        b.host.run(f"{gate_module.binaries()}/gate25-bypassd", "--remove")
        assert not b.table_stands()
        assert all_of_them() == before
    finally:
        for table in FOREIGN_TABLES[:3]:
            lab.gate.run("nft", "delete", "table", *table)


def test_redis_is_away(lab, sink, started, bypass):
    sink()
    store = started(servers.Redis(lab.gate, appendonly=True))
    b = bypass(redis=store)
    register(b, LINE4, LINE6)
    register(b, "10.20.0.30", options=("--until", "15s"))
    store.kill()
    wait_for(lambda: not b.status()["follows_redis"], 60, "that is noticed")
    assert "Redis" in b.status()["reasons"]
    assert send(lab, LINE4).startswith("250 ") and send(lab, LINE6, MX6).startswith("250 ")
    b.kill()
    b.start()
    status = b.status()
    assert (status["units"], status["counters"]["removed"]) == (3, 0), "the sets stay as they are"
    assert send(lab, LINE4).startswith("250 ")
    assert sessions(b) == 0
    wait_for(lambda: len(b.units()) == 2, 60, "an end date passes all the same")
    store.start()
    b.wait_status(follows_redis=True, in_step=True, well=True, units=2)
    unregister(b, LINE4)
    assert send(lab, LINE4).startswith("250 ") and sessions(b) == 1


def test_a_new_table_is_filled_from_the_copy(lab, sink, started, bypass):
    sink()
    store = started(servers.Redis(lab.gate, appendonly=True))
    b = bypass(redis=store)
    register(b, LINE4)
    copy = b.gate.folder / "standings"
    wait_for(lambda: copy.exists() and LINE4 in copy.read_text(), 60, "the gate's copy")
    store.kill()
    b.kill()
    b.host.run("nft", "delete", "table", *TABLE)
    b.start()
    b.wait_status(in_step=True, units=1)
    assert send(lab, LINE4).startswith("250 ") and sessions(b) == 0


def test_without_it_new_connections_go_to_the_gate_after_a_while(lab, sink, bypass):
    """Nothing is let by for ever; what is open goes on."""
    sink()
    b = bypass(section={"hold": "5s"})
    register(b, LINE4)
    with Client(lab, LINE4) as client:
        client.greet()
        time.sleep(7)
        assert send(lab, LINE4).startswith("250 ") and sessions(b) == 0, "it says that it lives"
        b.kill()
        wait_for(lambda: not b.elements("fresh"), 60, "the kernel holds it for dead")
        assert send(lab, LINE4).startswith("250 ") and sessions(b) == 1
        assert client.mail().startswith("250 ")
        b.start()
        assert client.lives()
    assert send(lab, LINE4).startswith("250 ") and sessions(b) == 1


FLEET = """
from tests.integration import test_bypass
test_bypass.an_open_connection_moves_to_another_gate()
"""


def an_open_connection_moves_to_another_gate():
    lab = topology.Lab(gates=2)
    store, sink = servers.Redis(lab.gate), servers.Sink(lab.internet, [MX4, MX6])
    gates = [servers.Gate(lab, store, LIMITS, number=number) for number in (1, 2)]
    bypasses = [Bypass(beside) for beside in gates]
    with contextlib.ExitStack() as stack:
        for server in (store, sink, *gates, *bypasses):
            stack.enter_context(server)
        for b in bypasses:
            register(b, LINE4, LINE6)
        with Client(lab, LINE4) as open4, Client(lab, LINE6, MX6) as open6:
            for client in (open4, open6):
                client.greet()
            for number in (1, 2):  # one after the other is away
                _, net4, net6 = topology.LINKS[f"gate{3 - number}"]
                for table in (37, 38):
                    lab.router.run("ip", "route", "replace", "default", "via", f"{net4}2", "table", table)
                    lab.router.run("ip", "-6", "route", "replace", "default", "via", f"{net6}2", "table", table)
                assert open4.mail().startswith("250 ") and open6.mail().startswith("250 ")
        assert [sessions(b) for b in bypasses] == [0, 0]
        assert len(sink.messages()) == 4


def test_an_open_connection_moves_to_another_gate():
    """No gate is precious to who is let by."""
    nested(FLEET)


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
        assert heard.messages()[-1]["peer"] == LINE4
        assert sessions(b) == 1
        b.gate.ctl("unregister", LINE4)
        b.wait_status(in_step=True, units=0)
        wait_for(lambda: b.status()["counters"]["connections_ended"] > 0, 60, "forgotten")
        assert is_reset(client)
    assert send(lab, LINE4).startswith("250 ")
    assert sessions(b) == 2 and heard.messages()[-1]["peer"] != LINE4


# -- what it says ----------------------------------------------------------------------------------


def test_it_counts_what_was_let_by(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, LINE4, LINE6, "10.20.8.0/24")
    b.wait_status(well=True)
    wait_for(lambda: b.status()["readings"] > 0, 60, "the first reading, from which it counts")
    for _ in range(2):
        send(lab, LINE4)
    send(lab, LINE6, MX6)
    send(lab, "10.20.8.1")
    send(lab, "10.20.8.2")
    send(lab, "10.20.0.77")
    wait_for(lambda: b.ask("show 10.20.8.1")["connections"] == 2, 60, "it has read the kernel's counters")
    assert b.ask(f"show {LINE4}")["connections"] == 2
    shown = b.ask(f"show {LINE6}")
    assert shown["let_by"] and shown["connections"] == 1
    assert 500 < shown["bytes_up"] < 5000 and 500 < shown["bytes_down"] < 5000
    assert b.ask("show 10.20.0.77") == {"let_by": False, "connections": 0, "bytes_up": 0, "bytes_down": 0}
    page = b.metrics()
    assert page['gate25_bypass_subscriber_connections_total{subscriber="10.20.8.0/24"}'] == 2
    assert page['gate25_bypass_subscriber_connections_total{subscriber="2001:db8:20:2500::/56"}'] == 1
    assert page["gate25_bypass_connections_total"] == 5
    named = [value for name, value in page.items() if name.startswith("gate25_bypass_subscriber_bytes_up_total")]
    assert len(named) == 3 and sum(named) == page["gate25_bypass_bytes_up_total"]
    # The totals are the kernel's: a restart loses none.
    b.kill()
    b.start()
    wait_for(lambda: b.metrics()["gate25_bypass_connections_total"] == 5, 60, "the totals")


def test_operators_see_it(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, LINE4)
    b.wait_status(well=True)
    wait_for(lambda: b.status()["readings"] > 0, 60, "the first reading, from which it counts")
    send(lab, LINE4)
    wait_for(lambda: b.gate.ctl_json("show", LINE4)["bypass"]["connections"] == 1, 60, "its connection")
    shown = b.gate.ctl("show", LINE4).stdout
    assert re.search(r"bypass +let by in the kernel; since .* 1 connections, \d+ bytes to servers, \d+ from", shown), shown
    assert "not let by" in b.gate.ctl("show", "10.20.0.1", check=False).stdout
    assert b.gate.ctl("health").stdout == "good\n"
    assert re.search(r"(?m)^bypass\.units +1$", b.gate.ctl("status").stdout)
    assert b.gate.ctl_json("status")["bypass"]["counters"]["connections"] == 1
    b.kill()
    health = b.gate.ctl("health")
    assert health.stdout.startswith("impaired: bypass: gate25-bypassd does not answer: "), health.stdout
    assert "error" in b.gate.ctl_json("status")["bypass"]
    assert "gate25-bypassd does not answer" in b.gate.ctl("show", LINE4).stdout


def test_rules_and_dashboard_ask_for_what_there_is(lab, bypass, sink):
    sink()
    b = bypass()
    register(b, LINE4)
    wait_for(lambda: b.status()["readings"] > 0, 60, "the first reading")
    send(lab, LINE4)
    wait_for(lambda: b.ask(f"show {LINE4}")["connections"] == 1, 60, "a subscriber on the page")
    there = {name.partition("{")[0] for name in b.metrics()}
    for file in ("prometheus/gate25-alerts.yml", "grafana/gate25.json"):
        text = (topology.CONTRIB / file).read_text(encoding="utf-8")
        asked = set(re.findall(r"gate25_bypass_\w+", text)) - {"gate25_bypass"}
        assert len(asked) >= 4 and asked <= there, asked - there
    checked = b.host.run(PARTS / "usr/bin/promtool", "check", "metrics", input=b.page(), check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_it_gets_by_with_its_rights_in_redis(lab, sink, started, bypass):
    sink()
    store = started(redis_fleet.Server(lab.gate, users=redis_fleet.passwords(redis_fleet.ACL_FILE)))
    at = f"redis://{{}}127.0.0.1:{store.port}"
    b = bypass({"redis": {"url": at.format(redis_fleet.login("gate25d"))}}, redis=store)
    gate_url = b.gate.sections["redis"]["url"]
    b.end()
    b.gate.configure({"redis": {"url": at.format(
        "gate25-bypassd:" + redis_fleet.login("gate25bypassd").partition(":")[2])}})
    b.start()
    b.gate.configure({"redis": {"url": at.format(redis_fleet.login("gate25ctl"))}})
    register(b, LINE4)
    wait_for(lambda: b.status()["readings"] > 0, 60, "the first reading")
    send(lab, LINE4)
    hours = wait_for(lambda: store.client().keys("g25:tally:*:sessions"), 60, "the desk hears of it")
    assert sum(store.client().zscore(hour, LINE4) or 0 for hour in hours) == 1
    unregister(b, LINE4)
    assert store.denied() == []
    thief = store.client(username="gate25-bypassd", password=redis_fleet.password("gate25bypassd"))
    for command in (("hset", "g25:standings", LINE4, "registered 0"), ("xadd", "g25:changes", "*", "id", "x"),
                    ("get", "other"), ("flushall",), ("hgetall", "g25:standing:{x}"), ("config", "get", "*")):
        with pytest.raises(servers.redis_client.exceptions.NoPermissionError):
            thief.execute_command(*command)
    b.gate.configure({"redis": {"url": gate_url}})


def test_a_configuration_is_read_anew(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, LINE4, LINE6)
    b.gate.configure({"class registered": {"action": "meter", "messages": ["9/1d"]}})
    b.signal(signal.SIGHUP)
    b.wait_status(in_step=True, units=0)
    b.gate.configure({"class registered": {"action": "pass", "messages": None}, "bypass": {"mark-bit": 29}})
    b.signal(signal.SIGHUP)
    b.wait_status(in_step=True, units=2)
    assert "0x20000000" in b.host.run("nft", "list", "chain", *TABLE, "let_up").stdout
    b.gate.configure({"bypass": {"mark-bit": 77}})
    b.signal(signal.SIGHUP)
    wait_for(lambda: "not reloaded" in b.text() and "mark-bit" in b.text(), 60, "the reason")
    assert b.status()["units"] == 2


def test_it_keeps_one_right_only(bypass):
    b = bypass()
    rights = dict(re.findall(r"(?m)^(Cap\w+|NoNewPrivs):\s*(\w+)$",
                             b.host.run("cat", f"/proc/{b.pid}/status").stdout))
    assert {name: int(value, 16) for name, value in rights.items()} == {
        "CapInh": 0, "CapPrm": CAP_NET_ADMIN, "CapEff": CAP_NET_ADMIN, "CapBnd": CAP_NET_ADMIN, "CapAmb": 0,
        "NoNewPrivs": 1}


def test_the_command_line(bypass):
    b = bypass()
    program = f"{gate_module.binaries()}/gate25-bypassd"
    assert b.host.run(program, "--check", "--config", b.gate.config).stdout == ""
    second = b.host.run(program, "--config", b.gate.config, check=False)
    assert second.returncode == 1 and "bypass.sock" in second.stderr, "one is enough"
    b.gate.configure({"bypass": {"hold": "1s"}})
    bad = b.host.run(program, "--check", "--config", b.gate.config, check=False)
    assert bad.returncode == 1 and "bypass.hold" in bad.stderr and "5s to 1d" in bad.stderr
    assert b.host.run(program, "--nonsense", check=False).returncode == 2
    assert b.host.run("setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--reuid", "65534", "--regid", "65534",
                      "--clear-groups", program, "--config", "/dev/null", check=False).returncode == 1


def test_many_are_registered_at_once(lab, sink, bypass):
    sink()
    b = bypass()
    lines = [f"10.20.{n >> 8}.{n & 255}" for n in range(20000)] + [
        f"2001:db8:20:{n:x}00::/56" for n in range(0x40, 0xa0)]
    with store_of(b) as store:
        pipe = store.pipeline(transaction=False)
        for line in lines:
            pipe.hset("g25:standings", line, "registered 0")
            pipe.xadd("g25:changes", {"id": line, "class": "registered", "until": "0", "verb": "set"})
        pipe.execute()
        b.wait_status(in_step=True, units=len(lines))
        assert send(lab, "10.20.70.70").startswith("250 ") and send(lab, "2001:db8:20:7000::1", MX6).startswith("250 ")
        assert sessions(b) == 0
        pipe = store.pipeline(transaction=False)
        for line in lines[:-1]:
            pipe.hdel("g25:standings", line)
            pipe.xadd("g25:changes", {"id": line, "verb": "remove"})
        pipe.execute()
    b.wait_status(in_step=True, units=1)
    assert list(b.units()) == [lines[-1].removesuffix("/56")]
    assert send(lab, "10.20.70.70").startswith("250 ") and sessions(b) == 1
