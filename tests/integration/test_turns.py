"""Metering through TLS: the bounds that turns give, on the sessions of the README's table."""

import contextlib

import pytest

from tests.lab import servers, turns_table
from tests.lab.turns_table import CASES

SERVER = "198.51.100.10"


@pytest.fixture(scope="module", name="meter")
def meter_fixture(lab):
    """A gate that limits nothing that these sessions do, with a server of each kind behind it."""
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(servers.Redis(lab.gate))
        gate = stack.enter_context(servers.Gate(lab, redis, {"class ordinary": {"sessions": ["1000/1s"]}}))
        yield gate


@pytest.fixture(scope="module", name="server", params=turns_table.SERVERS)
def server_fixture(lab, meter, request):
    assert meter.alive()
    with turns_table.start(lab, request.param, SERVER) as server:
        yield server


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case[0] for case in CASES])
def test_bounds_hold(lab, meter, server, number):
    title, messages, least_wanted, _ = CASES[number]
    real, lines = turns_table.measure(lab, meter, server, SERVER, number)
    turns, least, most = turns_table.bounds(lines)
    assert real == messages, title
    assert least <= real <= most, f"{title}: {real} are not {least} to {most}"
    assert least >= least_wanted, f"{title}: only {least} of {real} were found"
    assert turns > 0
    assert all(line["tls"] for line in lines)
