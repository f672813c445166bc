"""gate25-bypassd: registered subscribers are routed on by the kernel, and gate25d never sees them."""

import pytest

from tests.integration.wire import MX4, MX6, Client, first_reply, send
from tests.lab.bypass import Bypass
from tests.lab.process import wait_for

LIMITS = {"class ordinary": {"messages": ["1/1d"]}, "class registered": {"action": "pass"}}
FAMILIES = [
    pytest.param("10.20.0.25", MX4, id="ipv4"),
    pytest.param("2001:db8:20:2500::25", MX6, id="ipv6"),
]


@pytest.fixture(name="bypass")
def bypass_fixture(gate, started):
    """bypass({...}) starts a gate, and a gate25-bypassd beside it."""
    begun = []

    def start(overrides=None, section=None, **options):
        beside = gate({**LIMITS, **(overrides or {})}, **options)
        begun.append(started(Bypass(beside, section)))
        return begun[-1]

    yield start
    for bypass in begun:
        bypass.end()
        bypass.host.run("nft", "delete", "table", "inet", "gate25_bypass", check=False)


def sessions(bypass):
    """How many gate25d has had."""
    return bypass.gate.ctl_json("status")["counters"]["sessions_total"]


def register(bypass, who, *options):
    bypass.gate.ctl("register", who, *options)
    return bypass.wait_status(in_step=True)


@pytest.mark.parametrize("source, server", FAMILIES)
def test_registered_subscribers_never_reach_the_gate(lab, sink, bypass, source, server):
    heard = sink()
    b = bypass()
    assert send(lab, source, server).startswith("250 ")
    assert sessions(b) == 1, "without a standing the gate takes it"
    b.gate.ctl("register", source)
    b.wait_status(units=1, in_step=True)
    for _ in range(3):
        assert send(lab, source, server).startswith("250 ")
    assert sessions(b) == 1
    assert len(heard.messages()) == 4
    assert set(heard.peers()) == {source}
