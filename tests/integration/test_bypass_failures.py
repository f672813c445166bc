"""gate25-bypassd, its gate, Redis and nftables restarted, killed, flushed: who is let by notices nothing."""

import contextlib
import re
import signal
import time

import pytest

from tests.integration.let_by import (
    EITHER, LIMITS, LINE4, LINE6, register, register_many, replace_set, sessions, store_of, unregister)
from tests.integration.test_lab import nested
from tests.integration.wire import MX4, MX6, Client, send
from tests.lab import gate as gate_module
from tests.lab import servers, topology
from tests.lab.bypass import TABLE, Bypass
from tests.lab.process import wait_for


# -- restarts and failures -------------------------------------------------------------------------


@EITHER
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


@EITHER
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


@EITHER
def test_the_gates_restart_does_not_matter(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, LINE4)
    with Client(lab, LINE4) as client:
        client.greet()
        workers = set(b.gate.workers())
        b.gate.kill()
        wait_for(lambda: workers.isdisjoint(b.gate.listening()), 10, "the end of its workers, too")
        assert client.mail().startswith("250 ")
        assert send(lab, LINE4).startswith("250 "), "no gate is needed for it"
        with pytest.raises(TimeoutError):
            lab.subscribers.connect(MX4, "10.20.0.26", timeout=1)
        b.gate.start()
        assert client.lives()
    assert send(lab, LINE4).startswith("250 ")
    assert sessions(b) == 0


def reload_rules(lab, b, bypass_mark="0x10000000"):
    """What `systemctl reload nftables` does: all rules are replaced in one step by the gate's file. The table goes with
    them, and is made anew."""
    made = b.status()["counters"]["tables_made"]
    text = (topology.CONTRIB / "routers" / "gate-tproxy.nft").read_text(encoding="utf-8")
    assert text.count("define bypass_mark = 0x10000000") == 1
    text = text.replace("define bypass_mark = 0x10000000", f"define bypass_mark = {bypass_mark}")
    text = re.sub(r"(?m)^define steered_link = .*$", f'define steered_link = "{topology.UPLINK}"', text)
    b.host.run("nft", "-f", "-", input="flush ruleset\n" + text)
    # Until then nothing is marked, and the daemon's status is that of before.
    wait_for(lambda: b.status()["counters"]["tables_made"] > made, 60, "it was noticed")


@EITHER
def test_nftables_is_reloaded(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, LINE4, LINE6, "10.20.8.0/24")
    for _ in range(3):
        reload_rules(lab, b)
        b.wait_status(in_step=True, units=2, ranges=1, well=True)
        assert send(lab, LINE4).startswith("250 ") and send(lab, LINE6, MX6).startswith("250 ")
    assert sessions(b) == 0


def test_rules_that_do_not_heed_the_mark_are_noticed(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, LINE4)
    try:
        reload_rules(lab, b, bypass_mark="0x20000000")
        b.wait_status(in_step=True, well=True, units=1)
        for number in range(25):
            assert send(lab, LINE4).startswith("250 ") and sessions(b) == number + 1
        assert "do the gate's rules heed bypass.mark-bit" in b.wait_status(well=False)["reasons"]
        assert b.gate.ctl("health").stdout.startswith("impaired: bypass: connections are marked, but ")
    finally:
        reload_rules(lab, b)
    b.wait_status(in_step=True, units=1)
    assert send(lab, LINE4).startswith("250 ") and sessions(b) == 25
    b.wait_status(well=True)


def test_a_table_of_another_form_is_replaced(lab, sink, gate):
    """It has nothing of ours in it: that is no failure."""
    sink()
    b = Bypass(gate(LIMITS))
    b.host.run("nft", "add", "table", *TABLE, '{ comment "another form" ; }')
    with b:
        register(b, LINE4)
        assert send(lab, LINE4).startswith("250 ") and sessions(b) == 0
        counters = b.status()["counters"]
        assert (counters["tables_made"], counters["failures"]) == (1, 0), b.text()


@EITHER
def test_open_connections_outlive_a_new_table(lab, sink, bypass):
    """While the sets are filled anew, what is open goes on."""
    sink()
    b = bypass()
    lines = [f"10.20.{n >> 8}.{n & 255}" for n in range(30, 230)]
    b.gate.ctl("register", LINE4)
    with store_of(b) as store:
        register_many(store, lines)
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


@EITHER
@pytest.mark.parametrize("harm", [
    "flush set inet gate25_bypass units4_9", "flush chain inet gate25_bypass up_free",
    "delete element inet gate25_bypass ranges4 { 10.20.8.0-10.20.8.255 }",
    "add element inet gate25_bypass units4_2 { 10.20.0.66 }", "flush table inet gate25_bypass",
    "delete element inet gate25_bypass up_free4 { 0.0.0.9 }"])
def test_what_others_do_to_its_table_is_mended(lab, sink, bypass, harm):
    sink()
    b = bypass()
    register(b, LINE4, "10.20.8.0/24")
    b.host.run("nft", harm)

    def is_mended():
        with contextlib.suppress(topology.CommandFailed):
            return (list(b.units()) == [LINE4] and len(b.elements("ranges4")) == 1 and
                    b.host.run("nft", "list", "map", *TABLE, "up_free4").stdout.count("jump") == 16 and
                    "goto let_up" in b.host.run("nft", "list", "chain", *TABLE, "up_free").stdout)
        return False
    wait_for(is_mended, 60, "mended")
    assert send(lab, LINE4).startswith("250 ") and send(lab, "10.20.8.1").startswith("250 ")
    assert sessions(b) == 0
    assert send(lab, "10.20.0.66").startswith("250 ") and sessions(b) == 1


@pytest.mark.parametrize("where, stray", [
    ("units4_2", "10.20.77.77"), ("units4_2", LINE4), ("units6_5", "2001:db8:20:2500::77"),
    ("units6_0", "2001:db8:20:2500::")],
    ids=["strange", "copied", "no unit's first address", "copied, IPv6"])
def test_an_element_in_the_wrong_set_blocks_nothing(lab, sink, bypass, where, stray):
    """It is taken out of the set that it lies in, while it is alive and after a restart."""
    sink()
    b = bypass()
    register(b, LINE4, LINE6, "10.20.0.26")
    for restarts in (False, True):
        if restarts:
            b.kill()
        b.host.run("nft", "add", "element", *TABLE, where, f"{{ {stray} }}")
        if restarts:
            b.start()
        b.gate.ctl("quarantine", "10.20.0.26")
        register(b, "10.20.0.27")
        wait_for(lambda: not b.ask("show 10.20.0.26")["let_by"], 60, "a removal reaches the kernel")
        wait_for(lambda: stray not in b.elements(where), 60, "the stray is taken out")
        assert "10.20.0.26" not in b.units() and {LINE4, "10.20.0.27"} <= set(b.units())
        b.wait_status(in_step=True, well=True)
        assert send(lab, LINE4).startswith("250 ") and send(lab, LINE6, MX6).startswith("250 ")
        unregister(b, "10.20.0.27")
        b.gate.ctl("release", "10.20.0.26")
        register(b, "10.20.0.26")
    assert sessions(b) == 0


@EITHER
def test_what_the_kernel_refuses_blocks_no_other_change(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, LINE4, "10.20.0.26")
    replace_set(b, "units4_3", "type ipv4_addr; flags timeout; size 1;")
    full = ["10.20.0.3", "10.20.0.19", "10.20.0.35"]
    for line in full:
        b.gate.ctl("register", line)
    b.wait_status(well=False, in_step=False)
    b.gate.ctl("quarantine", "10.20.0.26")
    b.gate.ctl("register", "10.20.0.27")
    b.gate.ctl("register", LINE6)

    def others_go():
        held = set(b.units())
        return "10.20.0.26" not in held and {LINE4, "10.20.0.27", "2001:db8:20:2500::"} <= held
    wait_for(others_go, 60, "all else is brought about")
    assert len(b.elements("units4_3")) <= 1
    assert "changing the sets" in b.wait_status(well=False)["reasons"]
    assert send(lab, "10.20.0.27").startswith("250 ") and sessions(b) == 0
    b.host.run("nft", "delete", "table", *TABLE)
    b.wait_status(well=True, in_step=True, units=6)
    assert set(full) <= set(b.units())


def test_a_table_that_cannot_be_used_further_is_made_anew(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, LINE4)
    replace_set(b, "units4_3", "type ipv6_addr;")
    register(b, "10.20.0.3")
    b.wait_status(well=True, in_step=True, units=2)
    assert b.status()["counters"]["tables_made"] == 2
    assert send(lab, LINE4).startswith("250 ") and sessions(b) == 0


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


@EITHER
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


@EITHER
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


@EITHER
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
from tests.integration import test_bypass_failures
test_bypass_failures.an_open_connection_moves_to_another_gate()
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
        assert len(sink.wait_messages(4)) == 4


def test_an_open_connection_moves_to_another_gate():
    """No gate is precious to who is let by."""
    nested(FLEET)
