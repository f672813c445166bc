"""A relay before a server's unix socket that holds its answers back, and reads along."""

import contextlib
import queue
import socket
import threading
import time

from .process import fresh_folder


class Relay:
    """Clients connect to `url`; `delay` is for how many seconds each answer is held back from now on."""

    def __init__(self, server):
        self.server = server
        self.path = fresh_folder("relay") / "relay.sock"
        self.url = f"unix:{self.path}"
        self.delay = 0.0
        self._said = []
        self._ends = set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self.path.chmod(0o777)
        self._listener.listen(64)

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def said(self, word):
        """How often the clients have said it."""
        return sum(chunk.count(word) for chunk in list(self._said))

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                self._ends |= {client, server}
                try:
                    server.connect(str(self.server.socket))
                except OSError:
                    client.close()
                    continue
                held = queue.Queue()
                for target, arguments in ((self._upwards, (client, server)), (self._hold, (server, held)),
                                          (self._let_go, (held, client))):
                    threading.Thread(target=target, args=arguments, daemon=True).start()

    def _upwards(self, client, server):
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                self._said.append(data)
                server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    def _hold(self, server, held):
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                held.put((time.monotonic() + self.delay, data))
        held.put((0, b""))

    @staticmethod
    def _let_go(held, client):
        with contextlib.suppress(OSError):
            while True:
                due, data = held.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    break
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)
