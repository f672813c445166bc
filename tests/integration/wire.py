"""An SMTP client of one connection that a test drives line by line."""

import socket

MX4, MX6 = "198.51.100.10", "2001:db8:ffff::10"
FREE = {"class ordinary": {"sessions": ["1000000/1s"]}}  # metered, and never over


class Client:
    """A connection from a subscriber's line (or from `host`) to a server."""

    def __init__(self, lab, source, destination=MX4, host=None, port=25, timeout=15):
        self.connection = (host or lab.subscribers).connect(destination, source, timeout, port)
        self.held = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.connection.close()

    def line(self):
        """The next line without its end; "" when the connection is at its end."""
        while b"\n" not in self.held:
            try:
                more = self.connection.recv(65536)
            except ConnectionError:
                more = b""
            if not more:
                assert self.held == b"", f"ended within a line: {self.held!r}"
                return ""
            self.held += more
        line, _, self.held = self.held.partition(b"\n")
        return line.rstrip(b"\r").decode("latin-1")

    def reply(self):
        """The next reply, its lines joined by newlines; "" at the end."""
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        return "\n".join(lines)

    def send(self, text):
        self.connection.sendall(text.encode("latin-1"))

    def say(self, line):
        """Sends a command; its reply."""
        self.send(line + "\r\n")
        return self.reply()

    def expect(self, line, code):
        """The same, with the reply's code checked; None only reads."""
        reply = self.reply() if line is None else self.say(line)
        assert reply.startswith(str(code)), f"{line}: {reply!r} instead of {code}"
        return reply

    def greet(self, name="pc.example"):
        self.expect(None, 220)
        self.expect(f"EHLO {name}", 250)
        return self

    def envelope(self):
        self.expect("MAIL FROM:<me@home.example>", 250)
        self.expect("RCPT TO:<user@mx.example>", 250)

    def body(self, text="Hello.\r\n"):
        self.expect("DATA", 354)
        return self.say(f"Subject: lab\r\n\r\n{text}.")

    def mail(self):
        """A whole transaction; its last reply."""
        reply = self.say("MAIL FROM:<me@home.example>")
        if reply.startswith("250"):
            reply = self.say("RCPT TO:<user@mx.example>")
        return self.body() if reply.startswith("250") else reply

    def ended(self):
        """Waits for the end; False if something else comes first."""
        return self.line() == ""

    def lives(self):
        """False when a NOOP is answered by the end."""
        try:
            return self.say("NOOP").startswith("250")
        except ConnectionError:
            return False

    def answers(self, seconds=0.0):
        """True when something can be read within the time."""
        self.connection.settimeout(max(seconds, 0.001))
        try:
            return bool(self.held) or self.connection.recv(1, socket.MSG_PEEK) != b""
        except (TimeoutError, ConnectionError):
            return False
        finally:
            self.connection.settimeout(15)


def first_reply(lab, source, destination=MX4, **options):
    """What a client hears first."""
    with Client(lab, source, destination, **options) as client:
        return client.reply()


def send(lab, source, destination=MX4, **options):
    """A whole session with one message; the last reply of it."""
    with Client(lab, source, destination, **options) as client:
        reply = client.reply()
        if not reply.startswith("220"):
            return reply
        client.expect("EHLO pc.example", 250)
        reply = client.mail()
        client.say("QUIT")
        return reply
