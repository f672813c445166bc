"""Do the gate and real servers read the same? tests/differential; more with make differential N=..."""

import contextlib
import os

import pytest

from tests.differential import harness, receivers
from tests.lab.servers import Gate

COUNT = int(os.environ.get("DIFFERENTIAL_N", "2000"))
SEED = os.environ.get("DIFFERENTIAL_SEED", "1")
BATCH = 2000  # each session has an address of its own: a batch of all servers must fit a /16
PLENTY = ["1000000000/1d"]


@pytest.fixture(name="ready")
def ready_fixture(lab, redis):
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(server)
                   for name, server in receivers.all_receivers(lab.internet).items()}
        addresses = {name: f"198.51.100.{200 + index}" for index, name in enumerate(servers)}
        pairs = [(addresses[name], server.addresses[0] if hasattr(server, "addresses") else server.address)
                 for name, server in servers.items()]
        relay = stack.enter_context(receivers.Relay(lab.internet, pairs))
        overrides = {"class ordinary": {"messages": PLENTY, "recipients": PLENTY},
                     "timeouts": dict.fromkeys(("banner", "reply", "command", "data-start", "data-end", "data-block"),
                                               "10s")}
        gate = stack.enter_context(Gate(lab, redis, overrides))
        yield harness.Harness(lab, gate, relay, servers, addresses)


def test_gate_and_servers_agree(ready):
    faults = []
    for first in range(0, COUNT, BATCH):
        numbers = range(first, min(first + BATCH, COUNT))
        wrong = ready.run(list(harness.make_sessions(ready, SEED, numbers)))
        for index, (session, fault) in enumerate(list(wrong.items())[:3]):
            kept = ready.keep(ready.minimise(session), fault, f"{SEED}-{first}-{index}")
            faults.append(f"{session.server}: {fault}; kept as {kept}")
        assert not wrong, f"{len(wrong)} sessions differ\n" + "\n".join(faults)
    counted = ready.journal().values()
    assert sum(entry["messages"] for entry in counted) > COUNT, "too few messages to tell anything"
    assert sum(entry["verdict"] == "forward" for entry in counted) > COUNT, "too few sessions go through"
