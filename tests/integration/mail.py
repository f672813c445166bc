"""A mail program on a subscriber's line, and what the gate's refusals must look like."""

import ipaddress
import re
import smtplib
import socket
import struct

from tests.lab import gate as lab_gate

REFUSAL = re.compile(
    r"(?P<enhanced>[45]\.\d\.\d) (?P<id>\S+) (?P<words>.+?)(?:; retry in (?P<retry>\d+) seconds?)?"
    r"; see (?P<url>\S+) \(case (?P<case>[0-9A-HJKMNP-TV-Z]{10})\)")
SENDER, RECIPIENT = "me@home.example", "user@mx.example"
BODY = b"From: me@home.example\r\nSubject: hello\r\n\r\nHello.\r\n"


class Reply:
    """A reply's code and text; of a refusal by the gate the parts of its text, too."""

    def __init__(self, code, text):
        self.code = code
        self.text = text.decode("utf-8")

    def __repr__(self):
        return f"{self.code} {self.text}"

    @property
    def positive(self):
        return 200 <= self.code < 400

    @property
    def refusal(self):
        """The parts of the text, by the names in REFUSAL; retry as a number."""
        match = REFUSAL.fullmatch(self.text)
        assert match, f"not a refusal that explains itself: {self}"
        assert match["url"] == lab_gate.HELP_URL
        return {**match.groupdict(), "retry": int(match["retry"] or 0)}


class Client(smtplib.SMTP):
    """An SMTP client at `source`. Its `greeting` has been read already."""

    def __init__(self, lab, source, destination, timeout=20):
        super().__init__(local_hostname="pc.example", timeout=timeout)
        self.sock = lab.subscribers.connect(destination, source, timeout=timeout)
        self._host = "mx.example"  # what starttls() asks the server for
        self.greeting = self.reply()

    def __exit__(self, *_):
        self.close()

    def reply(self):
        """The next reply; code -1: the connection has ended."""
        try:
            return Reply(*self.getreply())
        except smtplib.SMTPServerDisconnected:
            return Reply(-1, b"")

    def say(self, command):
        """Sends one command line; its reply."""
        self.send(command + "\r\n")
        return self.reply()

    def replies(self, lines):
        """Sends several lines in one segment; a reply for each of them."""
        self.send("".join(line + "\r\n" for line in lines))
        return [self.reply() for _ in lines]

    def deliver(self, body=BODY, recipients=(RECIPIENT,), sender=SENDER):
        """One message; the first reply that is not positive, or the last one."""
        for command in [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{to}>" for to in recipients), "DATA"]:
            reply = self.say(command)
            if not reply.positive:
                return reply
        self.send(body + b".\r\n")
        return self.reply()

    def leave(self):
        """QUIT, and the server's end of the connection."""
        assert self.say("QUIT").code == 221
        assert self.ended()
        self.close()

    def ended(self):
        """True when the other side ends the connection without another word."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True

    def reset(self):
        """Ends the connection with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


def attempt(lab, source, destination, **message):
    """A whole session with one message: the reply to it, or the refusal that it met on the way."""
    with Client(lab, source, destination) as client:
        if client.greeting.code != 220:
            assert client.ended()
            return client.greeting
        assert client.say("EHLO pc.example").code == 250
        reply = client.deliver(**message)
        client.say("QUIT")
        return reply


def unit(address):
    """The id that the gate counts an address of the lab by, in the default configuration."""
    return address if "." in address else str(ipaddress.ip_network(f"{address}/56", strict=False))


def server_time_us(redis):
    """The time that the meters go by."""
    seconds, us = redis.cli("time")
    return int(seconds) * 1_000_000 + int(us)


def meters(redis, subscriber):
    """All that Redis counts of a subscriber, as dicts: buckets, open sessions, destinations."""
    def scores(key):
        words = redis.cli("zrange", key, 0, -1, "withscores")
        return dict(zip(words[::2], map(int, words[1::2])))

    fields = redis.cli("hgetall", f"g25:meter:{{{subscriber}}}").items()
    buckets = {name: tat for name, tat in fields if ":" in name}
    return (buckets, scores(f"g25:open:{{{subscriber}}}"),
            scores(f"g25:spread:{{{subscriber}}}"))
