"""The walled garden: the documented nftables and DNS recipes lead a line in quarantine to its page."""

import json
import socket
import struct
import subprocess

import pytest

from tests.lab import leases, topology
from tests.lab.dns import Nsd
from tests.lab.gate import binaries
from tests.lab.process import PARTS, Process, wait_for
from tests.lab.web import GARDEN_PORT, URL

ROUTERS = topology.CONTRIB / "routers"
LINE, OTHER, SIX = "10.20.3.3", "10.20.3.4", "2001:db8:20:300::3"
SOMEWHERE4, SOMEWHERE6 = "198.51.100.80", "2001:db8:ffff::80"
GARDEN4, GARDEN6 = "172.16.3.2", "fd00:25:3::2"


@pytest.fixture(name="garden")
def garden_fixture(lab):
    """The recipe's rules on the router."""
    topology.load_rules(lab.router, ROUTERS / "router-walled-garden.nft", garden4=GARDEN4, garden6=GARDEN6,
                        garden_port=GARDEN_PORT, site_port=443)
    yield lab.router
    lab.router.run("nft", "delete", "table", "inet", "gate25_garden")


def elements(router, name):
    """What is in a set of the recipe, as texts."""
    listed = json.loads(router.run("nft", "-j", "list", "set", "inet", "gate25_garden", name).stdout)["nftables"]
    found = next(item["set"] for item in listed if "set" in item).get("elem", [])
    return [f"{e['prefix']['addr']}/{e['prefix']['len']}" if isinstance(e, dict) else e for e in found]


def ask_web(lab, source, address):
    with lab.subscribers.connect(address, source, port=80, timeout=30) as connection:
        connection.sendall(b"GET /generate_204 HTTP/1.1\r\nHost: connectivity.example\r\n\r\n")
        return connection.recv(4096)


def test_rules(garden, gate, site, site_redis, lab):
    """From gate25ctl's quarantine to the redirect, by walled-garden-sync; and out again with the release."""
    running = gate({"class ordinary": {"messages": ["10/1m"]}}, redis=site_redis)
    web = site({"web": {"garden": [f"{GARDEN4}:{GARDEN_PORT}", f"[{GARDEN6}]:{GARDEN_PORT}"]}}, beside=running)

    def sync():
        """On the router, with a gate25ctl that speaks to the gate's Redis (one socket for the whole lab)."""
        return garden.run("env", f"GATE25CTL={binaries()}/gate25ctl --config {running.config}",
                          ROUTERS / "walled-garden-sync")

    running.ctl("quarantine", LINE, "--reason", "sends spam")
    running.ctl("quarantine", SIX, "--reason", "sends spam")
    running.ctl("register", OTHER)
    sync()
    assert elements(garden, "quarantined4") == [LINE]
    assert elements(garden, "quarantined6") == ["2001:db8:20:300::/56"]
    with lab.internet.listen(SOMEWHERE4, 80), lab.internet.listen(SOMEWHERE6, 80), lab.internet.listen(SOMEWHERE4, 443):
        for source, address in ((LINE, SOMEWHERE4), (SIX, SOMEWHERE6)):
            reply = ask_web(lab, source, address)
            assert b" 302 " in reply and f"Location: {URL}/quarantine\r\n".encode() in reply
        # Web pages over TLS fail at once instead of hanging; the site itself is reached.
        with pytest.raises(ConnectionRefusedError):
            lab.subscribers.connect(SOMEWHERE4, LINE, port=443, timeout=30)
        for source in (LINE, SIX):
            browser = web.browser(source)
            wait_for(lambda b=browser: "is in quarantine" in b.get("/quarantine").words, 20, "the page")
        # Everybody else reaches the world.
        for port in (80, 443):
            lab.subscribers.connect(SOMEWHERE4, OTHER, port=port, timeout=30).close()
        # What is open stays open.
        garden.run("nft", "add", "element", "inet", "gate25_garden", "open4", "{ %s }" % SOMEWHERE4)
        lab.subscribers.connect(SOMEWHERE4, LINE, port=443, timeout=30).close()
    page = web.browser(LINE)
    assert page.submit(page.get("/quarantine"), "/quarantine").status == 303
    sync()
    assert elements(garden, "quarantined4") == []
    assert elements(garden, "quarantined6") == ["2001:db8:20:300::/56"]


def test_accounts_in_quarantine(garden, gate, site_redis):
    """Where addresses are handed out by lease: what the account holds now."""
    running = gate({"class ordinary": {"messages": ["10/1m"]}, "leases": {"prefixes": [topology.SUBSCRIBERS4]}}, redis=site_redis)
    running.ctl("quarantine", "4711")
    running.ctl("quarantine", "beef")
    leases.start(site_redis, "4711", "10.20.40.1", "2001:db8:20:9900::/56")

    def sync():
        garden.run("env", f"GATE25CTL={binaries()}/gate25ctl --config {running.config}", ROUTERS / "walled-garden-sync")
        return elements(garden, "quarantined4"), elements(garden, "quarantined6")

    assert sync() == (["10.20.40.1"], ["2001:db8:20:9900::/56"])
    leases.start(site_redis, "another", "10.20.40.1")
    leases.start(site_redis, "4711", "10.20.40.2", session="later")
    assert sync() == (["10.20.40.2"], ["2001:db8:20:9900::/56"])


def test_sync_keeps_what_it_cannot_ask(garden, gate, site_redis):
    running = gate({"class ordinary": {"messages": ["10/1m"]}}, redis=site_redis)
    garden.run("nft", "add", "element", "inet", "gate25_garden", "quarantined4", "{ %s }" % LINE)
    result = garden.run("env", "GATE25CTL=false", ROUTERS / "walled-garden-sync", check=False)
    assert result.returncode != 0
    assert elements(garden, "quarantined4") == [LINE]
    running.ctl("quarantine", OTHER, "--until", "1h")
    printed = running.host.run("env", f"GATE25CTL={binaries()}/gate25ctl --config {running.config}",
                               ROUTERS / "walled-garden-sync", "--print").stdout
    assert f"add element inet gate25_garden quarantined4 {{ {OTHER} }}" in printed


# -- DNS -------------------------------------------------------------------------------------------


class Unbound(Process):
    name = "unbound"
    recipe = "garden-unbound.conf"

    def start(self):
        config = self.folder / "unbound.conf"
        config.write_text(recipe(self.recipe) + f"""
            do-daemonize: no
            chroot: ""
            directory: "{self.folder}"
            username: ""
            pidfile: "{self.folder}/pid"
            use-syslog: no
            do-not-query-localhost: no
        remote-control:
            control-enable: no
        forward-zone:
            name: "."
            forward-addr: 127.0.0.1@5300
        """, encoding="ascii")
        return self.launch(PARTS / "usr/sbin/unbound", "-d", "-c", config)

    def ready(self):
        return answer(self.host, "anything.example", 1) is not None


class Dnsmasq(Unbound):
    name = "dnsmasq"
    recipe = "garden-dnsmasq.conf"

    def start(self):
        config = self.folder / "dnsmasq.conf"
        config.write_text(recipe(self.recipe), encoding="ascii")
        return self.launch("/usr/sbin/dnsmasq", "--keep-in-foreground", f"--conf-file={config}", "--user=root",
                           "--group=root", "--log-facility=-", f"--pid-file={self.folder}/pid")


def recipe(name):
    """The file with the lab's addresses in place of the examples'."""
    text = (ROUTERS / name).read_text(encoding="ascii")
    for example, here in (("192.0.2.53", GARDEN4), ("2001:db8::53", GARDEN6), ("192.0.2.80", GARDEN4),
                          ("2001:db8::80", GARDEN6), ("192.0.2.0/24", "0.0.0.0/0"), ("2001:db8:1::/48", "::/0"),
                          ("192.0.2.1\n", "127.0.0.1#5300\n")):
        text = text.replace(example, here)
    return text


def answer(host, name, kind, server=GARDEN4, source=None):
    """The first address of a DNS answer, and how long it lives; None without one."""
    question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    question += b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    question += struct.pack("!HH", kind, 1)
    with host.inside():
        asked = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
    with asked:
        asked.settimeout(1)
        if source:
            asked.bind((source, 0))
        try:
            asked.connect((server, 53))
            asked.send(question)
            reply = asked.recv(4096)
        except OSError:
            return None
    if struct.unpack("!H", reply[6:8])[0] == 0:
        return None
    at = len(question)
    at += 2 if reply[at] >= 0xC0 else reply.index(b"\0", at) - at + 1
    found, _, ttl, size = struct.unpack("!HHIH", reply[at:at + 10])
    data = reply[at + 10:at + 10 + size]
    return socket.inet_ntop(socket.AF_INET6 if found == 28 else socket.AF_INET, data), ttl


@pytest.mark.parametrize("resolver", [Unbound, Dnsmasq])
def test_dns(resolver, lab, started):
    """Every name is the garden door, but for the site and what helps to clean a computer."""
    started(Nsd(lab.gate, {"port25.isp.example": ["A 172.16.3.99"], "security.ubuntu.com": ["A 198.51.100.77"]},
                zones=("isp.example", "ubuntu.com")))
    started(resolver(lab.gate))
    for server, source in ((GARDEN4, LINE), (GARDEN6, SIX)):
        for name in ("www.example.com", "connectivity.example", "x.y.z.example", "com"):
            assert answer(lab.subscribers, name, 1, server, source) == (GARDEN4, 10), name
            assert answer(lab.subscribers, name, 28, server, source) == (GARDEN6, 10), name
        assert answer(lab.subscribers, "port25.isp.example", 1, server, source)[0] == "172.16.3.99"
        assert answer(lab.subscribers, "security.ubuntu.com", 1, server, source)[0] == "198.51.100.77"


def test_sync_is_posix_sh():
    subprocess.run(["sh", "-n", ROUTERS / "walled-garden-sync"], check=True)
