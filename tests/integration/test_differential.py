"""Do the gate and real servers read the same? tests/differential; more with make differential N=..."""

import pytest

from tests.differential import harness, names

COUNT, SEED = names.count(), names.seed()
BATCH = 2000


@pytest.fixture(name="ready", params=names.wanted(), scope="module")
def ready_fixture(lab, redis_server, request):
    with harness.running(lab, redis_server, request.param) as ready:
        yield ready


def test_gate_and_servers_agree(ready):
    messages = forwarded = tls = 0
    for first in range(0, COUNT, BATCH):
        ready.check([ready.made(SEED, number) for number in range(first, min(first + BATCH, COUNT))],
                    f"{SEED}-{first}")
        messages += sum(entry["messages"] for entry in ready.known.values())
        forwarded += sum(entry["verdict"] == "forward" for entry in ready.known.values())
        tls += sum(entry["tls"] for entry in ready.known.values())
    assert messages > COUNT // 10, "too few messages to tell anything"
    assert forwarded > COUNT // 4, "too few sessions go through"
    assert tls > COUNT // 50, "too few sessions begin TLS"
