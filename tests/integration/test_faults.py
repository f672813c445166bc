"""What goes wrong round the gate: silent peers, dead servers, no descriptors, a dead worker, a full disk."""

import contextlib
import fcntl
import json
import os
import re
import resource
import select
import signal
import time

import pytest

from tests.integration.wire import FREE, MX4, MX6, Client, first_reply, send
from tests.lab import freezer, topology
from tests.lab.proc import cpu_seconds
from tests.lab.process import wait_for

BLACKHOLE4, BLACKHOLE6 = "198.51.100.99", "2001:db8:ffff::99"
BOTH = [pytest.param("10.20.60.1", MX4, id="ipv4"), pytest.param("2001:db8:20:6000::1", MX6, id="ipv6")]


# --- silence -------------------------------------------------------------------------------------


def test_silent_and_slow_clients_end_at_their_deadline(lab, gate, sink):
    sink()
    running = gate({**FREE, "timeouts": {"command": "1500ms"}})
    began = time.monotonic()
    with Client(lab, "10.20.60.2") as silent, Client(lab, "10.20.60.3") as slow:
        silent.expect(None, 220)
        slow.expect(None, 220)
        typed = 0
        while not slow.answers(0.2):  # a byte now and then is no command: the deadline does not move
            slow.send("EHLO-very-slowly"[typed % 16])
            typed += 1
            assert typed < 100
            if typed == 3:
                assert send(lab, "10.20.60.4").startswith("250 "), "nobody else is held up"
        assert typed > 3
        assert time.monotonic() - began >= 1.5
        for client in (slow, silent):
            reply = client.reply()
            assert reply.startswith("421 4.4.2 ") and "timed out" in reply
            assert client.ended()
    lines = running.wait_journal(2, event="session", rule="timeout")
    assert all(1500 <= line["duration_ms"] < 10000 for line in lines)
    assert running.ctl_json("status")["counters"]["timed_out_total"] == 2


@pytest.mark.parametrize("source, address", BOTH)
def test_a_server_that_never_greets(lab, gate, sink, source, address):
    server = sink(banner=None)
    running = gate({**FREE, "timeouts": {"banner": "300ms"}})
    with Client(lab, source, address) as client:
        reply = client.reply()
        assert reply.startswith("421 4.4.2 ")
        assert client.ended()
    assert running.wait_journal(event="session", rule="timeout")[0]["case"] in reply
    wait_for(lambda: server.events("close"), 5, "the server's connection is closed")


def test_a_server_that_never_answers_a_command(lab, gate, sink):
    sink(delays={"EHLO": 3600})
    gate({**FREE, "timeouts": {"reply": "300ms"}})
    with Client(lab, "10.20.60.5") as client:
        client.expect(None, 220)
        assert client.say("EHLO pc.example").startswith("421 4.4.2 ")
        assert client.ended()


@pytest.mark.parametrize("source, address", [("10.20.60.6", BLACKHOLE4), ("2001:db8:20:6001::1", BLACKHOLE6)],
                         ids=["ipv4", "ipv6"])
def test_a_server_that_cannot_be_reached(lab, gate, source, address):
    family = "ip6" if ":" in address else "ip"
    lab.internet.run("nft", "-f", "-", input=(
        "table inet blackhole {\nchain input {\ntype filter hook input priority 0;\n"
        f"{family} daddr {address} drop\n}}\n}}\n"))
    try:
        running = gate({**FREE, "timeouts": {"connect": "400ms"}})
        with Client(lab, source, address) as client:
            reply = client.reply()
            assert reply.startswith("421 4.4.1 ") and "no answer to the connection attempt" in reply
            assert client.ended()
        line = running.wait_journal(event="session", rule="connect")[0]
        assert line["duration_ms"] >= 400 and line["case"] in reply
        assert running.ctl_json("status")["counters"]["connect_failed_total"] == 1
    finally:
        lab.internet.run("nft", "delete", "table", "inet", "blackhole")


@pytest.mark.parametrize("source, address", BOTH)
def test_a_server_that_refuses(lab, gate, source, address):
    running = gate(FREE)
    with Client(lab, source, address) as client:
        reply = client.reply()
        assert reply.startswith("421 4.4.1 ") and "Connection refused" in reply and address in reply
        assert client.ended()
    assert "Connection refused" in running.wait_journal(event="session", rule="connect")[0]["detail"]


# --- no descriptors ------------------------------------------------------------------------------


def readable(clients, seconds):
    """Those of the clients that have something to read, now or within the time."""
    by_fd = {client.connection.fileno(): client for client in clients}
    poll = select.poll()
    for descriptor in by_fd:
        poll.register(descriptor, select.POLLIN)
    return [by_fd[descriptor] for descriptor, _ in poll.poll(seconds * 1000)]


def serve_in_turn(clients, seconds=30):
    """Reads each one's first reply and closes it, which makes room for the next; the replies."""
    waiting, replies = list(clients), []
    deadline = time.monotonic() + seconds
    while waiting:
        assert time.monotonic() < deadline, f"{len(waiting)} of {len(clients)} were never answered"
        for client in readable(waiting, 1):
            replies.append(client.reply())
            client.close()
            waiting.remove(client)
    return replies


def crowd_and_measure(lab, running, count):
    """Many connections at once; the gate rests, and all are served as room is made."""
    worker = running.workers()[0]
    log_before = len(running.text().splitlines())
    clients = [Client(lab, f"10.20.61.{number % 250}") for number in range(count)]
    time.sleep(0.3)
    before, began = cpu_seconds(worker), time.monotonic()
    time.sleep(1)
    used = (cpu_seconds(worker) - before) / (time.monotonic() - began)
    replies = serve_in_turn(clients)
    assert used < 0.5, "the worker spins"
    assert running.workers() == [worker]
    counters = running.ctl_json("status")["counters"]
    assert counters["accept_paused_total"] > 0
    said = running.text().splitlines()[log_before:]
    assert any("new connections wait" in line for line in said)
    assert len(said) <= (time.monotonic() - began) + 5, said
    return replies


def test_as_many_sessions_as_descriptors_allow(lab, gate, sink):
    sink()
    running = gate({**FREE, "intercept": {"workers": 1}}, wrapper=("prlimit", "--nofile=100:100"))
    replies = crowd_and_measure(lab, running, 150)
    assert all(reply.startswith("220 ") for reply in replies), "those that waited were lost"
    assert send(lab, "10.20.61.1").startswith("250 ")


def test_descriptors_run_out(lab, gate, sink):
    sink()
    running = gate({**FREE, "intercept": {"workers": 1}})
    worker = running.workers()[0]
    used = len(os.listdir(f"/proc/{worker}/fd"))
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + 9, used + 9))
    replies = crowd_and_measure(lab, running, 100)
    # The last descriptor may be a client's, with none left for its server.
    assert {reply[:3] for reply in replies} <= {"220", "421"}
    assert any(reply.startswith("220 ") for reply in replies)
    wait_for(lambda: send(lab, "10.20.61.2").startswith("250 "), 5, "it has recovered")


def test_the_most_sessions_that_are_configured(lab, gate, sink):
    sink()
    running = gate({**FREE, "intercept": {"workers": 1, "max-sessions": 10}})
    replies = crowd_and_measure(lab, running, 40)
    assert all(reply.startswith("220 ") for reply in replies)
    assert running.ctl_json("status")["counters"]["accept_paused_total"] >= 1


# --- a dead worker -------------------------------------------------------------------------------


def in_queues(lab):
    """Connections that no worker has accepted yet."""
    lines = lab.gate.run("ss", "-Hltn", f"sport = :{topology.GATE_PORT}").stdout.splitlines()
    return sum(int(line.split()[1]) for line in lines)


def test_a_killed_worker_is_replaced(lab, gate, sink):
    sink()
    running = gate(FREE)
    first, second = running.workers()
    with contextlib.ExitStack() as stack:
        def opened(count):
            return [stack.enter_context(Client(lab, f"10.20.62.{number}")) for number in range(count)]

        clients = [client.greet() for client in opened(40)]
        freezer.stop(first)
        queued = opened(40)
        wait_for(lambda: in_queues(lab) > 0, 5, "some wait in the stopped worker's queue")
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: len(running.workers()) == 2 and first not in running.workers(), 10, "a new worker")
        assert second in running.workers()
        for client in queued:
            assert client.reply().startswith("220 "), "no connection in the queue is lost"
        lost = [client for client in clients if not client.lives()]
        assert 0 < len(lost) < len(clients), "only the killed worker's sessions end"
    assert f"(pid {first}) was killed by signal 9" in running.text()
    wait_for(lambda: running.ctl_json("status")["counters"]["sessions_open"] == 0, 10,
             "what the dead one counted is forgotten")
    for number in range(8):
        assert send(lab, f"10.20.62.{number}").startswith("250 ")


def test_a_worker_that_hangs_is_replaced(lab, gate, sink):
    sink()
    running = gate(FREE)
    wait_for(lambda: running.ctl("health").stdout == "good\n", 30, "good health")
    first, second = running.workers()
    with contextlib.ExitStack() as stack:
        freezer.stop(first)
        queued = [stack.enter_context(Client(lab, f"10.20.67.{number}")) for number in range(20)]
        wait_for(lambda: re.match(r"impaired: (.*; )?workers that do not answer: [01]\b", running.ctl("health").stdout),
                 60, "who hangs")
        assert running.workers() == [first, second], "a worker that rests for a while is left alone"
        wait_for(lambda: first not in running.workers() and len(running.workers()) == 2, 180, "another in its place")
        for client in queued:
            assert client.reply().startswith("220 "), "no connection in the queue is lost"
    assert second in running.workers()
    wait_for(lambda: running.ctl("health").stdout == "good\n", 60, "good health again")
    said = [line for line in running.text().splitlines() if f"(pid {first})" in line]
    assert len(said) == 3, said
    for line, words in zip(said, ("has not answered for 10 seconds", "hangs: ", "was killed by signal 9")):
        assert words in line


def test_a_worker_that_was_away_for_a_moment_is_kept(lab, gate, sink):
    sink()
    running = gate(FREE)
    first, _ = workers = running.workers()
    freezer.stop(first)
    wait_for(lambda: "has not answered for 10 seconds" in running.text(), 60, "it is missed")
    os.kill(first, signal.SIGCONT)
    wait_for(lambda: f"(pid {first}) answers again" in running.text(), 60, "it is back")
    wait_for(lambda: running.ctl("health").stdout == "good\n", 60, "good health again")
    assert running.workers() == workers


def test_a_refusal_names_no_earlier_recipient(lab, gate, sink):
    sink()
    running = gate({"class ordinary": {"messages": ["1/1d"], "recipients": ["1/1d"]}})
    with Client(lab, "10.20.66.1") as client:
        client.greet()
        client.expect("MAIL FROM:<one@home.example>", 250)
        client.expect("RCPT TO:<first@mx.example>", 250)
        client.expect("RCPT TO:<second@mx.example>", 452)
        client.body()
        client.expect("MAIL FROM:<two@home.example>", 450)
        client.say("QUIT")
    recipient, mail = running.wait_journal(2, event="refusal")
    assert (recipient["from"], recipient["to"]) == ("one@home.example", "second@mx.example")
    assert (mail["from"], mail.get("to")) == ("two@home.example", None)


# --- the journal ---------------------------------------------------------------------------------


def make_fifo(folder):
    path = folder / "fifo"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("place", ["full disk", "fifo without a reader", "no such folder"])
def test_a_journal_that_cannot_be_written(lab, gate, sink, tmp_path, place):
    sink()
    path = {"full disk": lambda: "/dev/full", "fifo without a reader": lambda: make_fifo(tmp_path),
            "no such folder": lambda: "/run/no-such-folder/journal"}[place]()
    running = gate({**FREE, "journal": {"file": path}})
    for number in range(10):
        assert send(lab, f"10.20.63.{number}").startswith("250 ")
    # What is written together is lost together, a moment later.
    wait_for(lambda: running.ctl_json("status")["counters"]["journal_dropped_total"] == 10, 20, "all are counted")
    assert running.ctl_json("status")["counters"]["journal_lines_total"] == 10
    complaints = [line for line in running.text().splitlines() if "lines are lost" in line]
    assert 1 <= len(complaints) <= 2, "each worker says so once"
    assert str(path) in complaints[0]
    # The subscriber's own log has it all the same.
    assert '"event":"session"' in running.ctl("log", "10.20.63.1", "--json").stdout


def test_a_journal_whose_reader_is_stuck(lab, gate, sink, tmp_path):
    sink()
    path = make_fifo(tmp_path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    running = gate({**FREE, "journal": {"file": path}})
    try:
        for number in range(30):
            assert send(lab, f"10.20.64.{number}").startswith("250 ")
        def dropped():
            return running.ctl_json("status")["counters"]["journal_dropped_total"]

        def read():
            with contextlib.suppress(BlockingIOError):
                lines = os.read(reader, 1 << 20).split(b"\n")
                assert lines.pop() == b"", "no line is torn"
                kept.extend(lines)
            return kept

        kept = []
        wait_for(lambda: running.ctl_json("status")["counters"]["journal_lines_total"] == 30)
        wait_for(lambda: dropped() > 0, 20, "they do not fit")
        wait_for(lambda: len(read()) + dropped() == 30, 20, "each line is kept or counted")
        # Read again, it goes on.
        assert send(lab, "10.20.64.40").startswith("250 ")
        wait_for(lambda: json.loads(read()[-1])["client"].startswith("10.20.64.40:"), 20, "the next line")
        assert {json.loads(line)["event"] for line in kept} == {"session"}
    finally:
        os.close(reader)


def test_a_reader_that_comes_later(lab, gate, sink, tmp_path):
    sink()
    path = make_fifo(tmp_path)
    running = gate({**FREE, "intercept": {"workers": 1}, "journal": {"file": path}})
    assert send(lab, "10.20.65.1").startswith("250 ")
    wait_for(lambda: running.ctl_json("status")["counters"]["journal_dropped_total"] == 1)
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as reader:
        def arrives():
            assert first_reply(lab, "10.20.65.2").startswith("220 ")
            return reader.read(1 << 16)

        assert wait_for(arrives, 10, "a line in the FIFO", every=0.2).endswith(b"\n")
