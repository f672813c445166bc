"""What `make demo KEEP=1` shows the site with on this machine: ports that are free, and relays that listen."""

import contextlib
import os
import signal
import socket
import sys
import threading

import pytest

from tests.lab import process, sandbox
from tests.lab.proc import lives

SCRIPTS = sandbox.PROJECT / "scripts"


@pytest.fixture(name="host")
def host_fixture(lab):
    return lab.internet


def listening(host, port):
    with host.inside():
        return socket.create_server(("127.0.0.1", port))


def test_ports_that_are_taken_are_passed_by(host):
    with listening(host, 8443), listening(host, 8446):
        done = host.run(sys.executable, SCRIPTS / "free_ports.py", 8443, 3)
    assert done.stdout == "8444 8445 8447\n"
    assert done.stderr == "Port 8443 of 127.0.0.1 is taken: the next free one is used.\n"
    done = host.run(sys.executable, SCRIPTS / "free_ports.py", 8443, 3)
    assert (done.stdout, done.stderr) == ("8443 8444 8445\n", "")


def test_a_relay_says_that_its_port_is_taken(host):
    with listening(host, 8443):
        done = host.run(sys.executable, SCRIPTS / "relay.py", "--background", "tcp:127.0.0.1:8443", "unix:/nowhere",
                        check=False)
    assert done.returncode == 1 and "cannot listen at tcp:127.0.0.1:8443: Address already in use" in done.stderr


def echo(listener):
    with contextlib.suppress(OSError):
        while True:
            with listener.accept()[0] as end:
                while data := end.recv(1000):
                    end.sendall(data)


def test_a_relay_listens_once_it_has_returned(host):
    """Nobody opens an address in vain; and the relay ends with whom it leads to."""
    folder = process.fresh_folder("relay")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/far.sock")
        listener.listen()
        threading.Thread(target=echo, args=(listener,), daemon=True).start()
        for _ in range(3):
            host.run(sys.executable, SCRIPTS / "relay.py", "--background", "--pid", folder / "pid",
                     "tcp:127.0.0.1:8443", f"unix:{folder}/far.sock")
            pid = int((folder / "pid").read_text(encoding="ascii"))
            with host.connect("127.0.0.1", port=8443) as near:
                near.sendall(b"hello")
                assert near.recv(5) == b"hello"
            if _ < 2:
                os.kill(pid, signal.SIGTERM)
                process.wait_for(lambda pid=pid: not lives(pid), 30, "the relay has ended")
        listener.shutdown(socket.SHUT_RDWR)
    os.unlink(folder / "far.sock")
    process.wait_for(lambda: not lives(pid), 30, "the relay has ended by itself")
