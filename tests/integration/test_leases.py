"""Leases of addresses, told by a real FreeRADIUS."""

import pytest

from tests.integration.wire import FREE, first_reply, send
from tests.lab.process import wait_for
from tests.lab.radius import Radius

LEASED = {"leases": {"prefixes": ["10.20.0.0/16", "2001:db8:20::/48"]}}


@pytest.fixture(name="radius")
def radius_fixture(lab, site_redis, started):
    """radius(life=3600): a FreeRADIUS beside the gate."""
    return lambda **options: started(Radius(lab.gate, site_redis, **options))


def test_standing_follows_the_account(lab, gate, radius, site_redis, sink):
    sink()
    running = gate({**FREE, **LEASED}, redis=site_redis)
    server = radius()
    server.tell("Start", "Alice@isp.example", "s1", Framed_IP_Address="10.20.0.7")
    running.ctl("register", "10.20.0.7")
    wait_for(lambda: running.ctl_json("explain", "10.20.0.7")["class"] == "registered")
    wait_for(lambda: (send(lab, "10.20.0.7"), running.journal(**{"class": "registered"}))[1])
