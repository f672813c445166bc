"""Kea's DHCP servers in a gate of the lab, with contrib's hook, and the relay that asks them for customers."""

import contextlib
import json
import os
import socket
import struct

from . import sandbox, topology
from .process import Process, wait_for

ROOT = sandbox.PROJECT / ".parts" / "kea"
HOOK = topology.CONTRIB / "kea" / "gate25-kea"
PASSWORD = "kea-password"
RELAY4, SERVER4 = "172.16.3.1", "172.16.3.2"
RELAY6, SERVER6 = "fd00:25:3::1", "fd00:25:3::2"
COOKIE = b"\x63\x82\x53\x63"
DISCOVER, REQUEST, RELEASE = 1, 3, 7
SOLICIT, REQUEST6, RELEASE6, RELAY_FORW = 1, 3, 8, 12


def library():
    return next(ROOT.glob("usr/lib/*-linux-gnu*"))


def give_rights(redis):
    lines = (topology.CONTRIB / "redis" / "users.acl").read_text(encoding="utf-8").splitlines()
    line = next(line for line in lines if line.startswith("user kea "))
    name, *words = line.replace("CHANGE-ME-kea", PASSWORD).split()[1:]
    redis.cli("acl", "setuser", name, "reset", *words)


class Kea(Process):
    """kea-dhcp4 or kea-dhcp6 behind the router; `lifetime` of its leases in seconds."""

    name = "kea"

    def __init__(self, lab, redis, family=4, lifetime=600, accounts=None):
        super().__init__(lab.gate)
        self.lab, self.redis, self.family = lab, redis, family
        (self.folder / "accounts").write_text(
            "".join(f"{key} {account}\n" for key, account in (accounts or {}).items()), encoding="ascii")
        (self.folder / "hook.conf").write_text(
            f"REDIS='-h 127.0.0.1 -p {redis.port} --user kea'\nPASSWORD={PASSWORD}\n"
            f"ACCOUNTS={self.folder}/accounts\n", encoding="ascii")
        wrapper = self.folder / "hook"
        wrapper.write_text(f"#!/bin/sh\nGATE25_KEA_CONF={self.folder}/hook.conf exec {HOOK} \"$@\"\n", encoding="ascii")
        wrapper.chmod(0o755)
        parts = {
            4: {"interfaces-config": {"interfaces": [topology.UPLINK], "dhcp-socket-type": "udp"},
                "subnet4": [{"subnet": topology.SUBSCRIBERS4, "pools": [{"pool": "10.20.50.1-10.20.50.1"}],
                             "relay": {"ip-addresses": [RELAY4]}}]},
            6: {"interfaces-config": {"interfaces": [f"{topology.UPLINK}/{SERVER6}"]},
                "data-directory": str(self.folder),
                "subnet6": [{"subnet": topology.SUBSCRIBERS6, "pools": [{"pool": "2001:db8:20:ffff::/64"}],
                             "pd-pools": [{"prefix": "2001:db8:20:4000::", "prefix-len": 52, "delegated-len": 56}],
                             "relay": {"ip-addresses": [RELAY6]}}]},
        }
        hook = {"library": str(library() / "kea/hooks/libdhcp_run_script.so"),
                "parameters": {"name": str(wrapper), "sync": False}}
        config = {
            **parts[family], "valid-lifetime": lifetime, "hooks-libraries": [hook],
            "lease-database": {"type": "memfile", "persist": False},
            "expired-leases-processing": {"reclaim-timer-wait-time": 1, "hold-reclaimed-time": 0,
                                          "flush-reclaimed-timer-wait-time": 1},
            "loggers": [{"name": f"kea-dhcp{family}", "output_options": [{"output": "stdout"}], "severity": "INFO"}],
        }
        if family == 6:
            config["preferred-lifetime"] = lifetime
        (self.folder / "kea.json").write_text(json.dumps({f"Dhcp{family}": config}), encoding="ascii")

    def start(self):
        give_rights(self.redis)
        environment = {**os.environ, "LD_LIBRARY_PATH": str(library()), "KEA_LOCKFILE_DIR": str(self.folder),
                       "KEA_PIDFILE_DIR": str(self.folder)}
        return self.launch(ROOT / f"usr/sbin/kea-dhcp{self.family}", "-c", self.folder / "kea.json", seconds=60,
                           env=environment)

    def ready(self):
        return f"DHCP{self.family}_STARTED" in self.text()


class Relay4:
    """Asks as the access node of a customer does: with what it calls him in option 82."""

    def __init__(self, lab):
        with lab.router.inside():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((RELAY4, 67))
        self.socket.settimeout(2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _send(self, kind, hardware, remote, options=b"", address="0.0.0.0"):
        option82 = _option4(82, _option4(1, b"olt1 0/3:7") + (_option4(2, remote) if remote else b""))
        head = struct.pack(">BBBBIHH", 1, 1, 6, 1, 0x25252525, 0, 0) + socket.inet_aton(address) + bytes(8)
        head += socket.inet_aton(RELAY4) + hardware + bytes(10 + 192)
        self.socket.sendto(head + COOKIE + _option4(53, bytes([kind])) + options + option82 + b"\xff", (SERVER4, 67))

    def _ask(self, *arguments, **options):
        """Sent again until it is answered; None: the server has nothing for him."""
        for _ in range(10):
            self._send(*arguments, **options)
            with contextlib.suppress(TimeoutError):
                return self.socket.recv(2000)
        return None

    def lease(self, number, remote):
        """The address that the customer with that hardware address is given, and the server's id; None: none."""
        hardware = bytes([2, 0, 0, 0, 0, number])
        offer = None
        while offer is None:
            offer = self._ask(DISCOVER, hardware, remote)
        server = offer[offer.index(b"\x36\x04", 240) + 2:][:4]
        self._ask(REQUEST, hardware, remote, _option4(50, offer[16:20]) + _option4(54, server))
        return socket.inet_ntoa(offer[16:20]), server

    def release(self, number, remote, address, server):
        self._send(RELEASE, bytes([2, 0, 0, 0, 0, number]), remote, _option4(54, server), address)


class Relay6:
    """The same for DHCPv6: an address and a delegated prefix."""

    def __init__(self, lab):
        with lab.router.inside():
            self.socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.socket.bind((RELAY6, 547))
        self.socket.settimeout(2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _ask(self, kind, duid, options):
        message = bytes([kind, 0, 0, 25]) + _option6(1, duid) + options
        packet = bytes([RELAY_FORW, 0]) + socket.inet_pton(socket.AF_INET6, RELAY6)
        packet += socket.inet_pton(socket.AF_INET6, "fe80::2") + _option6(9, message)
        answer = None

        def answered():
            nonlocal answer
            self.socket.sendto(packet, (SERVER6, 547))
            with contextlib.suppress(TimeoutError):
                answer = self.socket.recv(4000)
            return answer
        wait_for(answered, 60, "an answer of kea-dhcp6")
        return _options6(_options6(answer[34:])[9][4:])

    def lease(self, duid):
        """What he is given, as options for a release."""
        wanted = _option6(3, struct.pack(">III", 1, 0, 0)) + _option6(25, struct.pack(">III", 1, 0, 0))
        offer = self._ask(SOLICIT, duid, wanted)
        given = b"".join(_option6(code, offer[code]) for code in (2, 3, 25))
        self._ask(REQUEST6, duid, given)
        return given

    def release(self, duid, given):
        self._ask(RELEASE6, duid, given)


def _option4(code, data):
    return bytes([code, len(data)]) + data


def _option6(code, data):
    return struct.pack(">HH", code, len(data)) + data


def _options6(data):
    found = {}
    while data:
        code, length = struct.unpack(">HH", data[:4])
        found[code], data = data[4:4 + length], data[4 + length:]
    return found
