"""Fixtures: one lab and one Redis for the whole run, gates and other servers for each test.

Run by `make integration`, which starts pytest inside the lab's sandbox.
"""

import contextlib
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.integration import let_by  # noqa: E402
from tests.lab import freezer, process, sandbox, servers, topology  # noqa: E402
from tests.lab.bypass import Bypass  # noqa: E402
from tests.lab.web import Web  # noqa: E402


def pytest_configure():
    if not sandbox.inside():
        pytest.exit("these tests run inside the lab: make integration", returncode=2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows in the report of a failed test what its servers said."""
    del item
    report = (yield).get_result()
    if report.failed and call.when == "call":
        for server in process.launched:
            report.sections.append((f"{server.name} in {server.host.name}", server.tail()))


@pytest.fixture(scope="session", autouse=True)
def freezes_fixture():
    """With `make freezes` the lab's processes stand still at random."""
    seed = os.environ.get(freezer.FREEZE)
    with freezer.running(int(seed)) if seed else contextlib.nullcontext():
        yield


@pytest.fixture(scope="session", name="lab")
def lab_fixture():
    """The network, with every port 25 steered to gate1 in TPROXY mode."""
    return topology.Lab()


@pytest.fixture(scope="session", name="redis_server")
def redis_server_fixture(lab):
    with servers.Redis(lab.gate) as server:
        yield server


@pytest.fixture(name="redis")
def redis_fixture(redis_server):
    """The session's Redis, empty. Tests that stop or kill one start their own."""
    if not redis_server.alive():
        redis_server.start()
    redis_server.wipe()
    return redis_server


@pytest.fixture(name="started")
def started_fixture():
    """started(server) starts it and ends it with the test."""
    with contextlib.ExitStack() as stack:
        before = len(process.launched)
        yield stack.enter_context
    del process.launched[before:]


@pytest.fixture(name="gate")
def gate_fixture(lab, redis, started):
    """gate({"class ordinary": {"sessions": ["3/1m"]}}) starts a gate with that configuration."""
    return lambda overrides=None, **options: started(servers.Gate(lab, options.pop("redis", redis), overrides,
                                                                  **options))


@pytest.fixture(name="sink")
def sink_fixture(lab, started):
    """sink("198.51.100.10", replies={...}) starts an SMTP server on the Internet."""
    return lambda addresses=("198.51.100.10", "2001:db8:ffff::10"), **options: started(
        servers.Sink(lab.internet, addresses, **options))


@pytest.fixture(name="redirect")
def redirect_fixture(lab):
    """gate1 catches port 25 by REDIRECT during this test."""
    lab.set_mode("redirect")
    yield lab
    lab.set_mode("tproxy")


@pytest.fixture(scope="module", name="submission_rules")
def submission_rules_fixture(lab):
    """The router brings replies from port 587 back to the gate that asked: contrib's rules."""
    topology.load_rules(lab.router, topology.CONTRIB / "routers" / "router-submission.nft")
    yield
    lab.router.run("nft", "delete", "table", "inet", "gate25_router_submission")


@pytest.fixture(name="unsteered")
def unsteered_fixture(lab):
    """The router leaves port 25 alone during this test."""
    lab.unsteer()
    yield lab
    lab.steer()


@pytest.fixture(scope="session", name="site_redis_server")
def site_redis_server_fixture(lab):
    """A Redis that listens on TCP too: the site logs in there, with its documented rights."""
    with servers.Redis(lab.gate, port=6390) as server:
        yield server


@pytest.fixture(name="site_redis")
def site_redis_fixture(site_redis_server):
    if not site_redis_server.alive():
        site_redis_server.start()
    site_redis_server.wipe()
    site_redis_server.cli("acl", "log", "reset")
    return site_redis_server


@pytest.fixture(name="site")
def site_fixture(lab, site_redis, started):
    """site({"web": {...}}, beside=gate) starts gate25-web. It must get by with its rights."""
    sites = []

    def start(overrides=None, **options):
        sites.append(started(Web(lab, options.pop("redis", site_redis), overrides, **options)))
        return sites[-1]

    yield start
    for web in sites:
        if web.redis.alive():
            denied = web.denied()
            assert not denied, str(denied)


@pytest.fixture(name="bypass")
def bypass_fixture(request, gate, started):
    """bypass({...}) starts a gate, and a gate25-bypassd beside it with bypass { section }; let_by.EITHER: and another
    time with its fast path."""
    begun = []
    fast = getattr(request, "param", {})
    if fast:
        let_by.skip_without_bpf()

    def start(overrides=None, section=None, **options):
        begun.append(Bypass(gate({**let_by.LIMITS, **(overrides or {})}, **options), {**fast, **(section or {})}))
        b = started(begun[-1])
        b.wait_status(fast_path_links=len(fast.get("fast-path", [])))
        return b

    yield start
    for b in begun:
        b.end()
        b.remove()
