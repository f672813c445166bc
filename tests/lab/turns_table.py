#!/usr/bin/python3
"""How close the bounds of core/turns.h come: real TLS sessions through the gate, and what it makes of them.

Run by `make turns-table`, which prints the README's table. tests/integration/test_turns.py holds the
same sessions to lower <= real <= upper.
"""

import smtplib
import ssl
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.lab import exim, servers, topology  # noqa: E402

DATE = "Sun, 22 Nov 2026 00:00:00 +0000"
SMALL, USUAL, LARGE = 20, 2000, 200000  # octets of text


def message(number, size):
    """A message as mail programs send it: a few header fields and `size` octets of text."""
    text = "".join(f"{line:071}\r\n" for line in range(size // 73 + 1))[:max(size - 2, 0)]
    return (f"From: sender@client.example\r\nTo: user@mx.example\r\nDate: {DATE}\r\n"
            f"Message-ID: <{number}@client.example>\r\nSubject: Message {number}\r\n"
            f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n{text}\r\n")


def recipients(count):
    return [f"user{number}@mx.example" for number in range(count)]


class Client(smtplib.SMTP):
    """Python's own SMTP client on one of the subscribers' addresses, behind STARTTLS."""

    def __init__(self, lab, server, source, version=None):
        self.place = lab.subscribers, source
        super().__init__(server, 25, "client.example", timeout=30)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if version:
            context.maximum_version = version
        self.starttls(context=context)
        self.ehlo()

    def _get_socket(self, host, port, timeout):
        subscribers, source = self.place
        connection = subscribers.connect(host, source, port=port)
        connection.settimeout(timeout)
        return connection

    def converse(self, text, replies):
        """Sends all of it at once, then reads so many replies; their codes."""
        self.sock.sendall(text.encode("ascii"))
        return [self.getreply()[0] for _ in range(replies)]


def envelope(to):
    return "MAIL FROM:<sender@client.example>\r\n" + "".join(f"RCPT TO:<{one}>\r\n" for one in to)


def by_smtplib(messages, size, to=1, version=None):
    def run(lab, server, source):
        client = Client(lab, server, source, version)
        for number in range(messages):
            client.sendmail("sender@client.example", recipients(to), message(number, size))
        client.quit()
    return run


def pipelined(messages, size, to=1):
    """MAIL, RCPT and DATA go together."""
    def run(lab, server, source):
        client = Client(lab, server, source)
        for number in range(messages):
            client.converse(envelope(recipients(to)) + "DATA\r\n", to + 2)
            assert client.converse(message(number, size) + ".\r\n", 1) == [250]
        client.quit()
    return run


def chained(messages, size):
    """The next MAIL, RCPT and DATA go together with the content, as RFC 2920 allows."""
    def run(lab, server, source):
        client = Client(lab, server, source)
        command = envelope(recipients(1)) + "DATA\r\n"
        client.converse(command, 3)
        for number in range(1, messages):
            client.converse(message(number, size) + ".\r\n" + command, 4)
        client.converse(message(0, size) + ".\r\n", 1)
        client.quit()
    return run


def chunk(text, last=True):
    return f"BDAT {len(text)}{' LAST' if last else ''}\r\n{text}"


def by_bdat(messages, size):
    """Everything at once, all messages: the most that a client can do to go uncounted."""
    def run(lab, server, source):
        client = Client(lab, server, source)
        every = "".join(envelope(recipients(1)) + chunk(message(number, size)) for number in range(messages))
        client.converse(every, 3 * messages)
        client.quit()
    return run


def each_by_bdat(messages, size):
    """Each message in one burst with its envelope."""
    def run(lab, server, source):
        client = Client(lab, server, source)
        for number in range(messages):
            client.converse(envelope(recipients(1)) + chunk(message(number, size)), 3)
        client.quit()
    return run


def in_chunks(messages, size, each=8192, together=False):
    """Each message in chunks, each of which waits for its reply, or none does."""
    def run(lab, server, source):
        client = Client(lab, server, source)
        for number in range(messages):
            client.converse(envelope(recipients(1)), 2)
            text = message(number, size)
            chunks = [chunk(text[at:at + each], at + each >= len(text)) for at in range(0, len(text), each)]
            if together:
                client.converse("".join(chunks), len(chunks))
            for one in [] if together else chunks:
                client.converse(one, 1)
        client.quit()
    return run


def nothing_sent(lab, server, source):
    """Long commands and many of them, and no message."""
    client = Client(lab, server, source)
    for number in range(20):
        client.mail(f"{'x' * 60}{number}@{'y' * 60}.{'y' * 60}.example")
        client.rcpt("user@mx.example")
        client.rset()
    client.converse(envelope(f"{'z' * 50}{number}@mx.example" for number in range(50)) + "RSET\r\n", 52)
    client.quit()


def by_swaks(lab, server, source):
    servers.swaks(lab.subscribers, server, "--tls", source=source)


def by_postfix(messages, size, together=False):
    """A session for each message, or all in one where `together`."""
    reuse = {"smtp_tls_connection_reuse": "yes", "smtp_connection_cache_destinations": "static:all",
             "smtp_destination_concurrency_limit": 1, "smtp_connection_cache_time_limit": "2s"}

    def run(lab, server, source):
        with servers.Postfix(lab.subscribers, sends_from=[source], relay=server, name="mail.customer.example",
                             tls_client="encrypt", settings=reuse if together else None) as customer:
            for number in range(messages):
                customer.send("user@mx.example", subject=str(number), body=message(number, size)[-size:] + "\n")
            servers.wait_for(lambda: customer.maillog_text().count("status=sent") >= messages, 30,
                             customer.maillog_text)
    return run


def by_exim(messages, size):
    """As many as there are in one session."""
    def run(lab, server, source):
        customer = exim.EximClient(lab.subscribers, source, server)
        for number in range(messages):
            customer.queue("user@mx.example", text=message(number, size).replace("\r\n", "\n"))
        customer.deliver()
        assert customer.delivered() == messages, customer.tail()
    return run


# What it is, messages, how many of them the lower bound finds, how it is done. The servers offer
# PIPELINING and CHUNKING.
CASES = [
    ("swaks, one message", 1, 0, by_swaks),
    ("Postfix, one message", 1, 1, by_postfix(1, USUAL)),
    ("Postfix, 3 messages, a session each", 3, 0, by_postfix(3, SMALL)),
    ("Postfix, 10 messages of 2 KB in one session", 10, 10, by_postfix(10, USUAL, together=True)),
    ("Python smtplib, 1 small message", 1, 0, by_smtplib(1, SMALL)),
    ("Python smtplib, 20 messages of 2 KB", 20, 20, by_smtplib(20, USUAL)),
    ("the same with TLS 1.2", 20, 20, by_smtplib(20, USUAL, version=ssl.TLSVersion.TLSv1_2)),
    ("Python smtplib, 20 small messages", 20, 0, by_smtplib(20, SMALL)),
    ("Python smtplib, 5 messages of 200 KB", 5, 5, by_smtplib(5, LARGE)),
    ("Python smtplib, 5 messages to 40 recipients", 5, 5, by_smtplib(5, USUAL, to=40)),
    ("pipelined, 20 messages of 2 KB", 20, 20, pipelined(20, USUAL)),
    ("pipelined, 20 small messages", 20, 0, pipelined(20, SMALL)),
    ("pipelined, 5 messages to 40 recipients", 5, 5, pipelined(5, USUAL, to=40)),
    ("pipelined across messages, 20 of 2 KB", 20, 19, chained(20, USUAL)),
    ("pipelined across messages, 5 of 200 KB", 5, 1, chained(5, LARGE)),
    ("Exim, 1 small message", 1, 0, by_exim(1, SMALL)),
    ("Exim, 5 messages of 2 KB in one session", 5, 5, by_exim(5, USUAL)),
    ("Exim, 5 messages of 200 KB in one session", 5, 5, by_exim(5, LARGE)),
    ("BDAT, 20 messages of 2 KB, each with its envelope", 20, 20, each_by_bdat(20, USUAL)),
    ("BDAT, 3 messages of 200 KB in chunks", 3, 3, in_chunks(3, LARGE)),
    ("BDAT, the same, chunks pipelined", 3, 3, in_chunks(3, LARGE, together=True)),
    ("BDAT, 3 messages of 10 KB in chunks of 1 KB", 3, 3, in_chunks(3, 10000, 1000)),
    ("BDAT, 20 small messages in one burst", 20, 0, by_bdat(20, SMALL)),
    ("no message, but 20 MAIL and 70 RCPT", 0, 0, nothing_sent),
]
SERVERS = {
    "own server": lambda lab, address: servers.Sink(lab.internet, address, starttls=True),
    "Postfix": lambda lab, address: servers.Postfix(lab.internet, [address], starttls=True),
    "Exim": lambda lab, address: exim.EximServer(lab.internet, address),
}


def start(lab, kind, address):
    server = SERVERS[kind](lab, address)
    server.kind = kind
    return server


def measure(lab, gate, server, address, number):
    """Plays one case; (messages that the server accepted, the gate's lines of those sessions)."""
    source = f"10.20.{77 + list(SERVERS).index(server.kind)}.{number + 1}"
    CASES[number][3](lab, address, source)
    count = max(1, server_sessions(server, source))
    lines = gate.wait_journal(count, event="session", id=source)
    servers.wait_for(lambda: messages_of(server, source) >= CASES[number][1], 20, "the messages")
    return messages_of(server, source), lines


def server_sessions(server, source):
    peers = server.peers() if hasattr(server, "peers") else server.clients()
    return peers.count(source)


def messages_of(server, source):
    """Messages that the server accepted from `source`."""
    if hasattr(server, "accepted"):
        return server.accepted(source)
    if hasattr(server, "peers"):
        return sum(1 for one in server.messages() if one["peer"] == source)
    # One copy for each recipient, but one id.
    return len({one["Message-ID"] for one in server.messages() if f"[{source}]" in one["Received"]})


def bounds(lines):
    """Turns, and the two bounds, of all these sessions together."""
    return [sum(line[field] for line in lines) for field in ("turns", "messages_least", "messages_most")]


def main():
    lab = topology.Lab()
    rows = [[title, str(messages)] for title, messages, _, _ in CASES]
    with servers.Redis(lab.gate) as redis:
        for kind in SERVERS:
            options = {"class ordinary": {"sessions": ["1000/1s"]}}
            with servers.Gate(lab, redis, options) as gate, start(lab, kind, "198.51.100.10") as server:
                for number, row in enumerate(rows):
                    _, lines = measure(lab, gate, server, "198.51.100.10", number)
                    turns, least, most = bounds(lines)
                    row += [str(turns), f"{least} to {most}"]
    print("| session | messages | turns | " + " | turns | ".join(f"bounds, {name}" for name in SERVERS) + " |")
    print("|---" * (2 + 2 * len(SERVERS)) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
