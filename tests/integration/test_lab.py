"""The lab itself: does its network do what the other tests take for granted, does it leave nothing?"""

import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab import freezer, proc, process, sandbox, servers, topology
from tests.lab.process import wait_for

LAB = sandbox.PROJECT / "tests" / "lab" / "lab"
FAMILIES = [
    pytest.param("10.20.0.7", "198.51.100.10", id="ipv4"),
    pytest.param("2001:db8:20:700::1", "2001:db8:ffff::10", id="ipv6"),
]
STRANGERS = [
    pytest.param("192.0.2.7", "198.51.100.10", id="ipv4"),
    pytest.param("2001:db8:bad::7", "2001:db8:ffff::10", id="ipv6"),
]
SO_ORIGINAL_DST = 80


def transparent_socket(host, six):
    """A socket with IP_TRANSPARENT, as the gate uses them."""
    with host.inside():
        made = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM)
    level, option = (socket.IPPROTO_IPV6, 75) if six else (socket.IPPROTO_IP, 19)
    made.setsockopt(level, option, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.settimeout(5)
    return made


def transparent_listener(host, six):
    made = transparent_socket(host, six)
    made.bind(("::1" if six else "127.0.0.1", topology.GATE_PORT))
    made.listen()
    return made


@pytest.mark.parametrize("source, server", FAMILIES + STRANGERS)
def test_port_25_reaches_the_gate_with_its_addresses(lab, source, server):
    with transparent_listener(lab.gate, ":" in source) as listener, \
            lab.subscribers.connect(server, source) as client:
        taken, peer = listener.accept()
        with taken:
            assert peer[:2] == client.getsockname()[:2]
            assert peer[0] == source
            assert taken.getsockname()[:2] == (server, 25)
            taken.sendall(b"220 from the gate\r\n")
            assert client.recv(100) == b"220 from the gate\r\n"


@pytest.mark.parametrize("source, server", FAMILIES)
def test_other_ports_go_past_the_gate(lab, source, server):
    with lab.internet.listen(server, port=587) as listener, \
            lab.subscribers.connect(server, source, port=587) as client:
        taken, peer = listener.accept()
        with taken:
            assert peer[:2] == client.getsockname()[:2]


@pytest.mark.parametrize("source, server", FAMILIES)
def test_the_gate_speaks_from_the_subscribers_address(lab, source, server):
    """Server's replies come back to the gate's own socket, through policy routing."""
    counter = "inet", "probe", "seen"
    lab.router.run("nft", "-f", "-", input="""
        table inet probe {
            counter seen { }
            chain forward {
                type filter hook forward priority filter
                iifname "inet" oifname "gate1" tcp sport 25 counter name seen
            }
        }""")
    with lab.internet.listen(server) as listener, transparent_socket(lab.gate, ":" in source) as upstream:
        upstream.bind((source, 0))
        upstream.connect((server, 25))
        taken, peer = listener.accept()
        with taken:
            assert peer[0] == source
            taken.sendall(b"220 from the server\r\n")
            assert upstream.recv(100) == b"220 from the server\r\n"
    packets = int(re.search(r"packets (\d+)", lab.router.run("nft", "list", "counter", *counter).stdout)[1])
    lab.router.run("nft", "delete", "table", "inet", "probe")
    assert packets >= 2  # SYN-ACK and the greeting at least


@pytest.mark.parametrize("source, server", FAMILIES)
def test_redirect_mode_tells_the_original_destination(redirect, source, server):
    six = ":" in source
    with redirect.gate.listen("::" if six else "0.0.0.0", topology.GATE_PORT) as listener, \
            redirect.subscribers.connect(server, source):
        taken, peer = listener.accept()
        with taken:
            assert peer[0] == source
            if six:
                address = taken.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
                port, destination = struct.unpack("!2xH4x16s4x", address)
            else:
                address = taken.getsockopt(socket.IPPROTO_IP, SO_ORIGINAL_DST, 16)
                port, destination = struct.unpack("!2xH4s8x", address)
            assert socket.inet_ntop(socket.AF_INET6 if six else socket.AF_INET, destination) == server
            assert port == 25


@pytest.mark.parametrize("source, server", FAMILIES + [("192.0.2.5", "198.51.100.10")])
def test_without_a_gate_process_port_25_is_closed(lab, sink, source, server):
    heard = sink(server)
    with pytest.raises(TimeoutError):
        lab.subscribers.connect(server, source, timeout=1)
    assert heard.events() == []


@pytest.mark.parametrize("source, server", FAMILIES)
def test_real_postfix_delivers_without_a_gate(unsteered, started, source, server):
    if not sandbox.many_users():
        pytest.skip("Postfix needs users of its own: an entry for this user in /etc/subuid")
    mx = started(servers.Postfix(unsteered.internet, [server], starttls=True))
    customer = started(servers.Postfix(unsteered.subscribers, sends_from=[source], relay=server,
                                       name="mail.customer.example"))
    customer.send("joe@mx.example", body="Across the lab.\n")
    message = mx.wait_messages(1)[0]
    assert message["X-Original-To"] == "joe@mx.example"
    assert message.get_payload() == "Across the lab.\n"
    mx.wait_maillog(rf"connect from unknown\[{re.escape(source)}\]")
    assert mx.clients() == [source]
    customer.wait_maillog(r"status=sent")


@pytest.mark.parametrize("source, server", FAMILIES)
def test_sink_writes_down_what_it_hears(unsteered, sink, source, server):
    heard = sink(server, starttls=True, replies={"RCPT": ["450 4.2.1 later\nreally", None]})
    refused = servers.swaks(unsteered.subscribers, server, source=source, check=False)
    assert "<** 450-4.2.1 later" in refused.stdout.replace("<~*", "<**").replace("<~", "<-")
    servers.swaks(unsteered.subscribers, server, "--tls", "--body", "Hello", source=source)
    message = heard.wait_messages(1)[0]
    assert (message["from"], message["to"], message["peer"], message["tls"]) == (
        "sender@client.example", ["user@mx.example"], source, True)
    assert heard.peers() == [source, source]
    assert heard.received(1).startswith(b"EHLO client.example\r\nMAIL FROM:<sender@client.example>\r\n")


@pytest.mark.parametrize("source, server", FAMILIES)
def test_smtp_source_uses_the_source_it_is_given(unsteered, sink, source, server):
    heard = sink(server)
    servers.smtp_source(unsteered.subscribers, server, "-m", "3", source=source)
    assert heard.peers() == [source] * len(heard.wait_messages(3))


def test_redis_keeps_an_append_only_file_and_can_be_frozen(lab, started):
    redis = started(servers.Redis(lab.gate, appendonly=True))
    redis.cli("set", "key", "value")
    redis.stop()
    with pytest.raises(Exception, match="(?i)timeout"):
        redis.client(socket_timeout=0.1).ping()
    redis.cont()
    redis.kill()
    assert not redis.alive()
    redis.start()
    assert redis.cli("get", "key") == "value"


# -- the sandbox -------------------------------------------------------------------------------------


def nested(code, prefix=(), project=sandbox.PROJECT):
    """Runs Python code in a sandbox of its own; its output."""
    result = subprocess.run([*prefix, str(project / "tests/lab/lab"), "exec", sys.executable, "-c", code],
                            check=False, cwd=project, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_localhost_has_two_addresses(lab):
    found = socket.getaddrinfo("localhost", 1, type=socket.SOCK_STREAM)
    assert {place[0] for *_, place in found} == {"127.0.0.1", "::1"}


@pytest.fixture(name="readable_project")
def readable_project_fixture():
    """A copy that everybody may read, wherever the tree lies; in memory, seen by this sandbox alone."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/mnt"], check=True)
    project = Path("/mnt/project")
    ignore = shutil.ignore_patterns("__pycache__", "unit", "fuzz", "transcripts")
    for part in ("tests", "contrib"):
        shutil.copytree(sandbox.PROJECT / part, project / part, ignore=ignore)
    subprocess.run(["chmod", "-R", "a+rX", project], check=True)
    yield project
    subprocess.run(["umount", "/mnt"], check=True)


PROBE = """
from tests.lab import sandbox, topology
lab = topology.Lab(steer=False)
for server, source in (("198.51.100.10", "10.20.0.7"), ("2001:db8:ffff::10", "2001:db8:20:700::1")):
    with lab.internet.listen(server) as listener, lab.subscribers.connect(server, source):
        print(listener.accept()[1][0])
"""


def test_an_ordinary_user_can_have_a_lab(readable_project):
    """Not root, and without any subordinate uids."""
    if not sandbox.many_users():
        pytest.skip("only one uid here: this whole run is already an ordinary user's")
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    assert nested(PROBE, nobody, readable_project).split() == ["10.20.0.7", "2001:db8:20:700::1"]


TWO_GATES = """
from tests.integration.test_lab import spread
from tests.lab import topology
spread(topology.Lab(gates=2))
"""


def spread(lab):
    """Each subscriber has one gate of the two, for both directions; run in a sandbox of its own."""
    topology.load_rules(lab.router, topology.CONTRIB / "routers" / "router-submission.nft")
    for prefix, server in (("10.20.1.", "198.51.100.10"), ("2001:db8:20:1::", "2001:db8:ffff::10")):
        six = ":" in prefix
        gates = {name: transparent_listener(lab[name], six) for name in ("gate1", "gate2")}
        used = set()
        with lab.internet.listen(server) as mail, lab.internet.listen(server, port=587) as submission:
            for number in range(1, 17):
                source = f"{prefix}{number}"
                with lab.subscribers.connect(server, source):
                    name = wait_for(lambda: next(filter(lambda gate: taken(gates[gate]), gates), None))
                for port, listener in ((25, mail), (587, submission)):
                    with transparent_socket(lab[name], six) as upstream:
                        upstream.bind((source, 0))
                        upstream.connect((server, port))
                        assert listener.accept()[1][0] == source
                used.add(name)
        assert used == {"gate1", "gate2"}
        for waiting in gates.values():
            waiting.close()


def taken(listener):
    """True when a connection waited; it is closed."""
    listener.setblocking(False)
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def test_two_gates_share_the_subscribers():
    nested(TWO_GATES)


def test_exit_status_and_arguments_pass_through():
    result = subprocess.run([LAB, "exec", "sh", "-c", 'printf %s "$1"; exit 7', "sh", "a  b"], check=False,
                            capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (7, "a  b")


def descendants(pid):
    """All processes below pid, from outside of their sandbox."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            found += [int(child), *descendants(int(child))]
    return found


def namespaces_in_use():
    inodes = set()
    for link in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            inodes.add(link.stat().st_ino)
        except OSError:
            continue
    return inodes


INTERRUPTIBLE = "trap 'echo interrupted; exit 9' INT; echo up; sleep 1000 & wait"


def test_ctrl_c_is_the_commands_and_what_it_started_ends_with_it():
    """Without a terminal too: then it is process 1 of the sandbox that must not end of it."""
    with subprocess.Popen([LAB, "exec", "sh", "-c", INTERRUPTIBLE], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, start_new_session=True) as launcher:
        assert launcher.stdout.readline() == b"up\n"
        below = wait_for(lambda: len(found := descendants(launcher.pid)) >= 4 and found, what="the sandbox's processes")
        os.killpg(launcher.pid, signal.SIGINT)
        assert (launcher.stdout.read(), launcher.wait(10)) == (b"interrupted\n", 9)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below), what="the end of all processes")


BUSY = "ip netns add away; setsid sleep 1000 & setsid ip netns exec away sleep 1000 & echo up; wait"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_killed_launcher_leaves_nothing(number):
    before = namespaces_in_use()
    mounts = Path("/proc/self/mountinfo").read_text(encoding="ascii")
    with subprocess.Popen([LAB, "exec", "sh", "-c", BUSY], stdout=subprocess.PIPE) as launcher:
        assert launcher.stdout.readline() == b"up\n"
        below = wait_for(lambda: len(found := descendants(launcher.pid)) >= 5 and found, what="the sandbox's processes")
        wait_for(lambda: len(namespaces_in_use() - before) == 2, what="the sandbox's namespaces")
        launcher.send_signal(number)
        launcher.wait(10)
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below), what="the end of all processes")
    assert namespaces_in_use() - before == set()
    assert Path("/proc/self/mountinfo").read_text(encoding="ascii") == mounts


def test_the_lab_from_the_shell(tmp_path):
    environment = {**os.environ, "GATE25_LAB_RECORD": str(tmp_path / "lab.json")}

    def lab(*arguments):
        return subprocess.run([LAB, *arguments], check=False, env=environment, capture_output=True, text=True,
                              timeout=30)

    assert lab("run", "router", "true").returncode == 1
    began = time.monotonic()
    assert lab("up", "--mode", "redirect").returncode == 0
    assert time.monotonic() - began < 20
    holder = json.loads((tmp_path / "lab.json").read_text(encoding="ascii"))["holder"]
    below = descendants(holder)
    try:
        assert "already up" in lab("up").stderr
        assert "redirect to :2525" in lab("run", "gate1", "nft", "list", "ruleset").stdout
        assert lab("run", "internet", "sh", "-c", "exit 9").returncode == 9
        assert "subscribers:" in lab("status").stdout
    finally:
        assert lab("down").returncode == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in below)
    assert not (tmp_path / "lab.json").exists()
    assert lab("status").returncode == 1


def test_a_server_that_cannot_start_says_why(lab):
    class Broken(process.Process):
        name = "broken"

        def start(self):
            return self.launch("sh", "-c", "echo the reason; exit 3")

        def ready(self):
            return False

    with pytest.raises(process.StartFailed, match="ended with 3:\nthe reason"):
        Broken(lab.gate).start()


def test_the_freezer_freezes_for_a_moment():
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as sleeper:
        try:
            with freezer.running(seed=1):
                for _ in range(2):
                    wait_for(lambda: proc.state(sleeper.pid) == "T", 60, "it stands still")
                    wait_for(lambda: proc.state(sleeper.pid) == "S", 60, "it goes on")
                wait_for(lambda: proc.state(sleeper.pid) == "T", 60, "it stands still")
            wait_for(lambda: proc.state(sleeper.pid) == "S", 60, "whatever is frozen at its end goes on")
        finally:
            sleeper.kill()
