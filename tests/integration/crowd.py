#!/usr/bin/python3
"""Many SMTP sessions at once from one process, which stop in their middle until told to go on.

The first line on stdin is a JSON object: `sources` (one session from each), `destinations` (the first for
IPv4, the second for IPv6 sources). When all sessions have had MAIL accepted, or have ended, it writes
a line {"held": N}; another line on stdin makes them send their message, and it ends with a line
{"done": N, "failed": [...]}.
"""

import json
import resource
import select
import socket
import sys

# What is said when a reply with this code has come.
BEFORE = [("220", "EHLO pc.example\r\n"), ("250", "MAIL FROM:<me@home.example>\r\n")]
HOLD = len(BEFORE)
AFTER = [("250", "RCPT TO:<user@mx.example>\r\n"), ("250", "DATA\r\n"),
         ("354", "Subject: one of many\r\n\r\nHello.\r\n.\r\n"), ("250", "QUIT\r\n"), ("221", "")]
SCRIPT = BEFORE + AFTER
IN_HASTE = 500  # sessions that begin at the same time
IP_BIND_ADDRESS_NO_PORT = 24


class Session:
    def __init__(self, source, destinations):
        six = ":" in source
        self.source = source
        self.step = 0
        self.held = b""
        self.connection = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
        self.connection.setblocking(False)
        self.connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        self.connection.bind((source, 0))
        self.connection.connect_ex((destinations[six], 25))

    def read(self):
        """None, or why it failed."""
        try:
            more = self.connection.recv(65536)
        except OSError as error:
            return f"{self.source} at step {self.step}: {error}"
        if not more:
            return f"{self.source} at step {self.step}: ended"
        self.held += more
        lines = self.held.split(b"\r\n")
        if lines[-1] or lines[-2][3:4] == b"-":
            return None
        reply, self.held = lines[-2].decode("latin-1"), b""
        return self.heard(reply)

    def heard(self, reply):
        code = SCRIPT[self.step][0]
        if not reply.startswith(code):
            return f"{self.source} at step {self.step}: {reply}"
        if self.step != HOLD:
            self.go_on()
        else:
            self.step = -1  # it waits
        return None

    def go_on(self):
        text = SCRIPT[self.step][1]
        self.step += 1
        if text:
            self.connection.send(text.encode("ascii"))


class Crowd:
    def __init__(self, sources, destinations):
        self.sources, self.destinations = sources[::-1], destinations
        self.poll = select.epoll()
        self.sessions = {}
        self.beginning = self.held = self.done = 0
        self.failed = []

    def begin_some(self):
        while self.sources and self.beginning < IN_HASTE:
            session = Session(self.sources.pop(), self.destinations)
            self.sessions[session.connection.fileno()] = session
            self.poll.register(session.connection, select.EPOLLIN)
            self.beginning += 1

    def end(self, session):
        del self.sessions[session.connection.fileno()]
        session.connection.close()

    def serve(self, descriptor):
        session = self.sessions[descriptor]
        waited = session.step == -1
        before = session.step <= HOLD
        why = session.read() if not waited else f"{session.source}: ended while it waited"
        if why:
            self.failed.append(why)
            self.beginning -= before and not waited
            self.held -= waited
            self.end(session)
        elif session.step == -1:
            self.beginning -= 1
            self.held += 1
        elif session.step == len(SCRIPT):
            self.done += 1
            self.end(session)

    def turn(self):
        for descriptor, _ in self.poll.poll(10):
            self.serve(descriptor)

    def hold(self):
        self.begin_some()
        while self.beginning:
            self.turn()
            self.begin_some()
        print(json.dumps({"held": self.held, "failed": self.failed[:20]}), flush=True)

    def finish(self):
        for session in self.sessions.values():
            session.step = HOLD
            session.go_on()
        while self.sessions:
            self.turn()
        print(json.dumps({"done": self.done, "failed": self.failed[:20]}), flush=True)


def main():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    crowd = Crowd(**json.loads(sys.stdin.readline()))
    crowd.hold()
    sys.stdin.readline()
    crowd.finish()


if __name__ == "__main__":
    main()
