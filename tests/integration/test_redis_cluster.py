"""A cluster of six nodes: one is killed, slots wander under load; limits hold, nobody is lost."""

import contextlib
import threading

import pytest

from tests.integration.fleet import (LIMIT, MX4, check_known, pass_messages, pass_the_rest, quiet_ctl,
                                     wait_current, wait_up)
from tests.integration.mail import Client, attempt, meters
from tests.lab import leases
from tests.lab.process import wait_for
from tests.lab.redis_fleet import ACL_FILE, PATIENCE_S, Cluster, Server, login, password, passwords, slot_of
from tests.lab.servers import Gate

REGISTERED, QUARANTINED = "10.20.34.25", "10.20.34.66"
# As in test_redis_sentinel: who is let through has taken his token from Redis.
REFUSE = {"when-down": "refuse", "deadline": "5s"}
CLASS = {"action": "meter", "sessions": ["100000/1d"], "messages": [f"{LIMIT}/1d"]}
addresses = (f"10.20.{35 + n // 250}.{1 + n % 250}" for n in range(2000))


@pytest.fixture(scope="module", name="fleet")
def fleet_fixture(lab):
    with contextlib.ExitStack() as stack:
        yield Cluster(lab.gate, stack.enter_context)


@pytest.fixture(name="cluster")
def cluster_fixture(fleet):
    """Whole, and without a key; which node is master of what the tests before have decided."""
    for node in fleet.nodes:
        if not node.alive():
            node.start()
    fleet.wait_whole()
    for node in fleet.nodes:
        if node.is_master():
            node.cli("flushall")
            node.cli("acl", "log", "reset")
    fleet.wait_whole()
    return fleet


@pytest.fixture(name="make")
def make_fixture(lab, cluster, sink):
    """make(user) is a gate, not started, that uses the cluster."""
    sink()
    return lambda user="gate25d", ordinary=None, redis=None, more=None: Gate(
        lab, cluster.url(user), {"redis": {**REFUSE, **(redis or {})}, "class ordinary": ordinary or CLASS, **(more or {})})


@pytest.fixture(name="desk")
def desk_fixture(make):
    return quiet_ctl(make("gate25ctl"))


def strangers_of(cluster, node):
    """Subscribers nobody has heard of whose keys lie on that node."""
    return (a for a in addresses if cluster.owner(f"g25:meter:{{{a}}}") is node)


def check_rights(cluster):
    assert [d for node in cluster.nodes if node.alive() for d in node.denied() if d[0].startswith("gate25")] == []


def test_a_server_that_is_no_cluster_is_told_once(lab, started):
    plain = started(Server(lab.gate, users=passwords(ACL_FILE)))
    gate = started(Gate(lab, f"redis-cluster://{login('gate25d')}127.0.0.1:{plain.port}", {"redis": REFUSE, "class ordinary": CLASS}))
    said = f"redis 127.0.0.1:{plain.port}: the cluster has no slots: ERR This instance has cluster support disabled\n"
    wait_for(lambda: said in gate.text(), PATIENCE_S, "it is told")
    wait_for(lambda: "not been followed for over 10 seconds" in gate.ctl("health").stdout, PATIENCE_S,
             "each connection has asked again and again")
    assert gate.text().count("the cluster has no slots") == 1


@pytest.mark.parametrize("key, frozen", [("g25:standings", False), ("g25:changes", True)])
def test_node_lost(lab, cluster, make, desk, started, key, frozen):
    """The node with the standings is killed, or that with their changes hangs; its replica takes over."""
    gate = started(make())
    wait_up(gate)
    desk("register", REGISTERED, "--reason", "a test")
    desk("quarantine", QUARANTINED, "--reason", "a test")
    desk("register", "10.20.34.99")
    wait_current(gate, 3)
    victim = cluster.owner(key)
    masters = [node for node in cluster.nodes if node.is_master()]
    sources = {node: next(strangers_of(cluster, node)) for node in masters}
    for source in sources.values():
        pass_messages(lab, source, 2)
    with Client(lab, sources[victim], MX4) as client:
        assert client.say("EHLO pc.example").code == 250
        assert client.deliver().code == 250
        cluster.wait_whole()
        # Confirmed by replicas, or the desk would have complained.
        desk("register", "10.20.34.98")
        desk("unregister", "10.20.34.99")

        if frozen:
            victim.stop()
        else:
            victim.kill()
        check_known(lab, REGISTERED, QUARANTINED)
        for node, source in sources.items():
            if node is not victim:
                pass_messages(lab, source, 1)
        wait_for(lambda: cluster.owner(key), PATIENCE_S, "the replica has taken over", every=0.1)
        wait_up(gate)
        wait_for(lambda: client.deliver().code == 250, PATIENCE_S, "the session goes on")
        client.say("QUIT")
    pass_the_rest(lab, sources.pop(victim), 4)
    for source in sources.values():
        pass_the_rest(lab, source, 3)
    check_known(lab, REGISTERED, QUARANTINED)
    wait_current(gate, 3)
    assert attempt(lab, "10.20.34.98", MX4).code == 250
    listed = make("gate25ctl").ctl("list").stdout
    assert "10.20.34.98" in listed and "10.20.34.99" not in listed
    make("gate25ctl").ctl("register", "10.20.34.97")  # its node has no replica now: there may be a warning
    wait_for(lambda: attempt(lab, "10.20.34.97", MX4).code == 250, PATIENCE_S, "a change is followed")

    if frozen:
        victim.cont()  # still a master in its own eyes
    else:
        victim.start()
    victim.wait_cli(lambda role: role[0] == "slave", "role")
    cluster.wait_whole()
    check_known(lab, REGISTERED, QUARANTINED)
    check_rights(cluster)


def test_a_part_that_is_away_for_good_is_no_good_health(lab, cluster, make, started):
    """A master and its replica: the others are well, and those on theirs are metered by each worker alone."""
    gate = started(make(redis={"when-down": "local"}))
    wait_up(gate)
    wait_for(lambda: gate.ctl("health").stdout == "good\n", PATIENCE_S, "good health")
    needed = {cluster.owner("g25:standings"), cluster.owner("g25:changes")}
    victim = next(node for node in cluster.nodes if node.is_master() and node not in needed)
    source = next(strangers_of(cluster, victim))
    replicas = [node for node in cluster.nodes
                if (role := node.cli("role"))[0] == "slave" and int(role[2]) == victim.port]
    for node in [*replicas, victim]:
        node.kill()
    assert attempt(lab, source, MX4).code == 250
    wait_for(lambda: "metered questions were answered without Redis" in gate.ctl("health").stdout, PATIENCE_S,
             "the health says so")
    assert gate.ctl("health").stdout.startswith("impaired: ")
    for node in [victim, *replicas]:
        node.start()
    cluster.wait_whole()


class Load:
    """Messages from one subscriber, session after session, until the limit says no."""

    def __init__(self, lab, source):
        self.lab, self.source, self.codes = lab, source, []
        self.goal = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.goal.is_set():
            self.codes.append(attempt(self.lab, self.source, MX4).code)

    def wait_more(self, count=3):
        """Until it has come some sessions further."""
        want = len(self.codes) + count
        wait_for(lambda: len(self.codes) >= want or not self.thread.is_alive(), PATIENCE_S, "the load goes on")

    def end(self):
        self.goal.set()
        self.thread.join()


def test_slots_wander_under_load(lab, cluster, make, started):
    """A subscriber's slot goes round all masters while he sends: every message is counted once."""
    limit = 400
    ordinary = {**CLASS, "messages": [f"{limit}/1d"]}
    gate = started(make(ordinary=ordinary))
    wait_up(gate)
    masters = [node for node in cluster.nodes if node.is_master()]
    source = next(strangers_of(cluster, masters[0]))
    slot = slot_of(f"{{{source}}}")
    load = Load(lab, source)
    try:
        for to in (masters[1], masters[2], masters[0], masters[1]):
            load.wait_more()
            cluster.migrate(slot, to, pause=load.wait_more)
        load.wait_more()
    finally:
        load.end()
    assert set(load.codes) == {250}
    codes = [attempt(lab, source, MX4).code for _ in range(3)]
    assert codes == [250] * 3
    # What Redis has counted is what passed: the bucket says how many are left.
    explained = make("gate25ctl", ordinary).ctl("explain", source).stdout
    assert f"{limit - len(load.codes) - 3} left" in explained, explained
    assert sum(bool(meters_at(node, source)) for node in masters) == 1
    check_rights(cluster)


def meters_at(node, source):
    return node.cli("exists", f"g25:meter:{{{source}}}") if owns(node, source) else 0


def owns(node, source):
    return node.cli("cluster", "countkeysinslot", slot_of(f"{{{source}}}")) > 0


def test_standings_wander(lab, cluster, make, desk, started):
    """The slots of the standings and of their changes move: every gate hears of every change all the same."""
    gate = started(make())
    wait_up(gate)
    desk("register", REGISTERED)
    desk("quarantine", QUARANTINED)
    wait_current(gate, 2)
    masters = [node for node in cluster.nodes if node.is_master()]
    for number, key in enumerate(["g25:changes", "g25:standings"]):
        slot = slot_of(key)
        to = next(node for node in masters if node is not cluster.owner(key))
        cluster.migrate(slot, to, pause=lambda: check_known(lab, REGISTERED, QUARANTINED))
        assert cluster.owner(key) is to
        desk("register", f"10.20.34.{100 + number}")
        wait_for(lambda: attempt(lab, f"10.20.34.{100 + number}", MX4).code == 250, PATIENCE_S,
                 "the change is heard of")
        wait_current(gate, 3 + number)
    pass_the_rest(lab, next(addresses), 0)
    check_known(lab, REGISTERED, QUARANTINED)
    check_rights(cluster)


def test_leases(lab, cluster, make, started):
    """All keys of a lease are in one slot; its node is killed, and the next one goes on."""
    leased = {"leases": {"prefixes": ["10.20.0.0/16"]}}
    gate, desk_gate = started(make(more=leased)), make("gate25ctl", more=leased)
    wait_up(gate)

    def start(account, session, address):
        """As a RADIUS server does it, with its own rights."""
        node = cluster.owner("g25:{leases}")
        with contextlib.closing(node.client(username="radius", password=password("radius"))) as radius:
            return radius.execute_command("fcall", "gate25_lease_start", *leases.KEYS, account, session, 600, 0, address)

    def is_told(source, account):
        attempt(lab, source, MX4)
        return any(line["id"] == account for line in gate.journal(event="session") if line["client"].startswith(f"{source}:"))

    one, two = next(addresses), next(addresses)
    assert start("alice", "s1", one) == 1
    wait_for(lambda: is_told(one, "alice"), PATIENCE_S)
    assert desk_gate.ctl("quarantine", one).stdout.startswith("alice is in quarantine")
    wait_for(lambda: attempt(lab, one, MX4).code == 554, PATIENCE_S)
    cluster.wait_whole()
    victim = cluster.owner("g25:{leases}")
    victim.kill()
    assert attempt(lab, one, MX4).code == 554
    wait_for(lambda: cluster.owner("g25:{leases}") not in (None, victim), PATIENCE_S, "its replica took over")
    assert start("bob", "s2", one) == 1 and start("alice", "s3", two) == 1
    wait_for(lambda: is_told(one, "bob"), PATIENCE_S)
    wait_for(lambda: attempt(lab, two, MX4).code == 554, PATIENCE_S)
    assert desk_gate.ctl_json("show", two)["id"] == "alice"
    check_rights(cluster)
    assert [d for node in cluster.nodes if node.alive() for d in node.denied() if d[0] == "radius"] == []


def test_every_kind_of_limit(lab, cluster, make, started):
    """Spread and concurrent keep their own keys, in the slot of the subscriber."""
    gate = started(make(ordinary={**CLASS, "spread": ["5/1h"], "concurrent": 2}))
    wait_up(gate)
    source = next(addresses)
    pass_messages(lab, source, 2)
    with Client(lab, source, MX4) as one, Client(lab, source, MX4) as two, Client(lab, source, MX4) as three:
        assert [c.greeting.code for c in (one, two, three)] == [220, 220, 421]
        assert one.say("EHLO pc.example").code == 250
        assert one.deliver().code == 250
        node = cluster.owner(f"{{{source}}}")
        buckets, slots, spread = meters(node, source)
        assert "messages:86400" in buckets and len(slots) == 2 and list(spread) == [MX4]
    check_rights(cluster)


def test_keys_on_both_sides(lab, cluster, make, started):
    """A question about several keys waits, within its deadline, for a slot that is just moving."""
    gate = started(make(ordinary={**CLASS, "spread": ["5/1h"], "concurrent": 9}))
    wait_up(gate)
    masters = [node for node in cluster.nodes if node.is_master()]
    source, to = next(strangers_of(cluster, masters[0])), masters[1]
    codes = []

    def said_to_try_again():
        return to.client().info("errorstats").get("errorstat_TRYAGAIN")

    def ask():
        codes.append(attempt(lab, source, MX4).code)

    thread = threading.Thread(target=ask)
    before = said_to_try_again()

    def pause():
        if not thread.ident:
            thread.start()
            wait_for(lambda: said_to_try_again() != before, PATIENCE_S, "the new owner has no keys yet")

    cluster.migrate(slot_of(f"{{{source}}}"), to, pause)
    thread.join()
    assert codes == [250]
    assert meters(to, source)[0] and gate.ctl_json("status")["counters"]["store_failures_total"] == 0


def test_the_books_of_a_node_that_was_away(lab, started, sink):
    """What its subscribers sent meanwhile is charged to it; the others' never notice."""
    sink()
    cluster = Cluster(lab.gate, started, replicas=0)
    gate = started(Gate(lab, cluster.url("gate25d"), {
        "redis": {"when-down": "local", "deadline": "5s"}, "intercept": {"workers": 1},
        "class ordinary": {**CLASS, "spread": ["9/1d"]}}))
    wait_up(gate)
    victim = cluster.nodes[1]
    source, other = next(strangers_of(cluster, victim)), next(strangers_of(cluster, cluster.nodes[2]))
    pass_messages(lab, other, 1)
    victim.kill()
    pass_the_rest(lab, source, 0)
    pass_messages(lab, other, 1)
    assert gate.ctl_json("status")["counters"]["store_owed"] == 1

    victim.start()
    cluster.wait_whole()
    wait_for(lambda: gate.ctl_json("status")["counters"]["store_owed"] == 0, PATIENCE_S, "all is charged")
    pass_the_rest(lab, source, LIMIT)
    buckets, _, spread = meters(victim, source)
    assert buckets.keys() == {"messages:86400", "sessions:86400"} and list(spread) == [MX4]
    pass_the_rest(lab, other, 2)
    check_rights(cluster)
