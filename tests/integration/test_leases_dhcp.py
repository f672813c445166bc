"""Leases of a real Kea, by contrib's hook."""

import os
import subprocess
import time

import pytest

from tests.integration.wire import FREE, send
from tests.lab.kea import HOOK, Kea, Relay4, Relay6
from tests.lab.process import wait_for

LEASED = {"leases": {"prefixes": ["10.20.0.0/16", "2001:db8:20::/48"]}}
DUID = bytes([0, 3, 0, 1, 2, 0, 0, 0, 0, 7])
PREFIX = "2001:db8:20:4000::/56"


@pytest.fixture(name="running")
def running_fixture(gate, site_redis, sink):
    sink()
    return gate({**FREE, **LEASED}, redis=site_redis)


def held(redis, unit):
    value = redis.cli("hget", "g25:{leases}", unit)
    return (value or "").rpartition(" ")[2] or None


def wait_held(redis, unit, account):
    wait_for(lambda: held(redis, unit) == account, 60, f"{account} holds {unit}")


def test_dhcp(lab, running, site_redis, started):
    """One address for all, one after the other."""
    started(Kea(lab, site_redis, accounts={"0xffff": "Dora", "02:00:00:00:00:04": "mallory"}))
    with Relay4(lab) as relay:
        address, server = relay.lease(1, b"customer-17")
        wait_held(site_redis, address, "customer-17")
        running.ctl("register", address)
        wait_for(lambda: (send(lab, address), running.journal(id="customer-17", **{"class": "registered"}))[1], 30)
        before, second = site_redis.cli("hget", "g25:{leases}", address), int(time.time())
        wait_for(lambda: int(time.time()) > second, 5, "another second")
        assert relay.lease(1, b"customer-17")[0] == address  # renewed
        wait_for(lambda: site_redis.cli("hget", "g25:{leases}", address) != before, 60, "the renewal is told")
        wait_held(site_redis, address, "customer-17")
        relay.release(1, b"customer-17", address, server)
        wait_held(site_redis, address, None)
        # The next one at that address; his name is what the file says of his remote-id.
        assert relay.lease(2, b"\xff\xff")[0] == address
        wait_held(site_redis, address, "dora")
        wait_for(lambda: (send(lab, address), running.journal(id="dora", **{"class": "ordinary"}))[1], 30)
        relay.release(2, b"\xff\xff", address, server)
        wait_held(site_redis, address, None)
        # One of whom the access node says nothing that is a name.
        assert relay.lease(3, b"\x01\x02\x03 FLUSHALL")[0] == address
        wait_for(lambda: site_redis.cli("xrevrange", "g25:{leases}:changes", "+", "-", "COUNT", "1")[0][1]["account"] == "", 60)
        assert held(site_redis, address) is None
    assert site_redis.cli("acl", "log") == [], "the hook gets by with its rights"


def test_dhcp_lease_that_ends(lab, running, site_redis, started):
    started(Kea(lab, site_redis, lifetime=6))
    del running
    with Relay4(lab) as relay:
        address, _ = relay.lease(1, b"customer-17")
        wait_held(site_redis, address, "customer-17")
        wait_held(site_redis, address, None)
        assert relay.lease(2, b"customer-18")[0] == address
        wait_held(site_redis, address, "customer-18")


def test_dhcpv6(lab, running, site_redis, started):
    started(Kea(lab, site_redis, family=6, accounts={"00:03:00:01:02:00:00:00:00:07": "customer-17"}))
    with Relay6(lab) as relay:
        given = relay.lease(DUID)
        wait_held(site_redis, PREFIX, "customer-17")
        wait_held(site_redis, "2001:db8:20:ffff::", "customer-17")
        source = "2001:db8:20:40aa::25"
        wait_for(lambda: (send(lab, source, "2001:db8:ffff::10"), running.journal(id="customer-17"))[1], 30)
        relay.release(DUID, given)
        wait_held(site_redis, PREFIX, None)
        relay.lease(DUID[:-1] + b"\x08")  # nobody knows him
        wait_for(lambda: site_redis.cli("xlen", "g25:{leases}:changes") >= 6, 60)
        assert held(site_redis, PREFIX) is None


def test_the_hook_is_a_posix_script():
    """It is told what it does not know, and what would be commands."""
    environment = {"PATH": os.environ["PATH"], "GATE25_KEA_CONF": "/dev/null", "LEASES4_SIZE": "0"}
    for event in ("", "lease4_renew", "lease4_recover", "no_such_event", "leases4_committed", "$(touch /tmp/owned)"):
        result = subprocess.run(["sh", "-e", HOOK, event], env=environment, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", ""), event


@pytest.mark.parametrize("remote, account", [
    ("0x616c696365", "alice"),
    ("0x616C696365", "alice"),
    ("0x25732d6e", "%s-n"),  # Redis says whether it is a name
    ("0x5c303630", "\\060"),
    ("0x616c0a696365", "-"),
    ("0x616c00696365", "-"),
    ("0x616c6963650a", "-"),
    ("0x616c69636520", "-"),
    ("0xc3a9", "-"),
    ("0x6", "-"),
    ("0x616c69636", "-"),
    ("0xzz", "-"),
    ("0x", "-"),
    ("0x" + "61" * 63, "a" * 63),
    ("0x" + "61" * 64, "-"),
])
def test_what_a_remote_id_is_a_name_of(tmp_path, remote, account):
    """A byte that the shell would drop makes nobody another one's neighbour."""
    said, program = tmp_path / "said", tmp_path / "redis-cli"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {said}\n', encoding="ascii")
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GATE25_KEA_CONF": "/nonexistent",
                   "LEASES4_SIZE": "1", "LEASES4_AT0_ADDRESS": "10.20.1.1", "LEASES4_AT0_CLTT": str(int(time.time())),
                   "LEASES4_AT0_VALID_LIFETIME": "3600", "LEASES4_AT0_HWADDR": "02:00:00:00:00:01",
                   "QUERY4_OPTION_82_SUB_OPTION_2": remote}
    subprocess.run([HOOK, "leases4_committed"], env=environment, check=True, timeout=60)
    words = said.read_text(encoding="ascii").splitlines()
    assert words[words.index("g25:{leases}:accounts") + 1] == account
