"""Three sentinels, a master and its replica: failovers, and what becomes of limits and standings."""

import contextlib

import pytest

from tests.integration.fleet import (LIMIT, MX4, check_known, pass_messages, pass_the_rest, quiet_ctl,
                                     wait_current, wait_up)
from tests.integration.mail import Client, attempt, meters
from tests.lab.process import wait_for
from tests.lab.redis_fleet import PATIENCE_S, Watched, password
from tests.lab.servers import Gate

REGISTERED, QUARANTINED = "10.20.32.25", "10.20.32.66"
# With the master away nobody is metered by a node alone here, so that each message that passes has
# taken its token from Redis.
CLASS = {"action": "meter", "sessions": ["1000/1d"], "messages": [f"{LIMIT}/1d"], "spread": ["50/1h"],
         "concurrent": 20}
numbers = iter(range(1, 250))


def stranger():
    """A subscriber nobody has heard of."""
    return f"10.20.33.{next(numbers)}"


@pytest.fixture(scope="module", name="servers")
def servers_fixture(lab):
    with contextlib.ExitStack() as stack:
        yield Watched(lab.gate, stack.enter_context)


@pytest.fixture(name="fleet")
def fleet_fixture(servers):
    """Without a key; who is the master the tests before have decided."""
    servers.wait_whole()
    servers.master().cli("flushall")
    for server in [*servers.servers, *servers.sentinels]:
        server.cli("acl", "log", "reset")
    wait_for(servers.in_step, PATIENCE_S, "the replica has all of it")
    return servers


@pytest.fixture(name="make")
def make_fixture(lab, fleet, sink):
    """make(user) is a gate, not started, that asks the sentinels."""
    sink()
    return lambda user="gate25d": Gate(
        lab, fleet.url(user), {"redis": {**fleet.settings, "when-down": "refuse", "deadline": "5s"},
                               "class ordinary": CLASS})


@pytest.fixture(name="desk")
def desk_fixture(make):
    """gate25ctl with its own user: desk("register", ...) and no complaint."""
    return quiet_ctl(make("gate25ctl"))


def test_no_replica_confirms(fleet, desk, make):
    """What only the master has is said to be so; it is done all the same."""
    fleet.other(fleet.master()).stop()
    result = make("gate25ctl").ctl("register", REGISTERED)
    assert "no replica has confirmed it" in result.stderr
    fleet.other(fleet.master()).cont()
    assert REGISTERED in desk("list")


def test_sentinels_that_cannot_be_asked(lab, fleet, make, desk, started):
    """One asleep does not matter; a name that they do not know is told, and so is a wrong password."""
    fleet.sentinels[0].stop()
    desk("register", REGISTERED)
    gate = started(make())
    wait_up(gate)
    fleet.sentinels[0].cont()

    other = make("gate25ctl")
    other.configure({"redis": {"url": fleet.url("gate25ctl").replace("/main", "/mine")}})
    result = other.ctl("list", check=False)
    assert result.returncode == 1
    assert "mine of 127.0.0.1:" in result.stderr and "watch no master of that name" in result.stderr
    other.configure({"redis": {"sentinel-password": "wrong", "url": fleet.url("gate25ctl")}})
    assert "WRONGPASS" in other.ctl("list", check=False).stderr


def test_a_misspelled_master_is_told_once(make, fleet, started):
    other = make()
    other.configure({"redis": {"url": fleet.url("gate25d").replace("/main", "/mine")}})
    started(other)
    said = "redis: the sentinels watch no master of the name mine\n"
    wait_for(lambda: said in other.text(), PATIENCE_S, "it is told")
    wait_for(lambda: "not been followed for over 10 seconds" in other.ctl("health").stdout, PATIENCE_S,
             "each connection has asked again and again")
    assert other.text().count("the sentinels") == 1
    fleet.sentinels[0].cli("sentinel", "monitor", "mine", "127.0.0.1", fleet.master().port, 1)
    try:
        for name, value in (("auth-user", "sentinel"), ("auth-pass", password("sentinel"))):
            fleet.sentinels[0].cli("sentinel", "set", "mine", name, value)
        wait_up(other)
        assert other.text().count("redis: the sentinels name ") == 1
    finally:
        fleet.sentinels[0].cli("sentinel", "remove", "mine")


def test_master_killed(lab, fleet, make, desk, started):
    """The replica takes over: sessions go on, limits hold over both, no standing is lost or comes back."""
    gate = started(make())
    wait_up(gate)
    desk("register", REGISTERED, "--reason", "a test")
    desk("quarantine", QUARANTINED, "--reason", "a test")
    desk("register", "10.20.32.99")
    wait_current(gate, 3)
    check_known(lab, REGISTERED, QUARANTINED)
    source = stranger()
    pass_messages(lab, source, 2)
    with Client(lab, source, MX4) as client:
        assert client.say("EHLO pc.example").code == 250
        assert client.deliver().code == 250
        wait_for(fleet.in_step, PATIENCE_S, "the replica has all of it")

        old = fleet.master()
        # Both confirmed by the replica, or the desk would have complained.
        desk("register", "10.20.32.98")
        desk("unregister", "10.20.32.99")
        fleet.sentinels[2].stop()  # it will wake up with yesterday's news
        old.kill()
        check_known(lab, REGISTERED, QUARANTINED)
        # Only two sentinels can tell, and two are enough.
        wait_for(lambda: {s.master_port() for s in fleet.sentinels[:2]} == {fleet.other(old).port}, PATIENCE_S,
                 "the other one is the master")
        wait_up(gate)
        assert client.deliver().code == 250
        client.say("QUIT")
    pass_the_rest(lab, source, 4)
    check_known(lab, REGISTERED, QUARANTINED)
    wait_current(gate, 3)
    assert attempt(lab, "10.20.32.98", MX4).code == 250
    listed = desk("list")
    assert "10.20.32.98" in listed and "10.20.32.99" not in listed
    assert "messages:86400" in meters(fleet.other(old), source)[0]

    # The old one comes back, at first as a master in its own eyes, and a sentinel believes it.
    fleet.sentinels[2].cont()
    old.start()
    pass_messages(lab, stranger(), 3)
    fleet.wait_master(fleet.other(old))
    old.wait_cli(lambda role: role[0] == "slave", "role")
    check_known(lab, REGISTERED, QUARANTINED)
    pass_messages(lab, stranger(), 3)
    for server in fleet.servers:
        assert [d for d in server.denied() if d[0].startswith("gate25")] == []
    assert [d for s in fleet.sentinels for d in s.denied()] == []


def test_switch_by_hand(lab, fleet, make, desk, started):
    """SENTINEL FAILOVER: the old master lives on for a while as such, and no gate writes to it any more."""
    gate = started(make())
    wait_up(gate)
    desk("register", REGISTERED)
    desk("quarantine", QUARANTINED)
    wait_current(gate, 2)
    source = stranger()
    pass_messages(lab, source, 2)
    wait_for(fleet.in_step, PATIENCE_S, "the replica has all of it")
    old = fleet.master()
    fleet.switch()
    check_known(lab, REGISTERED, QUARANTINED)
    wait_up(gate)
    wait_for(lambda: not any("gate25" in client["user"] for client in old.client().client_list()), PATIENCE_S,
             "every gate has left the old master")
    pass_the_rest(lab, source, 2)
    assert gate.text().count("the sentinels have made ") == 1, "not once for each connection"
    # It has no replica yet, and gate25ctl says so.
    complaining = make("gate25ctl")
    complaining.ctl("release", QUARANTINED)
    wait_for(lambda: attempt(lab, QUARANTINED, MX4).code == 250, PATIENCE_S, "the change is heard of")
    complaining.ctl("quarantine", QUARANTINED)
    wait_for(lambda: attempt(lab, QUARANTINED, MX4).code == 554, PATIENCE_S, "the change is heard of")
    check_known(lab, REGISTERED, QUARANTINED)

    # With no sentinel left the master goes on. (The last test of this file.)
    for sentinel in fleet.sentinels:
        sentinel.kill()
    pass_messages(lab, stranger(), 2)
    assert attempt(lab, REGISTERED, MX4).code == 250
    assert gate.ctl_json("status")["counters"]["store_up"] == len(gate.workers())
