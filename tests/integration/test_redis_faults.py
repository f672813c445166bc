"""Redis cut off, slow, out of memory, with a full disk, without rights, put back to an old state."""

import contextlib
import shutil

import pytest
import redis as redis_client

from tests.integration.mail import attempt, meters
from tests.integration.outage import (HELD_UP_S, LIMIT, MX4, PATIENCE_S, QUARANTINED, REGISTERED, Traffic,
                                      check_away_and_back, check_enforced, check_known, check_when_down, counter,
                                      small_disk, start_isp, stranger, timed, wait_standings, wait_store)
from tests.lab.process import wait_for
from tests.lab.relay import Relay
from tests.lab.servers import Redis

FAR, FAR_PORT = "198.51.100.63", 6390  # on the other side of the router
TAKE = b"\r\ngate25_take\r\n"  # as a word of a command, not in the functions' text
WHEN_DOWN = pytest.mark.parametrize("when_down", ["local", "pass", "refuse"])


@pytest.fixture(autouse=True, name="mx")
def mx_fixture(sink):
    return sink()


@pytest.fixture(name="redis")
def own_redis_fixture(lab, started):
    return started(Redis(lab.gate, appendonly=True))


# --- cut off -------------------------------------------------------------------------------------


def cut_off(lab):
    lab.router.run("nft", "-f", "-", input=(
        "table ip cut {\nchain forward {\ntype filter hook forward priority 0;\n"
        f"ip daddr {FAR} tcp dport {FAR_PORT} drop\nip saddr {FAR} tcp sport {FAR_PORT} drop\n}}\n}}\n"))


@WHEN_DOWN
@pytest.mark.parametrize("given_up", [False, True], ids=["for a moment", "until it is given up"])
def test_cut_off(lab, started, when_down, given_up):
    """Packets vanish, both ways: nobody is told anything, connections stay as they are."""
    redis = started(Redis(lab.internet, port=FAR_PORT, address=FAR))
    redis.url = redis.tcp_url
    gate = start_isp(lab, redis, started, when_down)
    with contextlib.ExitStack() as healed:
        def heal():
            lab.router.run("nft", "delete", "table", "ip", "cut")

        def cut():
            cut_off(lab)
            healed.callback(heal)
            while given_up and gate.text().count("does not answer") < 2:  # workers
                timed(lab, QUARANTINED)

        check_away_and_back(lab, redis, gate, when_down, cut, healed.close)


# --- slow ----------------------------------------------------------------------------------------


@WHEN_DOWN
def test_slow(lab, redis, started, when_down):
    """Each answer comes after its deadline: it counts as none, and what it took is not taken twice."""
    with Relay(redis) as relay:
        gate = start_isp(lab, relay, started, when_down, deadline="300ms")
        check_known(lab)

        relay.delay = 1.0
        check_known(lab)
        check_when_down(lab, when_down)
        check_known(lab)

        relay.delay = 0.0
        wait_store(gate, up=True)
        check_enforced(lab, redis)
        check_known(lab)


def test_a_late_answer_has_taken_its_token(lab, redis, started):
    with Relay(redis) as relay:
        gate = start_isp(lab, relay, started, workers=1, deadline="50ms",
                         **{"class ordinary": {"action": "meter", "sessions": ["9/1d"], "messages": None}})
        wait_store(gate, up=True)
        relay.delay = 0.5
        source = stranger()
        assert timed(lab, source).code == 250
        wait_for(lambda: meters(redis, source)[0], PATIENCE_S, "Redis has taken it")
        relay.delay = 0.0
        wait_store(gate, up=True)
        assert counter(gate, "store_owed") == 0
        left = redis.cli("fcall_ro", "gate25_peek", 1, f"g25:meter:{{{source}}}", "sessions", 9, 86400000000)[0]
        assert left == 8


# --- only the first waits ------------------------------------------------------------------------


def test_only_the_first_waits(lab, redis, started):
    """Known to be away, Redis is asked nothing: twenty sessions cost one question."""
    with Relay(redis) as relay:
        gate = start_isp(lab, relay, started, "refuse", workers=1)
        wait_store(gate, up=True)
        redis.stop()
        before = relay.said(TAKE)
        for _ in range(20):
            assert timed(lab, stranger()).code == 421
        assert relay.said(TAKE) == before + 1
        assert counter(gate, "store_failures_total") == 20
        redis.cont()
        wait_store(gate, up=True)
        check_enforced(lab, redis)


# --- errors --------------------------------------------------------------------------------------


@WHEN_DOWN
def test_out_of_memory(lab, redis, started, when_down):
    gate = start_isp(lab, redis, started, when_down)
    check_away_and_back(lab, redis, gate, when_down, lambda: redis.cli("config", "set", "maxmemory", "1"),
                        lambda: redis.cli("config", "set", "maxmemory", "0"))
    assert "OOM command not allowed" in gate.text()
    assert gate.ctl_json("status")["counters"]["journal_dropped_total"] > 0, "lines of the streams"


def test_out_of_memory_and_connected_anew(lab, redis, started):
    """The functions cannot even be loaded."""
    gate = start_isp(lab, redis, started, "local")

    def break_it():
        redis.cli("config", "set", "maxmemory", "1")
        redis.cli("function", "flush")
        redis.cli("client", "kill", "type", "normal", "skipme", "yes")
        wait_for(lambda: gate.text().count("cannot be used: OOM") >= len(gate.workers()), PATIENCE_S,
                 "each worker to find that it cannot load them")
        wait_store(gate, up=False)

    check_away_and_back(lab, redis, gate, "local", break_it, lambda: redis.cli("config", "set", "maxmemory", "0"))


def refuses_writes(redis):
    try:
        redis.cli("set", "x", "y")
    except redis_client.ResponseError as error:
        assert "MISCONF" in str(error)
        return True
    return False


@WHEN_DOWN
@pytest.mark.parametrize("kept", ["append-only file", "snapshots"])
def test_its_disk_is_full(lab, started, kept, when_down):
    redis = Redis(lab.gate, appendonly=kept == "append-only file")
    with small_disk(redis.folder) as (fill, make_room):
        redis.start("--appendfsync", "everysec", "--save", "" if redis.appendonly else "3600 1")
        gate = start_isp(lab, started(redis), started, when_down)

        def break_it():
            fill()
            if not redis.appendonly:
                redis.cli("set", "x", "y" * 100)
                redis.cli("bgsave")
            wait_for(lambda: refuses_writes(redis), PATIENCE_S, "Redis refuses to write")

        def mend_it():
            make_room()
            if not redis.appendonly:
                redis.cli("bgsave")
            wait_for(lambda: not refuses_writes(redis), PATIENCE_S, "Redis writes")

        check_away_and_back(lab, redis, gate, when_down, break_it, mend_it)
        assert "MISCONF" in gate.text()
        gate.end()
        redis.end()


@WHEN_DOWN
def test_no_right_to_meter(lab, redis, started, when_down):
    gate = start_isp(lab, redis, started, when_down)
    check_away_and_back(lab, redis, gate, when_down, lambda: redis.cli("acl", "setuser", "default", "-fcall"),
                        lambda: redis.cli("acl", "setuser", "default", "+fcall"))
    assert "NOPERM" in gate.text()


def test_a_password_nobody_told_us(lab, redis, started):
    gate = start_isp(lab, redis, started, "local")
    with contextlib.closing(redis.client(single_connection_client=True)) as insider:
        insider.ping()

        def break_it():
            insider.config_set("requirepass", "of-the-operator")
            insider.client_kill_filter(_type="normal", skipme=True)
            wait_for(lambda: "NOAUTH" in gate.text(), PATIENCE_S, "the log says why")
            wait_store(gate, up=False)

        check_away_and_back(lab, redis, gate, "local", break_it, lambda: insider.config_set("requirepass", ""))


# --- nobody notices ------------------------------------------------------------------------------


def test_all_of_it_under_traffic(lab, redis, started):
    """One fault after the other while mails go through: the registered pass, the quarantined do not."""
    with Relay(redis) as relay:
        gate = start_isp(lab, relay, started, "refuse")
        known = {Traffic(lab, REGISTERED): {250}, Traffic(lab, QUARANTINED): {554}}
        for traffic in known:
            traffic.start()

        def all_go_on():
            for traffic in known:
                traffic.more()

        def be_slow(seconds):
            relay.delay = seconds

        faults = [  # and how each is mended
            (lambda: be_slow(0.7), lambda: be_slow(0.0)),
            (lambda: redis.cli("config", "set", "maxmemory", "1"), lambda: redis.cli("config", "set", "maxmemory", "0")),
            (lambda: redis.cli("acl", "setuser", "default", "-@all", "+acl"),
             lambda: redis.cli("acl", "setuser", "default", "+@all")),
            (lambda: redis.cli("replicaof", "127.0.0.1", "1"), lambda: redis.cli("replicaof", "no", "one")),
            (lambda: redis.cli("client", "pause", 1000), lambda: None),
            (redis.stop, redis.cont),
            (redis.kill, redis.start),
        ]
        all_go_on()
        for break_it, mend_it in faults:
            break_it()
            all_go_on()
            mend_it()
            all_go_on()
        assert [traffic.stop() for traffic in known] == list(known.values())
        assert max(traffic.slowest for traffic in known) < HELD_UP_S
        wait_store(gate, up=True)
        check_enforced(lab, redis)


# --- an old state --------------------------------------------------------------------------------


def known_of_the_past(lab, gate):
    """What changed since the copy was made has not happened: one is registered, one is not."""
    wait_for(lambda: attempt(lab, REGISTERED, MX4).code == 250, PATIENCE_S, "registered then")
    wait_for(lambda: attempt(lab, QUARANTINED, MX4).code == 554, PATIENCE_S, "quarantined then")
    wait_standings(gate, 4)
    check_known(lab)


@pytest.mark.parametrize("connected", [False, True], ids=["restarted", "in place"])
def test_put_back_to_an_old_copy(lab, redis, started, connected):
    gate = start_isp(lab, redis, started, workers=1)
    over, fresh, later = stranger(), stranger(), stranger()
    assert [timed(lab, over).code for _ in range(LIMIT + 1)] == [250] * LIMIT + [450]
    old = dump(redis) if connected else redis.folder.parent / f"{redis.folder.name}-old"
    if not connected:
        redis.end()
        shutil.copytree(redis.folder / "appendonlydir", old)
        redis.start()
        wait_store(gate, up=True)

    gate.ctl("unregister", REGISTERED)
    gate.ctl("release", QUARANTINED)
    gate.ctl("quarantine", later, "--reason", "a test")
    wait_for(lambda: attempt(lab, later, MX4).code == 554, PATIENCE_S, "the last change")
    assert [timed(lab, fresh).code for _ in range(LIMIT + 1)] == [250] * LIMIT + [450]

    if connected:
        restore(redis, old)
    else:
        redis.kill()
        shutil.rmtree(redis.folder / "appendonlydir")
        shutil.copytree(old, redis.folder / "appendonlydir")
        redis.start()
        wait_store(gate, up=True)
    known_of_the_past(lab, gate)
    # Meters: what was used up by then is; what was used since is forgotten, once. A refusal that the worker
    # remembers outlives a change behind its connection's back by a minute at most; a reload forgets it.
    assert attempt(lab, over, MX4).code == 450
    gate.ctl("reload")
    wait_for(lambda: attempt(lab, fresh, MX4).code == 250, PATIENCE_S, "nothing is remembered")
    assert [timed(lab, fresh).code for _ in range(LIMIT)] == [250] * (LIMIT - 1) + [450]
    assert [timed(lab, later).code for _ in range(LIMIT + 1)] == [250] * LIMIT + [450]
    # Changes are followed as ever.
    gate.ctl("quarantine", later, "--reason", "a test")
    wait_for(lambda: attempt(lab, later, MX4).code == 554, PATIENCE_S, "a new change")
    check_enforced(lab, redis)


def dump(redis):
    """All keys as they are now."""
    with contextlib.closing(redis.client(decode_responses=False)) as client:
        return {key: (client.dump(key), max(client.pttl(key), 0)) for key in client.keys()}


def restore(redis, keys):
    """Exactly these keys, in one transaction: nobody sees it empty."""
    with contextlib.closing(redis.client(decode_responses=False)) as client:
        with client.pipeline(transaction=True) as all_at_once:
            all_at_once.flushall()
            for key, (value, ttl) in keys.items():
                all_at_once.restore(key, ttl, value)
            all_at_once.execute()
