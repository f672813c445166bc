"""Redis killed, frozen, emptied, read-only, gone at the start: who passes, and how it comes back."""

import time

import pytest

from tests.integration.mail import Client, attempt, unit
from tests.integration.outage import (HELD_UP_S, LIMIT, MX4, QUARANTINED, QUARANTINED6, REGISTERED, REGISTERED6,
                                      Traffic, check_away_and_back, check_enforced, check_known, left, start_isp,
                                      stranger, timed, wait_standings, wait_store)
from tests.lab.process import wait_for
from tests.lab.servers import Redis


@pytest.fixture(name="redis")
def own_redis_fixture(lab, started):
    """One that keeps its data on disk, as an operator's does, and that this test may break."""
    return started(Redis(lab.gate, appendonly=True))


@pytest.fixture(name="isp")
def isp_fixture(lab, redis, sink, started):
    """isp(when_down, **more) starts a gate that knows a registered and a quarantined subscriber."""
    sink()
    return lambda when_down="local", **more: start_isp(lab, redis, started, when_down, **more)


def break_redis(redis, how):
    if how == "killed":
        redis.kill()
    elif how == "stopped":
        redis.stop()
    elif how == "read-only":
        redis.cli("config", "set", "min-replicas-to-write", "1")
    else:
        redis.cli("replicaof", "127.0.0.1", "1")


def mend_redis(redis, how):
    if how == "killed":
        redis.start()
    elif how == "stopped":
        redis.cont()
    elif how == "read-only":
        redis.cli("config", "set", "min-replicas-to-write", "0")
    else:
        redis.cli("replicaof", "no", "one")


@pytest.mark.parametrize("when_down", ["local", "pass", "refuse"])
@pytest.mark.parametrize("how", ["killed", "stopped", "read-only", "replica"])
def test_redis_away_and_back(lab, redis, isp, how, when_down):
    check_away_and_back(lab, redis, isp(when_down), when_down, lambda: break_redis(redis, how),
                        lambda: mend_redis(redis, how))


def test_status_tells_whether_redis_is_there(lab, redis, isp):
    gate = isp()
    wait_store(gate, up=True)
    assert gate.ctl_json("status")["workers_with_store"] == 2
    redis.kill()
    wait_store(gate, up=False)
    redis.start()
    wait_store(gate, up=True)
    # A hanging one is noticed by those that ask.
    redis.stop()
    timed(lab, stranger())
    wait_for(lambda: gate.ctl_json("status")["counters"]["store_up"] < 2, 20, "a worker that noticed")
    redis.cont()
    wait_store(gate, up=True)
    check_enforced(lab, redis)


def test_limits_are_exact_in_one_worker_without_redis(lab, redis, isp):
    """The same rules, the same words, and a fresh bucket once: when Redis goes."""
    gate = isp("local", workers=1)
    source = stranger()
    assert [attempt(lab, source, MX4).code for _ in range(LIMIT + 1)] == [250] * LIMIT + [450]
    redis.kill()
    wait_store(gate, up=False)
    replies = [attempt(lab, source, MX4) for _ in range(LIMIT + 1)]
    assert [reply.code for reply in replies] == [250] * LIMIT + [450]
    assert gate.ctl_json("status")["counters"]["store_failures_total"] >= 2 * (LIMIT + 1)
    case = replies[-1].refusal["case"]
    assert gate.wait_journal(event="refusal", case=case)[0]["rule"] == f"messages:{LIMIT}/1d"
    redis.start()
    wait_store(gate, up=True)
    assert attempt(lab, source, MX4).code == 450, "Redis has not forgotten"


def test_a_gate_that_ends_leaves_its_books_in_order(lab, redis, isp):
    gate = isp("local", workers=1)
    redis.kill()
    wait_store(gate, up=False)
    sources = [stranger() for _ in range(5)]
    for source in sources:
        assert [timed(lab, source).code for _ in range(LIMIT + 1)] == [250] * LIMIT + [450]
    redis.start()
    wait_store(gate, up=True)
    assert gate.end() == 0
    assert [left(redis, source) for source in sources] == [0] * len(sources)


def test_redis_fails_under_traffic(lab, redis, isp):
    """Kill, restart, freeze, thaw, while everybody sends: nobody is dropped or held up."""
    free = stranger()
    redis.cli("hset", "g25:standings", free, "free 0")
    gate = isp("local", **{"class free": {"action": "meter", "messages": ["1000000/1s"]}})
    everybody = [Traffic(lab, source) for source in (REGISTERED, QUARANTINED, free, stranger())]
    for traffic in everybody:
        traffic.start()

    def all_go_on():
        for traffic in everybody:
            traffic.more()

    all_go_on()
    for disturb in (redis.kill, redis.start, redis.stop, redis.cont, redis.kill, redis.start):
        disturb()
        all_go_on()
    wait_store(gate, up=True)
    all_go_on()
    codes = [traffic.stop() for traffic in everybody]
    assert codes == [{250}, {554}, {250}, {250, 450}]
    assert max(traffic.slowest for traffic in everybody) < HELD_UP_S
    check_enforced(lab, redis)


def test_sessions_outlive_redis(lab, redis, isp):
    """Sessions that were open before go on, and are metered as when-down says."""
    gate = isp("refuse")
    clients = {source: Client(lab, source, MX4) for source in (REGISTERED, stranger())}
    free, metered = clients.values()
    assert [client.deliver().code for client in clients.values()] == [250, 250]
    redis.kill()
    wait_store(gate, up=False)
    assert free.deliver().code == 250
    reply = metered.deliver()
    assert (reply.code, reply.refusal["enhanced"]) == (450, "4.3.2")
    assert metered.say("NOOP").code == 250
    redis.start()
    wait_store(gate, up=True)
    assert [client.deliver().code for client in clients.values()] == [250, 250]
    for client in clients.values():
        client.leave()


def check_standings_survive(lab, gate):
    """Redis knows of none: all that were in force stay so, and new ones are followed."""
    wait_for(lambda: "Redis has lost its data" in gate.text(), 20, "the complaint")
    wait_standings(gate, 4)
    check_known(lab)
    source = stranger()
    gate.ctl("quarantine", source)
    wait_for(lambda: attempt(lab, source, MX4).code == 554, 20, "the new standing")
    wait_standings(gate, 5)
    check_known(lab)
    assert gate.ctl_json("status")["counters"]["standings_kept"] == 4


def test_redis_comes_back_empty(lab, redis, isp):
    """Functions are loaded again and buckets are full; nobody loses their standing."""
    gate = isp()
    source = stranger()
    assert [attempt(lab, source, MX4).code for _ in range(LIMIT + 1)] == [250] * LIMIT + [450]
    redis.kill()
    for path in (redis.folder / "appendonlydir").iterdir():
        path.unlink()
    redis.start()
    wait_store(gate, up=True)
    check_enforced(lab, redis)
    assert attempt(lab, source, MX4).code == 250
    check_standings_survive(lab, gate)


def test_everything_in_redis_is_flushed(lab, redis, isp):
    gate = isp()
    check_enforced(lab, redis)
    redis.cli("flushall")
    redis.cli("function", "flush")
    # Whoever misses the functions first loads them again, for all.
    assert timed(lab, stranger()).code == 250
    wait_for(lambda: redis.cli("function", "list"), what="the functions")
    check_enforced(lab, redis)
    check_standings_survive(lab, gate)
    check_enforced(lab, redis)


@pytest.mark.parametrize("how", ["killed", "stopped"])
@pytest.mark.parametrize("end", ["end", "kill"])
def test_a_start_without_redis(lab, redis, isp, how, end):
    """The standings' copy on disk serves; when Redis is there, so are its newer changes."""
    gate = isp("refuse")
    copy = gate.folder / "standings"
    ids = [unit(address) for address in (REGISTERED, REGISTERED6, QUARANTINED, QUARANTINED6)]
    wait_for(lambda: copy.exists() and all(known in copy.read_text(encoding="ascii") for known in ids), 20,
             "the copy on disk")
    getattr(gate, end)()
    break_redis(redis, how)
    gate.start()
    check_known(lab)
    assert timed(lab, stranger()).code == 421

    mend_redis(redis, how)
    wait_store(gate, up=True)
    check_enforced(lab, redis)
    gate.ctl("release", QUARANTINED)
    wait_for(lambda: attempt(lab, QUARANTINED, MX4).code == 250, 20, "the change of standing")
    assert gate.end() == 0


def test_a_start_without_redis_and_without_a_copy(lab, redis, isp):
    gate = isp("local")
    gate.end()
    (gate.folder / "standings").unlink(missing_ok=True)
    redis.kill()
    gate.start()
    assert timed(lab, REGISTERED).code == 250
    assert timed(lab, QUARANTINED).code == 250, "nobody knows better"
    redis.start()
    wait_for(lambda: attempt(lab, QUARANTINED, MX4).code == 554, 20, "the standings")
    wait_standings(gate, 4)


def test_every_worker_follows_changes_within_a_second(lab, isp):
    """Connections fall to all of four workers; a second after a change none decides as before."""
    gate = isp(workers=4)
    source = stranger()
    for verb, codes in (("register", [250] * 40), ("quarantine", [554] * 40),
                        ("release", [250] * LIMIT + [450] * (40 - LIMIT))):
        gate.ctl(verb, source)
        time.sleep(1)
        assert [attempt(lab, source, MX4).code for _ in codes] == codes
    classes = [line["class"] for line in gate.wait_journal(120, event="session", id=source)]
    assert [classes.count(name) for name in ("registered", "quarantined", "ordinary")] == [40] * 3


def test_a_change_made_before_the_gate_is_connected_again(lab, redis, isp):
    """Redis is back, and changed, before the gate has connected to it again."""
    gate = isp(workers=1)
    assert timed(lab, REGISTERED).code == 250
    redis.kill()
    wait_store(gate, up=False)
    redis.start()
    gate.ctl("quarantine", REGISTERED)
    wait_for(lambda: attempt(lab, REGISTERED, MX4).code == 554, 20, "the change of standing")
