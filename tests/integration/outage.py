"""What must hold while Redis is away, whatever the reason, and once it is back."""

import contextlib
import subprocess
import threading
import time

from tests.integration.mail import attempt, meters
from tests.lab.process import wait_for
from tests.lab.servers import Gate

MX4, MX6 = "198.51.100.10", "2001:db8:ffff::10"
REGISTERED, QUARANTINED = "10.20.4.25", "10.20.4.66"
REGISTERED6, QUARANTINED6 = "2001:db8:20:4200::25", "2001:db8:20:4600::66"
LIMIT = 3
DAY_S = 86400
CLASS = {"action": "meter", "sessions": ["1000/1d"], "messages": [f"{LIMIT}/1d"]}
HELD_UP_S = 2  # no session takes that long, whatever Redis does; a decision may wait for DEADLINE
DEADLINE = "500ms"
PATIENCE_S = 30
numbers = iter(range(1, 250))


def stranger():
    """A subscriber nobody has heard of."""
    return f"10.20.5.{next(numbers)}"


def start_isp(lab, redis, started, when_down="local", workers=2, deadline=DEADLINE, environment=None,
              **more):
    """A gate that knows a registered and a quarantined subscriber of each family."""
    gate = Gate(lab, redis, {"redis": {"when-down": when_down, "deadline": deadline},
                             "intercept": {"workers": workers}, "class ordinary": CLASS, **more},
                environment=environment)
    for verb, address in (("register", REGISTERED), ("register", REGISTERED6),
                          ("quarantine", QUARANTINED), ("quarantine", QUARANTINED6)):
        gate.ctl(verb, address, "--reason", "a test")
    return started(gate)


def timed(lab, source, destination=MX4):
    """attempt(), which must not have been held up."""
    began = time.monotonic()
    reply = attempt(lab, source, destination)
    assert time.monotonic() - began < HELD_UP_S
    return reply


def counter(gate, name):
    return gate.ctl_json("status")["counters"][name]


def check_known(lab):
    """Registered subscribers pass, quarantined ones are refused, whatever Redis does."""
    for source, destination in ((REGISTERED, MX4), (REGISTERED6, MX6)):
        for _ in range(LIMIT + 2):
            assert timed(lab, source, destination).code == 250
    for source, destination in ((QUARANTINED, MX4), (QUARANTINED6, MX6)):
        reply = timed(lab, source, destination)
        assert reply.code == 554
        assert "(quarantined)" in reply.refusal["words"]


def check_enforced(lab, redis):
    """Limits hold over all workers again, and it is Redis that counts."""
    source = stranger()
    assert [timed(lab, source).code for _ in range(LIMIT + 2)] == [250] * LIMIT + [450] * 2
    assert set(meters(redis, source)[0]) == {"messages:86400", "sessions:86400"}


def wait_store(gate, up):
    """Until every worker has its connection to Redis, or none."""
    workers = len(gate.workers())
    wait_for(lambda: counter(gate, "store_up") == (workers if up else 0), PATIENCE_S,
             f"store_up of {workers if up else 0} workers")


def wait_standings(gate, count):
    """Until every worker says that it mirrors so many standings, as they do once a second."""
    wait_for(lambda: counter(gate, "standings") == count, PATIENCE_S, f"{count} standings in each worker")


def check_when_down(lab, when_down):
    """What the configuration says of everybody else while Redis is away; whom it was tried with."""
    source = stranger()
    replies = [timed(lab, source) for _ in range(2 * LIMIT + 2)]
    codes = [reply.code for reply in replies]
    if when_down == "pass":
        assert codes == [250] * len(codes)
    elif when_down == "refuse":
        assert codes == [421] * len(codes)
        refusal = replies[0].refusal
        assert (refusal["enhanced"], refusal["id"], refusal["retry"]) == ("4.3.2", source, 60)
        assert refusal["words"] == "cannot be checked against its limits now"
    else:
        # Each of two workers has a bucket of its own.
        assert LIMIT <= codes.count(250) <= 2 * LIMIT
        assert codes.count(250) + codes.count(450) == len(codes)
        told = next(reply for reply in replies if reply.code == 450).refusal
        assert told["words"] == f"has reached its limit of {LIMIT} messages in 1 day"
    return source


def left(redis, source):
    """The messages that a subscriber has left, by Redis's books."""
    return redis.cli("fcall_ro", "gate25_peek", 1, f"g25:meter:{{{source}}}", "messages", LIMIT, DAY_S * 1_000_000)[0]


def check_books(lab, redis, gate, source, when_down):
    """What went through meanwhile is in Redis's books: N is not N twice, and nobody is in debt."""
    if when_down == "refuse":
        assert [timed(lab, source).code for _ in range(LIMIT + 1)] == [250] * LIMIT + [450]
        return
    wait_for(lambda: left(redis, source) == 0, PATIENCE_S, "all is charged")
    reply = timed(lab, source)
    assert reply.code == 450
    assert 0 < reply.refusal["retry"] <= DAY_S // LIMIT
    wait_for(lambda: counter(gate, "store_owed") == 0, PATIENCE_S, "the gate says so")


def check_away_and_back(lab, redis, gate, when_down, break_it, mend_it):
    """Redis fails, and comes back: nobody who is known notices, when-down rules, the books are right."""
    check_known(lab)
    check_enforced(lab, redis)

    break_it()
    check_known(lab)
    source = check_when_down(lab, when_down)
    check_known(lab)

    mend_it()
    wait_store(gate, up=True)
    check_books(lab, redis, gate, source, when_down)
    check_enforced(lab, redis)
    check_known(lab)


@contextlib.contextmanager
def small_disk(path):
    """A disk of a few megabytes there; yields a function that fills it up, and one that makes room again."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=755", "tmpfs", path], check=True)
    filler = path / "filler"

    def fill():
        with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass

    try:
        yield fill, filler.unlink
    finally:
        subprocess.run(["umount", "-l", path], check=True)


class Traffic(threading.Thread):
    """Sends one mail after the other until stop(); replies are its results."""

    def __init__(self, lab, source):
        super().__init__(daemon=True)
        self.lab, self.source = lab, source
        self.replies, self.slowest, self.failure = [], 0.0, None
        self.done = threading.Event()

    def run(self):
        try:
            while not self.done.is_set():
                began = time.monotonic()
                self.replies.append(attempt(self.lab, self.source, MX4))
                self.slowest = max(self.slowest, time.monotonic() - began)
        except (OSError, AssertionError) as error:
            self.failure = error

    def more(self, count=5):
        """Waits until so many more mails have been answered."""
        enough = len(self.replies) + count
        wait_for(lambda: self.failure or len(self.replies) >= enough, 20, f"mail from {self.source}")

    def stop(self):
        self.done.set()
        self.join(20)
        assert self.failure is None, f"{self.source}: {self.failure!r} after {len(self.replies)} mails"
        return {reply.code for reply in self.replies}
