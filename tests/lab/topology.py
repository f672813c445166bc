"""The lab's network.

    subscribers ---- router ---- internet
    10.20.0.0/16     |    |      198.51.100.0/24
    2001:db8:20::/48 gate1 gate2 2001:db8:ffff::/48

Any address of the subscribers' and of the Internet's space may be bound, without being added
first. The rules of router and gates are the files of contrib/, with other values in their `define`
lines.
"""

import contextlib
import ctypes
import os
import re
import socket
import subprocess
import threading
from pathlib import Path

from . import sandbox

CONTRIB = sandbox.PROJECT / "contrib"
SUBSCRIBERS4, SUBSCRIBERS6 = "10.20.0.0/16", "2001:db8:20::/48"
INTERNET4, INTERNET6 = "198.51.100.0/24", "2001:db8:ffff::/48"
# Lives on the subscribers' side too, but is none of the ISP's space: forged sources.
STRANGERS4, STRANGERS6 = "192.0.2.0/24", "2001:db8:bad::/48"
GATE_PORT = 2525
CLONE_NEWNET = 0x40000000

# The router's links: name on the router -> (host, IPv4 link, IPv6 link); .1 is the router, .2 the host.
LINKS = {
    "subs": ("subscribers", "172.16.1.", "fd00:25:1::"),
    "inet": ("internet", "172.16.2.", "fd00:25:2::"),
    "gate1": ("gate1", "172.16.3.", "fd00:25:3::"),
    "gate2": ("gate2", "172.16.4.", "fd00:25:4::"),
}
UPLINK = "wan"  # each other host's link to the router


class CommandFailed(Exception):
    """A command in a host did not succeed."""


class Host:
    """A network namespace."""

    def __init__(self, name):
        self.name = name
        self.path = f"/run/netns/{name}"

    def command(self, *arguments):
        """The command line that runs `arguments` in this host."""
        return ["nsenter", f"--net={self.path}", *map(str, arguments)]

    def popen(self, *arguments, **options):
        return subprocess.Popen(self.command(*arguments), **options)

    def run(self, *arguments, **options):
        """Runs it to its end; CommandFailed, with what it said, unless check=False."""
        options = {"capture_output": True, "text": True, **options}
        check = options.pop("check", True)
        result = subprocess.run(self.command(*arguments), check=False, **options)
        if check and result.returncode != 0:
            raise CommandFailed(f"{self.name}: {arguments} ended with {result.returncode}:\n"
                                f"{result.stdout}\n{result.stderr}")
        return result

    @contextlib.contextmanager
    def inside(self):
        """Moves the calling thread into this host; sockets made meanwhile stay there."""
        back = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
        there = os.open(self.path, os.O_RDONLY)
        try:
            _enter(there)
            try:
                yield self
            finally:
                _enter(back)
        finally:
            os.close(there)
            os.close(back)

    def connect(self, destination, source=None, timeout=10, port=25):
        """A TCP connection from here, from the address `source` where given."""
        family = socket.AF_INET6 if ":" in destination else socket.AF_INET
        with self.inside():
            connection = socket.socket(family, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        try:
            if source:
                # The port is chosen with the destination known: thousands of connections a source.
                connection.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
                connection.bind((source, 0))
            connection.connect((destination, port))
        except BaseException:
            connection.close()
            raise
        return connection

    def listen(self, address, port=25, backlog=512):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.inside():
            listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(backlog)
        return listener


def _enter(descriptor):
    if sandbox.libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Lab:
    """The whole network. Lives in the sandbox, and ends with it."""

    def __init__(self, mode="tproxy", gates=1, steer=True, more_subscribers=()):
        """`more_subscribers`: IPv4 prefixes that are the subscribers' too."""
        self.mode = mode
        self.more_subscribers = tuple(more_subscribers)
        self.gates = gates
        self.hosts = {}
        self.links = {link: ends for link, ends in LINKS.items()
                      if not ends[0].startswith("gate") or int(ends[0][4:]) <= gates}
        if not sandbox.inside():
            raise sandbox.SandboxError("a lab is made inside its sandbox: tests/lab/lab exec ...")
        self._make_hosts()
        self._make_links()
        self._make_routes()
        if steer:
            self.steer()
        for number in range(1, gates + 1):
            self.set_mode(mode, gate=number)

    def __getitem__(self, name):
        return self.hosts[name]

    @property
    def subscribers(self):
        return self.hosts["subscribers"]

    @property
    def router(self):
        return self.hosts["router"]

    @property
    def internet(self):
        return self.hosts["internet"]

    @property
    def gate(self):
        return self.hosts["gate1"]

    @classmethod
    def attach(cls):
        """The lab that is already up in this sandbox."""
        lab = cls.__new__(cls)
        lab.hosts = {path.name: Host(path.name) for path in Path("/run/netns").iterdir()}
        lab.gates = sum(name.startswith("gate") for name in lab.hosts)
        lab.mode, lab.more_subscribers = None, ()
        lab.links = {link: ends for link, ends in LINKS.items() if ends[0] in lab.hosts}
        return lab

    def down(self):
        for name in self.hosts:
            subprocess.run(["ip", "netns", "delete", name], check=True)
        self.hosts = {}

    # -- what the constructor builds ---------------------------------------------------------------

    def _make_hosts(self):
        names = ["router"] + [ends[0] for ends in self.links.values()]
        _batch(["ip", "-batch", "-"], [f"netns add {name}" for name in names])
        self.hosts = {name: Host(name) for name in names}
        for host in self.hosts.values():
            set_sysctls(host, {
                "net.ipv6.conf.all.accept_dad": 0,
                "net.ipv6.conf.default.accept_dad": 0,
                "net.ipv6.conf.default.accept_ra": 0,
                "net.ipv4.conf.all.rp_filter": 0,
                "net.ipv4.conf.default.rp_filter": 0,
                "net.ipv4.ip_nonlocal_bind": 1,
                "net.ipv6.ip_nonlocal_bind": 1,
                "net.ipv4.ip_local_port_range": "1024 65535",
                "net.core.somaxconn": 8192,
                "net.ipv4.tcp_max_syn_backlog": 8192,
                "net.ipv6.route.max_size": 65536,
                "net.ipv4.neigh.default.gc_thresh3": 65536,
                # A peer that does not read is felt after a few MB, whatever this kernel's defaults.
                "net.ipv4.tcp_rmem": "4096 131072 2097152",
                "net.ipv4.tcp_wmem": "4096 16384 2097152",
            })
        # The documented settings of a gate, as far as they are a namespace's own.
        for name, host in self.hosts.items():
            if name == "router":
                set_sysctls(host, {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1,
                                   "net.ipv4.conf.all.send_redirects": 0})
            elif name.startswith("gate"):
                set_sysctls(host, read_sysctls(CONTRIB / "sysctl" / "gate25.conf", "net."))

    # The two ends need different indexes: the kernel takes an end for a physical link when its
    # peer's index is its own, and may then wait a second before it lets packets out. The link-local
    # addresses are set by hand for the same haste.
    def _make_links(self):
        _batch(["ip", "-batch", "-"], [
            f"link add {link} netns router index {index} type veth peer name {UPLINK} netns {host}"
            for index, (link, (host, _, _)) in enumerate(self.links.items(), 101)])
        ends = ["link set lo up"]
        for link, (_, net4, net6) in self.links.items():
            ends += [f"link set {link} addrgenmode none", f"addr add {net4}1/30 dev {link}",
                     f"addr add {net6}1/64 dev {link} nodad", f"addr add fe80::1/64 dev {link} nodad",
                     f"link set {link} up"]
        self._ip("router", ends)
        for host, net4, net6 in self.links.values():
            self._ip(host, [f"link set {UPLINK} addrgenmode none", "link set lo up",
                            f"addr add {net4}2/30 dev {UPLINK}",
                            f"addr add {net6}2/64 dev {UPLINK} nodad",
                            f"addr add fe80::2/64 dev {UPLINK} nodad", f"link set {UPLINK} up",
                            f"route add default via {net4}1", f"-6 route add default via {net6}1"])

    def _make_routes(self):
        spaces = {"subs": (SUBSCRIBERS4, SUBSCRIBERS6, STRANGERS4, STRANGERS6, *self.more_subscribers),
                  "inet": (INTERNET4, INTERNET6)}
        routes = []
        for link, prefixes in spaces.items():
            host, net4, net6 = self.links[link]
            self._ip(host, [f"{_family(p)}route add local {p} dev lo" for p in prefixes])
            routes += [f"{_family(p)}route add {p} via {net6 if ':' in p else net4}2" for p in prefixes]
        self._ip("router", routes)

    def _ip(self, host, lines):
        """Several ip(8) commands in one process for each family."""
        four = [line for line in lines if not line.startswith("-6 ")]
        six = [line[3:] for line in lines if line.startswith("-6 ")]
        if four:
            _batch(self.hosts[host].command("ip", "-batch", "-"), four)
        if six:
            _batch(self.hosts[host].command("ip", "-6", "-batch", "-"), six)

    # -- what a test may change --------------------------------------------------------------------

    def steer(self):
        """The router sends port 25 to the gates."""
        for number in range(1, self.gates + 1):
            _, net4, net6 = LINKS[f"gate{number}"]
            table, mark = 36 + number, 0x24 + number
            self._ip("router", [
                f"route add default via {net4}2 table {table}", f"rule add fwmark {mark} lookup {table}",
                f"-6 route add default via {net6}2 table {table}",
                f"-6 rule add fwmark {mark} lookup {table}"])
        name = "router-nftables.nft" if self.gates == 1 else "router-nftables-two-gates.nft"
        load_rules(self.router, CONTRIB / "routers" / name,
                   subscribers4="{ %s }" % ", ".join((SUBSCRIBERS4, *self.more_subscribers)),
                   subscribers6="{ %s }" % SUBSCRIBERS6)

    def unsteer(self):
        """The router sends port 25 straight to the Internet."""
        self.router.run("nft", "delete", "table", "inet", "gate25_router")
        for number in range(1, self.gates + 1):
            table, mark = 36 + number, 0x24 + number
            self._ip("router", [f"rule delete fwmark {mark}", f"route flush table {table}",
                                f"-6 rule delete fwmark {mark}", f"-6 route flush table {table}"])

    def set_mode(self, mode, gate=1, port=GATE_PORT):
        """How a gate catches port 25, and for whom: "tproxy", "redirect" or None."""
        host = self.hosts[f"gate{gate}"]
        self.clear_mode(gate)
        if mode is None:
            return
        if mode == "tproxy":
            self._ip(host.name, [
                "rule add fwmark 1 lookup 100", "route add local default dev lo table 100",
                "-6 rule add fwmark 1 lookup 100", "-6 route add local default dev lo table 100"])
        load_rules(host, CONTRIB / "routers" / f"gate-{mode}.nft", steered_link=f'"{UPLINK}"',
                   listen_port=port)
        self.mode = mode

    def clear_mode(self, gate=1):
        host = self.hosts[f"gate{gate}"]
        if "table inet gate25" not in host.run("nft", "list", "tables").stdout.splitlines():
            return
        host.run("nft", "delete", "table", "inet", "gate25")
        for family in ("-4", "-6"):
            if "fwmark" in host.run("ip", family, "rule", "list").stdout:
                host.run("ip", family, "rule", "delete", "fwmark", "1")
                host.run("ip", family, "route", "flush", "table", "100")


def _family(prefix):
    return "-6 " if ":" in prefix else ""


def _batch(command, lines):
    subprocess.run(command, input="\n".join(lines) + "\n", text=True, check=True)


def read_sysctls(path, prefix=""):
    lines = (line.partition("#")[0] for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    return {name.strip(): value.strip() for name, value in pairs if name.strip().startswith(prefix)}


def _sysctl(name):
    # /proc/sys/net shows the opener's namespace, which is this thread's.
    return Path("/proc/sys") / name.replace(".", "/")


def set_sysctls(host, values):
    with host.inside():
        for name, value in values.items():
            with contextlib.suppress(FileNotFoundError):  # not every kernel has each of them
                _sysctl(name).write_text(f"{value}\n", encoding="ascii")


@contextlib.contextmanager
def other_sysctls(host, values):
    """These of the kernel's settings, until the block ends."""
    with host.inside():
        before = {name: _sysctl(name).read_text(encoding="ascii").strip() for name in values}
    set_sysctls(host, values)
    try:
        yield
    finally:
        set_sysctls(host, before)


def load_rules(host, path, **defines):
    """Loads an nft file; `defines` replace the values of its own `define` lines."""
    text = path.read_text(encoding="utf-8")
    for name, value in defines.items():
        text, count = re.subn(rf"(?m)^define {name} = .*$", f"define {name} = {value}", text)
        if count != 1:
            raise ValueError(f"{path} has no line: define {name} = ...")
    host.run("nft", "-f", "-", input=text)
