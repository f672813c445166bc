"""bypass.fast-path: packets of who is let by are sent on before nftables sees them."""

import itertools
import json
import re
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.integration.let_by import FAMILIES, FAST, LIMITS, LINE4, LINE6, is_reset, register
from tests.integration.let_by import register_many, replace_set, sessions, skip_without_bpf, store_of
from tests.integration.wire import MX4, MX6, Client, first_reply, send
from tests.lab import sandbox, topology
from tests.lab.bypass import TABLE, Bypass
from tests.lab.gate import binaries
from tests.lab.process import wait_for
from tests.lab.topology import UPLINK

RIGHTS = 1 << 12 | 1 << 39  # CAP_NET_ADMIN, CAP_BPF


@pytest.fixture(name="bypass", params=[FAST], ids=["fast"])
def fast_bypass(bypass):
    return bypass


def of_table(b):
    """{name: packets} of the table's counters."""
    said = json.loads(b.host.run("nft", "-j", "list", "counters", "table", *TABLE).stdout)
    return {entry["counter"]["name"]: entry["counter"]["packets"] for entry in said["nftables"] if "counter" in entry}


def test_the_table_sees_nothing_of_it(lab, sink, bypass):
    heard = sink()
    b = bypass()
    register(b, LINE4, LINE6)
    wait_for(lambda: b.status()["readings"] > 0, 60, "the first reading, from which it counts")
    for line, server in ((LINE4, MX4), (LINE6, MX6)):
        assert send(lab, line, server).startswith("250 "), "by now the gate knows its neighbour's address"
    before = of_table(b)
    for line, server in ((LINE4, MX4), (LINE6, MX6)):
        with Client(lab, line, server) as client:
            client.greet()
            client.envelope()
            assert client.body(("x" * 70 + "\r\n") * 5000).startswith("250 "), "many packets are one for a while"
        wait_for(lambda who=line: b.ask(f"show {who}")["bytes_up"] > 350000, 60, "counted")
        shown = b.ask(f"show {line}")
        assert shown["connections"] == 2 and 500 < shown["bytes_down"] < 20000
    assert of_table(b) == before
    assert sessions(b) == 0 and {m["peer"] for m in heard.wait_messages(4)} == {LINE4, LINE6}
    assert b.metrics()["gate25_bypass_connections_total"] == 4


def filters(b, link=UPLINK):
    """What stands on a link for packets that come in."""
    return b.host.run("tc", "filter", "show", "dev", link, "ingress", check=False).stdout


def passes_fast(lab, b, source=LINE4, server=MX4):
    """A mail of which the table sees no packet."""
    before = of_table(b)
    assert send(lab, source, server).startswith("250 ")
    return of_table(b) == before


def test_it_is_made_anew_when_it_is_full(lab, sink, bypass):
    """It has room for 1,024 at first."""
    sink()
    b = bypass()
    register(b, LINE4)
    assert send(lab, LINE4).startswith("250 ") and passes_fast(lab, b)
    lines = [f"10.20.{n >> 8}.{n & 255}" for n in range(0x4000, 0x4000 + 3000)]
    with store_of(b) as store:
        register_many(store, lines)
    b.wait_status(in_step=True, well=True, units=3001, fast_path_links=1)
    assert all(passes_fast(lab, b, line) for line in (LINE4, lines[0], lines[-1]))
    assert sessions(b) == 0


def test_prefixes_are_on_it_unit_by_unit(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, "10.20.8.0/24", "2001:db8:20:8000::/52", "10.20.64.0/19")
    for line, server in (("10.20.8.1", MX4), ("2001:db8:20:8300::1", MX6)):
        assert send(lab, line, server).startswith("250 "), "by now the gate knows its neighbour's address"
    inside = [("10.20.8.0", MX4), ("10.20.8.255", MX4), ("2001:db8:20:8000::1", MX6), ("2001:db8:20:8fff:7::1", MX6)]
    for line, server in inside:
        assert passes_fast(lab, b, line, server), line
    assert not passes_fast(lab, b, "10.20.64.1"), "more than 4,096 are the table's"
    for line, server in (("10.20.7.255", MX4), ("10.20.9.0", MX4), ("2001:db8:20:7fff::1", MX6)):
        before = sessions(b)
        assert send(lab, line, server).startswith("250 ") and sessions(b) == before + 1
    wait_for(lambda: b.ask("show 10.20.8.1")["connections"] == 3, 60, "counted for the prefix")


def test_holes_and_ends_of_their_own_within_a_prefix(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, "10.20.8.0/24")
    assert send(lab, "10.20.8.1").startswith("250 ") and passes_fast(lab, b, "10.20.8.1")
    with Client(lab, "10.20.8.7") as client, Client(lab, "10.20.8.6") as other:
        client.greet()
        other.greet()
        b.gate.ctl("quarantine", "10.20.8.7")
        wait_for(lambda: not b.ask("show 10.20.8.7")["let_by"], 60, "a hole")
        assert is_reset(client) and other.lives()
    register(b, "10.20.8.9")
    b.gate.ctl("unregister", "10.20.8.0/24")
    wait_for(lambda: not b.ask("show 10.20.8.1")["let_by"], 60, "the prefix goes")
    assert passes_fast(lab, b, "10.20.8.9"), "whose standing is his own stays"
    before = sessions(b)
    assert send(lab, "10.20.8.1").startswith("250 ") and sessions(b) == before + 1
    register(b, "10.20.8.0/24")
    assert passes_fast(lab, b, "10.20.8.9") and passes_fast(lab, b, "10.20.8.1")
    b.kill()
    b.start()
    b.wait_status(in_step=True, fast_path_links=1)
    assert passes_fast(lab, b, "10.20.8.9") and passes_fast(lab, b, "10.20.8.1")
    assert first_reply(lab, "10.20.8.7").startswith("554 ")


def remove_filter(b):
    b.host.run("tc", "filter", "delete", "dev", UPLINK, "ingress")


def replace_hook(b):
    b.host.run("tc", "qdisc", "delete", "dev", UPLINK, "clsact")


@pytest.mark.parametrize("harm", [remove_filter, replace_hook])
def test_what_others_do_to_it_is_mended(lab, sink, bypass, harm):
    sink()
    b = bypass()
    register(b, LINE4)
    assert send(lab, LINE4).startswith("250 ") and passes_fast(lab, b)
    with Client(lab, LINE4) as client:
        client.greet()
        harm(b)
        assert client.mail().startswith("250 "), "the table does its work"
        wait_for(lambda: "fast_path" in filters(b), 60, "it stands again")
        assert client.mail().startswith("250 ") and passes_fast(lab, b)
    assert sessions(b) == 0


def test_nobody_stays_on_it_whom_the_table_has_lost(lab, sink, bypass):
    """Who is quarantined while the table is away is in neither when it is made anew."""
    sink()
    b = bypass()
    register(b, LINE4, LINE6, "10.20.8.0/24")
    assert send(lab, LINE4).startswith("250 ") and passes_fast(lab, b)
    with Client(lab, LINE4) as client, Client(lab, "10.20.8.7") as other:
        client.greet()
        other.greet()
        b.stop()
        b.host.run("nft", "delete", "table", *TABLE)
        for line in (LINE4, LINE6, "10.20.8.7"):
            b.gate.ctl("quarantine", line)
        b.cont()
        wait_for(lambda: b.status()["counters"]["tables_made"] == 2, 60, "a new table")
        b.wait_status(well=True, in_step=True)
        assert is_reset(client) and is_reset(other)
    for line, server in ((LINE4, MX4), ("10.20.8.7", MX4), (LINE6, MX6)):
        wait_for(lambda at=(line, server): first_reply(lab, *at).startswith("554 "), 30, "refused")
    assert passes_fast(lab, b, "10.20.8.8")


def test_nobody_stays_on_it_whom_the_table_never_took(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, LINE4)
    replace_set(b, "units4_3", "type ipv4_addr; flags timeout; size 1;")
    full = ["10.20.0.3", "10.20.0.19", "10.20.0.35"]
    for line in full:
        b.gate.ctl("register", line)
    b.wait_status(well=False, in_step=False)
    for line in full:
        b.gate.ctl("quarantine", line)
    b.wait_status(in_step=True, units=1)
    for line in full:
        wait_for(lambda at=line: first_reply(lab, at).startswith("554 "), 30, "refused")
    assert send(lab, LINE4).startswith("250 ") and passes_fast(lab, b)


def test_a_reload_does_not_take_it_off(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, LINE4)
    number = re.search(r" id (\d+) ", filters(b))[1]
    b.gate.configure({"class registered": {"action": "refuse"}})
    b.gate.ctl("reload")
    b.wait_status(in_step=True, units=0)
    assert first_reply(lab, LINE4).startswith("554 ")
    b.gate.configure({"class registered": {"action": "pass"}, "bypass": {"hold": "6m"}})
    b.gate.ctl("reload")
    b.wait_status(in_step=True, units=1)
    assert send(lab, LINE4).startswith("250 ") and passes_fast(lab, b)
    assert f" id {number} " in filters(b)
    b.gate.configure({"subscribers": {"ipv6-unit": 60}})
    b.gate.ctl("reload")
    b.wait_status(in_step=True, well=True, fast_path_links=1)
    assert f" id {number} " not in filters(b), "other units take another"


def test_changes_without_end_do_not_stop_its_clock(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, LINE4)
    over = threading.Event()

    def change():
        with store_of(b) as store:
            for number in itertools.count():
                register_many(store, [f"10.20.{0x40 + number % 0x40}.7"])
                if over.wait(0.02):
                    return
    changing = threading.Thread(target=change)
    changing.start()
    try:
        wait_for(lambda: b.status()["units"] > 20, 60, "changes come")
        remove_filter(b)
        wait_for(lambda: "fast_path" in filters(b), 5, "it stands again, though changes go on")
    finally:
        over.set()
        changing.join()
    assert send(lab, LINE4).startswith("250 ") and sessions(b) == 0


def test_it_does_not_hide_rules_that_do_not_heed_the_mark(lab, sink, bypass):
    """What goes by the table then becomes the gate's."""
    sink()
    b = bypass(section={"mark-bit": 27})
    register(b, LINE4, "10.20.64.0/19")
    assert send(lab, LINE4).startswith("250 ")
    for number in range(25):
        assert send(lab, f"10.20.64.{number}").startswith("250 ")
        assert send(lab, LINE4).startswith("250 ")
    assert sessions(b) >= 25
    assert "do the gate's rules heed bypass.mark-bit" in b.wait_status(well=False)["reasons"]


def reaches(lab, source, server=MX4):
    """Does a mail server answer, within two seconds?"""
    try:
        with lab.subscribers.connect(server, source, timeout=2) as connection:
            return connection.recv(4) == b"220 "
    except TimeoutError:
        return False


def test_a_neighbour_that_has_moved_is_looked_for(lab, sink, bypass):
    """The router comes with another Ethernet address, and does not tell: the kernel asks before long."""
    sink()
    topology.set_sysctls(lab.gate, {f"net.ipv4.neigh.{UPLINK}.{name}": value for name, value in (
        ("base_reachable_time_ms", 2000), ("delay_first_probe_time", 1), ("retrans_time_ms", 300))})
    b = bypass()
    register(b, LINE4)
    assert send(lab, LINE4).startswith("250 ") and passes_fast(lab, b)
    _, net4, _ = topology.LINKS["gate1"]
    ours = re.search(r"link/ether (\S+)", lab.gate.run("ip", "link", "show", UPLINK).stdout)[1]
    before = re.search(r"link/ether (\S+)", lab.router.run("ip", "link", "show", "gate1").stdout)[1]
    keep = f"ip neigh replace {net4}2 lladdr {ours} dev gate1 nud permanent"
    try:
        lab.router.run("sh", "-c", f"{keep}; ip link set gate1 address 02:00:00:00:00:77; {keep}")
        wait_for(lambda: reaches(lab, LINE4), 60, "the kernel has found it")
    finally:
        lab.router.run("ip", "link", "set", "gate1", "address", before)
        lab.router.run("ip", "neigh", "delete", f"{net4}2", "dev", "gate1", check=False)
        lab.gate.run("ip", "neigh", "flush", "dev", UPLINK)
    assert sessions(b) == 0


def test_others_programs_go_on(lab, sink, bypass):
    """Somebody else's on the same link: here the same program, with nobody in its maps."""
    sink()
    lab.gate.run("tc", "qdisc", "add", "dev", UPLINK, "clsact", check=False)
    lab.gate.run("tc", "filter", "add", "dev", UPLINK, "ingress", "prio", "3000", "bpf", "direct-action", "object-file",
                 Path(binaries()).parent / "kernel" / "fast_path.bpf.o", "section", "tc")
    try:
        b = bypass()
        register(b, LINE4)
        assert send(lab, LINE4).startswith("250 ") and passes_fast(lab, b)
        assert send(lab, "10.20.0.26").startswith("250 ") and sessions(b) == 1
        b.end()
        b.remove()
        assert "pref 3000" in filters(b) and "pref 2525" not in filters(b)
    finally:
        lab.gate.run("tc", "filter", "delete", "dev", UPLINK, "ingress", "prio", "3000")


def test_a_link_that_comes_later(lab, sink, bypass):
    sink()
    b = bypass()
    b.gate.configure({"bypass": {"fast-path": [UPLINK, "later0", "lo"]}})
    assert b.gate.ctl("reload").stdout.endswith("gate25-bypassd: the configuration is read anew\n")
    try:
        status = b.wait_status(well=False, fast_path_links=1)
        assert status["reasons"] == ("the fast path does not stand on later0: No such device, lo: no Ethernet link")
        assert b.gate.ctl("health").stdout == f"impaired: bypass: {status['reasons']}\n"
        register(b, LINE4)
        assert send(lab, LINE4).startswith("250 ") and passes_fast(lab, b), "where it stands it works"
        b.gate.configure({"bypass": {"fast-path": [UPLINK, "later0"]}})
        b.gate.ctl("reload")
        lab.gate.run("ip", "link", "add", "later0", "type", "veth", "peer", "name", "later1")
        b.wait_status(well=True, fast_path_links=2)
        assert b.metrics()["gate25_bypass_fast_path_links"] == 2
        assert "fast_path" in filters(b, "later0")
        b.gate.configure({"bypass": {"fast-path": [UPLINK]}})
        b.gate.ctl("reload")
        b.wait_status(well=True, fast_path_links=1)
        assert "fast_path" not in filters(b, "later0"), "it goes where it is wanted no more"
    finally:
        lab.gate.run("ip", "link", "delete", "later0", check=False)


def test_it_is_turned_off_and_on(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, LINE4)
    b.gate.configure({"bypass": {"fast-path": None}})
    b.gate.ctl("reload")
    assert b.wait_status(well=True, in_step=True)["fast_path_links"] == 0
    assert filters(b).strip() == "" and not passes_fast(lab, b)
    b.gate.configure({"bypass": FAST})
    b.gate.ctl("reload")
    b.wait_status(well=True, fast_path_links=1)
    assert passes_fast(lab, b) and sessions(b) == 0


def test_it_outlives_the_daemon_as_the_table_does(lab, sink, bypass):
    sink()
    b = bypass(section={"hold": "5s"})
    register(b, LINE4)
    assert send(lab, LINE4).startswith("250 ") and passes_fast(lab, b)
    with Client(lab, LINE4) as client:
        client.greet()
        b.kill()
        assert passes_fast(lab, b)
        wait_for(lambda: not b.elements("fresh"), 60, "the kernel holds it for dead")
        before = of_table(b)
        assert client.mail().startswith("250 ") and of_table(b) == before, "what is open goes on"
        assert send(lab, LINE4).startswith("250 ") and sessions(b) == 1, "new ones do not"
        b.gate.ctl("unregister", LINE4)
        b.start()
        wait_for(lambda: not b.ask(f"show {LINE4}")["let_by"], 60, "no longer let by")
        assert is_reset(client), "what an older one has left there lets nobody by"
    b.end()
    b.remove()
    assert "fast_path" not in filters(b)


def test_others_changes_do_not_end_it(lab, sink, bypass):
    """Each has the daemon look at the table anew, more often than it would say that it lives."""
    sink()
    b = bypass(section={"hold": "8s"})
    register(b, LINE4)
    assert send(lab, LINE4).startswith("250 ") and passes_fast(lab, b)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        b.host.run("nft", "add table inet others; delete table inet others")
        time.sleep(0.1)
    assert passes_fast(lab, b)


def test_nobody_gets_through_on_it_by_accident(lab, sink, bypass):
    """Other ports, and others."""
    sink()
    b = bypass()
    register(b, LINE4, LINE6)
    assert send(lab, LINE4).startswith("250 ") and passes_fast(lab, b)
    assert send(lab, "10.20.0.26").startswith("250 ") and send(lab, "2001:db8:20:2600::25", MX6).startswith("250 ")
    assert sessions(b) == 2
    wait_for(lambda: b.status()["counters"]["connections"] == 2, 60, "those of the registered one")
    with lab.internet.listen(MX4, port=26) as listener, lab.subscribers.connect(MX4, LINE4, port=26):
        listener.accept()[0].close()
    readings = b.status()["readings"]
    wait_for(lambda: b.status()["readings"] > readings + 1, 60, "read again")
    assert b.status()["counters"]["connections"] == 2


def connect_with_hops(lab, source, server, hops):
    """The first bytes that come from the server, when packets may pass so many machines."""
    with lab.subscribers.inside():
        connection = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET)
    with connection:
        connection.settimeout(3)
        if ":" in server:
            connection.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
        else:
            connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
        connection.bind((source, 0))
        try:
            connection.connect((server, 25))
            return connection.recv(4)
        except OSError:  # the time is over, or a machine on the way has said that the hops are
            return None


@pytest.mark.parametrize("source, server", FAMILIES, ids=["ipv4", "ipv6"])
def test_it_is_a_hop_as_any_other(lab, sink, bypass, source, server):
    sink()
    b = bypass()
    register(b, source)
    for wanted in ({}, {"fast-path": None}):
        b.gate.configure({"bypass": wanted})
        b.gate.ctl("reload")
        b.wait_status(well=True, in_step=True, fast_path_links=0 if wanted else 1)
        assert [connect_with_hops(lab, source, server, hops) for hops in (2, 3, 4)] == [None, None, b"220 "]


@pytest.mark.parametrize("source, server", FAMILIES, ids=["ipv4", "ipv6"])
def test_a_narrower_way_is_told_of(lab, sink, bypass, source, server):
    """Packets that are too long for the route are the kernel's to answer."""
    heard = sink()
    b = bypass()
    register(b, source)
    family = ["-6"] if ":" in server else ["-4"]
    _, net4, net6 = topology.LINKS["gate1"]
    via = f"{net6 if ':' in server else net4}1"
    lab.gate.run("ip", *family, "route", "add", server, "via", via, "mtu", "lock", "1300")
    try:
        with Client(lab, source, server) as client:
            client.greet()
            client.envelope()
            assert client.body(("x" * 70 + "\r\n") * 5000).startswith("250 ")
        assert of_table(b)["up"] > 0, "the kernel had to say something"
    finally:
        lab.gate.run("ip", *family, "route", "delete", server)
    assert heard.wait_messages(1) and sessions(b) == 0


def test_it_asks_for_one_right_more(bypass):
    b = bypass()
    text = b.host.run("cat", f"/proc/{b.pid}/status").stdout
    rights = {name: int(value, 16) for name, value in re.findall(r"(?m)^(Cap\w+):\s*(\w+)$", text)}
    assert rights == {"CapInh": 0, "CapPrm": RIGHTS, "CapEff": RIGHTS, "CapBnd": RIGHTS, "CapAmb": 0}
    b.gate.configure({"bypass": {"control": b.folder / "other.sock"}})
    powerless = b.host.run("setpriv", "--bounding-set", "-all,+net_admin", "--inh-caps", "-all", b.program, "--config",
                           b.gate.config, check=False)
    assert powerless.returncode == 1
    assert "gate25-bypassd, with bypass.fast-path, needs CAP_BPF, or root" in powerless.stderr


def test_as_an_ordinary_user(lab, sink, gate):
    """As its systemd unit runs it."""
    skip_without_bpf()
    if not sandbox.many_users():
        pytest.skip("this needs another user: an entry for this user in /etc/subuid")
    sink()
    wrapper = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps",
               "-all,+net_admin,+bpf", "--ambient-caps", "+net_admin,+bpf", "--bounding-set", "-all,+net_admin,+bpf"]
    b = Bypass(gate(LIMITS), FAST, wrapper=wrapper)
    b.folder.chmod(0o777)
    program, b.program = b.program, shutil.copy2(b.program, b.folder)
    try:
        with b:
            register(b, LINE4)
            b.wait_status(well=True, fast_path_links=1)
            assert send(lab, LINE4).startswith("250 ") and passes_fast(lab, b) and sessions(b) == 0
    finally:
        b.host.run(program, "--remove")


def test_switching_it_on_takes_a_restart(lab, bypass):
    b = bypass()
    b.end()
    b.gate.configure({"bypass": {"fast-path": None}})
    b.start()
    b.gate.configure({"bypass": FAST})
    assert "gate25-bypassd: but these take a restart: bypass.fast-path\n" in b.gate.ctl("reload").stdout
    b.wait_status(well=True, in_step=True, fast_path_links=0)
