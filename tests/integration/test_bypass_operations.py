"""What operators have of gate25-bypassd: figures, rights, command line, many subscribers."""

import contextlib
import re
import shutil
import signal
import socket
import time

import pytest

from tests.integration.let_by import LIMITS, LINE4, LINE6, register, register_many, sessions, store_of, unregister
from tests.integration.load import Load
from tests.integration.wire import MX4, MX6, first_reply, send
from tests.lab import gate as gate_module
from tests.lab import redis_fleet, sandbox, servers, topology
from tests.lab.bypass import METRICS_PORT, TABLE, Bypass
from tests.lab.process import PARTS, wait_for

CAP_NET_ADMIN = 1 << 12


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


def test_of_an_address_they_see_what_is_let_by_of_that_very_one(bypass):
    b = bypass()
    register(b, f"{LINE6}/128")
    assert b.gate.ctl_json("show", LINE6)["bypass"]["let_by"]
    assert "not let by" in b.gate.ctl("show", "2001:db8:20:2500::26", check=False).stdout


def test_silent_connections_do_not_keep_its_page_from_others(bypass):
    b = bypass()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(b.host.connect("127.0.0.1", port=METRICS_PORT, timeout=20))
        assert b.metrics()["gate25_bypass_table_stands"] == 1


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


@pytest.mark.parametrize("leased", [None, ["10.20.128.0/17"]], ids=["plain", "leases"])
def test_it_gets_by_with_its_rights_in_redis(lab, sink, started, bypass, leased):
    sink()
    store = started(redis_fleet.Server(lab.gate, users=redis_fleet.passwords(redis_fleet.ACL_FILE)))
    at = f"redis://{{}}127.0.0.1:{store.port}"
    sections = {"redis": {"url": at.format(redis_fleet.login("gate25d"))}, "leases": leased and {"prefixes": leased}}
    b = bypass(sections, redis=store)
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
    if leased:
        now = int(time.time())
        store.cli("hset", "g25:{leases}", "10.20.128.7", f"{now + 3600} {now * 1000} s1 alice")
        store.cli("xadd", "g25:{leases}:changes", "*", "unit", "10.20.128.7", "account", "alice", "until", now + 3600,
                  "began", now * 1000, "after", "0-0")
    unregister(b, LINE4)
    b.wait_status(well=True, in_step=True, follows_redis=True)
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
    assert "0x20000000" in b.host.run("nft", "list", "chain", *TABLE, "let_up4").stdout
    b.gate.configure({"bypass": {"listen": ["127.0.0.1:9999"]}})
    b.signal(signal.SIGHUP)
    wait_for(lambda: "these take a restart: bypass.listen\n" in b.text(), 60, "what a reload does not change")
    b.gate.configure({"bypass": {"mark-bit": 77}})
    b.signal(signal.SIGHUP)
    wait_for(lambda: "not reloaded" in b.text() and "mark-bit" in b.text(), 60, "the reason")
    assert b.status()["units"] == 2


class Stream(Load):
    """Connections to a server, up which small packets go all the time."""

    def __init__(self, lab, ends):
        """`ends`: (source, server) of each."""
        super().__init__(2 * len(ends))
        self.clients, self.accepted, self.lost = [], [], set()
        for source, server in ends:
            with lab.internet.listen(server) as listener:
                self.clients.append(lab.subscribers.connect(server, source))
                self.accepted.append(listener.accept()[0])
            self.accepted[-1].settimeout(10)
            self.clients[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def one(self, number, turn):
        client, accepted = self.clients[number // 2], self.accepted[number // 2]
        try:
            if number % 2 == 0:
                client.send(b"x")
            else:
                accepted.recv(65536)
        except OSError as error:
            self.lost.add(f"{number // 2}: {error}")
            time.sleep(0.1)

    def __exit__(self, *problem):
        for connection in self.clients + self.accepted:  # whoever waits for the other end does so no longer
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        super().__exit__(*problem)
        for connection in self.clients + self.accepted:
            connection.close()


def test_a_reload_ends_no_open_connection(lab, bypass):
    """Packets are under way in the rules while these are replaced."""
    b = bypass()
    register(b, LINE4, LINE6)
    with Stream(lab, [(LINE4, MX4), (LINE6, MX6)]) as stream:
        for number in range(200):
            b.signal(signal.SIGHUP)
            wait_for(lambda count=number: b.text().count(": reloaded") > count, 60, "the configuration is read anew")
        assert not stream.lost
    counters = b.status()["counters"]
    assert (counters["tables_made"], counters["failures"]) == (1, 0)


def test_an_operators_reload_reaches_it(lab, sink, bypass):
    sink()
    b = bypass()
    register(b, LINE4)
    b.gate.configure({"class registered": {"action": "refuse"}})
    assert b.gate.ctl("reload").stdout == ("the configuration is read anew\n"
                                           "gate25-bypassd: the configuration is read anew\n")
    b.wait_status(in_step=True, units=0)
    assert first_reply(lab, LINE4).startswith("554 ")
    b.gate.configure({"class registered": {"action": "pass"}, "bypass": {"listen": ["127.0.0.1:9999"]}})
    assert "gate25-bypassd: but these take a restart: bypass.listen\n" in b.gate.ctl("reload").stdout
    assert b.gate.ctl_json("reload")["bypass"] == {"ok": True, "restart": "bypass.listen"}
    b.wait_status(in_step=True, units=1)
    b.kill()
    alone = b.gate.ctl("reload", check=False)
    assert alone.returncode == 1 and alone.stdout == "the configuration is read anew\n"
    assert alone.stderr.startswith("gate25ctl: gate25-bypassd has not read it: "), alone.stderr


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
    assert second.returncode == 1, "one is enough"
    assert f"{b.control}: another gate25-bypassd runs on this socket, pid {b.pid}\n" in second.stderr
    b.gate.configure({"bypass": {"hold": "1s"}})
    bad = b.host.run(program, "--check", "--config", b.gate.config, check=False)
    assert bad.returncode == 1 and "bypass.hold" in bad.stderr and "5s to 1d" in bad.stderr
    assert b.host.run(program, "--nonsense", check=False).returncode == 2
    b.gate.configure({"bypass": {"hold": "5m", "control": b.folder / "other.sock"}})
    powerless = b.host.run("setpriv", "--bounding-set", "-all", "--inh-caps", "-all", program, "--config",
                           b.gate.config, check=False)
    assert powerless.returncode == 1 and "needs CAP_NET_ADMIN" in powerless.stderr


def test_a_removal_beside_a_running_one_says_what_becomes_of_it(bypass):
    b = bypass()
    said = b.host.run(b.program, "--remove", "--config", b.gate.config)
    assert said.stderr == (f"gate25-bypassd runs, pid {b.pid}, and will make the table anew: stop it first, then "
                           "remove it\n")
    b.wait_status(well=True)
    wait_for(b.table_stands, 60, "the table is back")
    b.kill()
    said = b.host.run(b.program, "--remove", "--config", b.gate.config)
    assert said.stderr == "" and not b.table_stands()


def test_the_socket_of_another_program_is_not_taken_for_its_own(bypass):
    b = bypass()
    b.gate.configure({"bypass": {"control": b.gate.control}})
    second = b.host.run(b.program, "--config", b.gate.config, check=False)
    assert second.returncode == 1 and "Address already in use" in second.stderr


def test_as_an_ordinary_user(lab, sink, gate):
    """As its systemd unit runs it: CAP_NET_ADMIN as an ambient capability, and no other right."""
    if not sandbox.many_users():
        pytest.skip("this needs another user: an entry for this user in /etc/subuid")
    sink()
    wrapper = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps", "-all,+net_admin",
               "--ambient-caps", "+net_admin", "--bounding-set", "-all,+net_admin"]
    b = Bypass(gate(LIMITS), wrapper=wrapper)
    b.folder.chmod(0o777)
    b.program = shutil.copy2(b.program, b.folder)
    with b:
        register(b, LINE4)
        assert send(lab, LINE4).startswith("250 ") and sessions(b) == 0
        text = b.host.run("cat", f"/proc/{b.pid}/status").stdout
        assert int(re.search(r"(?m)^CapEff:\s*(\w+)$", text)[1], 16) == CAP_NET_ADMIN
    b.host.run(f"{gate_module.binaries()}/gate25-bypassd", "--remove")


def test_many_are_registered_at_once(lab, sink, bypass):
    sink()
    b = bypass()
    lines = [f"10.20.{n >> 8}.{n & 255}" for n in range(20000)] + [
        f"2001:db8:20:{n:x}00::/56" for n in range(0x40, 0xa0)]
    with store_of(b) as store:
        register_many(store, lines)
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
