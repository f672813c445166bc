"""Clocks that are set back or forward by an hour: Redis's, by which the meters go, and a gate's own."""

import pytest

from tests.integration.mail import Client, attempt, server_time_us
from tests.integration.outage import (LIMIT, MX4, PATIENCE_S, check_known, counter, start_isp, stranger, timed,
                                      wait_store)
from tests.lab.clock import Clock
from tests.lab.process import wait_for
from tests.lab.servers import Redis

HOUR_S = 3600
STEPS = pytest.mark.parametrize("step", [-HOUR_S, HOUR_S], ids=["back", "forward"])
# Windows shorter than the step, as long, and longer; only the hour's is ever used up here.
LIMITS = {"class ordinary": {"action": "meter", "sessions": ["100/1m", "1000/1d"],
                             "messages": [f"{LIMIT}/1h", f"{2 * LIMIT}/1d"], "spread": ["20/1h"], "concurrent": 10}}


@pytest.fixture(name="clock")
def clock_fixture():
    return Clock()


@pytest.fixture(autouse=True, name="mx")
def mx_fixture(sink):
    return sink()


def codes(lab, source, count):
    return [timed(lab, source).code for _ in range(count)]


def check_goes_on(lab, gate, source):
    """Standings and their changes know nothing of the clock."""
    check_known(lab)
    gate.ctl("quarantine", source, "--reason", "a test")
    wait_for(lambda: attempt(lab, source, MX4).code == 554, PATIENCE_S, "a change is followed")
    gate.ctl("release", source)
    wait_for(lambda: attempt(lab, source, MX4).code != 554, PATIENCE_S, "and another")


@pytest.mark.parametrize("step", [-HOUR_S, -2 * HOUR_S, -10 * HOUR_S], ids=["one", "two", "ten"])
def test_redis_goes_back_some_hours(lab, clock, started, step):
    """All buckets are as full as they were: nobody is let through, nobody is held back for longer."""
    redis = started(Redis(lab.gate, environment=clock.environment))
    gate = start_isp(lab, redis, started, **LIMITS)
    fresh, used, full = stranger(), stranger(), stranger()
    assert codes(lab, used, 1) == [250]
    assert codes(lab, full, LIMIT + 1) == [250] * LIMIT + [450]
    with Client(lab, used, MX4) as client:
        before = server_time_us(redis)
        clock.set(step)
        assert server_time_us(redis) < before + step * 1_000_000 // 2
        reply = timed(lab, full)
        assert reply.code == 450
        assert reply.refusal["retry"] <= HOUR_S // LIMIT
        assert client.say("EHLO pc.example").code == 250
        assert client.deliver().code == 250, "one that was open goes on"
    assert codes(lab, used, LIMIT - 1) == [250] * (LIMIT - 2) + [450]
    assert codes(lab, fresh, LIMIT + 1) == [250] * LIMIT + [450]
    check_goes_on(lab, gate, stranger())
    assert counter(gate, "store_failures_total") == 0


def test_redis_goes_forward_an_hour(lab, clock, started):
    """As if an hour had passed: a bucket is full again, not two; the day's window still holds."""
    redis = started(Redis(lab.gate, environment=clock.environment))
    gate = start_isp(lab, redis, started, workers=1, **LIMITS)
    used, full = stranger(), stranger()
    assert codes(lab, used, 1) == [250]
    assert codes(lab, full, LIMIT + 1) == [250] * LIMIT + [450]
    clock.set(HOUR_S)
    assert codes(lab, used, LIMIT + 1) == [250] * LIMIT + [450]
    # A refusal that a worker remembers outlives it by a minute at most. With a reload it is forgotten.
    gate.ctl("reload")
    wait_for(lambda: timed(lab, full).code == 250, 90, "what was remembered is forgotten")
    assert codes(lab, full, LIMIT) == [250] * (LIMIT - 1) + [450]
    # And when the mistake is mended, nobody pays for it.
    clock.set(0)
    assert timed(lab, used).refusal["retry"] <= HOUR_S // LIMIT
    assert codes(lab, stranger(), LIMIT + 1) == [250] * LIMIT + [450]
    check_goes_on(lab, gate, stranger())
    assert counter(gate, "store_failures_total") == 0


@STEPS
def test_the_gate_s_own_clock(lab, clock, started, step):
    """Deadlines and its own meters go by a clock that never jumps; the fleet's meters by Redis's."""
    redis = started(Redis(lab.gate))
    gate = start_isp(lab, redis, started, workers=1, environment=clock.environment,
                     **LIMITS, timeouts={"command": "20m", "banner": "20m"})
    used = stranger()
    assert codes(lab, used, 1) == [250]
    with Client(lab, used, MX4) as client:
        clock.set(step)
        assert codes(lab, used, LIMIT) == [250] * (LIMIT - 1) + [450]
        assert client.say("EHLO pc.example").code == 250, "it has not timed out"
        assert client.say("MAIL FROM:<me@home.example>").code == 450
        client.leave()
    check_goes_on(lab, gate, stranger())
    assert all(0 <= line["duration_ms"] < HOUR_S * 500 for line in gate.wait_journal(event="session"))

    redis.kill()
    wait_store(gate, up=False)
    alone = stranger()
    assert codes(lab, alone, 1) == [250]
    clock.set(0)
    assert codes(lab, alone, LIMIT) == [250] * (LIMIT - 1) + [450]
    check_known(lab)
    assert counter(gate, "timed_out_total") == 0


def test_a_standing_ends_by_the_clock(lab, clock, started):
    """What the wall clock is for: a standing until a time of day, which a step of an hour may end."""
    redis = started(Redis(lab.gate))
    gate = start_isp(lab, redis, started, environment=clock.environment)
    short, long = stranger(), stranger()
    gate.ctl("quarantine", short, "--until", "30m", "--reason", "a test")
    gate.ctl("quarantine", long, "--until", "30d", "--reason", "a test")
    for source in (short, long):
        wait_for(lambda source=source: attempt(lab, source, MX4).code == 554, PATIENCE_S, "quarantined")
    clock.set(HOUR_S)
    assert attempt(lab, short, MX4).code == 250
    assert attempt(lab, long, MX4).code == 554
    clock.set(0)
    assert attempt(lab, short, MX4).code == 554
