"""Two gates behind a router that spreads the subscribers: one set of limits, and neither is precious."""

import contextlib

from tests.integration.load import Load
from tests.integration.test_lab import nested
from tests.integration.wire import Client, send
from tests.lab import servers, topology
from tests.lab.process import wait_for

UNIT = "2001:db8:20:4200::/56"  # one customer's delegated prefix; the router spreads its addresses
MX6 = "2001:db8:ffff::10"
LIMIT = 40
LIMITS = {"class ordinary": {"messages": [f"{LIMIT}/1d"]}}
LINES = 24  # addresses that load comes from

RUN = """
from tests.integration import test_two_gates
test_two_gates.{name}()
"""


class Fleet:
    """The lab with both gates, one Redis and one mail server."""

    def __init__(self, overrides):
        self.lab = topology.Lab(gates=2)
        self.redis = servers.Redis(self.lab.gate)
        self.sink = servers.Sink(self.lab.internet, ["198.51.100.10", MX6])
        self.gates = [servers.Gate(self.lab, self.redis, overrides, number=number) for number in (1, 2)]

    def __enter__(self):
        for server in (self.redis, self.sink, *self.gates):
            server.start()
        return self

    def __exit__(self, *_):
        for server in (*self.gates, self.sink, self.redis):
            server.end()

    def sessions(self):
        """How many each gate has had."""
        return [gate.ctl_json("status")["counters"]["sessions_total"] for gate in self.gates]

    def withdraw(self, number):
        """The router sends a gate's share to the other one: both tables lead there."""
        _, net4, net6 = topology.LINKS[f"gate{3 - number}"]
        table = 36 + number
        self.lab.router.run("ip", "route", "replace", "default", "via", f"{net4}2", "table", table)
        self.lab.router.run("ip", "-6", "route", "replace", "default", "via", f"{net6}2", "table", table)


def limits_hold_across_both():
    with Fleet(LIMITS) as fleet:
        replies = [send(fleet.lab, f"2001:db8:20:4200::{number + 1:x}", MX6) for number in range(LIMIT + 20)]
        passed = [reply for reply in replies if reply.startswith("250 ")]
        assert len(passed) == LIMIT == len(fleet.sink.messages())
        refused = [reply for reply in replies if not reply.startswith("250 ")]
        assert all(reply.startswith("450 4.7.1 ") and UNIT in reply for reply in refused), refused
        assert all(count > 0 for count in fleet.sessions()), "both gates had their share"
        assert {line["id"] for gate in fleet.gates for line in gate.journal(event="session")} == {UNIT}


class Lines(Load):
    """Lines that send one message after the other; a session that breaks is tried again, as servers do."""

    def __init__(self, fleet):
        super().__init__(LINES)
        self.fleet, self.accepted, self.broken, self.deferred = fleet, 0, 0, 0

    def one(self, number, turn):
        try:
            reply = send(self.fleet.lab, f"2001:db8:20:4200::{number + 1:x}", MX6, timeout=5)
        except (OSError, AssertionError):
            reply = ""
        with self.lock:
            self.accepted += reply.startswith("250 ")
            self.deferred += reply.startswith("450 ")
            self.broken += not reply


def one_is_killed_under_load():
    most = 600
    with Fleet({"class ordinary": {"messages": [f"{most}/1d"]}}) as fleet:
        first, second = fleet.gates
        with Lines(fleet) as load:
            wait_for(lambda: load.accepted > 60 and min(fleet.sessions()) > 0, 60, "load on both")
            first.kill()
            assert first.ctl("health", check=False).returncode == 1, "what a router would ask says so"
            fleet.withdraw(1)
            accepted = load.accepted
            wait_for(lambda: load.accepted > accepted + 60, 120, "the other gate takes over")
            wait_for(lambda: load.deferred > LINES, 180, "the limit is reached")
        # What the killed gate had been granted is spent; nothing beyond the limit was sent through either.
        assert len(fleet.sink.messages()) <= most
        assert len(fleet.sink.messages()) > most - 2 * LINES
        with Client(fleet.lab, "2001:db8:20:4300::1", MX6) as another:
            assert another.reply().startswith("220 "), "other subscribers are served"
        assert second.ctl("health").stdout == "good\n"


def tokens_taken_ahead():
    """Two workers in each of two gates take up to 8 at once: no more messages than the limit allows go through."""
    ahead, limit, addresses = 8, 300, 6
    with Fleet({"class ordinary": {"messages": [f"{limit}/1d"]},
                "redis": {"tokens-ahead": ahead}}) as fleet:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Client(fleet.lab, f"2001:db8:20:4200::{number + 1:x}", MX6)).greet()
                       for number in range(addresses)]
            granted = denied = 0
            while denied < 2 * addresses:
                for client in clients:
                    through = client.say("MAIL FROM:<me@home.example>").startswith("250")
                    granted, denied = granted + through, denied + (not through)
                    client.expect("RSET", 250)
        assert granted <= limit
        assert min(fleet.sessions()) > 0, "both gates had their share"
        assert sum(gate.ctl_json("status")["counters"]["paid_ahead_total"] for gate in fleet.gates) > 20
        left = {item["limit"]: item["left"] for item in
                fleet.gates[0].ctl_json("explain", "2001:db8:20:4200::1")["limits"]}
        assert left["messages"] == 0, "what was taken ahead counts as spent"


def test_limits_hold_across_both():
    nested(RUN.format(name="limits_hold_across_both"))


def test_tokens_taken_ahead():
    nested(RUN.format(name="tokens_taken_ahead"))


def test_one_is_killed_under_load():
    nested(RUN.format(name="one_is_killed_under_load"))
