"""What tests of gate25-bypassd share."""

import contextlib

import pytest

from tests.integration.wire import MX4, MX6
from tests.lab import sandbox, servers
from tests.lab.process import wait_for
from tests.lab.topology import UPLINK

LIMITS = {"class ordinary": {"messages": ["1/1d"]}}
LINE4, LINE6 = "10.20.0.25", "2001:db8:20:2500::25"
FAST = {"fast-path": [UPLINK]}
# What holds of the table alone holds of it with the fast path, too.
EITHER = pytest.mark.parametrize("bypass", [{}, FAST], ids=["nftables", "fast"], indirect=True)
FAMILIES = [(LINE4, MX4), (LINE6, MX6)]


def skip_without_bpf():
    if not sandbox.machines_root():
        pytest.skip("the kernel takes BPF from the machine's own root alone")


def store_of(b):
    """A client of its Redis."""
    return contextlib.closing(servers.redis_client.Redis(
        unix_socket_path=b.gate.sections["redis"]["url"][5:], decode_responses=True))


def sessions(b):
    """How many gate25d has had."""
    return b.gate.ctl_json("status")["counters"]["sessions_total"]


def register(b, *who, options=()):
    """Registers them, and waits until the kernel lets them by."""
    for line in who:
        b.gate.ctl("register", line, *options)
    wait_for(lambda: all(b.ask(f"show {line}")["let_by"] for line in who), 60, f"{who} let by")


def register_many(store, lines):
    """Standings as `gate25ctl register` leaves them, all in one go."""
    pipe = store.pipeline(transaction=False)
    for line in lines:
        pipe.hset("g25:standings", line, "registered 0")
        pipe.xadd("g25:changes", {"id": line, "class": "registered", "until": "0", "verb": "set"})
    pipe.execute()


def unregister(b, *who):
    for line in who:
        b.gate.ctl("unregister", line)
    wait_for(lambda: not any(b.ask(f"show {line}")["let_by"] for line in who), 60, f"{who} not let by")


def is_reset(client):
    """Says something: is the connection at its end?"""
    try:
        return client.say("NOOP") == ""
    except (ConnectionError, TimeoutError) as error:
        return isinstance(error, ConnectionError)


def replace_set(b, name, words):
    """Somebody makes one of its sets anew, in a way of his own; the rules are made again."""
    b.host.run("nft", "-f", "-", input=f"""
        flush table inet gate25_bypass
        delete set inet gate25_bypass {name}
        add set inet gate25_bypass {name} {{ {words} }}
    """)
