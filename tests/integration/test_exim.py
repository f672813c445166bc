"""Exim on either side, where it reads BDAT and answers a message in a way of its own."""

import re

import pytest

from tests.integration.wire import MX4, Client
from tests.lab.exim import EximClient, EximServer

LINE = "10.20.0.7"
SPAM = "".join("MAIL FROM:<s%d@c.example>\r\nRCPT TO:<v%d@mx.example>\r\nBDAT 6 LAST\r\nspam\r\n" % (n, n) for n in range(20))
EXECUTED = f"RSET\r\n.\r\n{SPAM}"  # what Exim has done where it took a chunk's octets for commands


def delivered(customer):
    return sorted(re.findall(r" [=-]> (\w+)@mx.example", customer.log_text()))


@pytest.fixture(name="server")
def server_fixture(lab, started):
    return started(EximServer(lab.internet, MX4))


@pytest.mark.parametrize("between", ["RCPT TO:<z@mx.example>", "VRFY x", "DATA", "NOOP x", "RSET x", "EHLO z", "", "XFOO"])
def test_no_octet_of_a_chunk_is_executed(lab, gate, server, between):
    """A command between chunks, after which Exim refuses BDAT and reads on."""
    guard = gate({"class ordinary": {"messages": ["100/1d"], "recipients": ["100/1d"]}})
    with Client(lab, LINE) as client:
        client.greet()
        for line in ("MAIL FROM:<a@c.example>", "RCPT TO:<first@mx.example>"):
            client.expect(line, 250)
        client.send(f"BDAT 4\r\nabc\n{between}\r\nBDAT {len(EXECUTED)} LAST\r\n{EXECUTED}" + "NOOP\r\n" * 80)
        client.expect(None, 250)
        assert client.reply().startswith("503 5.5.1 10.20.0.7 sent a command that has no place here: between the chunks")
        client.expect(None, 250)  # the message
        for _ in range(80):
            client.expect(None, 250)
    entry, = guard.wait_journal(event="session")
    assert (entry["messages"], entry["recipients"]) == (1, 1)
    assert server.accepted(LINE) == 1


def test_no_octet_is_executed_where_the_recipients_were_refused_or_the_chunk_was(lab, gate, server):
    guard = gate({"class ordinary": {"messages": ["100/1d"]}})
    with Client(lab, LINE) as client:
        client.greet()
        client.expect("MAIL FROM:<a@c.example>", 250)
        client.send(f"BDAT {len(EXECUTED)} LAST\r\n{EXECUTED}NOOP\r\n")
        client.expect(None, 503)
        client.expect(None, 250)
        client.expect("RCPT TO:<first@mx.example>", 250)
        client.send(f"BDAT 4\r\nabc\nBDAT 0\r\nBDAT {len(EXECUTED)} LAST\r\n{EXECUTED}")
        client.expect(None, 250)
        assert client.reply().startswith("554 5.5.4 ")
    guard.wait_journal(event="session", rule="chunk")
    assert server.accepted(LINE) == 0


def test_exim_delivers_once_with_prdr(lab, gate, server):
    """Its client asks for PRDR wherever there is more than one recipient."""
    guard = gate({"class ordinary": {"messages": ["100/1d"], "recipients": ["100/1d"]}})
    customer = EximClient(lab.subscribers, LINE, MX4, tls=False)
    customer.queue("one@mx.example", "late@mx.example", "two@mx.example", text="Subject: once\n\nonce\n")
    customer.deliver()
    entry, = guard.wait_journal(event="session", **{"from": "owner@customer.example"})
    assert (entry["verdict"], entry["messages"], entry["recipients"]) == ("forward", 1, 3)
    assert "PRDR R=<late@mx.example> refusal" in server.log_text()
    assert delivered(customer) == ["one", "two"]
    customer.deliver()  # who was refused late is tried once more, alone, without PRDR
    assert delivered(customer) == ["late", "one", "two"]
    assert server.accepted(LINE) == 2
