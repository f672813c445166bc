"""Mail through the gate, with real programs on both sides: what arrives, from whom, and what is counted."""

import base64
import contextlib
import hashlib
import random
import re
import socket
import ssl
import struct
from concurrent import futures

import pytest

from tests.integration.mail import BODY, RECIPIENT, SENDER, Client, meters, server_time_us, unit
from tests.lab import servers, topology
from tests.lab.process import wait_for
from tests.lab.servers import Gate, Postfix, Redis, Sink

FAMILIES = [4, 6]
MX = {4: "198.51.100.10", 6: "2001:db8:ffff::10"}
SINK = {4: "198.51.100.20", 6: "2001:db8:ffff::20"}
RAW = {4: "198.51.100.30", 6: "2001:db8:ffff::30"}
GATE = {4: "172.16.3.2", 6: "fd00:25:3::2"}
CUSTOMER = {4: "10.20.2.25", 6: "2001:db8:20:fe00::25"}
DAY_US = 86400 * 1_000_000
LIMITS = {"sessions": 2000, "messages": 3000, "recipients": 5000, "bytes": 40_000_000}
# What a subscriber's mail may hold; each must arrive as it left.
BODIES = {
    "empty": b"",
    "plain": BODY,
    "eight bits": b"Subject: 8\r\n\r\n" + bytes(range(1, 10)) + bytes(range(14, 256)) + b"\0\r\n",
    "long line": b"Subject: long\r\n\r\n" + b"x" * 100_000 + b"\r\n",
    "dots": b"Subject: dots\r\n\r\n..\r\n...\r\n..x\r\n.. \r\nx.\r\n\r\n.. .\r\n..QUIT\r\n",
    "lone newlines": b"Subject: newlines\r\n\r\none\ntwo\rthree\r\r\nfour\n\nfive\r\n",
    "commands": b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nSTARTTLS\r\nQUIT\r\n250 Ok\r\n",
    "megabyte": b"Subject: large\r\n\r\n" + b"".join(b"%07d a line of a large message.\r\n" % n for n in range(30_000)),
}
numbers = iter(range(1, 250))


def stranger(family):
    """A subscriber nobody has heard of."""
    number = next(numbers)
    return f"10.20.3.{number}" if family == 4 else f"2001:db8:20:{number << 8:x}::5"


@pytest.fixture(name="store", scope="module")
def store_fixture(lab):
    with Redis(lab.gate) as redis:
        yield redis


@pytest.fixture(name="traffic", scope="module")
def traffic_fixture(lab, store):
    """A gate with a registered customer, and limits that count all and that nobody reaches."""
    rates = {kind: [f"{count}/1d"] for kind, count in LIMITS.items()}
    gate = Gate(lab, store, {"class ordinary": {**rates, "spread": ["100/1d"], "concurrent": 50}})
    for address in CUSTOMER.values():
        gate.ctl("register", address, "--reason", "a mail server")
    with gate:
        yield gate
        # No session got stuck, and nobody met a limit or a fault of Redis.
        wait_for(lambda: gate.ctl_json("status")["counters"]["sessions_open"] == 0, what="the last session's end")
        counters = gate.ctl_json("status")["counters"]
        assert [counters[name] for name in ("deferred_total", "refused_total", "store_failures_total")] == [0] * 3
        assert gate.journal(event="refusal") == []


@pytest.fixture(name="mx", scope="module")
def mx_fixture(lab):
    with Postfix(lab.internet, MX.values(), starttls=True) as server:
        yield server


@pytest.fixture(name="hearer", scope="module")
def hearer_fixture(lab):
    with Sink(lab.internet, SINK.values(), starttls=True, auth=True) as server:
        yield server


def trusting():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def sessions_of(gate, source, count=1):
    """The session lines of a subscriber, once there are `count`; never more."""
    told = gate.wait_journal(count, event="session", id=unit(source))
    assert len(told) == count
    return told


def check_counts(gate, store, source, sessions, began_us, messages, recipients):
    """The journal says what was accepted, and Redis has taken as many tokens for it."""
    told = sessions_of(gate, source, sessions)
    assert sum(line["messages"] for line in told) == messages
    assert sum(line["recipients"] for line in told) == recipients
    assert {(line["class"], line["verdict"], line["rule"]) for line in told} == {("ordinary", "forward", None)}
    used = {"sessions": sessions, "messages": messages, "recipients": recipients,
            "bytes": sum(line["bytes_up"] for line in told)}
    if any(line["tls"] for line in told):
        # TLS is not opened: what its turns tell of is charged.
        used["messages"] = sum(line["messages_least"] or 0 for line in told)
        used["recipients"] = 0

    def counted():
        hashed, slots, _ = meters(store, unit(source))
        within = all(began_us - 1000 <= int(hashed.get(f"{kind}:86400", began_us)) - cost(kind, n)
                     <= server_time_us(store) + 1000 for kind, n in used.items())
        return within and not slots

    wait_for(counted, what=f"the tokens of {used}: {meters(store, unit(source))}")
    hashed, _, destinations = meters(store, unit(source))
    assert set(hashed) == {f"{kind}:86400" for kind, n in used.items() if n}
    assert len(destinations) == 1


def cost(kind, count):
    """By how much so many tokens move the bucket's arrival time."""
    return round(count * DAY_US / LIMITS[kind])


# -- registered: Postfix to Postfix --------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_registered_postfix_to_postfix(lab, traffic, store, mx, started, family):
    customer = started(Postfix(lab.subscribers, sends_from=[CUSTOMER[family]], relay=MX[family],
                               name="mail.customer.example"))
    kept = len(mx.messages())
    customer.send(RECIPIENT, subject=f"over IPv{family}", body="Through the gate.\n")
    message = mx.wait_messages(kept + 1)[-1]
    assert (message["Subject"], message.get_payload()) == (f"over IPv{family}", "Through the gate.\n")
    customer.wait_maillog("status=sent")
    mx.wait_maillog(rf"connect from unknown\[{re.escape(CUSTOMER[family])}\]")
    line = sessions_of(traffic, CUSTOMER[family])[0]
    assert (line["class"], line["verdict"], line["rule"]) == ("registered", "forward", None)
    assert line["client"].startswith(CUSTOMER[family] if family == 4 else f"[{CUSTOMER[family]}]:")
    assert line["server"] == (f"{MX[4]}:25" if family == 4 else f"[{MX[6]}]:25")
    # Postfix took TLS up, the gate looked at nothing: all it knows is how much there was.
    assert line["bytes_up"] > 400 and line["bytes_down"] > 400
    assert (line["messages"], line["recipients"], line["helo"], line["tls"]) == (0, 0, None, False)
    assert meters(store, unit(CUSTOMER[family])) == ({}, {}, {})


def test_a_registered_client_gets_every_byte_through(lab, traffic, started):
    """What no SMTP dialogue would allow passes untouched in both directions."""
    del traffic
    listener = started(lab.internet.listen(RAW[4]))
    noise = random.Random(25).randbytes(300_000)
    with lab.subscribers.connect(RAW[4], CUSTOMER[4]) as client:
        server, peer = listener.accept()
        with server:
            assert peer[0] == CUSTOMER[4]
            server.settimeout(10)
            for sender, receiver in ((client, server), (server, client)):
                with futures.ThreadPoolExecutor() as background:
                    sending = background.submit(sender.sendall, noise)
                    assert servers.read_until(receiver, noise[-20:]) == noise
                    sending.result()


# -- unregistered: swaks and smtp-source ---------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "starttls"])
def test_swaks_to_postfix(lab, traffic, store, mx, family, tls):
    source, kept, began = stranger(family), len(mx.messages()), server_time_us(store)
    heard = servers.swaks(lab.subscribers, MX[family], *(["--tls"] if tls else []), "--to",
                          "one@mx.example,two@mx.example", "--h-Subject", "by swaks", source=source).stdout
    assert re.search(r"^<[-~]  220 mx\.example ESMTP Postfix", heard, re.MULTILINE), "the server's own greeting"
    assert ("TLS started" in heard) == tls
    messages = mx.wait_messages(kept + 2)[kept:]
    assert {message["X-Original-To"] for message in messages} == {"one@mx.example", "two@mx.example"}
    mx.wait_maillog(rf"disconnect from unknown\[{re.escape(source)}\].*{'starttls=1' if tls else 'ehlo=1 mail=1'}")
    line = sessions_of(traffic, source)[0]
    assert (line["tls"], line["helo"]) == (tls, "client.example")
    assert line["from"] == ("" if tls else "sender@client.example")
    check_counts(traffic, store, source, 1, began, 0 if tls else 1, 0 if tls else 2)


@pytest.mark.parametrize("family", FAMILIES)
def test_swaks_to_the_sink(lab, traffic, store, hearer, family):
    source, began, kept = stranger(family), server_time_us(store), len(hearer.messages())
    servers.swaks(lab.subscribers, SINK[family], "--body", "Hello", source=source)
    message = hearer.wait_messages(kept + 1)[-1]
    assert (message["peer"], message["to"], message["tls"]) == (source, [RECIPIENT], False)
    received = hearer.received(message["session"])
    assert received.startswith(b"EHLO client.example\r\nMAIL FROM:<sender@client.example>\r\n")
    assert received.endswith(b"\r\n.\r\nQUIT\r\n")
    check_counts(traffic, store, source, 1, began, 1, 1)
    assert sessions_of(traffic, source)[0]["bytes_up"] == len(received)


@pytest.mark.parametrize("family", FAMILIES)
def test_smtp_source_in_several_sessions_to_postfix(lab, traffic, store, mx, family):
    source, kept, began = stranger(family), len(mx.messages()), server_time_us(store)
    # 12 messages of 2 recipients in 4 sessions at once, each session for one message.
    servers.smtp_source(lab.subscribers, MX[family], "-s", "4", "-m", "12", "-r", "2", "-l", "3000", "-d",
                        "-f", SENDER, "-t", RECIPIENT, source=source)
    assert len(mx.wait_messages(kept + 24)) == kept + 24
    lines = traffic.wait_journal(4, event="session", id=unit(source))
    wait_for(lambda: sum(line["messages"] for line in traffic.journal(event="session", id=unit(source))) == 12,
             what="all messages in the journal")
    lines = traffic.journal(event="session", id=unit(source))
    assert mx.clients().count(source) == len(lines)
    check_counts(traffic, store, source, len(lines), began, 12, 24)


@pytest.mark.parametrize("family", FAMILIES)
def test_smtp_source_to_the_sink(lab, traffic, store, hearer, family):
    source, kept, began = stranger(family), len(hearer.messages()), server_time_us(store)
    servers.smtp_source(lab.subscribers, SINK[family], "-s", "3", "-m", "6", "-l", "20000", "-f", SENDER, "-t",
                        RECIPIENT, source=source)
    messages = hearer.wait_messages(kept + 6)[kept:]
    assert {(message["peer"], message["from"]) for message in messages} == {(source, SENDER)}
    sessions = {message["session"] for message in messages}
    check_counts(traffic, store, source, len(sessions), began, 6, 6)
    assert sum(line["bytes_up"] for line in sessions_of(traffic, source, len(sessions))) == sum(
        len(hearer.received(session)) for session in sessions)


# -- byte for byte -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", BODIES)
def test_what_the_client_sends_is_what_the_server_receives(lab, traffic, hearer, family, name):
    """In pieces of any size, and however the commands fall into them."""
    source, kept, body = stranger(family), len(hearer.messages()), BODIES[name]
    sent = (b"eHlO  Odd.Example \r\nNOOP\r\nmail From:<me@home.example> SIZE=100\r\n"
            b"RCPT TO:<user@mx.example>\r\nDATA\r\n")
    dice = random.Random(name)
    with Client(lab, source, SINK[family]) as client:
        client.send(sent)
        assert [client.reply().code for _ in range(5)] == [250, 250, 250, 250, 354]
        left = body + b".\r\nRSET\r\nQUIT\r\n"
        sent += left
        while left:
            size = dice.choice([1, 2, 3, 1000, 70_000])
            client.send(left[:size])
            left = left[size:]
        assert [client.reply().code for _ in range(3)] == [250, 250, 221]
        assert client.ended()
    message = hearer.wait_messages(kept + 1)[-1]
    heard = re.sub(rb"(?<!\r)\n", b"\r\n", sent)  # all that smtp.bare-lf changes
    assert hearer.received(message["session"]) == heard
    assert message["peer"] == source
    line = sessions_of(traffic, source)[0]
    assert (line["bytes_up"], line["messages"], line["recipients"]) == (len(heard), 1, 1)
    assert (line["helo"], line["from"]) == ("Odd.Example", SENDER)


def test_what_the_server_says_is_what_the_client_hears(lab, traffic, started):
    said = (b"220-mx.example  ESMTP \xe2\x98\x83\r\n220 second\r\n", b"250-mx.example\r\n250-X-ODD =A\r\n250 SIZE\r\n",
            b"250\r\n", b"499-\r\n499 what\r\n", b"221 bye \r\n")
    listener = started(lab.internet.listen(RAW[4]))
    source = stranger(4)
    with lab.subscribers.connect(RAW[4], source) as client:
        server, _ = listener.accept()
        with server:
            server.sendall(said[0])
            heard = servers.read_until(client, said[0])
            for command, reply in zip((b"EHLO a\r\n", b"NOOP\r\n", b"XODD 1\r\n", b"QUIT\r\n"), said[1:]):
                client.sendall(command)
                assert servers.read_until(server) == command
                server.sendall(reply)
                heard += servers.read_until(client, reply)
            assert heard == b"".join(said)
    assert sessions_of(traffic, source)[0]["bytes_down"] == len(heard)


@pytest.mark.parametrize("family", FAMILIES)
def test_chunks_to_postfix(lab, traffic, store, mx, family):
    source, kept, began = stranger(family), len(mx.messages()), server_time_us(store)
    first, last = b"Subject: chunks\r\n\r\nQUIT\r\n.\r\nstill the mes", b"sage\r\n"
    with Client(lab, source, MX[family]) as client:
        client.ehlo()
        assert client.has_extn("chunking")
        # MAIL, RCPT and both chunks in one go.
        client.send(b"MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\n" % (SENDER.encode(), RECIPIENT.encode())
                    + b"BDAT %d\r\n%sBDAT %d LAST\r\n%s" % (len(first), first, len(last), last))
        assert [client.reply().code for _ in range(4)] == [250] * 4
        # Another message, chunk by chunk.
        assert client.say(f"MAIL FROM:<{SENDER}>").code == 250
        assert client.say(f"RCPT TO:<{RECIPIENT}>").code == 250
        client.send(b"BDAT %d\r\n%s" % (len(first), first))
        assert client.reply().code == 250
        client.send(b"BDAT %d LAST\r\n%s" % (len(last), last))
        assert client.reply().code == 250
        assert client.say("BDAT 0 LAST").code == 503
        client.leave()
    for message in mx.wait_messages(kept + 2)[kept:]:
        assert message.get_payload() == "QUIT\n.\nstill the message\n"
    check_counts(traffic, store, source, 1, began, 2, 2)


def test_a_binary_chunk_is_not_looked_into(lab, traffic, hearer):
    del traffic
    source, kept = stranger(4), len(hearer.messages())
    chunk = random.Random(1).randbytes(50_000) + b"\n.\n\r\n.\r\nQUIT\r\n"
    with Client(lab, source, SINK[4]) as client:
        assert client.say("EHLO client.example").code == 250
        assert client.say(f"MAIL FROM:<{SENDER}>").code == 250
        assert client.say(f"RCPT TO:<{RECIPIENT}>").code == 250
        client.send(b"BDAT %d LAST\r\n%s" % (len(chunk), chunk))
        assert client.reply().code == 250
        client.leave()
    assert hearer.wait_messages(kept + 1)[-1]["body"].encode("latin-1") == chunk


@pytest.mark.parametrize("exchange, end", [
    (["AUTH LOGIN", "c3Vic2NyaWJlcg==", "c2VjcmV0"], 235),
    (["AUTH PLAIN", "AHVzZXIAc2VjcmV0"], 235),
    (["AUTH PLAIN AHVzZXIAc2VjcmV0"], 235),
    (["AUTH LOGIN", "*"], 501),
    (["AUTH LOGIN", "TUFJTCBGUk9NOjxhQGI+", "UkNQVA=="], 235),
], ids=["login", "plain", "initial", "cancelled", "commands-as-words"])
def test_authentication_passes(lab, traffic, store, hearer, exchange, end):
    source, kept, began = stranger(4), len(hearer.messages()), server_time_us(store)
    with Client(lab, source, SINK[4]) as client:
        replies = [client.say(line) for line in exchange]
        assert [reply.code for reply in replies] == [334] * (len(exchange) - 1) + [end]
        if exchange[0] == "AUTH LOGIN":
            assert base64.b64decode(replies[0].text) == b"Username:"
        assert client.deliver().code == 250
        client.leave()
    message = hearer.wait_messages(kept + 1)[-1]
    assert hearer.received(message["session"]).startswith("".join(line + "\r\n" for line in exchange).encode())
    check_counts(traffic, store, source, 1, began, 1, 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_pipelined_to_postfix(lab, traffic, store, mx, family):
    source, kept, began = stranger(family), len(mx.messages()), server_time_us(store)
    with Client(lab, source, MX[family]) as client:
        client.ehlo()
        assert client.has_extn("pipelining")
        replies = client.replies([f"MAIL FROM:<{SENDER}>", "RCPT TO:<one@mx.example>",
                                  "RCPT TO:<somebody@elsewhere.example>", "RCPT TO:<two@mx.example>", "DATA"])
        assert [reply.code for reply in replies] == [250, 250, 554, 250, 354]
        client.send(b"Subject: pipelined\r\n\r\nHello.\r\n.\r\n"
                    b"MAIL FROM:<>\r\nRCPT TO:<one@mx.example>\r\nRSET\r\nQUIT\r\n")
        assert [client.reply().code for _ in range(5)] == [250, 250, 250, 250, 221]
        assert client.ended()
    assert len(mx.wait_messages(kept + 2)) == kept + 2
    line = sessions_of(traffic, source)[0]
    # What the server refused was asked for, and so counted against the limit; it is no recipient.
    assert (line["messages"], line["recipients"]) == (1, 3)
    wait_for(lambda: meters(store, unit(source))[0], what="the meters")
    hashed, _, _ = meters(store, unit(source))
    for kind, tokens in (("messages", 2), ("recipients", 4)):
        tat = int(hashed[f"{kind}:86400"]) - cost(kind, tokens)
        assert began - 1000 <= tat <= server_time_us(store) + 1000


def test_a_pipeline_stays_one(lab, traffic, started):
    """The server answers nothing until it has all of the client's segment."""
    del traffic
    listener = started(lab.internet.listen(RAW[4]))
    with lab.subscribers.connect(RAW[4], stranger(4)) as client:
        server, _ = listener.accept()
        with server:
            server.settimeout(10)
            server.sendall(b"220 mx.example\r\n")
            assert servers.read_until(client) == b"220 mx.example\r\n"
            pipeline = b"MAIL FROM:<a@b.example>\r\n" + b"RCPT TO:<c@d.example>\r\n" * 20 + b"DATA\r\n"
            client.sendall(pipeline)
            assert servers.read_until(server, b"DATA\r\n") == pipeline
            server.sendall(b"250 Ok\r\n" * 21 + b"354 Go on\r\n")
            assert servers.read_until(client, b"354 Go on\r\n") == b"250 Ok\r\n" * 21 + b"354 Go on\r\n"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_servers_own_certificate(lab, traffic, store, mx, family):
    source, kept, began = stranger(family), len(mx.messages()), server_time_us(store)
    own = ssl.PEM_cert_to_DER_cert((mx.conf / "cert.pem").read_text(encoding="ascii"))
    with Client(lab, source, MX[family]) as client:
        client.ehlo()
        client.starttls(context=trusting())
        seen = client.sock.getpeercert(binary_form=True)
        assert hashlib.sha256(seen).digest() == hashlib.sha256(own).digest()
        assert client.deliver(BODIES["megabyte"]).code == 250
        client.leave()
    assert mx.wait_messages(kept + 1)[-1].get_payload() == BODIES["megabyte"].partition(
        b"\r\n\r\n")[2].decode().replace("\r\n", "\n")
    line = sessions_of(traffic, source)[0]
    assert (line["tls"], line["messages"], line["messages_least"]) == (True, 0, 1)
    assert line["bytes_up"] > len(BODIES["megabyte"])
    check_counts(traffic, store, source, 1, began, 0, 0)


# -- redirect mode -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_redirect_mode(redirect, gate, mx, family):
    # On addresses of its own: this file's other gate goes on listening on loopback.
    running = gate({"intercept": {"listen": [f"{GATE[4]}:{topology.GATE_PORT}", f"[{GATE[6]}]:{topology.GATE_PORT}"]},
                    "class ordinary": {"messages": ["1/1d"]}}, mode="redirect")
    source, kept = stranger(family), len(mx.messages())
    with Client(redirect, source, MX[family]) as client:
        client.ehlo()
        assert client.deliver().code == 250
        reply = client.say(f"MAIL FROM:<{SENDER}>")
        assert reply.refusal["id"] == unit(source)
        client.leave()
    assert mx.wait_messages(kept + 1)[-1].get_payload() == "Hello.\n"
    mx.wait_maillog(rf"disconnect from unknown\[{re.escape(GATE[family])}\]")
    line = sessions_of(running, source)[0]
    assert line["server"] == (f"{MX[4]}:25" if family == 4 else f"[{MX[6]}]:25")
    assert (line["id"], line["messages"]) == (unit(source), 1)


# -- ends ----------------------------------------------------------------------------------------------


def test_a_registered_servers_half_close_leaves_the_other_half_open(lab, traffic, started):
    del traffic
    listener = started(lab.internet.listen(RAW[4]))
    with lab.subscribers.connect(RAW[4], CUSTOMER[4]) as client:
        server, _ = listener.accept()
        with server:
            server.settimeout(10)
            server.sendall(b"421 going\r\n")
            server.shutdown(socket.SHUT_WR)
            assert servers.read_until(client, b"nothing more") == b"421 going\r\n"
            client.sendall(b"still here\r\n")
            assert servers.read_until(server) == b"still here\r\n"
            client.close()
            assert server.recv(1) == b""


def test_a_servers_half_close(lab, traffic, started):
    listener = started(lab.internet.listen(RAW[4]))
    source = stranger(4)
    with lab.subscribers.connect(RAW[4], source) as client:
        server, _ = listener.accept()
        with server:
            server.settimeout(10)
            server.sendall(b"421 4.3.2 going\r\n")
            server.shutdown(socket.SHUT_WR)
            assert servers.read_until(client, b"nothing more") == b"421 4.3.2 going\r\n"
            client.sendall(b"QUIT\r\n")
            client.close()
            assert server.recv(100) in (b"", b"QUIT\r\n")
    assert sessions_of(traffic, source)[0]["verdict"] == "forward"


def test_a_clients_half_close(lab, traffic, hearer):
    """Sends all it has to say, closes its half, and still hears every reply."""
    source, kept = stranger(4), len(hearer.messages())
    with Client(lab, source, SINK[4]) as client:
        assert [reply.code for reply in client.replies(
            [f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{RECIPIENT}>", "DATA"])] == [250, 250, 354]
        client.send(BODY + b".\r\nQUIT\r\n")
        client.sock.shutdown(socket.SHUT_WR)
        assert [client.reply().code for _ in range(2)] == [250, 221]
        assert client.ended()
    assert len(hearer.wait_messages(kept + 1)) == kept + 1
    assert sessions_of(traffic, source)[0]["messages"] == 1


@pytest.mark.parametrize("kind", ["reset", "close"])
def test_a_client_that_vanishes_mid_message_delivers_nothing(lab, traffic, mx, hearer, kind):
    for server in (MX[4], SINK[4]):
        source, kept, heard = stranger(4), len(mx.messages()), len(hearer.messages())
        with Client(lab, source, server) as client:
            client.ehlo()
            assert [reply.code for reply in client.replies(
                [f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{RECIPIENT}>", "DATA"])] == [250, 250, 354]
            client.send(b"Subject: half\r\n\r\n" + b"of a message\r\n" * 5000)
            getattr(client, kind)()
        if server == MX[4]:
            mx.wait_maillog(rf"lost connection after DATA .*from unknown\[{re.escape(source)}\]")
        else:
            wait_for(lambda: [event for event in hearer.events("close") if event["peer"] == source],
                     what="the end at the server")
        line = sessions_of(traffic, source)[0]
        assert (line["messages"], line["recipients"]) == (0, 1)
        assert (len(mx.messages()), len(hearer.messages())) == (kept, heard)


@pytest.mark.parametrize("who", ["registered", "metered", "encrypted"])
def test_a_servers_reset_ends_the_session(lab, traffic, started, who):
    listener = started(lab.internet.listen(RAW[4]))
    source = CUSTOMER[4] if who == "registered" else stranger(4)
    before = len(traffic.journal(event="session", id=source))
    with lab.subscribers.connect(RAW[4], source) as client:
        server, _ = listener.accept()
        server.sendall(b"220 mx.example\r\n")
        assert servers.read_until(client) == b"220 mx.example\r\n"
        if who == "encrypted":
            client.sendall(b"STARTTLS\r\n")
            assert servers.read_until(server) == b"STARTTLS\r\n"
            server.sendall(b"220 go\r\n")
            assert servers.read_until(client) == b"220 go\r\n"
            client.sendall(b"\x16\x03\x01 not really\r\n")
            assert servers.read_until(server) == b"\x16\x03\x01 not really\r\n"
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.close()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""
    traffic.wait_journal(before + 1, event="session", id=source)


@pytest.mark.parametrize("who", ["registered", "metered"])
def test_a_clients_reset_ends_the_session(lab, traffic, started, who):
    listener = started(lab.internet.listen(RAW[4]))
    source = CUSTOMER[4] if who == "registered" else stranger(4)
    before = len(traffic.journal(event="session", id=source))
    client = lab.subscribers.connect(RAW[4], source)
    server, _ = listener.accept()
    with server:
        server.sendall(b"220 mx.example\r\n")
        assert servers.read_until(client) == b"220 mx.example\r\n"
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        server.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            assert server.recv(100) == b""
    traffic.wait_journal(before + 1, event="session", id=source)
