"""What a class makes of the messages behind STARTTLS: opaque-messages and starttls."""

import re
import smtplib
import time

import pytest

from tests.lab import servers, turns_table
from tests.lab.turns_table import LARGE, USUAL, Client, message

SERVER = "198.51.100.10"
SENDER, RECIPIENT = "sender@client.example", "user@mx.example"


def send_until_ended(client, size):
    """Sends messages until the session ends; how many got a 250."""
    for number in range(100):
        try:
            client.sendmail(SENDER, [RECIPIENT], message(number, size))
        except (smtplib.SMTPServerDisconnected, OSError):
            return number
    raise AssertionError("never ended")


@pytest.mark.parametrize("size", [USUAL, LARGE])
def test_session_over_the_limit_ends_before_the_content(lab, gate, sink, size):
    """A limit of five lets five through, and nothing of the content of a sixth."""
    server = sink(starttls=True)
    running = gate({"class ordinary": {"messages": ["5/1h"]}})
    accepted = send_until_ended(Client(lab, SERVER, "10.20.0.7"), size)
    assert accepted == 5
    arrived = server.wait_messages(accepted)
    assert [one["body"] for one in arrived] == [message(number, size) for number in range(accepted)]
    line = running.wait_journal(event="session", id="10.20.0.7")[0]
    assert (line["verdict"], line["rule"]) == ("defer", "messages:5/1h")
    assert line["messages_least"] == accepted
    assert running.wait_journal(event="refusal", id="10.20.0.7")[0]["case"] == line["case"]

    sent = server.received(1).decode("ascii")
    behind = sent[sent.rindex("\r\n.\r\n") + 5:]
    assert [line[:4].upper() for line in behind.split("\r\n")] == ["MAIL", "RCPT", "DATA", ""]

    with pytest.raises(smtplib.SMTPConnectError) as refused:
        Client(lab, SERVER, "10.20.0.7")
    assert refused.value.smtp_code == 421
    assert b"limit of 5 messages in 1 hour; retry in " in refused.value.smtp_error
    assert len(server.peers()) <= 2  # its banner was never let through
    assert server.received(2) == b""
    assert len(server.messages()) == 5

    log = running.ctl("log", "10.20.0.7").stdout
    assert "5 to " in log and " turns" in log


def test_a_session_for_each_message(lab, gate, sink):
    """Three, whoever says QUIT or not; the fourth session is ended before its content, the fifth deferred."""
    server = sink(starttls=True)
    running = gate({"class ordinary": {"messages": ["3/1h"]}})
    for number in range(3):
        client = Client(lab, SERVER, "10.20.0.8")
        client.sendmail(SENDER, [RECIPIENT], message(number, USUAL))
        client.close()
        running.wait_journal(number + 1, event="session", id="10.20.0.8")
    client = Client(lab, SERVER, "10.20.0.8")
    with pytest.raises((smtplib.SMTPServerDisconnected, OSError)):
        client.sendmail(SENDER, [RECIPIENT], message(3, USUAL))
    with pytest.raises(smtplib.SMTPConnectError):
        Client(lab, SERVER, "10.20.0.8")
    assert len(server.messages()) == 3


def test_who_waits_as_told_is_served(lab, gate, sink):
    """A refusal takes nothing: when the time that it names has passed there is a token."""
    server = sink(starttls=True)
    gate({"class ordinary": {"messages": ["2/10s"]}})
    assert send_until_ended(Client(lab, SERVER, "10.20.0.15"), USUAL) >= 2

    def send():
        try:
            client = Client(lab, SERVER, "10.20.0.15")
            client.sendmail(SENDER, [RECIPIENT], message(99, USUAL))
            return client.quit()
        except smtplib.SMTPConnectError as refused:
            told = re.search(rb"retry in (\d+) second", refused.smtp_error)
            time.sleep(int(told[1]))
            return None

    before = len(server.messages())
    servers.wait_for(send, 60, "a session that is let through")
    assert len(server.messages()) == before + 1


def test_small_messages_in_a_row(lab, gate, sink):
    """Each in one burst with its envelope: they are known to be messages only when they have gone by, so one more
    than the limit goes through."""
    server = sink(starttls=True)
    running = gate({"class ordinary": {"messages": ["5/1h"]}})
    with pytest.raises((smtplib.SMTPServerDisconnected, OSError)):
        turns_table.each_by_bdat(20, USUAL)(lab, SERVER, "10.20.0.16")
    assert running.wait_journal(event="session", id="10.20.0.16")[0]["messages_least"] == 6
    assert len(server.messages()) == 6


def test_pipelined_across_messages(lab, gate, sink):
    """The next envelope goes with the content, again and again."""
    server = sink(starttls=True)
    running = gate({"class ordinary": {"messages": ["5/1h"]}})
    with pytest.raises((smtplib.SMTPServerDisconnected, OSError)):
        turns_table.chained(20, USUAL)(lab, SERVER, "10.20.0.17")
    assert running.wait_journal(event="session", id="10.20.0.17")[0]["messages_least"] == 6
    assert len(server.messages()) == 6


def test_a_list_with_its_parameters(lab, gate, started):
    """Many long RCPT at once, DATA behind them: an envelope is no content, however large it is."""
    started(servers.Postfix(lab.internet, SERVER, starttls=True))
    running = gate({"class ordinary": {"messages": ["6/1h"]}})
    client = Client(lab, SERVER, "10.20.0.19")
    for number in range(6):
        lines = [f"MAIL FROM:<bounces+{number}@lists.customer.example> SIZE=2345 BODY=8BITMIME RET=HDRS "
                 "ENVID=20261128220001.4711@customer.example"]
        for to in range(10):
            address = f"firstname.lastname.department.{to}@mx.example"
            lines.append(f"RCPT TO:<{address}> NOTIFY=FAILURE,DELAY ORCPT=rfc822;{address}")
        assert set(client.converse("".join(f"{line}\r\n" for line in lines), len(lines))) == {250}
        assert client.converse("DATA\r\n", 1) == [354]
        assert client.converse(message(number, USUAL) + ".\r\n", 1) == [250]
    client.quit()
    assert running.wait_journal(event="session", id="10.20.0.19")[0]["messages_least"] == 6


@pytest.mark.parametrize("size", [USUAL, LARGE])
def test_exim_within_its_limit(lab, gate, sink, size):
    """Exim sends a large message in two chunks, header first: each is one message all the same."""
    server = sink(starttls=True)
    running = gate({"class ordinary": {"messages": ["5/1h"]}})
    turns_table.by_exim(5, size)(lab, SERVER, "10.20.0.18")
    assert len(server.wait_messages(5)) == 5
    # Exim takes a session more now and then, on a machine that is busy.
    sessions = turns_table.server_sessions(server, "10.20.0.18")
    lines = running.wait_journal(sessions, event="session", id="10.20.0.18")
    assert sum(line["messages_least"] for line in lines) == 5, lines
    assert not running.journal(event="refusal")


def test_sessions_within_the_limit_notice_nothing(lab, gate, sink):
    server = sink(starttls=True)
    gate({"class ordinary": {"messages": ["10/1h"]}})
    turns_table.by_smtplib(10, USUAL)(lab, SERVER, "10.20.0.9")
    assert len(server.wait_messages(10)) == 10


def test_shadow_mode_ends_nothing(lab, gate, sink):
    sink(starttls=True)
    running = gate({"class ordinary": {"messages": ["1/1h"], "enforce": False}})
    turns_table.by_smtplib(3, USUAL)(lab, SERVER, "10.20.0.10")
    lines = running.wait_journal(2, event="refusal", id="10.20.0.10")
    assert all(line["shadow"] and line["rule"] == "messages:1/1h" for line in lines)


def test_a_token_for_a_session(lab, gate, sink):
    """opaque-messages = "session": one at STARTTLS, whatever comes then."""
    server = sink(starttls=True)
    gate({"class ordinary": {"messages": ["2/1h"], "opaque-messages": "session"}})
    for _ in range(2):
        turns_table.by_smtplib(5, USUAL)(lab, SERVER, "10.20.0.11")
    with pytest.raises(smtplib.SMTPResponseException) as refused:
        Client(lab, SERVER, "10.20.0.11")
    assert refused.value.smtp_code == 421
    assert b"limit of 2 messages" in refused.value.smtp_error
    assert len(server.messages()) == 10
    assert b"STARTTLS" not in server.received(3)


def test_no_tokens(lab, gate, sink):
    server = sink(starttls=True)
    gate({"class ordinary": {"messages": ["1/1h"], "opaque-messages": "off"}})
    turns_table.by_smtplib(5, USUAL)(lab, SERVER, "10.20.0.12")
    assert len(server.wait_messages(5)) == 5


def test_refused_starttls(lab, gate, sink):
    """An open refusal that ends the session; in clear text the client may go on with a new one."""
    server = sink(starttls=True)
    gate({"class ordinary": {"messages": ["9/1h"], "starttls": "refuse"}})
    with pytest.raises(smtplib.SMTPResponseException) as refused:
        Client(lab, SERVER, "10.20.0.13")
    assert refused.value.smtp_code == 554
    assert b"may not use STARTTLS on port 25" in refused.value.smtp_error
    assert b"STARTTLS" not in server.received(1)
    assert "<-  250-STARTTLS" in (shown := servers.swaks(lab.subscribers, SERVER, source="10.20.0.14").stdout) or \
        "<-  250 STARTTLS" in shown  # the keyword is there
    assert len(server.wait_messages(1)) == 1
