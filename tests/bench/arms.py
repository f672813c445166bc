"""What runs in gate1, one after another on the same path: subscribers - router - gate1 - router - Internet.

All daemons stay up; which of them serves is which port TPROXY hands connections to. So arms differ by
what runs, and the idle ones cost nothing.
"""

import contextlib
import os
import resource

from tests.lab import sandbox, topology
from tests.lab.bypass import Bypass
from tests.lab.gate import Gate
from tests.lab.process import wait_for
from tests.lab.servers import Redis

from . import cpu
from .haproxy import HAProxy
from .relay import Relay

SERVERS = ["198.51.100.10", "198.51.100.11", "198.51.100.12", "198.51.100.13"]
# Of the arms that route: the kernel drops what it should route on where a socket of its own has had the same
# addresses and ports within the last minute (TIME_WAIT, found by early demultiplexing).
ROUTED_SERVERS = ["198.51.100.20", "198.51.100.21", "198.51.100.22", "198.51.100.23"]
SINK = [*SERVERS, *ROUTED_SERVERS, "198.51.100.14"]  # the last: of the cross-check, has a route of its own
# Subscribers of the workloads: (first address, how many).
MANY = ("10.20.16.0", 4096)
FLOODER = ("10.20.200.1", 1)
CROWD_PREFIX, CROWD = "10.64.0.0/15", ("10.64.0.0", 100_000)
CLOSED_AFTER = 5  # seconds that the last connections of an arm have
CROWD_REGISTERED = 100  # one of so many
PORTS = {"haproxy": 2530, "pass": 2531, "meter": 2532, "least": 2533}
# The fast path takes the machine's own root: in an ordinary user's lab its arm is none of these, and its goal not measured.
ALL = tuple(name for name in ("direct", "haproxy", "least", "pass", "meter", "bypass", "bypass-nft", "denied")
            if name != "bypass" or sandbox.machines_root())

# Every kind of limit that conf/gate25.conf has, and none that is ever reached.
LIMITS = {
    "sessions": ["1000000/1m", "100000000/1d"],
    "messages": ["1000000/1m", "100000000/1d"],
    "recipients": ["1000000/1m", "100000000/1d"],
    "bytes": ["1000G/1h"],
    "spread": ["1000/1h"],
    "concurrent": 20000,
}


def cores():
    return len(os.sched_getaffinity(0))


def address(first, offset):
    """The IPv4 address so many behind `first`."""
    number = int.from_bytes(map(int, first.split("."))) + offset
    return ".".join(map(str, number.to_bytes(4)))


def register(redis, sources, every=1):
    """Standings of single addresses, as `gate25ctl register` leaves them; before the gate starts."""
    first, count = sources
    with contextlib.closing(redis.client()) as client:
        pipeline = client.pipeline(transaction=False)
        for offset in range(0, count, every):
            pipeline.hset("g25:standings", address(first, offset), "registered 0")
        pipeline.execute()


class Arm:
    """One of them: how it comes to serve, and whose work is its own. `servers`: where its load is to go."""

    servers = SERVERS

    def __init__(self, bench, name, port=None, own=(), redis=None, gate=None):
        self.bench, self.name, self.port = bench, name, port
        self.own, self.redis, self.gate = tuple(own), redis, gate

    def activate(self):
        self.bench.lab.set_mode("tproxy" if self.port else None, port=self.port or topology.GATE_PORT)

    def deactivate(self):
        """What has to go before another arm can serve."""

    def pids(self):
        """All its processes, without Redis."""
        return [pid for server in self.own for pid in cpu.family(server.pid)]

    def settings(self):
        """What its programs were told."""
        return {server.name: server.config.read_text(encoding="utf-8") for server in self.own
                if hasattr(server, "config")}

    def redis_pids(self):
        return cpu.family(self.redis.pid) if self.redis else []


class RoutedArm(Arm):
    """Nothing but the kernel."""

    servers = ROUTED_SERVERS


class BypassArm(RoutedArm):
    """gate25-bypassd beside `pass`, on its fast path or by nftables alone. What it has in the kernel would serve the
    other arms too: it goes with it."""

    def __init__(self, bench, name, beside, links):
        super().__init__(bench, name, beside.port, redis=beside.redis, gate=beside.gate)
        self.links = links
        self.daemon = Bypass(beside.gate)
        self.own = (beside.gate, self.daemon)

    def activate(self):
        super().activate()
        # One gate's file has the section for either.
        self.gate.configure({"bypass": {"control": self.daemon.control, "fast-path": self.links or None}})
        self.daemon.start()
        self.daemon.wait_status(in_step=True, well=True, units=MANY[1], fast_path_links=len(self.links))

    def deactivate(self):
        self.daemon.end()
        self.daemon.remove()


def start_gate(stack, lab, port, workers, wrapper=(), registered=(CROWD, CROWD_REGISTERED), patient=False):
    """A gate with a Redis of its own, in which of each so many of those subscribers one is registered.

    `patient`: it waits for Redis as the lab's do, and not as it is delivered.
    """
    redis = stack.enter_context(Redis(lab.gate))
    register(redis, *registered)
    gate = Gate(lab, redis, {
        "subscribers": {"prefixes": [topology.SUBSCRIBERS4, topology.SUBSCRIBERS6, CROWD_PREFIX]},
        "intercept": {"workers": workers, "listen": [f"127.0.0.1:{port}", f"[::1]:{port}"]},
        "redis": {} if patient else {"deadline": None},
        "class ordinary": {"action": "meter", **LIMITS},
        "class denied": {"action": "meter", "sessions": ["1/30d"]},
    }, mode="tproxy", wrapper=wrapper)
    stack.enter_context(gate)
    wait_for(lambda: gate.text().count("following changes") >= workers, 120, "the mirrors")
    gate.ctl("register", FLOODER[0], "--class", "denied")
    return gate, redis


class Bench:
    """The lab with the arms that are wanted, all started."""

    def __init__(self, wanted=ALL, workers=None):
        self.wanted, self.workers = wanted, workers or cores()
        self.lab = topology.Lab(mode=None, more_subscribers=[CROWD_PREFIX])
        self.arms, self.serving = {}, None
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.serve(None)
        self._stack.close()

    def _start(self, stack):
        wanted = set(self.wanted)
        made = [RoutedArm(self, "direct")]
        if "haproxy" in wanted:
            made.append(self.make(stack, "haproxy", self.workers))
        if "least" in wanted:
            made.append(self.make(stack, "least", self.workers))
        if wanted & {"pass", "bypass", "bypass-nft"}:
            made.append(self.make(stack, "pass", self.workers))
            beside = made[-1]
            made.append(BypassArm(self, "bypass", beside, [topology.UPLINK]))
            made.append(BypassArm(self, "bypass-nft", beside, []))
        if wanted & {"meter", "denied"}:
            made.append(self.make(stack, "meter", self.workers))
            made.append(Arm(self, "denied", made[-1].port, made[-1].own, made[-1].redis, made[-1].gate))
        self.arms = {arm.name: arm for arm in made if arm.name in wanted}

    def make(self, stack, name, workers, offset=0, wrapper=(), patient=False):
        """Starts what serves an arm: haproxy, least, pass or meter; `offset`: of its port, beside one that is there."""
        port = PORTS[name] + offset
        if name == "haproxy":
            server = stack.enter_context(HAProxy(self.lab.gate, port, workers, wrapper))
            return Arm(self, name, port, [server])
        if name == "least":
            return Arm(self, name, port, [stack.enter_context(Relay(self.lab.gate, port, workers))])
        registered = (MANY, 1) if name == "pass" else (CROWD, CROWD_REGISTERED)
        gate, redis = start_gate(stack, self.lab, port, workers, wrapper, registered, patient)
        return Arm(self, name, port, [gate], redis, gate)

    @contextlib.contextmanager
    def another(self, name, **options):
        """One more of that kind, in place of the arm of its name, until the block ends."""
        with contextlib.ExitStack() as stack:
            self.serve(None)
            arm, before = self.make(stack, name, **options), self.arms.get(name)
            self.arms[name] = arm
            try:
                yield arm
            finally:
                self.serve(None)
                self.arms.pop(name)
                if before:
                    self.arms[name] = before

    def serve(self, name):
        """From now on connections go to this arm; None: to none, and nothing is left of the last."""
        if name == self.serving:
            return
        if self.serving:
            with contextlib.suppress(TimeoutError):
                wait_for(self.is_still, CLOSED_AFTER, "no connection in the gate")
            self.arms[self.serving].deactivate()
        self.serving = name
        if name:
            self.arms[name].activate()

    def is_still(self):
        """No connection is open in the gate: packets of such would meet the next arm."""
        return not self.lab.gate.run("ss", "-Htn", "state", "connected", "exclude", "time-wait",
                                     "( sport = :25 or dport = :25 )").stdout


def raise_files():
    """As many open files as may be, for all that is started from here."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
