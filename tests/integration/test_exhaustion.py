"""No memory or no descriptor for a worker, and no room on the disk for the copy of the standings."""

import contextlib
import os
import resource
import time
from pathlib import Path

import pytest

from tests.integration.mail import attempt
from tests.integration.outage import MX4, PATIENCE_S, small_disk, wait_standings
from tests.integration.test_capacity import instrumented
from tests.integration.test_faults import cpu_seconds
from tests.integration.wire import FREE, Client, first_reply, send
from tests.lab import process
from tests.lab.process import wait_for

ROOM = 3 << 20  # bytes more than a worker has when it is at rest
MOST = 4000     # sessions that would never fit


@pytest.fixture(name="descriptors", scope="module", autouse=True)
def descriptors_fixture():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def address_space(pid):
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmSize:"))


def fill_memory(lab, stack):
    """Opens sessions until twenty in a row are turned away; those that were let in."""
    inside, turned_away = [], 0
    for number in range(MOST):
        client = Client(lab, f"10.20.{80 + number // 250}.{number % 250}")
        reply = client.reply()
        if reply.startswith("220"):
            inside.append(stack.enter_context(client))
            turned_away = 0
            continue
        assert reply.startswith("421 4.3.1 ") and "out of resources" in reply, "a refusal explains itself"
        client.close()
        turned_away += 1
        if turned_away == 20:
            return inside
    raise AssertionError(f"{MOST} sessions fit into {ROOM} bytes")


def test_memory_runs_out(lab, gate, sink):
    """New sessions are told to come back, those that are open go on, and with room all is as before."""
    sink()
    running = gate({**FREE, "intercept": {"workers": 1}})
    worker = running.workers()[0]
    if instrumented(running.pid):
        pytest.skip("a sanitizer's own memory cannot be bounded like that")
    assert send(lab, "10.20.79.1").startswith("250 ")
    most = address_space(worker) + ROOM
    resource.prlimit(worker, resource.RLIMIT_AS, (most, most))
    with contextlib.ExitStack() as stack:
        inside = fill_memory(lab, stack)
        assert len(inside) > 50
        before = cpu_seconds(worker)
        assert all(client.lives() for client in inside[:50]), "those that are open go on"
        time.sleep(2)
        assert cpu_seconds(worker) - before < 1, "it spins"
        assert running.workers() == [worker]
    wait_for(lambda: first_reply(lab, "10.20.79.2").startswith("220 "), 5, "it has recovered")
    wait_for(lambda: running.ctl_json("status")["counters"]["sessions_open"] == 0, PATIENCE_S, "all have ended")
    assert send(lab, "10.20.79.3").startswith("250 ")
    assert running.workers() == [worker]
    assert "cannot begin a session: Cannot allocate memory" in running.text()


def test_no_descriptor_for_the_server(lab, gate, sink):
    """It is not the server that cannot be reached."""
    sink()
    running = gate({**FREE, "intercept": {"workers": 1}})
    worker = running.workers()[0]
    used = {int(name) for name in os.listdir(f"/proc/{worker}/fd")}
    # Sessions have two each: room for one of them, and for half of the next.
    most = next(limit for limit in range(max(used) + 5) if limit - len(used & set(range(limit))) == 3)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (most, most))
    with contextlib.closing(Client(lab, "10.20.79.1")) as first:
        assert first.reply().startswith("220")
        reply = first_reply(lab, "10.20.79.2")
        assert reply.startswith("421 4.3.1 ") and "out of resources" in reply, reply
        assert first.lives()
    wait_for(lambda: first_reply(lab, "10.20.79.2").startswith("220 "), 5, "it has recovered")


def test_no_room_for_the_copy(lab, gate, sink):
    """The old copy stays whole, sessions and changes go on, and the copy is written once there is room."""
    sink()
    folder = process.fresh_folder("copy")
    copy = folder / "standings"
    with small_disk(folder) as (fill, make_room):
        running = gate({**FREE, "registry": {"copy": copy}})
        running.ctl("register", "10.20.78.1")
        wait_for(lambda: copy.exists() and "10.20.78.1 " in copy.read_text(encoding="ascii"), PATIENCE_S, "a copy")
        before = copy.read_text(encoding="ascii")
        fill()
        running.ctl("quarantine", "10.20.78.2", "--reason", "a test")
        wait_for(lambda: "the copy of the standings is not written" in running.text(), PATIENCE_S, "the complaint")
        assert attempt(lab, "10.20.78.2", MX4).code == 554
        assert attempt(lab, "10.20.78.1", MX4).code == 250
        assert copy.read_text(encoding="ascii") == before
        assert sorted(os.listdir(folder)) == ["filler", "standings"]
        make_room()
        running.ctl("quarantine", "10.20.78.3")
        wait_standings(running, 3)
        assert running.end() == 0
        after = copy.read_text(encoding="ascii")
        assert all(f"10.20.78.{number} " in after for number in (1, 2, 3))
